//! Android's libbinder at the other end. Its sources are no package anywhere, so this runs where somebody has built the peers of
//! `test/fixtures/libbinder-peer` and says where: `MICROBUILD_LIBBINDER_PEER` is the folder with `server` and `client`, and
//! `MICROBUILD_LIBBINDER_PROTOCOL` is 1 for a build of Android 14 or 15.

#[path = "support/threads.rs"]
mod threads;

use microbuild_rpc::peer::{Call, Message, Object, PeerServer, Remote, Session};
use microbuild_rpc::{
    Exception, Parcel, ParcelReader, StatusCode, DEBUG_PID_TRANSACTION, EXTENSION_TRANSACTION,
    FLAG_ONEWAY, INTERFACE_TRANSACTION, PING_TRANSACTION,
};
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threads::{Socket, Threads};

const PEER: &str = "microbuild.test.IPeer";
const CALLBACK: &str = "microbuild.test.IPeerCallback";
const OBJECT: &str = "microbuild.test.IPeerObject";

static LIVE: AtomicI32 = AtomicI32::new(0);

/// The objects of the service in `service.h`.
enum Thing {
    Peer {
        recorded: Mutex<Vec<i32>>,
        held: Mutex<Option<Arc<Thing>>>,
    },
    Named(String),
    Callback(AtomicUsize),
    Theirs(Remote<Thing>, Mutex<Option<Sender<()>>>),
}

