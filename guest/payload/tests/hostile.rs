//! A server of the payload's, and a peer that sends whatever it likes.

use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use microbuild_rpc::peer::PeerServer;
use microbuild_sys::payload::socket::Socket;
use vm_payload::aidl::{AidlObject, Binder, Decoder, Encoder, Result, Service, StatusCode};
use vm_payload::platform::{Process, SocketStream};

const DESCRIPTOR: &str = "t.I";

/// Reads what a caller may send: a number, a text, an object, which it calls if it is the caller's.
struct Reader;

impl Service for Reader {
    fn descriptor(&self) -> &str {
        DESCRIPTOR
    }
    fn on_transact(&self, code: u32, input: &mut Decoder<'_>) -> Result<Encoder> {
        let mut reply = Encoder::reply();
        match code {
            1 => reply.write(&input.read::<i32>()?)?,
            2 => reply.write(&input.read::<String>()?)?,
            3 => reply.write(&input.read::<Vec<u8>>()?)?,
            4 => {
                if let Some(object) = input.read_nullable::<Binder>()? {
                    drop(object.call_oneway(DESCRIPTOR, 1, |_| Ok(())));
                    reply.write(&object)?;
                }
            }
            _ => return Err(StatusCode::UNKNOWN_TRANSACTION.into()),
        }
        Ok(reply)
    }
}

type TestServer = Arc<PeerServer<AidlObject<Process>>>;

fn server() -> TestServer {
    let root = vm_payload::new_binder(Reader);
    Arc::new(PeerServer::new(root.object::<Process>().unwrap(), 2))
}

/// Sends bytes to a server, reads what it answers until it has nothing more to say, and waits for its end.
fn converse(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let serving = Arc::clone(server);
    let served = std::thread::spawn(move || {
        // SAFETY: the descriptor was this stream's own and is given up.
        let socket = unsafe { Socket::from_descriptor(theirs.into_raw_fd()) };
        let mut id = [0; 32];
        std::fs::File::open("/dev/urandom")
            .unwrap()
            .read_exact(&mut id)
            .unwrap();
        serving.serve(SocketStream(socket), id)
    });
    // A server that has seen enough closes, which is no failure of the test.
    let _refused = ours.write_all(bytes);
    let _closed = ours.shutdown(std::net::Shutdown::Write);
    ours.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut answer = Vec::new();
    if let Err(error) = ours.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it hangs");
    }
    let _judged = served.join().expect("the server does not panic");
    answer
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn transaction(address: [u32; 2], code: u32, flags: u32, number: u32, parcel: &[u8]) -> Vec<u8> {
    let size = parcel.len() as u32;
    let mut bytes = words(&[0, 40 + size, 0, 0]);
    bytes.extend(words(&[
        address[0], address[1], code, flags, number, 0, size, 0, 0, 0,
    ]));
    bytes.extend_from_slice(parcel);
    bytes
}

/// A session that does a bit of everything, at protocol 1, where no table of objects is needed.
fn session() -> Vec<u8> {
    let token = [&words(&[3])[..], &[b't', 0, b'.', 0, b'I', 0, 0, 0]].concat();
    let with = |values: &[u32]| [&token[..], &words(values)].concat();
    let root = [3, 0];
    [
        words(&[1, 0, 0, 0]),
        b"cci\0\0\0\0\0".to_vec(),
        transaction([0, 0], 0, 0, 0, &[]),
        transaction([0, 0], 1, 0, 0, &[]),
        transaction([0, 0], 2, 0, 0, &[]),
        transaction(root, 1, 0, 0, &with(&[7])),
        transaction(root, 2, 0, 0, &with(&[1, 65])),
        transaction(root, 3, 0, 0, &with(&[4, 0x0403_0201])),
        transaction(root, 4, 0, 0, &with(&[1, 1, 5, 12])),
        transaction(root, 4, 0, 0, &with(&[1, 3, 0, 12])),
        transaction(root, 1, 1, 0, &with(&[8])),
        transaction(root, 1, 1, 1, &with(&[9])),
        transaction(root, 0x5f50_4e47, 0, 0, &[]),
        transaction(root, 0x5f4e_5446, 0, 0, &[]),
        words(&[2, 16, 0, 0, 3, 0, 1, 0]),
    ]
    .concat()
}

#[test]
fn a_session_that_keeps_the_rules_is_answered() {
    let answer = converse(&server(), &session());
    let seven = words(&[0, 7]);
    assert!(answer.windows(8).any(|window| window == &seven[..]));
    let own_object_back = words(&[0, 1, 3, 0, 12]);
    assert!(answer
        .windows(20)
        .any(|window| window == &own_object_back[..]));
}

#[test]
fn a_peer_that_sends_whatever_it_likes_neither_stops_nor_hangs_the_server() {
    let server = server();
    let whole = session();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..5000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + next(4) {
            let at = next(bytes.len());
            match next(5) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes[at] ^= 1 << next(8),
                2 => bytes.truncate(at.max(1)),
                3 => drop(bytes.drain(at..(at + next(24)).min(bytes.len()))),
                _ => {
                    let piece: Vec<u8> = bytes[at..(at + next(64)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        converse(&server, &bytes);
    }
    // And it still serves.
    let answer = converse(&server, &whole);
    assert!(answer.len() > 300, "{}", answer.len());
}
