//! The strict ZIP profile against archives made to be read in two ways.

mod support;

use std::fs;
use std::io;
use std::path::Path;

use microbuild_formats::apk::find_sections;
use microbuild_formats::zip::{copy_entry, read_strict, CopyError, Entry, Method};
use microbuild_formats::{ErrorCode, FormatError};

fn read(bytes: &[u8]) -> Result<Vec<Entry>, FormatError> {
    read_strict(bytes, &find_sections(bytes)?)
}

#[test]
fn hostile_archives_are_refused_although_their_signatures_are_valid() {
    let Some(folder) = support::corpus("sig-zip-attacks") else {
        return;
    };
    let manifest = support::json(&folder.join("manifest.json"));
    let mut refused = 0;
    for (name, facts) in manifest["files"].as_object().expect("files") {
        let Ok(bytes) = fs::read(folder.join(name)) else {
            continue;
        };
        let result = read(&bytes);
        match facts["expect"].as_str() {
            // A signature that does not verify is refused before the profile is looked at.
            Some("reject") if facts["v2_signature_valid"] != false => {
                assert!(result.is_err(), "{name}: {}", facts["why"]);
                refused += usize::from(facts["v2_signature_valid"] == true);
            }
            Some("accept") if name == "made/ok-v2.apk" => {
                assert!(result.is_ok(), "{name}: {result:?}")
            }
            _ => {}
        }
    }
    assert!(refused >= 15, "only {refused} files were judged");
}

/// The oddities in apksig's own test files that Android verifies and the profile refuses: comments, gaps that deleted entries
/// left, pairs that no signature covers, methods and names that only some readers know.
const STRICTER_THAN_ANDROID: [&str; 8] = [
    "flags",
    "extra",
    "archive comment",
    "entry comment",
    "local header offset",
    "signing block pair",
    "method",
    "name",
];

#[test]
fn most_of_what_apksig_verifies_passes_the_profile() {
    let Some(folder) = support::corpus("sig-apksig") else {
        return;
    };
    let manifest = support::json(&folder.join("manifest.json"));
    let mut passed = 0;
    for (name, facts) in manifest["files"].as_object().expect("files") {
        let verifies = |check: &serde_json::Value| check["expect"] == "verify";
        let Ok(bytes) = fs::read(folder.join("apk").join(name)) else {
            continue;
        };
        let Ok(sections) = find_sections(&bytes[..]) else {
            continue;
        }; // v1 only
        if !facts["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .any(verifies)
        {
            continue;
        }
        match read_strict(&bytes[..], &sections) {
            Ok(_) => passed += 1,
            Err(error) => assert!(
                STRICTER_THAN_ANDROID.contains(&error.field),
                "{name}: {error}"
            ),
        }
    }
    assert!(passed >= 50, "only {passed} pass");
}

#[test]
fn partition_padding_is_not_part_of_the_apk() {
    let Some(path) = support::corpus("sig-zip-attacks/made/ok-v2.apk") else {
        return;
    };
    let apk = fs::read(path).expect("readable");
    let mut partition = apk.clone();
    partition.resize(apk.len().next_multiple_of(4096), 0);
    assert_eq!(
        find_sections(&partition[..]).expect("found").apk_size,
        apk.len() as u64
    );
    assert_eq!(read(&partition), read(&apk));
    *partition.last_mut().expect("padding") = 1;
    assert!(read(&partition).is_err());
    partition.truncate(apk.len());
    partition.resize(apk.len() + 4096, 0);
    assert!(read(&partition).is_err(), "a whole block of zeros");
}

#[test]
fn every_flipped_bit_outside_data_is_refused_or_changes_nothing_that_is_read() {
    let Some(path) = support::corpus("sig-zip-attacks/made/ok-v2.apk") else {
        return;
    };
    let good = fs::read(path).expect("readable");
    let entries = read(&good).expect("valid");
    let sections = find_sections(&good[..]).expect("valid");
    // Local headers and the central directory: a change is refused, or is one of time, version, attributes.
    for at in (0..30).chain(sections.central_directory_offset as usize..good.len()) {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            if let Ok(mut read) = read(&bad) {
                for (entry, good) in read.iter_mut().zip(&entries) {
                    entry.mode = good.mode;
                }
                assert_eq!(read, entries, "byte {at} bit {bit}");
            }
        }
    }
}

