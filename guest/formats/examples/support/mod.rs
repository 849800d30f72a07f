//! What examples that are compared with other readers share: files in, one line for each out.

use std::io::{self, Read, Write};

/// Reads files from standard input, each behind its size (u32le), and prints an answer to each.
pub fn answer_each(answer: impl Fn(&[u8]) -> String) -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    let mut output = io::stdout().lock();
    let mut rest = input.as_slice();
    while let Some((size, behind)) = rest.split_first_chunk::<4>() {
        let size = u32::from_le_bytes(*size) as usize;
        let Some((file, behind)) = behind.split_at_checked(size) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        rest = behind;
        writeln!(output, "{}", answer(file))?;
    }
    Ok(())
}
