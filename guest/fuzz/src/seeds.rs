//! Samples: other people's, read where they lie, and a few that need no file.

use std::fs;
use std::path::{Path, PathBuf};

use microbuild_formats::apk::find_sections;
use microbuild_formats::zip::{copy_entry, read_archive};

fn corpus() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    std::env::var_os("MICROBUILD_CORPUS").map_or_else(default, PathBuf::from)
}

/// The files of a folder of the corpus whose name ends so, up to a size in bytes, in the order of their names. None where
/// there is no corpus.
pub fn files(folder: &str, suffix: &str, size_max: u64) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(corpus().join(folder)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.metadata().is_ok_and(|data| data.len() <= size_max))
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

/// Small APKs, good and bad.
pub fn apks() -> Vec<Vec<u8>> {
    let mut found = vec![plain_apk()];
    for folder in ["sig-zip-attacks/made", "apkverify", "sig-apksig/apk"] {
        found.extend(files(folder, ".apk", 16 * 1024));
    }
    found
}

/// An archive of an empty file and a directory with a signing block of one pair, in which all is as it should be but the
/// signature.
fn plain_apk() -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for name in ["a", "b/"] {
        let offset = bytes.len() as u32;
        // Version, flags, method, time, date, CRC, sizes, name and extra size.
        let common = [&[20u8, 0][..], &[0; 20], &[name.len() as u8, 0, 0, 0]].concat();
        bytes.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes()].concat());
        directory.extend([b"PK\x01\x02\x14\0", common.as_slice(), &[0; 10]].concat());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let pair = [
        &12u64.to_le_bytes()[..],
        &0xf053_68c0u32.to_le_bytes(),
        &[0; 8],
    ]
    .concat();
    let size = (pair.len() as u64 + 24).to_le_bytes();
    bytes.extend([&size[..], &pair, &size, b"APK Sig Block 42"].concat());
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// The manifests in those APKs.
pub fn manifests() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = apks().iter().filter_map(|apk| manifest_of(apk)).collect();
    found.sort();
    found.dedup();
    found
}

fn manifest_of(apk: &[u8]) -> Option<Vec<u8>> {
    let sections = find_sections(apk).ok()?;
    let archive = read_archive(apk, &sections).ok()?;
    let entry = archive
        .files
        .iter()
        .find(|entry| entry.name == "AndroidManifest.xml")?;
    let mut bytes = Vec::new();
    copy_entry(apk, entry, |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .ok()?;
    Some(bytes)
}

/// The values of the v3 pairs of those APKs.
pub fn v3_blocks() -> Vec<Vec<u8>> {
    use microbuild_formats::apk::{SigningBlock, SIGNATURE_SCHEME_V3_BLOCK_ID};
    apks()
        .iter()
        .filter_map(|apk| {
            let block = SigningBlock::read(&apk[..], &find_sections(&apk[..]).ok()?).ok()?;
            let value = block.find(SIGNATURE_SCHEME_V3_BLOCK_ID).ok()??;
            Some(value.to_vec())
        })
        .collect()
}

/// vbmeta images as they are, and with the signature taken off, so that a changed byte is not told by the hash.
pub fn vbmetas() -> Vec<Vec<u8>> {
    let mut found = files("sig-avb/good", ".img", 64 * 1024);
    found.extend(files("sig-avb/bad", ".img", 64 * 1024));
    let unsigned: Vec<Vec<u8>> = found.iter().filter_map(|image| unsigned(image)).collect();
    found.extend(unsigned);
    found
}

fn unsigned(image: &[u8]) -> Option<Vec<u8>> {
    let authentication = u64::from_be_bytes(*image.get(12..)?.first_chunk()?);
    let start = 256usize.checked_add(usize::try_from(authentication).ok()?)?;
    let mut header = image.get(..256)?.to_vec();
    for range in [12..20, 28..64] {
        header.get_mut(range)?.fill(0);
    }
    header.extend_from_slice(image.get(start..)?);
    Some(header)
}

pub fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A FUSE request for each operation that is answered.
pub fn fuse_requests() -> Vec<Vec<u8>> {
    use microbuild_zipfuse::protocol::{self as fuse, InHeader, InitIn, ReadIn};
    let request = |opcode, nodeid, body: &[u8]| {
        let mut bytes = Vec::new();
        let header = InHeader {
            opcode,
            nodeid,
            ..InHeader::default()
        };
        header.encode(&mut bytes);
        bytes.extend_from_slice(body);
        bytes
    };
    let (mut init, mut read) = (Vec::new(), Vec::new());
    let flags = u32::MAX;
    InitIn {
        major: 7,
        minor: 38,
        max_readahead: 131_072,
        flags,
    }
    .encode(&mut init);
    ReadIn {
        size: 4096,
        ..ReadIn::default()
    }
    .encode(&mut read);
    let mut requests = vec![
        request(fuse::INIT, 0, &init),
        request(fuse::LOOKUP, 1, b"lib\0"),
        request(fuse::GETATTR, 1, &[0; 16]),
        request(fuse::STATFS, 1, &[]),
        request(fuse::FORGET, 1, &[0; 8]),
        request(fuse::READDIR, 1, &read),
        request(fuse::READDIRPLUS, 1, &read),
        request(99, 1, &[]),
    ];
    requests.extend((1..6).map(|node| request(fuse::READ, node, &read)));
    requests
}

/// Streams of a client: the recorded ones, and a call of each kind.
pub fn rpc_streams() -> Vec<Vec<u8>> {
    let mut found = files("binder", "transaction", 4096);
    found.extend(files("binder", "transact_on_binder", 4096));
    let frame = |command: u32, body: &[u8]| {
        let words = [command, body.len() as u32, 0, 0];
        let mut bytes = words.map(u32::to_le_bytes).concat();
        bytes.extend_from_slice(body);
        bytes
    };
    for version in 0u32..3 {
        let mut stream = version.to_le_bytes().to_vec();
        stream.extend_from_slice(&[0; 12]);
        stream.extend_from_slice(b"cci\0\0\0\0\0");
        for (address, code) in [
            (0u64, 0u32),
            (0, 1),
            (0, 2),
            (3, 0x5f50_4e47),
            (3, 0x5f4e_5446),
            (3, 1),
        ] {
            let mut body = address.to_le_bytes().to_vec();
            body.extend_from_slice(&code.to_le_bytes());
            body.extend_from_slice(&[0; 12]);
            body.extend_from_slice(&8u32.to_le_bytes());
            body.extend_from_slice(&[0; 12]);
            body.extend_from_slice(b"\x01\0\0\0a\0\0\0");
            stream.extend_from_slice(&frame(0, &body));
        }
        let dec_strong = [3u32, 0, 1, 0].map(u32::to_le_bytes).concat();
        stream.extend_from_slice(&frame(2, &dec_strong));
        found.push(stream);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_apk_keeps_the_profile() {
        let apk = plain_apk();
        let sections = find_sections(&apk[..]).expect("sections");
        let archive = read_archive(&apk[..], &sections).expect("accepted");
        assert_eq!((archive.files.len(), archive.directories.len()), (1, 1));
    }
}
