//! Requests and replies as bytes: what the kernel asks in the order in which it asks, and what nobody should.

mod support;

use microbuild_zipfuse::protocol::{
    self as fuse, Attr, AttrOut, Dirent, EntryOut, InHeader, InitIn, InitOut, OutHeader, ReadIn,
    StatfsOut,
};
use microbuild_zipfuse::{FileSystem, Owner};
use support::{content, Writer};

const ENOSYS: i32 = -38;

fn file_system() -> FileSystem<Vec<u8>> {
    let mut archive = Writer::new();
    archive.stored("lib/x86_64/liba.so", None, &content(10_000));
    archive.deflated("assets/b", None, &content(300_000));
    let (bytes, archive) = archive.finish();
    FileSystem::new(bytes, archive, Owner { uid: 1, gid: 2 }).expect("valid")
}

fn request(opcode: u32, nodeid: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    InHeader {
        len: (InHeader::SIZE + body.len()) as u32,
        opcode,
        unique: 77,
        nodeid,
        ..InHeader::default()
    }
    .encode(&mut bytes);
    [&bytes, body].concat()
}

/// The reply's error and body; its header is checked.
fn ask(file_system: &FileSystem<Vec<u8>>, opcode: u32, nodeid: u64, body: &[u8]) -> (i32, Vec<u8>) {
    let mut reply = vec![1, 2, 3];
    assert!(file_system.answer(&request(opcode, nodeid, body), &mut reply));
    let (header, body) = OutHeader::decode(&reply).expect("a header");
    assert_eq!((header.len as usize, header.unique), (reply.len(), 77));
    (header.error, body.to_vec())
}

fn find(file_system: &FileSystem<Vec<u8>>, parent: u64, name: &str) -> (EntryOut, Attr) {
    let (error, reply) = ask(
        file_system,
        fuse::LOOKUP,
        parent,
        format!("{name}\0").as_bytes(),
    );
    assert_eq!(error, 0);
    let (entry, rest) = EntryOut::decode(&reply).expect("an entry");
    let (attributes, rest) = Attr::decode(rest).expect("attributes");
    assert!(rest.is_empty());
    (entry, attributes)
}

fn read_request(offset: u64, size: u32) -> Vec<u8> {
    let mut body = Vec::new();
    ReadIn {
        offset,
        size,
        ..ReadIn::default()
    }
    .encode(&mut body);
    body
}

fn init(major: u32, minor: u32, flags: u32) -> (i32, Vec<u8>) {
    let mut body = Vec::new();
    InitIn {
        major,
        minor,
        max_readahead: 131_072,
        flags,
    }
    .encode(&mut body);
    // Since 7.36 the kernel sends 48 bytes more.
    body.extend([0xff; 48]);
    ask(&file_system(), fuse::INIT, 0, &body)
}

#[test]
fn greeting_takes_what_is_offered_and_no_more() {
    let offered = 0x73ff_fffb;
    let (error, reply) = init(7, 38, offered);
    let (out, rest) = InitOut::decode(&reply).expect("a reply");
    assert_eq!((error, rest), (0, &[][..]));
    assert_eq!((out.major, out.minor), (7, 31));
    assert_eq!(out.flags & !offered, 0);
    let needed = fuse::NO_OPEN_SUPPORT | fuse::NO_OPENDIR_SUPPORT;
    assert_eq!(out.flags & needed, needed);
    assert!(out.max_write >= 4096 && out.max_readahead == 131_072);
    assert_eq!(init(7, 38, needed).0, 0);
    assert_eq!(init(8, 0, 0).0, 0, "a newer kernel asks again");
    assert_eq!(init(7, 28, offered).0, -71);
    assert_eq!(init(6, 99, offered).0, -71);
    assert_eq!(
        init(7, 38, 0).0,
        -71,
        "without these, files could not be opened"
    );
}

#[test]
fn names_are_found_and_their_absence_is_remembered() {
    let file_system = file_system();
    let (lib, attributes) = find(&file_system, fuse::ROOT_ID, "lib");
    assert_eq!(attributes.mode, 0o040_550);
    let (abi, _) = find(&file_system, lib.nodeid, "x86_64");
    let (file, attributes) = find(&file_system, abi.nodeid, "liba.so");
    assert_eq!((attributes.mode, attributes.size), (0o100_440, 10_000));
    assert_eq!((attributes.uid, attributes.gid), (1, 2));
    assert_eq!(attributes.ino, file.nodeid);
    assert!(file.attr_valid > 1_000_000 && file.entry_valid > 1_000_000);
    let (missing, _) = find(&file_system, lib.nodeid, "x86");
    assert_eq!(missing.nodeid, 0);
    assert!(missing.entry_valid > 1_000_000);
    let lookup = |node, name: &[u8]| ask(&file_system, fuse::LOOKUP, node, name).0;
    assert_eq!(lookup(file.nodeid, b"a\0"), -20, "below a file");
    assert_eq!(lookup(lib.nodeid, b"x86_64"), -22, "no end");
    assert_eq!(lookup(99, b"a\0"), -2);
    for node in [0, 99, u64::MAX] {
        assert_eq!(ask(&file_system, fuse::GETATTR, node, &[0; 16]).0, -2);
    }
    let (_, reply) = ask(&file_system, fuse::GETATTR, file.nodeid, &[0; 16]);
    let (_, rest) = AttrOut::decode(&reply).expect("a reply");
    assert_eq!(Attr::decode(rest), Some((attributes, &[][..])));
}

