//! Kernel modules, in the order that the builder wrote down.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use microbuild_sys::kernel::console::say;
use microbuild_sys::kernel::module::load_module;

const ORDER: &str = "/modules.order";
const DIRECTORY: &str = "/modules";

/// Loads them all. One that does not load is only reported: it may serve a bus that this machine does not have, and what
/// is really missing is missed by name later.
pub fn load_all() {
    let order = match fs::read_to_string(ORDER) {
        Ok(order) => order,
        // A kernel with everything built in needs no list.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return say(&format!("cannot read {ORDER}: {error}")),
    };
    for name in order.lines().filter(|line| !line.is_empty()) {
        let loaded =
            File::open(Path::new(DIRECTORY).join(name)).and_then(|file| load_module(&file));
        if let Err(error) = loaded {
            say(&format!("module {name}: {error}"));
        }
    }
}
