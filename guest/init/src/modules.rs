//! Kernel modules, in the order that the builder wrote down.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use microbuild_sys::kernel::console::say;
use microbuild_sys::kernel::module::load_module;

const ORDER: &str = "/modules.order";
const DIRECTORY: &str = "/modules";

/// No loop devices are made before they are asked for: eight of them take longer than the module.
fn parameters(name: &str) -> &'static CStr {
    match name {
        "loop.ko" => c"max_loop=0",
        _ => c"",
    }
}

/// Whether there is a bus on which PCI's modules could find something.
fn has_pci() -> bool {
    fs::read_dir("/sys/bus/pci/devices").is_ok_and(|mut devices| devices.next().is_some())
}

/// Loads them all. One that does not load is only reported: it may serve a bus that this machine does not have, and what
/// is really missing is missed by name later.
pub fn load_all() {
    let order = match fs::read_to_string(ORDER) {
        Ok(order) => order,
        // A kernel with everything built in needs no list.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return say(&format!("cannot read {ORDER}: {error}")),
    };
    let has_pci = has_pci();
    for name in order.lines().filter(|line| !line.is_empty()) {
        if name.starts_with("virtio_pci") && !has_pci {
            continue;
        }
        let loaded = File::open(Path::new(DIRECTORY).join(name))
            .and_then(|file| load_module(&file, parameters(name)));
        if let Err(error) = loaded {
            say(&format!("module {name}: {error}"));
        }
    }
}
