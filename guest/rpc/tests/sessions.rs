//! Client and server together, over sockets.

mod support;

use microbuild_rpc::std_io::Stream;
use microbuild_rpc::{
    Address, ClientSession, Error, Exception, Parcel, Server, SessionTable, StatusCode, Transport,
    TransportError, INTERFACE_TRANSACTION, PING_TRANSACTION,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use support::{Numbers, Peer, Recorded, DESCRIPTOR};

type TestServer = Server<Peer, Mutex<SessionTable>>;

fn server() -> TestServer {
    Server::new(Peer::default(), Mutex::new(SessionTable::new()))
}

static NEXT_ID: AtomicU8 = AtomicU8::new(1);

/// Serves one end of a socket pair in a thread of its own.
fn connect(server: &Arc<TestServer>) -> Stream<UnixStream> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = Arc::clone(server);
    let id = [NEXT_ID.fetch_add(1, Ordering::Relaxed); 32];
    std::thread::spawn(move || server.serve(&mut Stream(theirs), id));
    Stream(ours)
}

fn echo<T: Transport>(
    session: &mut ClientSession<T>,
    root: Address,
    text: &str,
) -> Result<String, Error> {
    session.call(
        root,
        DESCRIPTOR,
        1,
        |data| data.write_str(text),
        |reply| reply.read_string(),
    )
}

#[test]
fn calls_work_at_each_protocol() {
    for version in 0..=2 {
        let server = Arc::new(server().with_max_version(version));
        let mut session = ClientSession::connect(connect(&server)).unwrap();
        assert_eq!(session.version(), version);
        let root = session.root().unwrap().unwrap();
        assert_eq!(root, Address::SERVER_ROOT);
        assert_eq!(session.max_threads(), Ok(1));
        assert_eq!(
            echo(&mut session, root, "h\u{e9}llo\u{1f600}"),
            Ok("h\u{e9}llo\u{1f600}".into())
        );
        assert_eq!(
            session.transact(root, PING_TRANSACTION, &Parcel::new()),
            Ok(Parcel::new()).map(|_: Parcel| { session_parcel(version) })
        );
        let name = session
            .transact(root, INTERFACE_TRANSACTION, &Parcel::new())
            .unwrap();
        assert_eq!(name.reader().read_string(), Ok(DESCRIPTOR.into()));
    }
}

/// An empty parcel as it is received.
fn session_parcel(version: u32) -> Parcel {
    let server = Arc::new(server().with_max_version(version));
    let mut session = ClientSession::connect(connect(&server)).unwrap();
    let root = session.root().unwrap().unwrap();
    session
        .transact(root, PING_TRANSACTION, &Parcel::new())
        .unwrap()
}

#[test]
fn failures_arrive_as_what_they_are_and_leave_the_session_alive() {
    let server = Arc::new(server());
    let mut session = ClientSession::connect(connect(&server)).unwrap();
    let root = session.root().unwrap().unwrap();
    let thrown = session.call(
        root,
        DESCRIPTOR,
        3,
        |data| {
            data.write_i32(77);
            data.write_str("boom");
        },
        |_| Ok(()),
    );
    assert_eq!(
        thrown,
        Err(Error::Exception(Exception::service_specific(77, "boom")))
    );
    for (code, descriptor, expected) in [
        (99, DESCRIPTOR, StatusCode::UNKNOWN_TRANSACTION),
        (0x0100_0000, DESCRIPTOR, StatusCode::UNKNOWN_TRANSACTION),
        (1, "wrong", StatusCode::PERMISSION_DENIED),
        (1, DESCRIPTOR, StatusCode::NOT_ENOUGH_DATA),
    ] {
        let failed = session.call(root, descriptor, code, |_| {}, |_| Ok(()));
        assert_eq!(failed, Err(Error::Status(expected)));
    }
    assert_eq!(
        session.transact(Address(3 + (7 << 32)), 1, &Parcel::new()),
        Err(Error::Status(StatusCode::DEAD_OBJECT))
    );
    assert_eq!(
        echo(&mut session, root, "still here"),
        Ok("still here".into())
    );
}

