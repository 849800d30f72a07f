//! Metadata partitions after Android's schema.

mod support;

use microbuild_formats::hex;
use microbuild_formats::payload_metadata::{decode_metadata, Payload};
use microbuild_formats::ErrorCode;

fn message(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

/// version 1, an APK with its three names, a payload library.
fn minimal() -> Vec<u8> {
    let apk = b"\x1a\x0b\x0a\x03apk\x12\x01a\x1a\x01i";
    let config = b"\x2a\x08\x0a\x06lib.so";
    [b"\x08\x01", &apk[..], config].concat()
}

#[test]
fn samples_decode_to_their_partitions_and_payloads() {
    let Some(folder) = support::corpus("payload-metadata") else {
        return;
    };
    let manifest = support::json(&folder.join("manifest.json"));
    for case in manifest["cases"].as_array().expect("cases") {
        let file = case["file"].as_str().expect("file");
        let bytes = hex::decode(case["hex"].as_str().expect("hex")).expect("hex");
        let metadata = decode_metadata(&bytes).expect(file);
        assert_eq!(
            metadata.apk.payload_partition_name, "microdroid-apk",
            "{file}"
        );
        assert_eq!(
            metadata.apk.idsig_partition_name, "microdroid-apk-idsig",
            "{file}"
        );
        match file {
            "config_path.bin" | "with_apex.bin" => {
                assert_eq!(
                    metadata.payload,
                    Payload::ConfigPath("/mnt/apk/assets/vm_config.json".into())
                );
            }
            "payload_config_extra2.bin" => {
                let expected = Payload::Config {
                    payload_binary_name: "lib.so".into(),
                    extra_apk_count: 2,
                };
                assert_eq!(metadata.payload, expected);
            }
            _ => assert!(
                matches!(
                    metadata.payload,
                    Payload::Config {
                        extra_apk_count: 0,
                        ..
                    }
                ),
                "{file}"
            ),
        }
        let apexes: Vec<_> = metadata
            .apexes
            .iter()
            .map(|apex| apex.partition_name.as_str())
            .collect();
        assert_eq!(
            apexes,
            if file == "with_apex.bin" {
                &["microdroid-apex-0"][..]
            } else {
                &[]
            }
        );
    }
}

#[test]
fn partition_may_be_padded_with_zeros_only() {
    let mut partition = message(&minimal());
    partition.resize(4096, 0);
    assert!(decode_metadata(&partition).is_ok());
    partition[4095] = 1;
    assert_eq!(
        decode_metadata(&partition).map_err(|error| error.code),
        Err(ErrorCode::Trailing)
    );
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let with = |more: &[u8]| {
        decode_metadata(&message(&[&minimal(), more].concat())).map_err(|error| error.code)
    };
    assert!(with(b"").is_ok());
    assert_eq!(with(b"\x08\x01"), Err(ErrorCode::Duplicate), "version");
    assert_eq!(with(b"\x1a\x00"), Err(ErrorCode::Duplicate), "apk");
    assert_eq!(
        with(b"\x22\x01x"),
        Err(ErrorCode::Duplicate),
        "both payloads"
    );
    assert_eq!(
        with(b"\x30\x01"),
        Err(ErrorCode::Unsupported),
        "unknown field"
    );
    assert_eq!(
        with(b"\x31\x00\x00\x00\x00\x00\x00\x00\x00"),
        Err(ErrorCode::Unsupported),
        "wire type"
    );
    assert_eq!(
        with(b"\x12\xff\xff\xff\xff\x0f"),
        Err(ErrorCode::Truncated),
        "length"
    );
    assert_eq!(
        with(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        Err(ErrorCode::BadValue),
        "varint"
    );
}

#[test]
fn missing_parts_are_refused() {
    for body in [
        &b""[..],
        b"\x08\x01",
        b"\x08\x02",
        &minimal()[2..],
        &minimal()[..15],
    ] {
        assert!(decode_metadata(&message(body)).is_err(), "{body:?}");
    }
    assert_eq!(
        decode_metadata(&[0xff; 8]).map_err(|error| error.code),
        Err(ErrorCode::TooLarge)
    );
    assert_eq!(
        decode_metadata(&[0, 0]).map_err(|error| error.code),
        Err(ErrorCode::Truncated)
    );
}
