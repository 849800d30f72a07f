//! Package and version as the guest reads them, for comparison with other readers: one line for each binary manifest, which
//! come from standard input, each behind its size (u32le).

use std::io::{self, Read, Write};

use microbuild_formats::android_manifest::decode_manifest;

fn main() -> io::Result<()> {
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
        match decode_manifest(file) {
            Ok(manifest) => writeln!(output, "{} {}", manifest.package, manifest.version_code)?,
            Err(error) => writeln!(output, "error: {error}")?,
        }
    }
    Ok(())
}
