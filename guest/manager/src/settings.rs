//! What the sealed configuration says of this machine, beside whom it trusts.

use std::fs;

use microbuild_formats::bootconfig::Bootconfig;

use crate::failure::Failure;

const BOOTCONFIG: &str = "/run/bootconfig";
const DEBUGGABLE: &str = "androidboot.microdroid.debuggable";

/// Whether the initrd that was started is the one for debugging: the payload's secrets are others then.
pub fn is_debuggable() -> Result<bool, Failure> {
    let refuse = |text: String| Failure::verification("bootconfig", text);
    let text = fs::read_to_string(BOOTCONFIG)
        .map_err(|error| refuse(format!("cannot read {BOOTCONFIG}: {error}")))?;
    let config = Bootconfig::parse(&text).map_err(|error| refuse(error.to_string()))?;
    match config.value(DEBUGGABLE) {
        Some("0") => Ok(false),
        Some("1") => Ok(true),
        _ => Err(refuse(format!("{DEBUGGABLE} is not 0 or 1"))),
    }
}

/// A hint of the payload's. A kernel without huge pages goes on without.
pub fn prefer_huge_pages(wanted: bool) {
    if wanted {
        let _ = fs::write("/sys/kernel/mm/transparent_hugepage/enabled", "always");
    }
}