impl Drop for Thing {
    fn drop(&mut self) {
        if matches!(self, Self::Named(_)) {
            LIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn peer() -> Arc<Thing> {
    Arc::new(Thing::Peer {
        recorded: Mutex::default(),
        held: Mutex::default(),
    })
}

type Reply = Result<Message<Thing>, StatusCode>;

fn reply(write: impl FnOnce(&mut Message<Thing>)) -> Reply {
    let mut message = Message::new(Parcel::reply());
    write(&mut message);
    Ok(message)
}

/// Calls a method; `write` puts the arguments behind the token. The reply is read from behind its status header.
fn call<R>(
    target: &Thing,
    code: u32,
    flags: u32,
    write: impl FnOnce(&mut Message<Thing>),
    read: impl FnOnce(&Message<Thing>, &mut ParcelReader<'_>) -> Result<R, StatusCode>,
) -> Result<R, StatusCode> {
    call_as(target, PEER, code, flags, write, read)
}

fn call_as<R>(
    target: &Thing,
    token: &str,
    code: u32,
    flags: u32,
    write: impl FnOnce(&mut Message<Thing>),
    read: impl FnOnce(&Message<Thing>, &mut ParcelReader<'_>) -> Result<R, StatusCode>,
) -> Result<R, StatusCode> {
    let mut data = Message::new(Parcel::request(token));
    write(&mut data);
    let remote = target.remote().ok_or(StatusCode::BAD_VALUE)?;
    let reply = remote.transact(code, flags, &data)?;
    let mut reader = reply.parcel().reader();
    if flags & FLAG_ONEWAY == 0 {
        let status = reader.read_status()?;
        status.map_err(|_| StatusCode::FAILED_TRANSACTION)?;
    }
    read(&reply, &mut reader)
}

fn call_back(callback: &Thing, text: &str, flags: u32) -> Result<String, StatusCode> {
    let write = |data: &mut Message<Thing>| data.parcel_mut().write_str(text);
    call_as(
        callback,
        CALLBACK,
        1,
        flags,
        write,
        |_, reader| match flags {
            0 => reader.read_string(),
            _ => Ok(String::new()),
        },
    )
}

impl Thing {
    fn descriptor(&self) -> &'static str {
        match self {
            Self::Named(_) => OBJECT,
            Self::Callback(_) => CALLBACK,
            Self::Peer { .. } | Self::Theirs(..) => PEER,
        }
    }

    fn method(&self, code: u32, data: &Message<Self>, reader: &mut ParcelReader<'_>) -> Reply {
        match (self, code) {
            (Self::Named(name), 1) => reply(|message| message.parcel_mut().write_str(name)),
            (Self::Callback(heard), 1) => {
                let text = reader.read_string()?;
                heard.fetch_add(1, Ordering::SeqCst);
                reply(|message| message.parcel_mut().write_str(&text))
            }
            (Self::Peer { recorded, held }, code) => {
                let mut object = || data.read_object(reader);
                match code {
                    7 | 17 | 18 | 26 => {
                        let callback = object()?.ok_or(StatusCode::UNEXPECTED_NULL)?;
                        let text = reader.read_string()?;
                        if code == 26 {
                            std::thread::spawn(move || {
                                std::thread::sleep(Duration::from_millis(50));
                                let _unheard = call_back(&callback, &text, 0);
                            });
                            return reply(|_| ());
                        }
                        let flags = if code == 17 { FLAG_ONEWAY } else { 0 };
                        let answer = call_back(&callback, &text, flags)?;
                        reply(|message| message.parcel_mut().write_str(&answer))
                    }
                    9 => {
                        let object = object()?;
                        reply(|message| message.write_object(object.as_ref()))
                    }
                    10 => {
                        let object = object()?;
                        let before = std::mem::replace(&mut *held.lock().unwrap(), object);
                        drop(before);
                        reply(|_| ())
                    }
                    16 => {
                        let other = object()?.ok_or(StatusCode::UNEXPECTED_NULL)?;
                        let calls = reader.read_i32()?;
                        if calls > 0 {
                            let write = |data: &mut Message<Self>| {
                                data.write_object(Some(&peer()));
                                data.parcel_mut().write_i32(calls - 1);
                            };
                            call(&other, 16, 0, write, |_, _| Ok(()))?;
                        }
                        reply(|_| ())
                    }
                    _ => Self::plain(code, reader, recorded, held),
                }
            }
            _ => Err(StatusCode::UNKNOWN_TRANSACTION),
        }
    }

    fn plain(
        code: u32,
        reader: &mut ParcelReader<'_>,
        recorded: &Mutex<Vec<i32>>,
        held: &Mutex<Option<Arc<Self>>>,
    ) -> Reply {
        match code {
            1 => {
                let text = reader.read_optional_string()?;
                reply(|message| message.parcel_mut().write_optional_str(text.as_deref()))
            }
            3 => {
                let error = reader.read_i32()?;
                let exception = Exception::service_specific(error, reader.read_string()?);
                let mut parcel = Parcel::new();
                parcel.write_status(Err(&exception));
                Ok(Message::new(parcel))
            }
            5 => {
                recorded.lock().unwrap().push(reader.read_i32()?);
                reply(|_| ())
            }
            6 => reply(|message| {
                message
                    .parcel_mut()
                    .write_i32_array(&recorded.lock().unwrap());
            }),
            8 => {
                let name = reader.read_string()?;
                LIVE.fetch_add(1, Ordering::SeqCst);
                reply(|message| message.write_object(Some(&Arc::new(Self::Named(name)))))
            }
            11 => reply(|message| message.parcel_mut().write_i32(LIVE.load(Ordering::SeqCst))),
            12 => reply(|message| message.write_object(held.lock().unwrap().as_ref())),
            14 => {
                let size = usize::try_from(reader.read_i32()?).unwrap();
                reply(|message| message.parcel_mut().write_bytes(&vec![0x5a; size]))
            }
            19 => {
                let size = reader.read_bytes()?.len() as i32;
                reply(|message| message.parcel_mut().write_i32(size))
            }
            _ => Err(StatusCode::UNKNOWN_TRANSACTION),
        }
    }
}

impl Object for Thing {
    type Environment = Threads;
    fn from_remote(remote: Remote<Self>) -> Arc<Self> {
        Arc::new(Self::Theirs(remote, Mutex::default()))
    }
    fn remote(&self) -> Option<&Remote<Self>> {
        match self {
            Self::Theirs(remote, _) => Some(remote),
            _ => None,
        }
    }
    fn transact(self: &Arc<Self>, call: Call<'_, Self>) -> Reply {
        let mut parcel = Parcel::new();
        match call.code {
            PING_TRANSACTION => {}
            INTERFACE_TRANSACTION => parcel.write_str(self.descriptor()),
            EXTENSION_TRANSACTION => parcel.write_null_binder(),
            DEBUG_PID_TRANSACTION => parcel.write_u32(std::process::id()),
            99 => return Err(StatusCode::UNKNOWN_TRANSACTION),
            code => {
                let mut reader = call.data.parcel().reader();
                reader.enforce_interface(self.descriptor())?;
                return self.method(code, &call.data, &mut reader);
            }
        }
        Ok(Message::new(parcel))
    }
    fn died(self: &Arc<Self>) {
        if let Self::Theirs(_, told) = &**self {
            if let Some(told) = told.lock().unwrap().take() {
                told.send(()).unwrap();
            }
        }
    }
}

/// The folder of the peers, and the protocols that they know.
fn libbinder() -> Option<(PathBuf, std::ops::RangeInclusive<u32>)> {
    let Some(folder) = std::env::var_os("MICROBUILD_LIBBINDER_PEER") else {
        eprintln!("skipped: MICROBUILD_LIBBINDER_PEER is not set");
        return None;
    };
    let newest = std::env::var("MICROBUILD_LIBBINDER_PROTOCOL").unwrap_or("2".into());
    Some((folder.into(), 0..=newest.parse().unwrap()))
}

fn socket_path(name: &str) -> PathBuf {
    let name = format!("microbuild-rpc-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _absent = std::fs::remove_file(&path);
    path
}

#[test]
fn libbinders_client_finds_our_server_right() {
    let Some((folder, protocols)) = libbinder() else {
        return;
    };
    let path = socket_path("server");
    let listener = UnixListener::bind(&path).unwrap();
    let server = Arc::new(PeerServer::new(peer(), 4));
    let accepting = Arc::clone(&server);
    std::thread::spawn(move || {
        for (id, stream) in (1u64..).zip(listener.incoming()) {
            let (server, mut fresh) = (Arc::clone(&accepting), [0; 32]);
            fresh[..8].copy_from_slice(&id.to_le_bytes());
            std::thread::spawn(move || server.serve(Socket(stream.unwrap()), fresh));
        }
    });
    let large = *protocols.end() >= 2;
    for protocol in protocols {
        for (outgoing, incoming) in [(1, 0), (4, 0), (4, 2)] {
            // What an earlier client had recorded is in the way.
            if let Thing::Peer { recorded, .. } = &*server.root() {
                recorded.lock().unwrap().clear();
            }
            let output = Command::new(folder.join("client"))
                .arg(&path)
                .args([protocol, outgoing, incoming, u32::from(large)].map(|n| n.to_string()))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said, "OK\n", "protocol {protocol}: {outgoing}, {incoming}");
        }
    }
    std::fs::remove_file(path).unwrap();
}

fn start_server(folder: &Path, path: &Path, protocol: u32) -> Child {
    let mut child = Command::new(folder.join("server"))
        .arg(path)
        .args([protocol.to_string(), "4".into()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "READY\n");
    child
}

#[test]
fn our_client_finds_libbinders_server_right() {
    let Some((folder, protocols)) = libbinder() else {
        return;
    };
    for protocol in protocols {
        let path = socket_path(&format!("client-{protocol}"));
        let mut child = start_server(&folder, &path, protocol);
        let dial = || Socket(UnixStream::connect(&path).unwrap());
        let session = Session::<Thing>::connect_offering(dial(), protocol).unwrap();
        let root = session.remote_root().unwrap().unwrap();
        let id = session.remote_id().unwrap();
        assert_eq!(session.remote_threads(), Ok(4));
        for _ in 0..3 {
            session.add_calling(dial(), id).unwrap();
        }
        for _ in 0..2 {
            let (session, stream) = (Arc::clone(&session), dial());
            std::thread::spawn(move || session.serve_incoming(stream, id));
        }
        std::thread::sleep(Duration::from_millis(100)); // until both are there
        let callback = Arc::new(Thing::Callback(AtomicUsize::new(0)));
        let with_callback = |code: u32, flags: u32| {
            let write = |data: &mut Message<Thing>| {
                data.write_object(Some(&callback));
                data.parcel_mut().write_str("x");
            };
            call(&root, code, flags, write, |_, _| Ok(()))
        };
        for _ in 0..100 {
            with_callback(7, 0).unwrap();
        }
        with_callback(17, 0).unwrap();
        with_callback(26, 0).unwrap();
        with_callback(18, FLAG_ONEWAY).unwrap();
        let heard = || match &*callback {
            Thing::Callback(heard) => heard.load(Ordering::SeqCst),
            _ => 0,
        };
        let eventually = |condition: &dyn Fn() -> bool| {
            (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                condition()
            })
        };
        assert!(eventually(&|| heard() == 103));
        let nest = |data: &mut Message<Thing>| {
            data.write_object(Some(&peer()));
            data.parcel_mut().write_i32(10);
        };
        call(&root, 16, 0, nest, |_, _| Ok(())).unwrap();
        for _ in 0..500 {
            let name = |data: &mut Message<Thing>| data.parcel_mut().write_str("o");
            let object = call(&root, 8, 0, name, |reply, reader| reply.read_object(reader));
            let object = object.unwrap().unwrap();
            let named = call_as(
                &object,
                OBJECT,
                1,
                0,
                |_| (),
                |_, reader| reader.read_string(),
            );
            assert_eq!(named, Ok("o".into()));
        }
        let count = |code: u32| call(&root, code, 0, |_| (), |_, reader| reader.read_i32());
        assert!(eventually(&|| count(11) == Ok(0)));
        assert!(eventually(&|| session.object_count() == 1));
        for number in 0..5000 {
            let write = |data: &mut Message<Thing>| data.parcel_mut().write_i32(number);
            call(&root, 5, FLAG_ONEWAY, write, |_, _| Ok(())).unwrap();
        }
        let recorded = || {
            let read = |_: &Message<Thing>, reader: &mut ParcelReader<'_>| reader.read_i32_array();
            call(&root, 6, 0, |_| (), read).unwrap().unwrap()
        };
        assert!(eventually(&|| recorded().len() == 5000));
        assert!(recorded().into_iter().eq(0..5000));

        let (sender, died) = channel();
        if let Thing::Theirs(_, told) = &*root {
            *told.lock().unwrap() = Some(sender);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(died.recv_timeout(Duration::from_secs(10)), Ok(()));
    }
}
