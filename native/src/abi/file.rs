//! Files that the caller has open, and how failing to read them is told.

use super::{ERROR_SYSTEM, ERROR_TRUNCATED};
use crate::file::ReadError;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::FromRawFd;

/// A file that stays the caller's: it is not closed here.
pub struct BorrowedFile(ManuallyDrop<File>);

impl BorrowedFile {
    /// `None` if it is no descriptor.
    ///
    /// # Safety
    /// Nobody closes it while this lives.
    pub unsafe fn new(fd: i32) -> Option<Self> {
        if fd < 0 {
            return None;
        }
        // SAFETY: open by the caller's promise, and never closed by the file that is made of it.
        Some(Self(ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })))
    }
}

impl Deref for BorrowedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

/// 0, or what went wrong.
pub fn code_of(result: Result<(), ReadError>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(ReadError::Truncated) => ERROR_TRUNCATED,
        Err(ReadError::System(errno)) => ERROR_SYSTEM - errno,
    }
}