#[test]
fn reads_are_cut_at_the_end_and_at_the_limit() {
    let file_system = file_system();
    let (assets, _) = find(&file_system, fuse::ROOT_ID, "assets");
    let (file, _) = find(&file_system, assets.nodeid, "b");
    let expected = content(300_000);
    let read = |offset, size| {
        ask(
            &file_system,
            fuse::READ,
            file.nodeid,
            &read_request(offset, size),
        )
    };
    assert_eq!(read(0, 4096), (0, expected[..4096].to_vec()));
    assert_eq!(read(299_990, 4096), (0, expected[299_990..].to_vec()));
    assert_eq!(read(300_000, 4096), (0, vec![]));
    assert_eq!(read(u64::MAX, 4096), (0, vec![]));
    assert_eq!(read(0, 0), (0, vec![]));
    assert_eq!(read(7, u32::MAX).1.len(), fuse::MAX_READ as usize);
    assert_eq!(
        ask(&file_system, fuse::READ, assets.nodeid, &read_request(0, 9)).0,
        -21
    );
    assert_eq!(ask(&file_system, fuse::READ, file.nodeid, &[0; 39]).0, -22);
}

/// The names in a reply to READDIR with the offsets behind them.
fn listed(mut reply: &[u8], is_plus: bool) -> Vec<(String, u64, u64)> {
    let mut found = Vec::new();
    while !reply.is_empty() {
        let mut node = None;
        if is_plus {
            let (entry, rest) = EntryOut::decode(reply).expect("an entry");
            node = Some(entry.nodeid);
            reply = &rest[Attr::SIZE..];
        }
        let (entry, rest) = Dirent::decode(reply).expect("a name");
        let name = String::from_utf8(rest[..entry.namelen as usize].to_vec()).expect("text");
        found.push((name, entry.off, node.unwrap_or(entry.ino)));
        reply = &rest[(entry.namelen as usize).next_multiple_of(8)..];
    }
    found
}

#[test]
fn listing_goes_on_where_it_stopped() {
    let file_system = file_system();
    for (opcode, is_plus) in [(fuse::READDIR, false), (fuse::READDIRPLUS, true)] {
        let list = |offset, size| {
            let (error, reply) = ask(
                &file_system,
                opcode,
                fuse::ROOT_ID,
                &read_request(offset, size),
            );
            assert_eq!(error, 0);
            listed(&reply, is_plus)
        };
        let all = list(0, 4096);
        let names: Vec<_> = all.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, [".", "..", "assets", "lib"]);
        let one = if is_plus { 160 } else { 32 };
        let mut offset = 0;
        for expected in &all {
            let step = list(offset, one);
            assert_eq!(step.as_slice(), std::slice::from_ref(expected));
            offset = expected.1;
        }
        assert_eq!(list(offset, 4096), []);
        assert_eq!(list(u64::MAX, 4096), []);
        assert_eq!(list(0, one - 1), [], "no room for one");
        let file = find(&file_system, fuse::ROOT_ID, "assets").0.nodeid;
        assert_eq!(all[2].2, file);
    }
}

#[test]
fn what_is_not_served_is_refused_and_what_wants_no_reply_gets_none() {
    let file_system = file_system();
    let mut reply = Vec::new();
    for opcode in [fuse::FORGET, fuse::BATCH_FORGET, fuse::INTERRUPT] {
        assert!(!file_system.answer(&request(opcode, 1, &[0; 16]), &mut reply));
        assert!(reply.is_empty());
    }
    for size in 0..InHeader::SIZE {
        assert!(!file_system.answer(&vec![0; size], &mut reply));
    }
    // Open, opendir, getxattr, write, setattr, rename, and codes that are none.
    for opcode in [14, 27, 22, 16, 4, 45, 0, 9999] {
        assert_eq!(ask(&file_system, opcode, 1, &[0; 64]), (ENOSYS, vec![]));
    }
    let (error, reply) = ask(&file_system, fuse::STATFS, 1, &[]);
    let (size, _) = StatfsOut::decode(&reply).expect("a reply");
    assert_eq!((error, size.bfree, size.files), (0, 0, 6));
    assert_eq!(size.blocks, 310_000u64.div_ceil(4096));
}
