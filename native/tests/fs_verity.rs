//! The ioctls on files that have no fs-verity: what a kernel that has it does is tried in a virtual machine, by
//! `test/boot/fs-verity.test.ts`.
#![cfg(target_os = "linux")]

use microbuild_native::abi::{mb_fs_verity_enable, mb_fs_verity_measure};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};

const EBADF: i32 = 9;
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;

fn measure(fd: i32) -> i32 {
    let (mut header, mut digest) = ([0u16; 2], [0u8; 64]);
    // SAFETY: the sizes are those of the buffers.
    unsafe { mb_fs_verity_measure(fd, header.as_mut_ptr(), digest.as_mut_ptr(), 64) }
}

fn enable(fd: i32, salt: &[u8]) -> i32 {
    let length = u32::try_from(salt.len()).expect("a short salt");
    // SAFETY: the sizes are those of the buffers.
    unsafe { mb_fs_verity_enable(fd, 1, 4096, salt.as_ptr(), length, null(), 0) }
}

#[test]
fn the_error_of_the_system_is_the_negative_result() {
    // Of all file systems the one that every Linux has and that never has fs-verity.
    let file = File::open("/proc/version").expect("proc is mounted");
    assert_eq!(measure(file.as_raw_fd()), -ENOTTY);
    assert_eq!(enable(file.as_raw_fd(), &[1, 2, 3]), -ENOTTY);
    assert_eq!(measure(-1), -EBADF);
    assert_eq!(enable(-1, &[]), -EBADF);
}

#[test]
fn pointers_that_are_none_are_refused_before_the_system_is_asked() {
    let mut digest = [0u8; 64];
    // SAFETY: a null pointer is what is tried; it is not followed.
    unsafe {
        let measured = mb_fs_verity_measure(-1, null_mut(), digest.as_mut_ptr(), 64);
        assert_eq!(measured, -EINVAL);
        let enabled = mb_fs_verity_enable(-1, 1, 4096, null(), 3, null(), 0);
        assert_eq!(enabled, -EINVAL);
    }
}
