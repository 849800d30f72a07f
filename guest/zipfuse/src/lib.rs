//! The files of a verified APK as a read-only file system: FUSE over the ZIP archive, served by threads of the caller.
//!
//! After AOSP Virtualization guest/zipfuse: the same tree, the same modes. What differs is memory. The kernel's page cache
//! is the only place where contents stay: stored entries are read straight from the device, whose own cached pages are let
//! go of, and deflated ones are inflated from the nearest of a bounded number of remembered places in their streams.

#![forbid(unsafe_code)]

pub mod protocol;
mod reader;
mod server;
mod tree;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use microbuild_formats::read_at::SizedFile;
use microbuild_formats::ReadAt;
use microbuild_sys::kernel::fuse;

pub use server::{FileSystem, Owner};
pub use tree::TreeError;

/// Requests are short but for names; the kernel wants room for at least this much.
const REQUEST_SIZE_MAX: usize = 16 * 1024;
/// One may wait for the disk while the other answers from memory.
const THREAD_COUNT: usize = 2;

/// Where the archive's bytes are.
pub trait Source: ReadAt + Send + Sync {
    /// The range has been read and will not be asked for again soon: a cache below may let go of it.
    fn forget(&self, _offset: u64, _size: u64) {}
}

impl Source for SizedFile {
    fn forget(&self, offset: u64, size: u64) {
        // A hint: without it the memory is only freed later.
        let _ = fuse::forget_cached(self.file(), offset, size);
    }
}

impl Source for [u8] {}
impl Source for Vec<u8> {}

/// Mounts the file system on an existing directory (read-only, `nosuid`, `nodev`) and serves it from threads of its own until
/// it is unmounted. It can be used when this returns.
///
/// # Errors
/// When the kernel has no FUSE or refuses the mount.
pub fn mount<S: Source + 'static>(file_system: FileSystem<S>, target: &Path) -> io::Result<()> {
    let file_system = Arc::new(file_system);
    let device = Arc::new(fuse::mount(target, protocol::MAX_READ)?);
    for _ in 0..THREAD_COUNT {
        let (file_system, device) = (Arc::clone(&file_system), Arc::clone(&device));
        std::thread::Builder::new()
            .name("zipfuse".to_owned())
            .spawn(move || serve(&file_system, &device))?;
    }
    Ok(())
}

/// Answers requests until the file system is unmounted.
fn serve<S: Source>(file_system: &FileSystem<S>, device: &File) {
    let mut request = vec![0; REQUEST_SIZE_MAX];
    let mut reply = Vec::new();
    let (mut from, mut to) = (device, device);
    loop {
        let size = match from.read(&mut request) {
            Ok(size) => size,
            // Interrupted: nothing was read. NotFound: the request was taken back before it was read.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::NotFound
                ) =>
            {
                continue
            }
            // ENODEV: unmounted.
            Err(_) => return,
        };
        if file_system.answer(request.get(..size).unwrap_or(&[]), &mut reply) {
            // A request that was taken back while it was being answered has nobody who waits.
            let _ = to.write(&reply);
        }
    }
}