fn entry(method: Method, data: &[u8], content: &[u8]) -> Entry {
    let crc32 = content.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ 0xedb8_8320
            }
        })
    });
    let (compressed_size, size) = (data.len() as u64, content.len() as u64);
    Entry {
        name: "a".into(),
        mode: None,
        method,
        crc32: !crc32,
        compressed_size,
        size,
        data_offset: 0,
    }
}

fn copy(data: &[u8], entry: &Entry) -> Result<Vec<u8>, Option<ErrorCode>> {
    let mut copied = Vec::new();
    let sink = |bytes: &[u8]| {
        copied.extend_from_slice(bytes);
        Ok(())
    };
    match copy_entry(data, entry, sink) {
        Ok(()) => Ok(copied),
        Err(CopyError::Format(error)) => Err(Some(error.code)),
        Err(CopyError::Sink(_)) => Err(None),
    }
}

#[test]
fn entries_are_copied_whole_for_every_size() {
    let mut numbers = support::Numbers(5);
    for size in [0, 1, 4095, 65_536, 65_537, 300_000] {
        let noise = numbers.bytes(size);
        let zeros = vec![0; size];
        for content in [noise, zeros] {
            assert_eq!(
                copy(&content, &entry(Method::Stored, &content, &content)).as_ref(),
                Ok(&content)
            );
            let data = miniz_oxide::deflate::compress_to_vec(&content, 6);
            assert_eq!(
                copy(&data, &entry(Method::Deflated, &data, &content)).as_ref(),
                Ok(&content),
                "{size}"
            );
        }
    }
}

#[test]
fn entries_that_are_not_what_they_say_are_refused() {
    let content = vec![7; 200_000];
    let data = miniz_oxide::deflate::compress_to_vec(&content, 6);
    let good = entry(Method::Deflated, &data, &content);
    let with = |change: fn(&mut Entry)| {
        let mut bad = good.clone();
        change(&mut bad);
        copy(&data, &bad)
    };
    assert_eq!(
        with(|entry| entry.crc32 ^= 1),
        Err(Some(ErrorCode::Checksum))
    );
    assert_eq!(
        with(|entry| entry.size -= 1),
        Err(Some(ErrorCode::TooLarge))
    );
    assert_eq!(
        with(|entry| entry.size += 1),
        Err(Some(ErrorCode::BadValue))
    );
    assert_eq!(
        with(|entry| entry.compressed_size -= 1),
        Err(Some(ErrorCode::Truncated))
    );
    assert_eq!(
        with(|entry| entry.compressed_size += 1),
        Err(Some(ErrorCode::Truncated)),
        "past the end of the source"
    );
    let longer = [&data[..], &[0]].concat();
    assert_eq!(
        copy(&longer, &entry(Method::Deflated, &longer, &content)),
        Err(Some(ErrorCode::Trailing))
    );
    assert_eq!(
        copy(&[0xff; 9], &entry(Method::Deflated, &[0xff; 9], &content)),
        Err(Some(ErrorCode::BadValue))
    );
    let failing = copy_entry(&data[..], &good, |_| Err(io::ErrorKind::StorageFull.into()));
    assert!(matches!(failing, Err(CopyError::Sink(_))));
}

#[test]
fn seventy_thousand_pairs_are_refused_in_no_time() {
    let Some(folder) = support::corpus("sig-zip-attacks") else {
        return;
    };
    let bytes = fs::read(Path::new(&folder).join("made/blk-70000-pairs.apk")).expect("readable");
    assert_eq!(
        read(&bytes).map_err(|error| error.code),
        Err(ErrorCode::Unsupported)
    );
}