#[test]
fn bodies_up_to_the_limit_pass_and_larger_ones_fail_before_they_are_sent() {
    let server = Arc::new(server());
    let mut session = ClientSession::connect(connect(&server)).unwrap();
    let root = session.root().unwrap().unwrap();
    let ask = |session: &mut ClientSession<_>, size: i32| {
        session.call(
            root,
            DESCRIPTOR,
            14,
            |data| data.write_i32(size),
            |reply| Ok(reply.read_bytes()?.len()),
        )
    };
    // Below the bound, by the 4 bytes that all sizes are multiples of.
    let largest = 614_400 - 16 - 20 - 8 - 4;
    assert_eq!(ask(&mut session, largest), Ok(largest as usize));
    assert_eq!(
        ask(&mut session, largest + 4),
        Err(Error::Status(StatusCode::FAILED_TRANSACTION))
    );
    let mut data = Parcel::request(DESCRIPTOR);
    data.write_bytes(&vec![0; 614_400]);
    assert_eq!(
        session.transact(root, 1, &data),
        Err(Error::Status(StatusCode::FAILED_TRANSACTION))
    );
    assert_eq!(ask(&mut session, 1), Ok(1));
}

#[test]
fn one_way_calls_without_end_do_not_block_and_arrive_in_order() {
    let server = Arc::new(server());
    let mut session = ClientSession::connect(connect(&server)).unwrap();
    let root = session.root().unwrap().unwrap();
    for number in 0..20_000 {
        let mut data = Parcel::request(DESCRIPTOR);
        data.write_i32(number);
        session.transact_oneway(root, 5, &data).unwrap();
    }
    let seen = session
        .call(root, DESCRIPTOR, 6, |_| {}, |reply| reply.read_i32_array())
        .unwrap()
        .unwrap();
    assert!(seen.iter().copied().eq(0..20_000));
}

#[test]
fn releasing_the_root_closes_the_session_at_the_server() {
    let server = Arc::new(server());
    let mut session = ClientSession::connect(connect(&server)).unwrap();
    let root = session.root().unwrap().unwrap();
    assert_eq!(echo(&mut session, root, "x"), Ok("x".into()));
    session.release(root).unwrap();
    let after = session.root();
    assert!(matches!(after, Err(Error::Transport(_))), "{after:?}");
}

/// A raw further connection of a session.
fn join(server: &Arc<TestServer>, id: &[u8; 32], incoming: bool) -> UnixStream {
    let Stream(mut stream) = connect(server);
    let mut hello = [
        2,
        0,
        0,
        0,
        u8::from(incoming),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        32,
        0,
    ]
    .to_vec();
    hello.extend_from_slice(id);
    if !incoming {
        hello.extend_from_slice(b"cci\0\0\0\0\0");
    }
    stream.write_all(&hello).unwrap();
    stream
}

/// GET_MAX_THREADS on a raw connection: the size of the answer, 0 when the server has closed it.
fn answer_size(stream: &mut UnixStream) -> usize {
    let mut call = [0; 56];
    call[4] = 40;
    call[24] = 1;
    let mut reply = [0; 40];
    match stream
        .write_all(&call)
        .and_then(|()| stream.read_exact(&mut reply))
    {
        Ok(()) => reply.len(),
        Err(_) => 0,
    }
}

