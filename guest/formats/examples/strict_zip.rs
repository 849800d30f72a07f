//! The verdicts of the guest's strict ZIP profile, for comparison with the host's: reads archives from standard input, each
//! behind its size (u32le), and prints one line for each.

use std::io::{self, Read, Write};

use microbuild_formats::apk::find_sections;
use microbuild_formats::zip::read_strict;

fn main() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    let mut output = io::stdout().lock();
    let mut rest = input.as_slice();
    while let Some((size, behind)) = rest.split_first_chunk::<4>() {
        let size = u32::from_le_bytes(*size) as usize;
        let Some((archive, behind)) = behind.split_at_checked(size) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        rest = behind;
        match find_sections(archive).and_then(|sections| read_strict(archive, &sections)) {
            Ok(_) => writeln!(output, "accepted")?,
            Err(error) => writeln!(output, "{error}")?,
        }
    }
    Ok(())
}
