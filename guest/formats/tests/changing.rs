//! Sources that change while they are read: the answer is that of one of the files, or none.

mod support;

use std::fs;

use microbuild_formats::apk::{find_sections, SigningBlock};
use microbuild_formats::idsig::decode_idsig;
use microbuild_formats::zip::{copy_entry, read_archive, read_strict, EntryStream, Method};
use microbuild_formats::{FormatError, ReadAt};
use support::{Changing, Numbers};

/// `decode` of a source that shows two files is `decode` of one of them, or an error. Returns how often it was the second's
/// answer or the first's.
fn never_mixes<T: PartialEq + std::fmt::Debug>(
    files: [&[u8]; 2],
    decode: impl Fn(&dyn ReadAt) -> Result<T, FormatError>,
) -> usize {
    let pure: Vec<_> = files
        .iter()
        .filter_map(|file| decode(&file.to_vec()).ok())
        .collect();
    let mut accepted = 0;
    for plan in Changing::plans(300) {
        let source = Changing::new(files, plan);
        if let Ok(found) = decode(&source) {
            assert!(
                pure.contains(&found),
                "plan {plan:#x}, {} reads: {found:?} is of neither file",
                source.reads()
            );
            accepted += 1;
        }
    }
    accepted
}

/// The entries, and what they hold.
fn contents(source: &dyn ReadAt) -> Result<Vec<(String, Vec<u8>)>, FormatError> {
    let sections = find_sections(source)?;
    let archive = read_archive(source, &sections)?;
    let mut found = Vec::new();
    for entry in &archive.files {
        let mut bytes = Vec::new();
        let mut stream = EntryStream::new(entry);
        let mut buffer = [0; 4096];
        loop {
            let size = stream.read(source, entry, &mut buffer)?;
            bytes.extend_from_slice(&buffer[..size]);
            if size < buffer.len() {
                break;
            }
        }
        found.push((entry.name.clone(), bytes));
    }
    Ok(found)
}

fn sample() -> Option<Vec<u8>> {
    let path = support::corpus("sig-zip-attacks/made/ok-v2.apk")?;
    Some(fs::read(path).expect("readable"))
}

/// The same archive with the names of two entries exchanged, in both headers: both are valid, and say different things.
fn with_names_exchanged(apk: &[u8]) -> Vec<u8> {
    let (one, other) = (b"classes.dex", b"classes.bak");
    let mut changed = apk.to_vec();
    for at in 0..changed.len() - one.len() {
        if changed[at..].starts_with(one) {
            changed[at..at + one.len()].copy_from_slice(other);
        }
    }
    changed
}

#[test]
fn names_and_contents_are_those_of_one_file() {
    let Some(good) = sample() else { return };
    let renamed = with_names_exchanged(&good);
    assert_ne!(
        contents(&good).expect("valid"),
        contents(&renamed).expect("valid")
    );
    assert!(never_mixes([&good, &renamed], contents) > 0);
    // Against one that is broken anywhere, the good one's answer is the only one.
    let mut numbers = Numbers(31);
    for _ in 0..40 {
        let mut broken = good.clone();
        let at = numbers.below(broken.len());
        broken[at] ^= 1 << numbers.below(8);
        never_mixes([&good, &broken], contents);
    }
}

#[test]
fn sections_and_pairs_are_in_bounds_whatever_changes() {
    let Some(good) = sample() else { return };
    let mut numbers = Numbers(32);
    for _ in 0..300 {
        let mut other = numbers.damage(&good);
        other.resize(good.len(), 0);
        for _ in 0..8 {
            let source = Changing::new([&good, &other], numbers.next());
            let Ok(sections) = find_sections(&source) else {
                continue;
            };
            assert!(sections.signing_block_offset < sections.central_directory_offset);
            assert!(sections.central_directory_offset <= sections.eocd_offset);
            assert!(sections.apk_size <= source.size());
            if let Ok(block) = SigningBlock::read(&source, &sections) {
                let size: usize = block.pairs().map(|(_, value)| 12 + value.len()).sum();
                let limit = sections.central_directory_offset - sections.signing_block_offset;
                assert_eq!(size as u64, limit - 32);
            }
            for entry in read_strict(&source, &sections).unwrap_or_default() {
                assert!(entry.data_offset + entry.compressed_size <= source.size());
            }
        }
    }
}

#[test]
fn bytes_that_are_handed_on_have_the_sum_of_the_entry() {
    let mut numbers = Numbers(33);
    let (one, other) = (numbers.bytes(200_000), numbers.bytes(200_000));
    for method in [Method::Stored, Method::Deflated] {
        let pack = |content: &[u8]| match method {
            Method::Stored => content.to_vec(),
            Method::Deflated => miniz_oxide::deflate::compress_to_vec(content, 1),
        };
        let (mut first, mut second) = (pack(&one), pack(&other));
        let size = first.len();
        let longest = size.max(second.len());
        first.resize(longest, 0);
        second.resize(longest, 0);
        let entry = microbuild_formats::zip::Entry {
            name: "a".into(),
            mode: None,
            method,
            crc32: crc32(&one),
            compressed_size: size as u64,
            size: one.len() as u64,
            data_offset: 0,
        };
        let mut whole = 0;
        for plan in Changing::plans(50) {
            let source = Changing::new([&first, &second], plan);
            let mut copied = Vec::new();
            let result = copy_entry(&source, &entry, |part| {
                copied.extend_from_slice(part);
                Ok(())
            });
            if result.is_ok() {
                assert!(copied == one, "plan {plan:#x}");
                whole += 1;
            }
        }
        assert!(whole > 0, "{method:?}");
    }
}

#[test]
fn idsig_is_that_of_one_file() {
    let Some(folder) = support::corpus("idsig-unsigned") else {
        return;
    };
    let mut tried = 0;
    for path in support::files(&folder, "idsig") {
        let good = fs::read(path).expect("readable");
        // Root hash, salt length, tree size, and padding.
        for at in [4, 8, 13, 17, 20, 30, 50, 90, good.len() - 1] {
            let mut other = good.clone();
            other[at] ^= 1;
            never_mixes([&good, &other], |source| decode_idsig(source));
            tried += 1;
        }
    }
    assert!(tried > 20);
}

fn crc32(content: &[u8]) -> u32 {
    !content.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ 0xedb8_8320
            }
        })
    })
}
