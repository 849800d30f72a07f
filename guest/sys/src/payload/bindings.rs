//! The libc functions in use, declared as POSIX and the man pages give them, and the kernel's constants for x86-64 and arm64.

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

pub const RTLD_NOW: c_int = 2;

pub const AF_UNIX: c_int = 1;
pub const AF_VSOCK: c_int = 40;
pub const SOCK_STREAM: c_int = 1;
pub const SOCK_CLOEXEC: c_int = 0o2_000_000;
pub const MSG_PEEK: c_int = 0x02;
pub const MSG_DONTWAIT: c_int = 0x40;
pub const MSG_NOSIGNAL: c_int = 0x4000;
pub const VMADDR_CID_ANY: c_uint = c_uint::MAX;
pub const SHUT_RDWR: c_int = 2;

pub const STDOUT_FILENO: c_int = 1;
pub const STDERR_FILENO: c_int = 2;

pub const PTHREAD_CREATE_DETACHED: c_int = 1;

#[repr(C)]
pub struct Timespec {
    pub seconds: i64,
    pub nanoseconds: c_long,
}

/// `struct sockaddr_vm` of linux/vm_sockets.h.
#[repr(C)]
#[derive(Default)]
pub struct SockaddrVm {
    pub family: u16,
    pub reserved: u16,
    pub port: u32,
    pub cid: u32,
    pub flags: u8,
    pub zero: [u8; 3],
}

/// `struct sockaddr_un`: 108 bytes of path, zero-terminated.
#[repr(C)]
pub struct SockaddrUn {
    pub family: u16,
    pub path: [u8; 108],
}

/// Room for a `pthread_mutex_t` (40 bytes, 48 on arm64 glibc).
#[repr(C, align(16))]
pub struct PthreadMutex(pub [u8; 64]);

/// Room for a `pthread_cond_t` (48 bytes).
#[repr(C, align(16))]
pub struct PthreadCond(pub [u8; 64]);

/// Room for a `pthread_attr_t` (56 bytes, 64 on arm64 glibc).
#[repr(C, align(16))]
pub struct PthreadAttr(pub [u8; 128]);

/// `pthread_t`: a pointer with musl, an unsigned long with glibc.
pub type Pthread = usize;

#[link(name = "c")]
extern "C" {
    #[cfg_attr(feature = "bionic", link_name = "__errno")]
    pub fn __errno_location() -> *mut c_int;

    pub fn malloc(size: usize) -> *mut c_void;
    pub fn calloc(count: usize, size: usize) -> *mut c_void;
    pub fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void;
    pub fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void;
    pub fn free(pointer: *mut c_void);

    pub fn abort() -> !;
    pub fn getuid() -> c_uint;
    pub fn getpid() -> c_int;
    pub fn nanosleep(request: *const Timespec, remaining: *mut Timespec) -> c_int;
    pub fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize;

    pub fn write(fd: c_int, buffer: *const c_void, length: usize) -> isize;
    pub fn close(fd: c_int) -> c_int;

    pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    pub fn bind(fd: c_int, address: *const c_void, length: c_uint) -> c_int;
    pub fn listen(fd: c_int, backlog: c_int) -> c_int;
    pub fn shutdown(fd: c_int, how: c_int) -> c_int;
    pub fn accept4(fd: c_int, address: *mut c_void, length: *mut c_uint, flags: c_int) -> c_int;
    pub fn connect(fd: c_int, address: *const c_void, length: c_uint) -> c_int;
    pub fn recv(fd: c_int, buffer: *mut c_void, length: usize, flags: c_int) -> isize;
    pub fn send(fd: c_int, buffer: *const c_void, length: usize, flags: c_int) -> isize;

    pub fn pthread_create(
        thread: *mut Pthread,
        attributes: *const PthreadAttr,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
    pub fn pthread_attr_init(attributes: *mut PthreadAttr) -> c_int;
    pub fn pthread_attr_setdetachstate(attributes: *mut PthreadAttr, state: c_int) -> c_int;
    pub fn pthread_attr_setstacksize(attributes: *mut PthreadAttr, size: usize) -> c_int;
    pub fn pthread_attr_destroy(attributes: *mut PthreadAttr) -> c_int;
    pub fn pthread_mutex_init(mutex: *mut PthreadMutex, attributes: *const c_void) -> c_int;
    pub fn pthread_mutex_lock(mutex: *mut PthreadMutex) -> c_int;
    pub fn pthread_mutex_unlock(mutex: *mut PthreadMutex) -> c_int;
    pub fn pthread_mutex_destroy(mutex: *mut PthreadMutex) -> c_int;
    pub fn pthread_cond_init(condition: *mut PthreadCond, attributes: *const c_void) -> c_int;
    pub fn pthread_cond_wait(condition: *mut PthreadCond, mutex: *mut PthreadMutex) -> c_int;
    pub fn pthread_cond_broadcast(condition: *mut PthreadCond) -> c_int;
    pub fn pthread_cond_destroy(condition: *mut PthreadCond) -> c_int;
    pub fn pthread_self() -> Pthread;

    pub fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub fn dlerror() -> *const c_char;
}
