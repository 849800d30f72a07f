//! Plans and encodes the EROFS image of a scanned folder: the usual one, of plain inodes without extended attributes. What it
//! does not know, or what nobody can store, it leaves to its twin, `src/formats/erofs`, which says what is wrong.
//!
//! Both make the same bytes. The superblock is the twin's alone.

mod allocator;
pub mod compressed;
mod encode;
mod pieces;
mod plan;
mod tree;

pub use plan::{Options, Plan};
