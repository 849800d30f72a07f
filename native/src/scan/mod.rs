//! Reads what a directory and all below it are: names, attributes, targets of links. Several threads take a directory each, as
//! nearly all of the time passes in the kernel. Contents are not read.
//!
//! The order of the records depends on the threads; that of the children of one directory is by name.

mod record;
mod walk;

pub use record::{Record, Scan, RECORD_WORDS};
pub use walk::scan;
