//! Any bytes decode or are refused; nothing else happens.

mod support;

use microbuild_formats::apk::{decode_v3_signers, find_sections, SigningBlock};
use microbuild_formats::avb::{decode_descriptors, decode_vbmeta};
use microbuild_formats::bootconfig::{decode_trailer, Bootconfig};
use microbuild_formats::der::{certificate_public_key, decode_public_key};
use microbuild_formats::idsig::decode_idsig;
use microbuild_formats::payload_metadata::decode_metadata;
use microbuild_formats::zip::{copy_entry, read_strict};
use support::Numbers;

/// Runs every decoder on the same bytes.
fn decode_all(bytes: &[u8]) {
    let _ = decode_trailer(bytes);
    let _ = Bootconfig::parse(&String::from_utf8_lossy(bytes));
    let _ = decode_vbmeta(bytes);
    let _ = decode_descriptors(bytes, 0);
    let _ = decode_metadata(bytes);
    let _ = decode_idsig(bytes);
    let _ = certificate_public_key(bytes);
    let _ = decode_public_key(bytes);
    let _ = decode_v3_signers(bytes);
    if let Ok(sections) = find_sections(bytes) {
        if let Ok(block) = SigningBlock::read(bytes, &sections) {
            for (_, value) in block.pairs() {
                let _ = decode_v3_signers(value);
            }
        }
        for entry in read_strict(bytes, &sections).unwrap_or_default() {
            let _ = copy_entry(bytes, &entry, |_| Ok(()));
        }
    }
}

#[test]
fn random_bytes_never_do_more_than_fail() {
    let mut numbers = Numbers(1);
    for size in (0..400).chain([1024, 4096, 70_000]) {
        for _ in 0..4 {
            decode_all(&numbers.bytes(size));
        }
    }
}

#[test]
fn lengths_of_all_sizes_never_do_more_than_fail() {
    let mut numbers = Numbers(2);
    for _ in 0..4000 {
        let words = 1 + numbers.below(40);
        let word = |numbers: &mut Numbers| match numbers.below(6) {
            0 => 0u32,
            1 => numbers.below(64) as u32,
            2 => u32::MAX - numbers.below(64) as u32,
            3 => 0x8000_0000,
            4 => (numbers.below(64) as u32).swap_bytes(),
            _ => numbers.next() as u32,
        };
        let bytes: Vec<u8> = (0..words)
            .flat_map(|_| word(&mut numbers).to_le_bytes())
            .collect();
        decode_all(&bytes);
    }
}

#[test]
fn damaged_files_never_do_more_than_fail() {
    let mut numbers = Numbers(3);
    let samples = [
        ("sig-zip-attacks/made/ok-v2.apk", 1500),
        ("apkverify/v3-only-with-ecdsa-sha512-p384.apk", 800),
        (
            "idsig-unsigned/v3-only-with-rsa-pkcs1-sha256-2048.apk.unsigned.idsig",
            800,
        ),
        ("payload-metadata/with_apex.bin", 4000),
        ("sig-avb/good/SHA256_RSA4096.img", 2000),
        ("avb/descriptors/hashtree_descriptor.bin", 4000),
        ("apkverify/test.apex.der", 4000),
    ];
    for (name, rounds) in samples {
        let Some(path) = support::corpus(name) else {
            continue;
        };
        let good = std::fs::read(path).expect("readable");
        for _ in 0..rounds {
            decode_all(&numbers.damage(&good));
        }
    }
}
