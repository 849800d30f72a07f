//! Sessions between two sides that both have objects, over sockets.

#[path = "support/threads.rs"]
mod threads;

use microbuild_rpc::peer::{Call, Message, Object, PeerServer, Remote, Session};
use microbuild_rpc::{Parcel, StatusCode, FLAG_ONEWAY};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threads::{Socket, Threads};

type Handler = Box<dyn Fn(Call<'_, Thing>) -> Result<Message<Thing>, StatusCode> + Send + Sync>;

/// Counts the objects of this process that are alive, per test.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

enum Thing {
    Own(Handler, #[allow(dead_code)] Alive),
    Theirs(Remote<Thing>, Mutex<Option<Sender<()>>>),
}

impl Object for Thing {
    type Environment = Threads;
    fn from_remote(remote: Remote<Self>) -> Arc<Self> {
        Arc::new(Self::Theirs(remote, Mutex::new(None)))
    }
    fn remote(&self) -> Option<&Remote<Self>> {
        match self {
            Self::Own(..) => None,
            Self::Theirs(remote, _) => Some(remote),
        }
    }
    fn transact(self: &Arc<Self>, call: Call<'_, Self>) -> Result<Message<Self>, StatusCode> {
        match &**self {
            Self::Own(handler, _) => handler(call),
            Self::Theirs(..) => Err(StatusCode::INVALID_OPERATION),
        }
    }
    fn died(self: &Arc<Self>) {
        if let Self::Theirs(_, told) = &**self {
            if let Some(told) = told.lock().unwrap().take() {
                let _nobody = told.send(());
            }
        }
    }
}

type Reply = Result<Message<Thing>, StatusCode>;

fn own(
    count: &Arc<AtomicUsize>,
    handler: impl Fn(Call<'_, Thing>) -> Reply + Send + Sync + 'static,
) -> Arc<Thing> {
    count.fetch_add(1, Ordering::SeqCst);
    Arc::new(Thing::Own(Box::new(handler), Alive(Arc::clone(count))))
}

fn number(value: i32) -> Message<Thing> {
    let mut parcel = Parcel::new();
    parcel.write_i32(value);
    Message::new(parcel)
}

fn read_number(message: &Message<Thing>) -> i32 {
    message.parcel().reader().read_i32().unwrap()
}

fn with_object(object: &Arc<Thing>, value: i32) -> Message<Thing> {
    let mut message = Message::default();
    message.write_object(Some(object));
    message.parcel_mut().write_i32(value);
    message
}

fn object_of(message: &Message<Thing>) -> Arc<Thing> {
    let mut reader = message.parcel().reader();
    message.read_object(&mut reader).unwrap().unwrap()
}

fn call(object: &Arc<Thing>, code: u32, flags: u32, data: &Message<Thing>) -> Reply {
    let remote = object.remote().ok_or(StatusCode::BAD_VALUE)?;
    remote.transact(code, flags, data)
}

type TestServer = Arc<PeerServer<Thing>>;

/// One more connection to a server, served by a thread of its own.
fn dial(server: &TestServer) -> Socket {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut id = [0; 32];
    id[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    let server = Arc::clone(server);
    std::thread::spawn(move || server.serve(Socket(theirs), id));
    Socket(ours)
}

fn connect(server: &TestServer) -> (Arc<Session<Thing>>, Arc<Thing>) {
    let session = Session::connect(dial(server)).unwrap();
    let root = session.remote_root().unwrap().unwrap();
    (session, root)
}

const DOUBLE: u32 = 1;
const CALL_BACK: u32 = 2;
const KEEP: u32 = 3;
const CALL_KEPT: u32 = 4;
const RETURN: u32 = 5;
const RECORD: u32 = 6;
const TAKE_RECORD: u32 = 7;

/// A root that doubles numbers, calls what it is given, keeps it, returns it, and records one-way calls.
fn root(count: &Arc<AtomicUsize>) -> Arc<Thing> {
    let kept: Mutex<Option<Arc<Thing>>> = Mutex::new(None);
    let record: Mutex<Vec<i32>> = Mutex::new(Vec::new());
    own(count, move |call| {
        let mut reader = call.data.parcel().reader();
        match call.code {
            DOUBLE => Ok(number(reader.read_i32()?.wrapping_mul(2))),
            CALL_BACK => {
                let object = call
                    .data
                    .read_object(&mut reader)?
                    .ok_or(StatusCode::UNEXPECTED_NULL)?;
                let value = reader.read_i32()?;
                self::call(&object, DOUBLE, 0, &number(value))
            }
            KEEP => {
                *kept.lock().unwrap() = call.data.read_object(&mut reader)?;
                Ok(Message::default())
            }
            CALL_KEPT => {
                let object = kept
                    .lock()
                    .unwrap()
                    .clone()
                    .ok_or(StatusCode::UNEXPECTED_NULL)?;
                let value = reader.read_i32()?;
                let (done, result) = channel();
                // A thread of its own: nested calls belong to the thread that executes the outer one.
                std::thread::spawn(move || {
                    let reply = self::call(&object, DOUBLE, 0, &number(value));
                    done.send(reply.map(|reply| read_number(&reply))).unwrap();
                });
                result.recv().unwrap().map(number)
            }
            RETURN => {
                let object = call
                    .data
                    .read_object(&mut reader)?
                    .ok_or(StatusCode::UNEXPECTED_NULL)?;
                Ok(with_object(&object, 0))
            }
            RECORD => {
                record.lock().unwrap().push(reader.read_i32()?);
                Ok(Message::default())
            }
            TAKE_RECORD => {
                let mut parcel = Parcel::new();
                parcel.write_i32_array(&std::mem::take(&mut *record.lock().unwrap()));
                Ok(Message::new(parcel))
            }
            _ => Err(StatusCode::UNKNOWN_TRANSACTION),
        }
    })
}

fn server(count: &Arc<AtomicUsize>, threads: u32) -> TestServer {
    Arc::new(PeerServer::new(root(count), threads))
}

fn counter() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

fn tripler(count: &Arc<AtomicUsize>) -> Arc<Thing> {
    own(count, |call| {
        Ok(number(
            call.data.parcel().reader().read_i32()?.wrapping_mul(3),
        ))
    })
}

fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    (0..500).any(|_| {
        let met = condition();
        if !met {
            std::thread::sleep(Duration::from_millis(10));
        }
        met
    })
}

fn connect_offering(server: &TestServer, version: u32) -> (Arc<Session<Thing>>, Arc<Thing>) {
    let session = Session::connect_offering(dial(server), version).unwrap();
    assert_eq!(session.version(), version);
    let root = session.remote_root().unwrap().unwrap();
    (session, root)
}

#[test]
fn ten_thousand_calls_with_objects_leave_nothing_behind() {
    for version in 0..=2 {
        let count = counter();
        let server = server(&count, 1);
        let (session, root) = connect_offering(&server, version);
        for _ in 0..10_000 {
            let callback = tripler(&count);
            let reply = call(&root, CALL_BACK, 0, &with_object(&callback, 5)).unwrap();
            assert_eq!(read_number(&reply), 15);
            let back = call(&root, RETURN, 0, &with_object(&callback, 0)).unwrap();
            assert!(Arc::ptr_eq(&callback, &object_of(&back)));
        }
        // What the server gives back after its last reply is read with the next one.
        let only_the_root = || {
            call(&root, DOUBLE, 0, &number(1)).unwrap();
            session.object_count() == 1
        };
        assert!(eventually(only_the_root), "version {version}");
        let theirs = server.sessions().pop().unwrap();
        assert!(eventually(|| theirs.object_count() == 1));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn an_object_counts_once_however_often_it_is_read_and_also_if_never() {
    let count = counter();
    let makes = Arc::clone(&count);
    let root = own(&count, move |_| {
        let made = own(&makes, |_| Ok(Message::default()));
        Ok(with_object(&made, 0))
    });
    let server = Arc::new(PeerServer::new(root, 1));
    let (session, root) = connect(&server);
    for reads in 0..3 {
        let reply = call(&root, 1, 0, &Message::default()).unwrap();
        let objects: Vec<_> = (0..reads).map(|_| object_of(&reply)).collect();
        assert!(objects.windows(2).all(|two| Arc::ptr_eq(&two[0], &two[1])));
        drop((reply, objects));
        assert!(eventually(|| count.load(Ordering::SeqCst) == 1), "{reads}");
        assert_eq!(session.object_count(), 1);
    }
}

/// xorshift64*: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
    /// Mostly small numbers, which look like lengths, addresses, codes and types.
    fn words(&mut self, most: u64) -> Vec<u8> {
        let word = |numbers: &mut Self| match numbers.below(8) {
            0 => numbers.below(1 << 32) as u32,
            1 => u32::MAX,
            _ => numbers.below(12) as u32,
        };
        let count = self.below(most);
        (0..count).flat_map(|_| word(self).to_le_bytes()).collect()
    }
    fn frames(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.below(6) {
            let command = self.below(4).min(3) as u32;
            let mut body = match (command, self.below(4)) {
                (0, 1..) => transaction(
                    self.below(5),
                    self.below(9) as u32,
                    self.below(2) == 1,
                    self.below(3),
                    &[],
                )[16..]
                    .to_vec(),
                _ => Vec::new(),
            };
            body.extend(self.words(12));
            if body.len() >= 28 && self.below(4) > 0 {
                let parcel = (body.len() as u64).saturating_sub(40) / 4 * 4;
                body[24..28].copy_from_slice(&(parcel as u32).to_le_bytes());
            }
            bytes.extend(command.to_le_bytes());
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(body);
        }
        bytes
    }
}

fn transaction(address: u64, code: u32, oneway: bool, number: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 16 + 40];
    bytes[4..8].copy_from_slice(&(40 + data.len() as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&address.to_le_bytes());
    bytes[24..28].copy_from_slice(&code.to_le_bytes());
    bytes[28..32].copy_from_slice(&u32::from(oneway).to_le_bytes());
    bytes[32..40].copy_from_slice(&number.to_le_bytes());
    bytes[40..44].copy_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The first words of a client, which ask for the root.
fn greeting(version: u8) -> Vec<u8> {
    let mut hello = vec![0; 16];
    hello[0] = version;
    hello.extend_from_slice(b"cci\0\0\0\0\0");
    hello.extend(transaction(0, 0, false, 0, &[]));
    hello
}

#[test]
fn nearly_right_streams_never_panic_a_server_nor_leave_a_session_behind() {
    let count = counter();
    let server = server(&count, 1);
    let mut numbers = Numbers(0xb1_7e5);
    for round in 0..2000u64 {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let input = [greeting((round % 3) as u8), numbers.frames()].concat();
        theirs.write_all(&input).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let mut id = [0; 32];
        id[..8].copy_from_slice(&round.to_le_bytes());
        let _any = server.serve(Socket(ours), id);
        assert!(server.sessions().is_empty());
    }
}

#[test]
fn nearly_right_streams_never_panic_a_client() {
    let mut numbers = Numbers(0xc11_e47);
    for _ in 0..1000 {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut input = vec![1, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        input.extend([0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        input.extend([1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0]);
        let frames = numbers.frames();
        let peer = std::thread::spawn(move || {
            theirs.write_all(&[2, 0, 0, 0, 0, 0, 0, 0]).unwrap();
            theirs.read_exact(&mut [0; 24 + 56]).unwrap();
            theirs.write_all(&input).unwrap();
            // The head of the call, which tells that the root has arrived.
            let _gone = theirs.read_exact(&mut [0; 16]);
            let _gone = theirs.write_all(&frames);
            let _gone = theirs.shutdown(std::net::Shutdown::Both);
        });
        let session = Session::<Thing>::connect(Socket(ours)).unwrap();
        let root = session.remote_root().unwrap().unwrap();
        let count = counter();
        let _any = call(&root, RETURN, 0, &with_object(&tripler(&count), 1));
        session.end();
        assert_eq!(session.object_count(), 0);
        peer.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_may_send_one_way_calls_without_end() {
    let count = counter();
    let server = server(&count, 1);
    let Socket(mut stream) = dial(&server);
    stream
        .set_write_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(&greeting(2)).unwrap();
    for number in 0..20_000 {
        let call = transaction(3, RECORD, true, number, &[1, 0, 0, 0]);
        stream.write_all(&call).unwrap();
    }
    stream
        .write_all(&transaction(3, DOUBLE, false, 0, &[21, 0, 0, 0]))
        .unwrap();
    // The agreed protocol, the root, all references at once, and the reply.
    let mut answer = [0; 8 + (16 + 20 + 16 + 4) + 32 + (16 + 20 + 4)];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[64..68], [2, 0, 0, 0]);
    assert_eq!(answer[88..92], 20_001_u32.to_le_bytes());
    assert_eq!(answer[132..], [42, 0, 0, 0]);
}

#[test]
fn a_connection_too_many_ends_the_session() {
    let count = counter();
    let server = server(&count, 2);
    let (session, root) = connect(&server);
    let id = session.remote_id().unwrap();
    session.add_calling(dial(&server), id).unwrap();
    assert!(call(&root, DOUBLE, 0, &number(1)).is_ok());
    let _outcome = session.add_calling(dial(&server), id);
    assert!(eventually(|| call(&root, DOUBLE, 0, &number(1)).is_err()));
    assert!(!session.is_alive());
}

#[test]
fn a_body_that_older_peers_refuse_is_not_sent_to_them() {
    let count = counter();
    let server = server(&count, 1);
    for (version, size, fits) in [
        (0, 99_000, true),
        (1, 100_000, false),
        (2, 600_000, true),
        (2, 614_400, false),
    ] {
        let (_session, root) = connect_offering(&server, version);
        let mut data = number(4);
        data.parcel_mut().write_bytes(&vec![0; size]);
        let outcome = call(&root, DOUBLE, 0, &data).map(|reply| read_number(&reply));
        let expected = match fits {
            true => Ok(8),
            false => Err(StatusCode::FAILED_TRANSACTION),
        };
        assert_eq!(outcome, expected, "{size} bytes at protocol {version}");
        assert!(call(&root, DOUBLE, 0, &number(1)).is_ok());
    }
}

#[test]
fn calls_nest_on_the_one_connection_there_is() {
    let count = counter();
    let server = server(&count, 1);
    let (session, root) = connect(&server);
    assert_eq!(session.version(), 2);
    assert_eq!(session.remote_threads(), Ok(1));
    assert_eq!(
        read_number(&call(&root, DOUBLE, 0, &number(21)).unwrap()),
        42
    );
    let callback = tripler(&count);
    let reply = call(&root, CALL_BACK, 0, &with_object(&callback, 5)).unwrap();
    assert_eq!(read_number(&reply), 15);
    assert_eq!(
        call(&root, 99, 0, &number(0)).err(),
        Some(StatusCode::UNKNOWN_TRANSACTION)
    );
}

#[test]
fn an_object_that_comes_back_is_the_same_object() {
    let count = counter();
    let server = server(&count, 1);
    let (_session, root) = connect(&server);
    let mine = tripler(&count);
    let returned = object_of(&call(&root, RETURN, 0, &with_object(&mine, 0)).unwrap());
    assert!(Arc::ptr_eq(&mine, &returned));
    let again = object_of(&call(&root, RETURN, 0, &with_object(&root, 0)).unwrap());
    assert!(Arc::ptr_eq(&root, &again));
}

#[test]
fn what_the_peer_gives_up_is_freed() {
    let count = counter();
    let server = server(&count, 1);
    let (_session, root) = connect(&server);
    for _ in 0..100 {
        let callback = tripler(&count);
        call(&root, CALL_BACK, 0, &with_object(&callback, 1)).unwrap();
        call(&root, KEEP, 0, &with_object(&callback, 1)).unwrap();
    }
    // The root and the last callback, which it keeps.
    assert!(eventually(|| count.load(Ordering::SeqCst) == 2));
    let mut nothing = Message::default();
    nothing.write_object(None);
    call(&root, KEEP, 0, &nothing).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_back_from_another_thread_needs_a_connection_for_it() {
    let count = counter();
    let server = server(&count, 1);
    let (session, root) = connect(&server);
    call(&root, KEEP, 0, &with_object(&tripler(&count), 0)).unwrap();
    let refused = call(&root, CALL_KEPT, 0, &number(1)).err();
    assert_eq!(refused, Some(StatusCode::WOULD_BLOCK));
    let id = session.remote_id().unwrap();
    let (serving, incoming) = (Arc::clone(&session), dial(&server));
    std::thread::spawn(move || serving.serve_incoming(incoming, id));
    assert!(eventually(|| {
        let reply = call(&root, CALL_KEPT, 0, &number(7));
        reply.is_ok_and(|reply| read_number(&reply) == 21)
    }));
}

#[test]
fn many_threads_share_the_connections_of_a_session() {
    let count = counter();
    let server = server(&count, 4);
    let (session, root) = connect(&server);
    let id = session.remote_id().unwrap();
    for _ in 0..3 {
        session.add_calling(dial(&server), id).unwrap();
    }
    let threads: Vec<_> = (0..16)
        .map(|thread| {
            let (root, count) = (Arc::clone(&root), Arc::clone(&count));
            std::thread::spawn(move || {
                for step in 0..100 {
                    let value = thread * 1000 + step;
                    let reply = call(&root, DOUBLE, 0, &number(value)).unwrap();
                    assert_eq!(read_number(&reply), value * 2);
                    let callback = tripler(&count);
                    let data = with_object(&callback, value);
                    let reply = call(&root, CALL_BACK, 0, &data).unwrap();
                    assert_eq!(read_number(&reply), value * 3);
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert!(eventually(|| count.load(Ordering::SeqCst) == 1));
}

#[test]
fn one_way_calls_are_executed_in_order_on_whichever_connection_they_come() {
    let count = counter();
    let server = server(&count, 4);
    let (session, root) = connect(&server);
    let id = session.remote_id().unwrap();
    for _ in 0..3 {
        session.add_calling(dial(&server), id).unwrap();
    }
    for value in 0..2000 {
        let reply = call(&root, RECORD, FLAG_ONEWAY, &number(value)).unwrap();
        assert!(reply.parcel().data().is_empty());
    }
    let mut seen = Vec::new();
    assert!(eventually(|| {
        let reply = call(&root, TAKE_RECORD, 0, &number(0)).unwrap();
        seen.extend(reply.parcel().reader().read_i32_array().unwrap().unwrap());
        seen.len() == 2000
    }));
    assert_eq!(seen, (0..2000).collect::<Vec<_>>());
}

fn told_of_death(object: &Arc<Thing>) -> Receiver<()> {
    let (told, death) = channel();
    if let Thing::Theirs(_, place) = &**object {
        *place.lock().unwrap() = Some(told);
    }
    death
}

#[test]
fn the_end_of_a_session_is_the_death_of_the_peers_objects() {
    let count = counter();
    let server = server(&count, 1);
    let (session, root) = connect(&server);
    let death = told_of_death(&root);
    server.end();
    // Nobody reads on an idle connection: the next call notices.
    assert_eq!(
        call(&root, DOUBLE, 0, &number(1)).err(),
        Some(StatusCode::DEAD_OBJECT)
    );
    assert_eq!(death.recv_timeout(Duration::from_secs(5)), Ok(()));
    assert!(!session.is_alive());
    assert_eq!(session.remote_id(), Err(StatusCode::DEAD_OBJECT));
}

#[test]
fn the_server_frees_all_when_the_client_goes() {
    let count = counter();
    let server = server(&count, 1);
    for _ in 0..100 {
        let (_session, root) = connect(&server);
        call(&root, KEEP, 0, &with_object(&tripler(&count), 0)).unwrap();
    }
    let (_session, root) = connect(&server);
    let mut nothing = Message::default();
    nothing.write_object(None);
    call(&root, KEEP, 0, &nothing).unwrap();
    assert!(eventually(|| count.load(Ordering::SeqCst) == 1));
}

#[test]
fn a_message_that_is_too_large_fails_and_leaves_the_session_alive() {
    let count = counter();
    let server = server(&count, 1);
    let (_session, root) = connect(&server);
    let mut data = with_object(&tripler(&count), 0);
    data.parcel_mut().write_bytes(&[0; 700_000]);
    let refused = call(&root, CALL_BACK, 0, &data).err();
    assert_eq!(refused, Some(StatusCode::FAILED_TRANSACTION));
    drop(data);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(read_number(&call(&root, DOUBLE, 0, &number(2)).unwrap()), 4);
}

#[test]
fn an_object_of_one_session_cannot_be_sent_by_another() {
    let count = counter();
    let server = server(&count, 1);
    let (_first, root) = connect(&server);
    let (_second, other) = connect(&server);
    let refused = call(&root, RETURN, 0, &with_object(&other, 0)).err();
    assert_eq!(refused, Some(StatusCode::INVALID_OPERATION));
}

#[test]
fn an_object_written_over_is_not_sent() {
    let count = counter();
    let server = server(&count, 1);
    let (_session, root) = connect(&server);
    let mut data = with_object(&tripler(&count), 0);
    data.parcel_mut().set_position(0).unwrap();
    data.parcel_mut().write_i32(8);
    assert_eq!(read_number(&call(&root, DOUBLE, 0, &data).unwrap()), 16);
}