#[test]
fn a_session_takes_as_many_connections_as_it_told_and_ends_with_any_of_them() {
    let server = Arc::new(server().with_max_threads(2));
    let mut session = ClientSession::connect(connect(&server)).unwrap();
    let root = session.root().unwrap().unwrap();
    assert_eq!(session.max_threads(), Ok(2));
    let id = session.session_id().unwrap();
    let mut second = join(&server, &id, false);
    assert_eq!(answer_size(&mut second), 40);
    assert_eq!(
        answer_size(&mut join(&server, &[0; 32], false)),
        0,
        "an unknown session is refused"
    );
    let mut init = [0; 8];
    let mut incoming = join(&server, &id, true);
    incoming.read_exact(&mut init).unwrap();
    assert_eq!(&init, b"cci\0\0\0\0\0");
    assert_eq!(echo(&mut session, root, "alive"), Ok("alive".into()));
    drop(second);
    // The server notices the end of a connection in its own time.
    while echo(&mut session, root, "alive").is_ok() {
        std::thread::yield_now();
    }

    let mut session = ClientSession::connect(connect(&server)).unwrap();
    let root = session.root().unwrap().unwrap();
    let id = session.session_id().unwrap();
    let mut second = join(&server, &id, false);
    assert_eq!(answer_size(&mut second), 40);
    assert_eq!(answer_size(&mut join(&server, &id, false)), 0, "a third");
    assert!(
        echo(&mut session, root, "x").is_err(),
        "it ends the session"
    );
}

#[test]
fn sessions_of_one_server_do_not_disturb_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(server());
    let accepting = Arc::clone(&server);
    std::thread::spawn(move || {
        for (id, stream) in (0u8..).zip(listener.incoming()) {
            let server = Arc::clone(&accepting);
            std::thread::spawn(move || server.serve(&mut Stream(stream.unwrap()), [id; 32]));
        }
    });
    let clients: Vec<_> = (0..8)
        .map(|client| {
            std::thread::spawn(move || {
                let stream = Stream(TcpStream::connect(address).unwrap());
                let mut session = ClientSession::connect(stream).unwrap();
                let root = session.root().unwrap().unwrap();
                for call in 0..50 {
                    let text = format!("{client}:{call}");
                    assert_eq!(echo(&mut session, root, &text), Ok(text));
                }
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
}

#[test]
fn a_server_that_breaks_the_protocol_ends_the_client_with_an_error() {
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let started = "0200000000000000";
    for (name, input) in [
        ("a protocol that was not offered", "0300000000000000".to_owned()),
        ("an unknown command", format!("{started} 07000000000000000000000000000000")),
        ("a short reply", format!("{started} 0100000010000000000000000000000000000000000000000000000000000000")),
        ("a root of the client's making", format!(
            "{started} 01000000280000000000000000000000 0000000010000000000000000000000000000000 \
             0100000001000000000000000c000000 00000000"
        )),
        ("a call to an object of the client", format!(
            "{started} 00000000280000000000000000000000 0100000000000000010000000000000000000000000000000000000000000000\
             0000000000000000"
        )),
    ] {
        let outcome = ClientSession::connect(Recorded::new(hex(&input))).and_then(|mut session| session.root());
        assert!(matches!(outcome, Err(Error::Protocol(_))), "{name}: {outcome:?}");
    }
    // At protocol 2 a binder that the object table does not list is none.
    let unlisted = format!(
        "{started} 01000000240000000000000000000000 0000000010000000000000000000000000000000 \
         0100000003000000000000000c000000"
    );
    let outcome = ClientSession::connect(Recorded::new(hex(&unlisted)))
        .and_then(|mut session| session.root());
    assert_eq!(outcome, Err(Error::Status(StatusCode::BAD_VALUE)));
    let closed = ClientSession::connect(Recorded::new([])).map(|session| session.version());
    assert_eq!(closed, Err(Error::Transport(TransportError::Closed)));
}

#[test]
fn random_answers_never_panic_the_client() {
    let mut numbers = Numbers(0xc11e47);
    for _ in 0..20_000 {
        let mut input = vec![2, 0, 0, 0, 0, 0, 0, 0];
        for _ in 0..4 {
            let size = numbers.below(60);
            input.extend([
                numbers.below(3) as u8,
                0,
                0,
                0,
                size as u8,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ]);
            let mut body = numbers.bytes(size);
            body.iter_mut()
                .for_each(|byte| *byte &= if *byte & 0x80 == 0 { 0x03 } else { 0xff });
            input.extend(body);
        }
        if let Ok(mut session) = ClientSession::connect(Recorded::new(input)) {
            if let Ok(Some(root)) = session.root() {
                let _any = echo(&mut session, root, "x");
                let _any = session.release(root);
            }
        }
    }
}
