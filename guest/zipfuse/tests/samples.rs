//! The archive that AOSP tests its zipfuse with: its files are those of the folder that it was made of.

use std::fs;
use std::path::Path;

use microbuild_formats::zip::{Archive, Entry, Method};
use microbuild_zipfuse::protocol::{self as fuse, Attr, EntryOut, InHeader, OutHeader, ReadIn};
use microbuild_zipfuse::{FileSystem, Owner};

fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    let digits = &bytes[at..at + size];
    digits
        .iter()
        .rev()
        .fold(0, |sum, digit| sum << 8 | usize::from(*digit))
}

/// What the central directory lists. It has no signing block, so it is no APK and the strict profile does not read it.
fn list(zip: &[u8]) -> Archive {
    let end = zip.len() - 22;
    let mut at = number(zip, end + 16, 4);
    let mut archive = Archive::default();
    for _ in 0..number(zip, end + 10, 2) {
        let name_size = number(zip, at + 28, 2);
        let local = number(zip, at + 42, 4);
        archive.files.push(Entry {
            name: String::from_utf8(zip[at + 46..at + 46 + name_size].to_vec()).expect("text"),
            mode: Some((number(zip, at + 40, 2) & 0o777) as u32),
            method: if number(zip, at + 10, 2) == 8 {
                Method::Deflated
            } else {
                Method::Stored
            },
            crc32: number(zip, at + 16, 4) as u32,
            compressed_size: number(zip, at + 20, 4) as u64,
            size: number(zip, at + 24, 4) as u64,
            data_offset: (local + 30 + number(zip, local + 26, 2) + number(zip, local + 28, 2))
                as u64,
        });
        at += 46 + name_size + number(zip, at + 30, 2) + number(zip, at + 32, 2);
    }
    archive
}

fn ask(file_system: &FileSystem<Vec<u8>>, opcode: u32, nodeid: u64, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    InHeader {
        opcode,
        nodeid,
        ..InHeader::default()
    }
    .encode(&mut request);
    request.extend_from_slice(body);
    let mut reply = Vec::new();
    assert!(file_system.answer(&request, &mut reply));
    let (header, body) = OutHeader::decode(&reply).expect("a reply");
    assert_eq!(header.error, 0);
    body.to_vec()
}

fn find(file_system: &FileSystem<Vec<u8>>, parent: u64, name: &str) -> (u64, Attr) {
    let reply = ask(
        file_system,
        fuse::LOOKUP,
        parent,
        format!("{name}\0").as_bytes(),
    );
    let (entry, rest) = EntryOut::decode(&reply).expect("an entry");
    (entry.nodeid, Attr::decode(rest).expect("attributes").0)
}

#[test]
fn files_are_those_of_the_folder_that_the_archive_was_made_of() {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("MICROBUILD_CORPUS").map_or_else(default, Into::into);
    let Ok(zip) = fs::read(corpus.join("zipfuse/test.zip")) else {
        return eprintln!("skipped: no corpus at {}", corpus.display());
    };
    let archive = list(&zip);
    assert!(!archive.files.is_empty());
    let files: Vec<_> = archive
        .files
        .iter()
        .map(|file| (file.name.clone(), file.mode))
        .collect();
    let file_system = FileSystem::new(zip, archive, Owner { uid: 0, gid: 0 }).expect("valid");
    for (path, mode) in files {
        let expected = fs::read(corpus.join("zipfuse").join(&path)).expect("readable");
        let mut node = (fuse::ROOT_ID, Attr::default());
        for name in path.split('/') {
            node = find(&file_system, node.0, name);
        }
        assert_eq!(node.1.mode, fuse::S_IFREG | mode.unwrap_or(0), "{path}");
        assert_eq!(node.1.size, expected.len() as u64, "{path}");
        let mut content = Vec::new();
        while content.len() < expected.len() {
            let mut body = Vec::new();
            let offset = content.len() as u64;
            ReadIn {
                offset,
                size: 32 * 1024,
                ..ReadIn::default()
            }
            .encode(&mut body);
            content.extend(ask(&file_system, fuse::READ, node.0, &body));
        }
        assert!(content == expected, "{path}");
    }
}
