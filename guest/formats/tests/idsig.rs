//! v4 signature files of apksigner, and of hosts without a key.

mod support;

use std::fs;

use microbuild_formats::idsig::{decode_idsig, encode_signed_data};
use microbuild_formats::{dm_verity, hex, ErrorCode};

#[test]
fn idsigs_without_a_key_decode_to_their_root_and_digest() {
    let Some(folder) = support::corpus("idsig-unsigned") else {
        return;
    };
    let manifest = support::json(&folder.join("manifest.json"));
    for case in manifest["cases"].as_array().expect("cases") {
        let file = case["file"].as_str().expect("file");
        let Ok(bytes) = fs::read(folder.join(file)) else {
            continue;
        }; // half of the set is elsewhere
        let idsig = decode_idsig(&bytes[..]).expect(file);
        assert_eq!(
            hex::encode(&idsig.root_hash),
            case["root"].as_str().expect("root"),
            "{file}"
        );
        assert_eq!(
            hex::encode(&idsig.signing_info.apk_digest),
            case["apk_digest"].as_str().expect("digest")
        );
        assert!(idsig.signing_info.is_unsigned(), "{file}");
        assert_eq!(
            idsig.tree_offset + idsig.tree_size,
            bytes.len() as u64,
            "{file}"
        );
    }
}

#[test]
fn idsigs_of_apksigner_decode_and_their_trees_have_the_computed_size() {
    let Some(folder) = support::corpus("sig-apksig") else {
        return;
    };
    for path in support::files(&folder.join("idsig"), "idsig") {
        let idsig = decode_idsig(&fs::read(&path).expect("readable")[..]).expect("decodes");
        assert!(
            !idsig.signing_info.is_unsigned() && idsig.salt.is_empty(),
            "{}",
            path.display()
        );
        let size = (2..10_000)
            .map(|blocks| dm_verity::tree_size(blocks, 32))
            .find(|size| *size == idsig.tree_size);
        assert!(size.is_some(), "{}", path.display());
    }
}

/// A file with a root hash of 32 times 7 and a tree of one block.
fn minimal(salt: &[u8], hash: u32, log2: u8, tree: u32) -> Vec<u8> {
    let prefixed = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let hashing = [
        &hash.to_le_bytes()[..],
        &[log2],
        &prefixed(salt),
        &prefixed(&[7; 32]),
    ]
    .concat();
    let empty = prefixed(&[]);
    let signing = [
        &prefixed(b"digest"),
        &empty,
        &empty,
        &empty,
        &0x103u32.to_le_bytes()[..],
        &empty,
    ]
    .concat();
    let head = [
        &2u32.to_le_bytes()[..],
        &prefixed(&hashing),
        &prefixed(&signing),
        &tree.to_le_bytes(),
    ]
    .concat();
    [head, vec![0xaa; 4096]].concat()
}

#[test]
fn only_what_dm_verity_will_map_is_accepted() {
    let code = |bytes: &[u8]| {
        decode_idsig(bytes)
            .map(|idsig| idsig.tree_size)
            .map_err(|error| error.code)
    };
    assert_eq!(code(&minimal(b"", 1, 12, 4096)), Ok(4096));
    assert_eq!(code(&minimal(&[1; 32], 1, 12, 4096)), Ok(4096));
    assert_eq!(
        code(&minimal(&[1; 33], 1, 12, 4096)),
        Err(ErrorCode::TooLarge)
    );
    assert_eq!(
        code(&minimal(b"", 2, 12, 4096)),
        Err(ErrorCode::Unsupported)
    );
    assert_eq!(
        code(&minimal(b"", 1, 16, 4096)),
        Err(ErrorCode::Unsupported)
    );
    assert_eq!(code(&minimal(b"", 1, 12, 8192)), Err(ErrorCode::Truncated));
    assert_eq!(
        code(&minimal(b"", 1, 12, u32::MAX)),
        Err(ErrorCode::Truncated)
    );
    assert_eq!(code(&minimal(b"", 1, 12, 4095)), Err(ErrorCode::BadValue));
    let good = minimal(b"", 1, 12, 4096);
    for size in 0..good.len() {
        assert!(decode_idsig(&good[..size]).is_err(), "cut to {size}");
    }
}

#[test]
fn partition_may_be_padded_with_zeros_up_to_the_next_block() {
    let mut partition = minimal(b"", 1, 12, 4096);
    partition.resize(8192, 0);
    assert!(decode_idsig(&partition[..]).is_ok());
    partition[8191] = 1;
    assert!(decode_idsig(&partition[..]).is_err());
    partition[8191] = 0;
    partition.resize(3 * 4096, 0);
    assert!(decode_idsig(&partition[..]).is_err());
}

#[test]
fn signed_data_starts_with_its_own_size_and_the_apk_size() {
    let idsig = decode_idsig(&minimal(b"s", 1, 12, 4096)[..]).expect("decodes");
    let data = encode_signed_data(&idsig, 0x1122_3344);
    assert_eq!(data[..4], (data.len() as u32).to_le_bytes());
    assert_eq!(data[4..12], 0x1122_3344u64.to_le_bytes());
    assert_eq!(data[12..22], [1, 0, 0, 0, 12, 1, 0, 0, 0, b's']);
}
