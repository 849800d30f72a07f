//! vbmeta images and descriptors that avbtool and libavb's tests made.

mod support;

use std::fs;

use microbuild_formats::avb::{decode_descriptors, decode_vbmeta, Descriptor};
use microbuild_formats::ErrorCode;

#[test]
fn each_kind_of_descriptor_decodes_to_what_avbtool_put_in() {
    let Some(folder) = support::corpus("avb/descriptors") else {
        return;
    };
    let decode = |name: &str| {
        let bytes = fs::read(folder.join(name)).expect("readable");
        let mut descriptors = decode_descriptors(&bytes, 0).expect(name);
        assert_eq!(descriptors.len(), 1, "{name}");
        descriptors.remove(0)
    };
    let Descriptor::Hashtree(hashtree) = decode("hashtree_descriptor.bin") else {
        panic!("kind")
    };
    assert_eq!(
        (
            hashtree.dm_verity_version,
            hashtree.data_block_size,
            hashtree.hash_block_size
        ),
        (1, 4096, 4096)
    );
    assert_eq!(hashtree.tree_offset % 4096, 0);
    assert!(!hashtree.partition.is_empty() && !hashtree.root_digest.is_empty());
    let Descriptor::Hash {
        partition, digest, ..
    } = decode("hash_descriptor.bin")
    else {
        panic!("kind")
    };
    assert!(!partition.is_empty() && !digest.is_empty());
    assert!(
        matches!(decode("property_descriptor.bin"), Descriptor::Property { key, .. } if !key.is_empty())
    );
    assert!(
        matches!(decode("kernel_commandline_descriptor.bin"), Descriptor::KernelCmdline { text, .. } if !text.is_empty())
    );
    let Descriptor::ChainPartition { public_key, .. } = decode("chain_partition_descriptor.bin")
    else {
        panic!("kind")
    };
    assert!(!public_key.is_empty());
}

#[test]
fn every_descriptor_that_is_cut_short_is_refused() {
    let Some(folder) = support::corpus("avb/descriptors") else {
        return;
    };
    for path in support::files(&folder, "bin") {
        let bytes = fs::read(&path).expect("readable");
        for size in 1..bytes.len() {
            assert!(
                decode_descriptors(&bytes[..size], 0).is_err(),
                "{} cut to {size}",
                path.display()
            );
        }
    }
}

#[test]
fn descriptor_of_an_unknown_kind_is_refused() {
    let bytes = [9u64.to_be_bytes(), 8u64.to_be_bytes(), [0; 8]].concat();
    assert_eq!(
        decode_descriptors(&bytes, 0).map_err(|error| error.code),
        Err(ErrorCode::Unsupported)
    );
}

/// libavb says OK to many of these and lists fewer descriptors than there are.
#[test]
fn broken_images_are_refused_and_good_ones_read() {
    let Some(folder) = support::corpus("sig-avb") else {
        return;
    };
    let manifest = support::json(&folder.join("manifest.json"));
    let files = manifest["files"].as_object().expect("files");
    for (name, facts) in files {
        if facts["expect"] == "footer" {
            continue; // a whole partition, no image
        }
        let image = fs::read(folder.join(name)).expect("readable");
        let decoded = decode_vbmeta(&image);
        assert_eq!(
            decoded.is_ok(),
            facts["policy_verdict"] == "accept",
            "{name}: {decoded:?}"
        );
    }
}

#[test]
fn every_flipped_bit_of_a_signed_image_is_refused_or_outside_what_is_hashed() {
    let Some(path) = support::corpus("sig-avb/good/SHA256_RSA4096.img") else {
        return;
    };
    let good = fs::read(path).expect("readable");
    let signature = 256 + 32..256 + 32 + 512;
    for at in (0..256)
        .chain(256..288)
        .chain(832..good.len())
        .filter(|at| !signature.contains(at))
    {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(decode_vbmeta(&bad).is_err(), "byte {at}");
    }
}

/// Found by the fuzzer: the place for error messages was computed before it was known to be inside the image.
#[test]
fn extents_at_the_end_of_all_numbers_are_refused() {
    let mut image = vec![0; 256 + 64];
    image[..4].copy_from_slice(b"AVB0");
    image[7] = 1;
    image[27] = 64;
    assert!(decode_vbmeta(&image).is_ok());
    // Offset and size of hash, signature, public key, its metadata and descriptors.
    for at in (32..112).step_by(8) {
        let mut bad = image.clone();
        bad[at..at + 8].fill(0xff);
        assert!(decode_vbmeta(&bad).is_err(), "extent at {at}");
    }
}
