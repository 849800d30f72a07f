//! fs-verity's two ioctls. They are here and not called from Node because `ioctl` takes variable arguments, which an
//! asynchronous foreign call cannot pass; because `errno` belongs to the thread that made the call; and because building the
//! tree of a large file takes the kernel seconds. Results are 0 or a negative `errno`, of the system or of a bad argument.

use super::{bytes, bytes_mut};

const EINVAL: i32 = 22;

/// `FS_IOC_ENABLE_VERITY`: makes the file behind a descriptor that was opened for reading only a verity file.
///
/// # Safety
/// `salt` has `salt_len` bytes and `signature` has `signature_len`; nobody writes to them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_fs_verity_enable(
    fd: i32,
    hash_algorithm: u32,
    block_size: u32,
    salt: *const u8,
    salt_len: u32,
    signature: *const u8,
    signature_len: u32,
) -> i32 {
    // SAFETY: the caller's promise is the one that these ask for.
    let buffers = unsafe {
        (
            bytes(salt, salt_len as usize),
            bytes(signature, signature_len as usize),
        )
    };
    let (Some(salt), Some(signature)) = buffers else {
        return -EINVAL;
    };
    kernel::enable(fd, hash_algorithm, block_size, salt, signature)
}

/// `FS_IOC_MEASURE_VERITY`: the digest of a verity file. Writes `hash_algorithm` and the digest's size, both as the kernel
/// numbers them, to `header` (two of them), and the digest to `digest`.
///
/// # Safety
/// `header` has room for two `u16`, `digest` for `digest_len` bytes; they do not overlap and are the callee's alone.
#[no_mangle]
pub unsafe extern "C" fn mb_fs_verity_measure(
    fd: i32,
    header: *mut u16,
    digest: *mut u8,
    digest_len: u32,
) -> i32 {
    // SAFETY: the caller's promise is the one that this asks for.
    let Some(digest) = (unsafe { bytes_mut(digest, digest_len as usize) }) else {
        return -EINVAL;
    };
    if header.is_null() || !header.is_aligned() {
        return -EINVAL;
    }
    match kernel::measure(fd, digest) {
        Ok((algorithm, size)) => {
            // SAFETY: not null, aligned, and with room for two by the caller's promise.
            unsafe {
                header.write(algorithm);
                header.add(1).write(size);
            }
            0
        }
        Err(error) => error,
    }
}

/// `linux/fsverity.h`.
#[cfg(target_os = "linux")]
mod kernel {
    use super::EINVAL;
    use std::ffi::{c_int, c_ulong};
    use std::io::Error;

    /// `struct fsverity_enable_arg`.
    #[repr(C)]
    struct EnableArgument {
        version: u32,
        hash_algorithm: u32,
        block_size: u32,
        salt_size: u32,
        salt: u64,
        signature_size: u32,
        reserved1: u32,
        signature: u64,
        reserved2: [u64; 11],
    }

    /// The largest digest of fs-verity: SHA-512.
    const MAX_DIGEST: usize = 64;

    /// `struct fsverity_digest` with room behind it. `size` says how much room there is, then how much is used.
    #[repr(C)]
    struct Measurement {
        algorithm: u16,
        size: u16,
        digest: [u8; MAX_DIGEST],
    }

    /// `_IOC` of `asm-generic/ioctl.h`, for the type letter of file systems.
    const fn request(direction: u64, number: u64, size: usize) -> u64 {
        direction << 30 | (size as u64) << 16 | (b'f' as u64) << 8 | number
    }
    const WRITE: u64 = 1;
    const READ_WRITE: u64 = 3;
    const FS_IOC_ENABLE_VERITY: u64 = request(WRITE, 133, size_of::<EnableArgument>());
    /// Its size is that of the header: the digest is a flexible array member.
    const FS_IOC_MEASURE_VERITY: u64 = request(READ_WRITE, 134, 4);

    extern "C" {
        fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    }

    pub fn enable(
        fd: i32,
        hash_algorithm: u32,
        block_size: u32,
        salt: &[u8],
        signature: &[u8],
    ) -> i32 {
        let (Ok(salt_size), Ok(signature_size)) =
            (u32::try_from(salt.len()), u32::try_from(signature.len()))
        else {
            return -EINVAL;
        };
        let argument = EnableArgument {
            version: 1,
            hash_algorithm,
            block_size,
            salt_size,
            salt: salt.as_ptr() as u64,
            signature_size,
            reserved1: 0,
            signature: signature.as_ptr() as u64,
            reserved2: [0; 11],
        };
        // SAFETY: the request reads one such structure and the two buffers it points at, which are as long as it says.
        let result = unsafe { ioctl(fd, FS_IOC_ENABLE_VERITY as c_ulong, &raw const argument) };
        status(result)
    }

    pub fn measure(fd: i32, digest: &mut [u8]) -> Result<(u16, u16), i32> {
        let mut measurement = Measurement {
            algorithm: 0,
            size: MAX_DIGEST as u16,
            digest: [0; MAX_DIGEST],
        };
        // SAFETY: the request fills one such structure with no more bytes behind its header than `size` says there are.
        let result = unsafe { ioctl(fd, FS_IOC_MEASURE_VERITY as c_ulong, &raw mut measurement) };
        if result != 0 {
            return Err(status(result));
        }
        let size = usize::from(measurement.size);
        let (Some(target), Some(source)) = (digest.get_mut(..size), measurement.digest.get(..size))
        else {
            return Err(-EINVAL);
        };
        target.copy_from_slice(source);
        Ok((measurement.algorithm, measurement.size))
    }

    fn status(result: c_int) -> i32 {
        if result >= 0 {
            return 0;
        }
        -Error::last_os_error().raw_os_error().unwrap_or(EINVAL)
    }
}

/// No other system has fs-verity: as a Linux without it.
#[cfg(not(target_os = "linux"))]
mod kernel {
    /// Linux's number, which is the one that the caller knows.
    const EOPNOTSUPP: i32 = 95;

    pub fn enable(_fd: i32, _algorithm: u32, _block_size: u32, _salt: &[u8], _sig: &[u8]) -> i32 {
        -EOPNOTSUPP
    }

    pub fn measure(_fd: i32, _digest: &mut [u8]) -> Result<(u16, u16), i32> {
        Err(-EOPNOTSUPP)
    }
}
