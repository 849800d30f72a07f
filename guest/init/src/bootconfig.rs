//! `/bootconfig`: the trailer of the initrd, which the kernel also unpacked as a file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use microbuild_formats::bootconfig::{decode_trailer, Bootconfig};
use microbuild_sys::kernel::mount::{self, mount};

use crate::refusal::{Link, Refusal};

const PATH: &str = "/bootconfig";
/// More than the kernel itself accepts, trailer included.
const SIZE_MAX: u64 = 64 * 1024;

/// The decoded values and the text they came from.
pub struct Config {
    pub values: Bootconfig,
    text: String,
}

pub fn read() -> Result<Config, Refusal> {
    let refuse = |text: String| Refusal::new(Link::Bootconfig, text);
    let bytes = read_limited().map_err(|error| refuse(format!("cannot read {PATH}: {error}")))?;
    let text = decode_trailer(&bytes).map_err(|error| refuse(error.to_string()))?;
    let values = Bootconfig::parse(text).map_err(|error| refuse(error.to_string()))?;
    Ok(Config {
        values,
        text: text.to_owned(),
    })
}

fn read_limited() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(PATH)?
        .take(SIZE_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Leaves the text at `/run/bootconfig` of the system: the initramfs, and with it the original, goes out of reach.
pub fn hand_over(new_root: &Path, config: &Config) -> Result<(), Refusal> {
    let refuse = |step: &str, error: io::Error| {
        Refusal::new(Link::System, format!("cannot {step}: {error}"))
    };
    let run = new_root.join("run");
    let flags = mount::NOSUID | mount::NODEV | mount::NOEXEC;
    mount("tmpfs", &run, "tmpfs", flags, "size=1m,mode=0755")
        .map_err(|error| refuse("mount /run", error))?;
    fs::write(run.join("bootconfig"), &config.text)
        .map_err(|error| refuse("write /run/bootconfig", error))
}
