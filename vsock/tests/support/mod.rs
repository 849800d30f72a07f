//! A fake QEMU with a fake guest: speaks vhost-user with the program under test, keeps guest memory in
//! files, and works the guest's end of the rings, as it should or as it should not.

#![allow(dead_code, unused_imports)]

mod frontend;
mod guest;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub use frontend::Frontend;
pub use guest::{Guest, FROM_GUEST, REGION, RING_SIZE, TO_GUEST};

pub const GUEST_CID: u64 = 42;
pub const PATIENCE: Duration = Duration::from_secs(5);
/// A folder that is removed with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mbv-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn vhost(&self) -> PathBuf {
        self.0.join("vhost.sock")
    }

    pub fn host(&self) -> PathBuf {
        self.0.join("vm.vsock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program under test.
pub struct Backend {
    pub child: Child,
}

impl Backend {
    pub fn command(folder: &Folder, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microbuild-vsock"));
        command.arg("--cid").arg(GUEST_CID.to_string());
        command.arg("--socket").arg(folder.vhost());
        command.arg("--uds").arg(folder.host()).args(more);
        command.stderr(Stdio::piped());
        command
    }

    pub fn start(folder: &Folder, more: &[&str]) -> Self {
        let child = Self::command(folder, more).spawn().unwrap();
        Self { child }
    }

    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            sleep(Duration::from_millis(1));
        }
        panic!("the backend does not end");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it said until its end.
    pub fn said(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn connect_when_there(path: &Path) -> UnixStream {
    let until = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(socket) => {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_write_timeout(Some(PATIENCE)).unwrap();
                return socket;
            }
            Err(error) => assert!(Instant::now() < until, "{}: {error}", path.display()),
        }
        sleep(Duration::from_millis(1));
    }
}

/// `u32` words, little-endian.
pub fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// A line without its end, and nothing behind it.
pub fn read_line(socket: &mut UnixStream) -> String {
    let mut line = String::new();
    // One byte at a time: what follows is somebody else's.
    BufReader::with_capacity(1, socket)
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.pop(), Some('\n'), "{line}");
    line
}

pub fn read_exactly(mut socket: &UnixStream, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// Bytes that are the same for the same seed: xorshift64*.
pub struct Junk(pub u64);

impl Junk {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A socket in whose queue there is room for one.
pub fn small_listener(path: &Path) -> UnixListener {
    use rustix::net::{bind, listen, socket, AddressFamily, SocketAddrUnix, SocketType};
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    UnixListener::from(listener)
}
