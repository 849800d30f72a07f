//! `microbuild-vsock`: the vsock device of one QEMU, with Unix sockets on the host's side.
//!
//! The host connects to PATH and says `CONNECT port\n`, which is answered by `OK port\n`; what the guest
//! connects to arrives at `PATH_port`. Ends with QEMU, with its parent, and by SIGTERM.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use microbuild_vsock::frontend::Frontend;
use microbuild_vsock::packet::HOST_CID;
use microbuild_vsock::server::{Doors, Server};
use microbuild_vsock::streams::MAX_STREAMS;
use microbuild_vsock::sys;

const USAGE: &str = "Usage: microbuild-vsock --cid N --socket PATH --uds PATH [--host-cid N]

  --cid N         the guest's context id
  --socket PATH   where QEMU connects (vhost-user)
  --uds PATH      where host programs connect; the guest's connections arrive at PATH_port
  --host-cid N    as which the host appears in connections that it begins (default 2)
";
/// Beside the sockets of streams.
const OTHER_DESCRIPTORS: u64 = 32;

struct Options {
    cid: u64,
    host_cid: u64,
    socket: PathBuf,
    uds: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.iter().any(|word| word == "--version") {
        println!("microbuild-vsock {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|word| word == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(options) = parse(&arguments) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("microbuild-vsock: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[OsString]) -> Option<Options> {
    let (mut cid, mut host_cid, mut socket, mut uds) = (None, HOST_CID, None, None);
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return None };
        let number = || value.to_str()?.parse::<u32>().ok().map(u64::from);
        match name.to_str()? {
            // 0 to 2 and the last one have other meanings.
            "--cid" => cid = number().filter(|cid| *cid > HOST_CID && *cid < u64::from(u32::MAX)),
            "--host-cid" => host_cid = number()?,
            "--socket" => socket = Some(PathBuf::from(value)),
            "--uds" => uds = Some(PathBuf::from(value)),
            _ => return None,
        }
    }
    Some(Options {
        cid: cid?,
        host_cid,
        socket: socket?,
        uds: uds?,
    })
}

fn run(options: &Options) -> io::Result<()> {
    if !sys::die_with_parent() {
        return Ok(());
    }
    let signals = sys::ending_signals()?;
    sys::make_files_private();
    sys::raise_descriptor_limit(2 * MAX_STREAMS as u64 + OTHER_DESCRIPTORS);
    let epoll = Rc::new(sys::Epoll::new()?);
    let host = Socket::bind(&options.uds)?;
    let Some(frontend) = accept_one(&options.socket, &signals)? else {
        return Ok(());
    };
    let doors = Doors {
        frontend,
        listener: host.listener.try_clone()?,
        signals,
        epoll,
    };
    Server::new(doors, options.cid, options.host_cid, &options.uds)?.run()
}

/// Waits for QEMU, behind which the door is closed. None when it is time to end instead.
fn accept_one(path: &Path, signals: &std::os::fd::OwnedFd) -> io::Result<Option<Frontend>> {
    use std::os::fd::AsFd;
    let door = Socket::bind(path)?;
    let epoll = sys::Epoll::new()?;
    epoll.add(signals.as_fd(), 0, sys::Trigger::Level)?;
    epoll.add(door.listener.as_fd(), 1, sys::Trigger::Level)?;
    loop {
        let events = epoll.wait(-1)?;
        if events.iter().any(|event| event.token == 0) {
            return Ok(None);
        }
        if !events.is_empty() {
            let (socket, _) = door.listener.accept()?;
            return Frontend::new(socket).map(Some);
        }
    }
}

/// A socket in the file system, which is removed with it.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// By which it is known that the file is still this socket's.
    file: Option<(u64, u64)>,
}

impl Socket {
    /// Binds to a path, in place of a socket that nobody listens on any more.
    fn bind(path: &Path) -> io::Result<Self> {
        let explain =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if !is_left_over(path) {
                    return Err(explain(error));
                }
                fs::remove_file(path).map_err(explain)?;
                UnixListener::bind(path)
            }
            other => other,
        }
        .map_err(explain)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file: identity(path),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if identity(&self.path) == self.file {
            // Somebody may have been faster.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a path is a socket on which nobody listens.
fn is_left_over(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let connected = UnixStream::connect(path);
    is_socket && matches!(connected, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let status = fs::symlink_metadata(path).ok()?;
    Some((status.dev(), status.ino()))
}
