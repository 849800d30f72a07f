//! Guest memory: mmap(2), and copies that the guest may disturb.

use std::io;
use std::marker::PhantomData;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use super::check;

/// Memory that is shared with the guest, who may change it at any moment: so there are no references
/// into it, only copies in and out.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    size: usize,
}

impl Mapping {
    /// Maps the first `size` bytes of a file, readable and writable.
    ///
    /// # Errors
    /// When the file is shorter (touching its missing pages would be fatal), or what mmap(2) says.
    pub fn new(file: &OwnedFd, size: usize) -> io::Result<Self> {
        // SAFETY: all-zero is a valid stat.
        let mut status: libc::stat = unsafe { zeroed() };
        // SAFETY: `status` is a live stat.
        check(unsafe { libc::fstat(file.as_raw_fd(), &mut status) })?;
        if u64::try_from(status.st_size).unwrap_or(0) < size as u64 || size == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                protection,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(address.cast())
            .map(|base| Self { base, size })
            .ok_or_else(|| io::Error::from(io::ErrorKind::Other))
    }

    /// The part `offset..offset + size`, if all of it is mapped.
    #[must_use]
    pub fn part(&self, offset: usize, size: usize) -> Option<Part<'_>> {
        if offset > self.size || size > self.size - offset {
            return None;
        }
        // SAFETY: `offset` is at most the size of the mapping.
        let start = unsafe { self.base.as_ptr().add(offset) };
        Some(Part {
            start,
            size,
            owner: PhantomData,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and no `Part` outlives it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

/// A piece of guest memory that is known to be mapped.
#[derive(Clone, Copy, Debug)]
pub struct Part<'m> {
    start: *mut u8,
    size: usize,
    owner: PhantomData<&'m Mapping>,
}

impl<'m> Part<'m> {
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Cuts in two; the first has at most `at` bytes.
    #[must_use]
    pub fn split(&self, at: usize) -> (Part<'m>, Part<'m>) {
        let at = at.min(self.size);
        // SAFETY: `at` is at most the size of the part.
        let rest = unsafe { self.start.add(at) };
        let part = |start, size| Part {
            start,
            size,
            owner: PhantomData,
        };
        (part(self.start, at), part(rest, self.size - at))
    }

    /// Copies as much as both hold.
    pub fn read(&self, out: &mut [u8]) {
        let size = out.len().min(self.size);
        let mut done = 0;
        while size - done >= 8 && (self.start as usize + done).is_multiple_of(8) {
            // SAFETY: eight bytes at `done` are inside the part, and aligned. Volatile, as the guest may write meanwhile.
            let word = unsafe { self.start.add(done).cast::<u64>().read_volatile() };
            out[done..done + 8].copy_from_slice(&word.to_ne_bytes());
            done += 8;
        }
        while done < size {
            // SAFETY: `done` is inside the part.
            out[done] = unsafe { self.start.add(done).read_volatile() };
            done += 1;
        }
    }

    /// Copies as much as both hold.
    pub fn write(&self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().take(self.size).enumerate() {
            // SAFETY: `at` is inside the part. Volatile, as the guest may read meanwhile.
            unsafe { self.start.add(at).write_volatile(*byte) };
        }
    }

    /// As recvmsg(2) and sendmsg(2) want it.
    pub(super) fn vector(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.start.cast(),
            iov_len: self.size,
        }
    }

    fn atomic(&self) -> Option<&'m AtomicU16> {
        if self.size < 2 || !(self.start as usize).is_multiple_of(2) {
            return None;
        }
        // SAFETY: two aligned bytes that stay mapped for 'm, which both sides use as atomics only.
        Some(unsafe { AtomicU16::from_ptr(self.start.cast()) })
    }

    /// The index that the part holds; what the guest wrote before it is seen afterwards.
    #[must_use]
    pub fn load_u16(&self) -> Option<u16> {
        Some(u16::from_le(self.atomic()?.load(Ordering::Acquire)))
    }

    /// Publishes an index behind everything that was written before.
    #[must_use]
    pub fn store_u16(&self, value: u16) -> Option<()> {
        self.atomic()?.store(value.to_le(), Ordering::Release);
        Some(())
    }
}
