//! The server against recorded and hand-made client streams.

mod support;

use microbuild_rpc::server::{Server, Service};
use microbuild_rpc::{Address, Error, Parcel, SessionTable, PING_TRANSACTION};
use std::cell::RefCell;
use support::{corpus, Numbers, Peer, Recorded, DESCRIPTOR};

const ID: [u8; 32] = [7; 32];

fn serve(input: &[u8]) -> (Result<(), Error>, Vec<u8>) {
    let table = RefCell::new(SessionTable::new());
    serve_with(&Server::new(Peer::default(), &TableRef(&table)), input)
}

/// One server, one connection after the other.
fn serve_with<S: Service>(
    server: &Server<S, &TableRef<'_>>,
    input: &[u8],
) -> (Result<(), Error>, Vec<u8>) {
    let mut stream = Recorded::new(input);
    let outcome = server.serve(&mut stream, ID);
    (outcome, stream.output)
}

struct TableRef<'a>(&'a RefCell<SessionTable>);

impl microbuild_rpc::Lock<SessionTable> for &TableRef<'_> {
    fn with<R>(&self, change: impl FnOnce(&mut SessionTable) -> R) -> R {
        microbuild_rpc::Lock::with(self.0, change)
    }
}

fn hello(version: u32) -> Vec<u8> {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(b"cci\0\0\0\0\0");
    bytes
}

fn frame(command: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = command.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(body);
    bytes
}

