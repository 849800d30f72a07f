//! Payloads in C against the library, as separate processes: the example of the recipe and a service that echoes.
//!
//! They run on the build host. A preloaded shim puts unix sockets in the place of vsock; nothing in the library knows.

use microbuild_rpc::std_io::Stream;
use microbuild_rpc::{
    Address, ClientSession, Error, Exception, Parcel, ParcelReader, Server, Service, SessionTable,
    Status, StatusCode,
};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Where cargo put the library that this test was built with.
fn library_folder() -> PathBuf {
    std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .to_path_buf()
}

fn temporary_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("vm-payload-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The manager's side of IVmPayloadService.
#[derive(Default)]
struct Manager(AtomicUsize);

impl Service for &Manager {
    fn descriptor(&self) -> &str {
        "android.system.virtualization.payload.IVmPayloadService"
    }
    fn on_transact(&self, code: u32, _: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        assert_eq!(code, 1);
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Parcel::reply())
    }
}

/// A payload as a running program.
struct Payload {
    folder: PathBuf,
    process: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Payload {
    /// Builds a payload with a `main` in the launcher's place and starts it.
    fn start(name: &str, source: &Path, environment: &[(&str, &str)]) -> Self {
        let folder = temporary_folder(name);
        let main = folder.join("main.c");
        std::fs::write(
            &main,
            "#include <vm_payload.h>\nint main(void) { return AVmPayload_main(); }\n",
        )
        .unwrap();
        let (program, shim, library) = (
            folder.join("payload"),
            folder.join("shim.so"),
            library_folder(),
        );
        let link = format!("-Wl,-rpath,{}", library.display());
        let strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE];
        run(Command::new("cc")
            .args(strict)
            .arg("-o")
            .args([&program, &main])
            .arg(source)
            .arg(link)
            .arg("-L")
            .arg(&library)
            .arg("-lvm_payload"));
        let shim_source = format!("{ROOT}/test/fixtures/payloads/vsock-over-unix.c");
        run(Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&shim)
            .arg(shim_source));
        let mut process = Command::new(program)
            .env_remove("LD_LIBRARY_PATH") // cargo's, which may name an older build
            .env("LD_PRELOAD", shim)
            .env("MICROBUILD_TEST_SOCKETS", &folder)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self {
            folder,
            process,
            stdout,
        }
    }

    fn connect(&self, port: u32) -> Stream<UnixStream> {
        let path = self.folder.join(format!("vsock-{port}"));
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(&path) {
                return Stream(stream);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("no server at {}", path.display());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

fn session(payload: &Payload, port: u32) -> (ClientSession<Stream<UnixStream>>, Address) {
    let mut session = ClientSession::connect(payload.connect(port)).unwrap();
    let root = session.root().unwrap().unwrap();
    (session, root)
}

fn hello_source() -> PathBuf {
    Path::new(ROOT).join("recipes/hello/src/hello.c")
}

#[test]
fn the_example_tells_the_manager_once_that_it_listens_and_greets() {
    static MANAGER: Manager = Manager(AtomicUsize::new(0));
    let folder = temporary_folder("hello");
    let listener = UnixListener::bind(folder.join("vm_payload_service")).unwrap();
    std::thread::spawn(move || {
        let server = Arc::new(Server::new(&MANAGER, Mutex::new(SessionTable::new())));
        for (id, stream) in (1u8..).zip(listener.incoming()) {
            server
                .serve(&mut Stream(stream.unwrap()), [id; 32])
                .unwrap();
        }
    });
    let mut payload = Payload::start("hello", &hello_source(), &[]);
    assert_eq!(
        payload.line(),
        "hello: serving dev.microbuild.hello.IHello on vsock port 5678\n"
    );

    let (mut session, root) = session(&payload, 5678);
    let mut hello = |name: Option<&str>| {
        let descriptor = "dev.microbuild.hello.IHello";
        session.call(
            root,
            descriptor,
            1,
            |data| data.write_optional_str(name),
            |reply| reply.read_string(),
        )
    };
    let greeting = |name: &str| {
        Ok(format!(
            "Hello, {name}! This is dev.microbuild.hello in a verified micro-VM."
        ))
    };
    assert_eq!(hello(Some("world")), greeting("world"));
    assert_eq!(
        hello(Some("w\u{f6}rld\u{1f600}")),
        greeting("w\u{f6}rld\u{1f600}")
    );
    let empty = Exception::new(Exception::ILLEGAL_ARGUMENT, "The name is empty");
    assert_eq!(hello(Some("")), Err(Error::Exception(empty)));
    assert_eq!(hello(None), Err(Error::Status(StatusCode::UNEXPECTED_NULL)));
    assert_eq!(MANAGER.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_payload_that_cannot_tell_the_manager_aborts_and_says_why() {
    let mut payload = Payload::start("no-manager", &hello_source(), &[]);
    let mut message = String::new();
    payload
        .process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert_eq!(payload.process.wait().unwrap().signal(), Some(6));
    assert_eq!(
        message,
        "Failed to notify payload ready: /dev/socket/vm_payload_service: errno 2\n"
    );
}

#[test]
fn only_the_host_is_served() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/echo.c");
    let payload = Payload::start("stranger", &source, &[("MICROBUILD_TEST_PEER_CID", "3")]);
    let refused = ClientSession::connect(payload.connect(77)).map(|_| ());
    assert!(matches!(refused, Err(Error::Transport(_))), "{refused:?}");
}

fn echo(name: &str) -> (Payload, ClientSession<Stream<UnixStream>>, Address) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/echo.c");
    let payload = Payload::start(name, &source, &[]);
    let (session, root) = session(&payload, 77);
    (payload, session, root)
}

const ECHO: &str = "microbuild.test.IEcho";

fn request(write: impl FnOnce(&mut Parcel)) -> Parcel {
    let mut parcel = Parcel::request(ECHO);
    write(&mut parcel);
    parcel
}

fn expected(write: impl FnOnce(&mut Parcel)) -> Vec<u8> {
    let mut parcel = Parcel::reply();
    write(&mut parcel);
    parcel.data().to_vec()
}

#[test]
fn values_of_every_type_pass_through_c_unchanged() {
    let (_payload, mut session, root) = echo("values");
    for string in [Some(""), Some("a\u{1f600}b"), None] {
        let write = |parcel: &mut Parcel| {
            parcel.write_i32(i32::MIN);
            parcel.write_u32(u32::MAX);
            parcel.write_i64(i64::MIN);
            parcel.write_u64(u64::MAX);
            parcel.write_f32(-0.5);
            parcel.write_f64(1e300);
            parcel.write_bool(true);
            parcel.write_char(0xd83d);
            parcel.write_byte(-128);
            parcel.write_optional_str(string);
        };
        assert_eq!(
            session.transact(root, 1, &request(write)).unwrap().data(),
            expected(write)
        );
    }
    for write in [
        |parcel: &mut Parcel| {
            parcel.write_i32_array(&[1, -1]);
            parcel.write_u32_array(&[u32::MAX]);
            parcel.write_i64_array(&[i64::MIN, 2, 3]);
            parcel.write_u64_array(&[u64::MAX]);
            parcel.write_f32_array(&[0.25]);
            parcel.write_f64_array(&[0.125, -1.0]);
            parcel.write_char_array(&[0xffff, 0, 1]);
            parcel.write_bytes(&[1, 2, 255]);
            parcel.write_bool_array(&[true, false, true]);
            parcel.write_str_array(&[Some("x"), None, Some("")]);
        },
        |parcel: &mut Parcel| (0..10).for_each(|_| parcel.write_null()),
        |parcel: &mut Parcel| (0..10).for_each(|_| parcel.write_length(0)),
    ] {
        assert_eq!(
            session.transact(root, 2, &request(write)).unwrap().data(),
            expected(write)
        );
    }
    let points = |parcel: &mut Parcel| {
        parcel.write_length(2);
        for point in [7, -7] {
            parcel.write_i32(1);
            parcel.write_i64(point);
        }
    };
    assert_eq!(
        session.transact(root, 4, &request(points)).unwrap().data(),
        expected(points)
    );
    session.call(root, ECHO, 5, |_| {}, |_| Ok(())).unwrap();
}

#[test]
fn arguments_that_are_not_what_the_method_reads_fail_the_call() {
    let (_payload, mut session, root) = echo("arguments");
    let mut status =
        |code, write: fn(&mut Parcel)| session.transact(root, code, &request(write)).unwrap_err();
    assert_eq!(
        status(1, |_| {}),
        Error::Status(StatusCode::NOT_ENOUGH_DATA)
    );
    assert_eq!(
        status(2, |p| p.write_i32(i32::MAX)),
        Error::Status(StatusCode::NO_MEMORY)
    );
    assert_eq!(
        status(2, |p| p.write_i32(-2)),
        Error::Status(StatusCode::BAD_VALUE)
    );
    assert_eq!(
        status(4, |p| p.write_i32(1000)),
        Error::Status(StatusCode::NO_MEMORY)
    );
    // An unnamed status of the service is an unknown error.
    assert_eq!(status(99, |_| {}), Error::Status(StatusCode::UNKNOWN_ERROR));
}

#[test]
fn the_end_of_a_method_arrives_as_the_service_said_it() {
    let (mut payload, mut session, root) = echo("ends");
    let mut end = |kind: i32, number: i32| {
        let write = |data: &mut Parcel| {
            data.write_i32(kind);
            data.write_i32(number);
            data.write_str("why");
        };
        let result = session.call(root, ECHO, 3, write, |_| Ok(()));
        (result, payload.line())
    };
    let silent = |code| {
        Err(Error::Exception(Exception {
            code,
            message: Some(String::new()),
            service_specific: 0,
        }))
    };
    assert_eq!(end(0, 0), (Ok(()), "ok | 0 0 0 \n".into()));
    assert_eq!(
        end(0, -22),
        (
            Err(Error::Status(StatusCode::BAD_VALUE)),
            "transaction failed: BAD_VALUE | -129 0 -22 \n".into()
        )
    );
    assert_eq!(
        end(0, -7777).0,
        Err(Error::Status(StatusCode::UNKNOWN_ERROR))
    );
    assert_eq!(
        end(1, -5),
        (
            Err(Error::Exception(Exception::new(-5, "why"))),
            "exception -5: why | -5 0 0 why\n".into()
        )
    );
    assert_eq!(
        end(2, 77),
        (
            Err(Error::Exception(Exception::service_specific(77, "why"))),
            "exception -8 (service specific 77): why | -8 77 0 why\n".into()
        )
    );
    assert_eq!(end(3, -1).0, silent(-1));
    assert_eq!(end(3, 0).0, Ok(()));
    for unnamed in [-10, -128, 5] {
        assert_eq!(
            end(3, unnamed).0,
            Err(Error::Status(StatusCode::FAILED_TRANSACTION)),
            "{unnamed}"
        );
    }
    assert_eq!(
        end(4, 9).0,
        Err(Error::Exception(Exception::service_specific(9, "")))
    );
}

#[test]
fn many_sessions_are_served_at_once() {
    let (payload, _session, _root) = echo("many");
    let mut sessions: Vec<_> = (0..40).map(|_| session(&payload, 77)).collect();
    for (session, root) in sessions.iter_mut().rev() {
        session.call(*root, ECHO, 5, |_| {}, |_| Ok(())).unwrap();
    }
}