fn transaction(address: u64, code: u32, flags: u32, number: u64, data: &[u8]) -> Vec<u8> {
    let mut body = address.to_le_bytes().to_vec();
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&flags.to_le_bytes());
    body.extend_from_slice(&number.to_le_bytes());
    body.extend_from_slice(&(data.len() as u32).to_le_bytes());
    body.extend_from_slice(&[0; 12]);
    body.extend_from_slice(data);
    frame(0, &body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const ROOT: u64 = Address::SERVER_ROOT.0;
const GET_ROOT_REPLY_V1: &str = "01000000240000000000000000000000\
    0000000010000000000000000000000000000000\
    0100000003000000000000000c000000";

#[test]
fn get_root_is_answered_with_the_bytes_of_libbinder_at_each_protocol() {
    let reply = |version: u32| {
        let (outcome, output) = serve(&[hello(version), transaction(0, 0, 0, 0, &[])].concat());
        assert_eq!(outcome, Ok(()));
        hex(&output)
    };
    assert_eq!(
        reply(0),
        "0000000000000000010000001400000000000000000000000000000001000000\
         03000000000000000c000000"
            .replace(' ', "")
    );
    assert_eq!(reply(1), format!("0100000000000000{GET_ROOT_REPLY_V1}"));
    assert_eq!(
        reply(2),
        format!(
            "0200000000000000{}00000000",
            GET_ROOT_REPLY_V1.replacen("24", "28", 1)
        )
    );
    assert!(reply(99).starts_with("0200000000000000"));
}

#[test]
fn a_call_is_acknowledged_by_dec_strong_before_its_reply() {
    let mut data = Parcel::request(DESCRIPTOR);
    data.write_str("ab");
    let (outcome, output) = serve(
        &[
            hello(1),
            transaction(0, 0, 0, 0, &[]),
            transaction(ROOT, 1, 0, 0, data.data()),
        ]
        .concat(),
    );
    assert_eq!(outcome, Ok(()));
    let expected = format!(
        "0100000000000000{GET_ROOT_REPLY_V1}\
         02000000100000000000000000000000\
         03000000000000000100000000000000\
         01000000240000000000000000000000\
         0000000010000000000000000000000000000000\
         00000000020000006100620000000000"
    );
    assert_eq!(hex(&output), expected);
}

#[test]
fn special_transactions_tell_threads_and_session_id_and_refuse_the_rest() {
    let (outcome, output) = serve(
        &[
            hello(1),
            transaction(0, 1, 0, 0, &[]),
            transaction(0, 2, 0, 0, &[]),
            transaction(0, 3, 0, 0, &[]),
        ]
        .concat(),
    );
    assert_eq!(outcome, Ok(()));
    let replies = [
        "010000001800000000000000000000000000000004000000000000000000000000000000",
        "01000000",
        "01000000380000000000000000000000000000002400000000000000000000000000000020000000",
        &hex(&ID),
        "01000000140000000000000000000000b6ffffff00000000000000000000000000000000",
    ];
    assert_eq!(hex(&output[8..]), replies.concat());
}

#[test]
fn recorded_streams_of_libbinders_fuzzer_corpus_are_answered() {
    let Some(folder) = corpus("binder") else {
        return;
    };
    // Offers the experimental protocol, gets ours; GET_ROOT; then the stream ends within a header.
    let (outcome, output) = serve(&std::fs::read(folder.join("special_transaction")).unwrap());
    assert_eq!(outcome, Ok(()));
    assert!(hex(&output).starts_with("02000000000000000100000028000000"));
    // And a call with code 0, which no interface has, to the root.
    let (outcome, output) = serve(&std::fs::read(folder.join("transact_on_binder")).unwrap());
    assert_eq!(outcome, Ok(()));
    assert!(hex(&output)
        .ends_with("01000000140000000000000000000000b6ffffff00000000000000000000000000000000"));
}

#[test]
fn broken_handshakes_are_closed_with_nothing_or_only_the_version_sent() {
    let mut odd_id = hello(2);
    odd_id[14] = 31;
    let mut unknown_id = hello(2)[..16].to_vec();
    unknown_id[14] = 32;
    unknown_id.extend_from_slice(&[9; 32]);
    let mut incoming = hello(2);
    incoming[4] = 1;
    let mut with_fds = hello(2);
    with_fds[5] = 1;
    let mut no_init = hello(2);
    no_init[16] = b'x';
    for (name, input, sent) in [
        ("id of 31 bytes", odd_id, 0),
        ("unknown id", unknown_id, 0),
        ("new session that is incoming", incoming, 8),
        ("file descriptors", with_fds, 8),
        ("no cci", no_init, 8),
    ] {
        let (outcome, output) = serve(&input);
        assert!(
            matches!(outcome, Err(Error::Protocol(_))),
            "{name}: {outcome:?}"
        );
        assert_eq!(output.len(), sent, "{name}");
    }
}

#[test]
fn broken_commands_end_the_session() {
    let start = [hello(2), transaction(0, 0, 0, 0, &[])].concat();
    let with = |rest: Vec<u8>| serve(&[start.clone(), rest, transaction(0, 1, 0, 0, &[])].concat());
    let table = |data: &[u8], size: u32, entries: &[u32]| {
        let mut bytes = transaction(ROOT, 1, 0, 0, data)[16..].to_vec();
        bytes[24..28].copy_from_slice(&size.to_le_bytes());
        entries
            .iter()
            .for_each(|entry| bytes.extend_from_slice(&entry.to_le_bytes()));
        frame(0, &bytes)
    };
    let mut huge = frame(0, &[]);
    huge[4..8].copy_from_slice(&614_401u32.to_le_bytes());
    for (name, bytes) in [
        ("unknown command", frame(3, &[])),
        ("reply to nothing", frame(1, &[0; 20])),
        ("body above the limit", huge),
        ("short transaction", frame(0, &[0; 39])),
        ("parcel larger than body", table(&[0; 8], 9, &[])),
        ("half an entry", table(&[0; 8], 6, &[])),
        ("entry at the end", table(&[0; 8], 8, &[4])),
        ("entries out of order", table(&[0; 16], 16, &[8, 0])),
        ("entry twice", table(&[0; 16], 16, &[8, 8])),
        ("file descriptor", table(&[2, 0, 0, 0, 0, 0, 0, 0], 8, &[0])),
        ("short DEC_STRONG", frame(2, &[0; 12])),
        (
            "address never sent",
            transaction(ROOT + (1 << 32), 1, 0, 0, &[]),
        ),
        ("object of the client", transaction(1, 1, 0, 0, &[])),
    ] {
        let (outcome, output) = with(bytes);
        assert!(
            matches!(outcome, Err(Error::Protocol(_))),
            "{name}: {outcome:?}"
        );
        assert_eq!(output.len(), 8 + 16 + 40, "{name}: nothing after the root");
    }
}

#[test]
fn an_address_with_unknown_options_and_a_wrong_token_fail_the_call_only() {
    let start = [hello(1), transaction(0, 0, 0, 0, &[])].concat();
    let (outcome, output) = serve(&[start.clone(), transaction(4, 1, 0, 0, &[])].concat());
    assert_eq!(outcome, Ok(()));
    assert!(hex(&output).ends_with("eaffffff00000000000000000000000000000000"));
    let wrong = Parcel::request("some.other.Interface");
    for data in [wrong.data(), &[], &[0xff; 4]] {
        let (outcome, output) = serve(&[start.clone(), transaction(ROOT, 1, 0, 0, data)].concat());
        assert_eq!(outcome, Ok(()));
        assert!(
            hex(&output).ends_with("ffffffff00000000000000000000000000000000"),
            "{}",
            hex(&output)
        );
    }
}

#[test]
fn giving_back_the_root_ends_the_session() {
    let dec = |amount: u8| frame(2, &[3, 0, 0, 0, 0, 0, 0, 0, amount, 0, 0, 0, 0, 0, 0, 0]);
    let after = |amount: u8| {
        let input = [
            hello(1),
            transaction(0, 0, 0, 0, &[]),
            dec(amount),
            transaction(0, 1, 0, 0, &[]),
        ]
        .concat();
        serve(&input).1.len()
    };
    let with_reply = 8 + 52 + 40;
    assert_eq!(after(1), 8 + 52, "the last reference");
    assert_eq!(after(2), with_reply, "more than there are: ignored");
    assert_eq!(after(0), with_reply);
}

fn recorded(calls: &[(u64, i32)]) -> (Result<(), Error>, Vec<i32>) {
    let table = RefCell::new(SessionTable::new());
    let table = TableRef(&table);
    let peer = Peer::default();
    let mut input = [hello(1), transaction(0, 0, 0, 0, &[])].concat();
    for (number, value) in calls {
        let mut data = Parcel::request(DESCRIPTOR);
        data.write_i32(*value);
        input.extend(transaction(ROOT, 5, 1, *number, data.data()));
    }
    let (outcome, _) = serve_with(&Server::new(&peer, &table), &input);
    (outcome, peer.recorded.into_inner().unwrap())
}

#[test]
fn one_way_calls_run_in_the_order_of_their_numbers() {
    assert_eq!(
        recorded(&[(1, 11), (3, 13), (0, 10), (2, 12)]),
        (Ok(()), vec![10, 11, 12, 13])
    );
    assert_eq!(recorded(&[(1, 11), (2, 12)]), (Ok(()), vec![]));
}

#[test]
fn one_way_calls_are_acknowledged_with_the_next_reply() {
    let mut data = Parcel::request(DESCRIPTOR);
    data.write_i32(1);
    let mut input = [hello(1), transaction(0, 0, 0, 0, &[])].concat();
    for number in 0..3 {
        input.extend(transaction(ROOT, 5, 1, number, data.data()));
    }
    input.extend(transaction(ROOT, PING_TRANSACTION, 0, 0, &[]));
    let (outcome, output) = serve(&input);
    assert_eq!(outcome, Ok(()));
    let expected = format!(
        "0100000000000000{GET_ROOT_REPLY_V1}\
         02000000100000000000000000000000\
         03000000000000000400000000000000\
         01000000140000000000000000000000\
         0000000000000000000000000000000000000000"
    );
    assert_eq!(hex(&output), expected);
}

#[test]
fn a_one_way_number_used_twice_or_a_queue_without_end_is_refused() {
    assert!(matches!(
        recorded(&[(0, 1), (0, 2)]).0,
        Err(Error::Protocol(_))
    ));
    assert!(matches!(
        recorded(&[(5, 1), (5, 2)]).0,
        Err(Error::Protocol(_))
    ));
    let gap: Vec<_> = (1..=10_000).map(|number| (number, 0)).collect();
    assert!(matches!(recorded(&gap).0, Err(Error::Protocol(_))));
    assert_eq!(recorded(&gap[..9_999]).0, Ok(()));
}

#[test]
fn mutated_and_random_streams_never_panic_nor_leave_a_session_behind() {
    let mut data = Parcel::request(DESCRIPTOR);
    data.write_str("ab");
    let mut good = [hello(2), transaction(0, 0, 0, 0, &[])].concat();
    for code in [1, 3, 5, 6, 15, 0x5f50_4e47, 0x5f4e_5446] {
        good.extend(transaction(ROOT, code, 0, 0, data.data()));
    }
    good.extend(transaction(ROOT, 5, 1, 0, data.data()));
    let mut numbers = Numbers(0xb17e5);
    let table = RefCell::new(SessionTable::new());
    let table_ref = TableRef(&table);
    let server = Server::new(Peer::default(), &table_ref);
    for round in 0..20_000 {
        let mut input = match round % 4 {
            0 => numbers.bytes(200),
            1 => [hello(2), numbers.bytes(100)].concat(),
            _ => good.clone(),
        };
        for _ in 0..numbers.below(4) {
            let at = numbers.below(input.len());
            input[at] = numbers.next() as u8;
        }
        input.truncate(numbers.below(input.len() + 1));
        let _any = serve_with(&server, &input);
        assert!(table.borrow().is_empty());
    }
}
