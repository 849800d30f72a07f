//! The package and version of binary manifests: those of Android's own tools, and those that two readers read differently.

mod support;

use std::fs;

use microbuild_formats::android_manifest::{decode_manifest, Manifest};
use microbuild_formats::apk::find_sections;
use microbuild_formats::zip::{copy_entry, read_strict};
use microbuild_formats::ErrorCode;
use support::Numbers;

const NONE: u32 = u32::MAX;
const STRING: u8 = 0x03;
const DECIMAL: u8 = 0x10;
const HEXADECIMAL: u8 = 0x11;
const NAMESPACE: &str = "http://schemas.android.com/apk/res/android";
const VERSION_CODE: u32 = 0x0101_021b;
const VERSION_CODE_MAJOR: u32 = 0x0101_0576;

/// The strings of every document here; the resource map covers the first two.
const STRINGS: [&str; 9] = [
    "versionCode",
    "versionCodeMajor",
    "package",
    "manifest",
    NAMESPACE,
    "dev.example.app",
    "0x1f",
    "http://example.com",
    "no package",
];
const VERSION: u32 = 0;
const MAJOR: u32 = 1;
const PACKAGE: u32 = 2;
const MANIFEST: u32 = 3;
const ANDROID: u32 = 4;
const NAME: u32 = 5;
const NUMBER: u32 = 6;
const OTHER: u32 = 7;
const BAD_NAME: u32 = 8;

fn chunk(kind: u16, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((8 + header.len() as u16).to_le_bytes());
    bytes.extend((8 + header.len() as u32 + body.len() as u32).to_le_bytes());
    [&bytes, header, body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn string_pool(is_utf8: bool) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for text in STRINGS {
        index.push(data.len() as u32);
        if is_utf8 {
            data.extend([text.len() as u8, text.len() as u8]);
            data.extend(text.bytes());
            data.push(0);
        } else {
            data.extend((text.len() as u16).to_le_bytes());
            data.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            data.extend([0, 0]);
        }
    }
    data.resize(data.len().next_multiple_of(4), 0);
    let count = STRINGS.len() as u32;
    let header = words(&[count, 0, u32::from(is_utf8) << 8, 28 + 4 * count, 0]);
    chunk(1, &header, &[words(&index), data].concat())
}

#[derive(Clone, Copy)]
struct Attribute {
    namespace: u32,
    name: u32,
    raw: u32,
    kind: u8,
    data: u32,
}

const fn number(name: u32, kind: u8, data: u32) -> Attribute {
    Attribute {
        namespace: ANDROID,
        name,
        raw: NONE,
        kind,
        data,
    }
}

const PACKAGE_IS_NAME: Attribute = Attribute {
    namespace: NONE,
    name: PACKAGE,
    raw: NAME,
    kind: STRING,
    data: NAME,
};

fn start(namespace: u32, name: u32, attributes: &[Attribute]) -> Vec<u8> {
    let mut body = words(&[namespace, name]);
    for field in [20, 20, attributes.len() as u16, 0, 0, 0] {
        body.extend(field.to_le_bytes());
    }
    for attribute in attributes {
        body.extend(words(&[attribute.namespace, attribute.name, attribute.raw]));
        body.extend([8, 0, 0, attribute.kind]);
        body.extend(words(&[attribute.data]));
    }
    chunk(0x0102, &words(&[1, NONE]), &body)
}

fn end() -> Vec<u8> {
    chunk(0x0103, &words(&[1, NONE]), &words(&[NONE, MANIFEST]))
}

fn document(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(3, &[], &chunks.concat())
}

fn resource_map() -> Vec<u8> {
    chunk(0x0180, &[], &words(&[VERSION_CODE, VERSION_CODE_MAJOR]))
}

fn with_attributes(attributes: &[Attribute]) -> Vec<u8> {
    document(&[
        string_pool(false),
        resource_map(),
        start(NONE, MANIFEST, attributes),
        start(NONE, OTHER, &[]),
        end(),
        end(),
    ])
}

fn decode(bytes: &[u8]) -> Result<(String, u64), (ErrorCode, &'static str)> {
    decode_manifest(bytes)
        .map(|manifest| (manifest.package, manifest.version_code))
        .map_err(|error| (error.code, error.field))
}

#[test]
fn version_is_that_of_both_halves() {
    let name = STRINGS[NAME as usize].to_owned();
    for (attributes, version) in [
        (&[PACKAGE_IS_NAME][..], 0),
        (&[PACKAGE_IS_NAME, number(VERSION, DECIMAL, 7)], 7),
        (
            &[number(VERSION, HEXADECIMAL, 0xffff_ffff), PACKAGE_IS_NAME],
            0xffff_ffff,
        ),
        (
            &[
                number(VERSION, DECIMAL, 7),
                number(MAJOR, DECIMAL, 2),
                PACKAGE_IS_NAME,
            ],
            2 << 32 | 7,
        ),
        // As aapt writes an attribute that it does not know to be a number.
        (
            &[
                PACKAGE_IS_NAME,
                Attribute {
                    raw: NUMBER,
                    ..number(VERSION, STRING, NUMBER)
                },
            ],
            0x1f,
        ),
    ] {
        assert_eq!(
            decode(&with_attributes(attributes)),
            Ok((name.clone(), version))
        );
    }
}

#[test]
fn both_encodings_of_strings_and_a_document_without_resource_map_are_read() {
    for is_utf8 in [false, true] {
        let attributes = [number(VERSION, DECIMAL, 3), PACKAGE_IS_NAME];
        let file = document(&[
            string_pool(is_utf8),
            start(NONE, MANIFEST, &attributes),
            end(),
        ]);
        assert_eq!(
            decode_manifest(&file),
            Ok(Manifest {
                package: "dev.example.app".into(),
                version_code: 3
            })
        );
    }
}

#[test]
fn what_two_readers_read_differently_is_refused() {
    let good = [number(VERSION, DECIMAL, 7), PACKAGE_IS_NAME];
    let element = || start(NONE, MANIFEST, &good);
    let refused = |attributes: &[Attribute]| decode(&with_attributes(attributes)).unwrap_err();
    assert_eq!(refused(&[]), (ErrorCode::BadValue, "package"));
    let twice = [PACKAGE_IS_NAME, PACKAGE_IS_NAME];
    assert_eq!(refused(&twice), (ErrorCode::Duplicate, "package"));
    let twice = [good[0], good[0], good[1]];
    assert_eq!(refused(&twice), (ErrorCode::Duplicate, "versionCode"));
    let two_texts = Attribute {
        raw: OTHER,
        ..PACKAGE_IS_NAME
    };
    assert_eq!(refused(&[two_texts]), (ErrorCode::BadValue, "package"));
    let no_name = Attribute {
        raw: BAD_NAME,
        data: BAD_NAME,
        ..PACKAGE_IS_NAME
    };
    assert_eq!(refused(&[no_name]), (ErrorCode::BadValue, "package"));
    let no_text = Attribute {
        kind: DECIMAL,
        ..PACKAGE_IS_NAME
    };
    assert_eq!(refused(&[no_text]), (ErrorCode::BadValue, "package"));
    // The id says versionCode, the namespace another.
    let foreign = Attribute {
        namespace: OTHER,
        ..good[0]
    };
    assert_eq!(
        refused(&[foreign, good[1]]),
        (ErrorCode::BadValue, "versionCode")
    );
    let no_number = number(VERSION, STRING, OTHER);
    assert_eq!(
        refused(&[no_number, good[1]]),
        (ErrorCode::BadValue, "versionCode")
    );
    for (chunks, error) in [
        (
            vec![string_pool(false), string_pool(false), element(), end()],
            (ErrorCode::Duplicate, "string pool"),
        ),
        (
            vec![string_pool(false), element(), string_pool(false), end()],
            (ErrorCode::Duplicate, "string pool"),
        ),
        (
            vec![string_pool(false), element(), resource_map(), end()],
            (ErrorCode::Duplicate, "resource map"),
        ),
        (
            vec![string_pool(false), element(), end(), element(), end()],
            (ErrorCode::Duplicate, "root element"),
        ),
        (
            vec![string_pool(false), element()],
            (ErrorCode::Truncated, "root element"),
        ),
        (
            vec![string_pool(false), element(), end(), end()],
            (ErrorCode::BadValue, "end element"),
        ),
        (
            vec![string_pool(false), end()],
            (ErrorCode::BadValue, "end element"),
        ),
        (vec![element(), end()], (ErrorCode::BadValue, "string pool")),
        (
            vec![string_pool(false), start(NONE, OTHER, &good), end()],
            (ErrorCode::BadValue, "root element"),
        ),
        (
            vec![string_pool(false), start(ANDROID, MANIFEST, &good), end()],
            (ErrorCode::BadValue, "root element"),
        ),
        (
            vec![string_pool(false)],
            (ErrorCode::Truncated, "root element"),
        ),
    ] {
        assert_eq!(decode(&document(&chunks)), Err(error));
    }
    let mut trailing = with_attributes(&good);
    trailing.push(0);
    assert_eq!(decode(&trailing), Err((ErrorCode::Trailing, "file")));
}

#[test]
fn work_is_bounded_by_the_bytes_of_the_file() {
    // Each of 65535 attributes has the same name, which is a string of a megabyte.
    let long = 1 << 20;
    let mut pool = words(&[0]);
    pool.extend(
        [0x8000 | (long >> 16) as u16, long as u16]
            .map(u16::to_le_bytes)
            .concat(),
    );
    pool.resize(pool.len() + 2 * long, b'a');
    let pool = chunk(1, &words(&[1, 0, 0, 32, 0]), &pool);
    let attribute = Attribute {
        namespace: NONE,
        name: 0,
        raw: NONE,
        kind: DECIMAL,
        data: 0,
    };
    let file = document(&[pool, start(NONE, 0, &[attribute; 65_535]), end()]);
    assert_eq!(decode(&file), Err((ErrorCode::BadValue, "root element")));
    let mut deep = vec![string_pool(true), start(NONE, MANIFEST, &[PACKAGE_IS_NAME])];
    deep.extend(vec![start(NONE, OTHER, &[]); 64]);
    assert_eq!(
        decode(&document(&deep)),
        Err((ErrorCode::TooLarge, "depth"))
    );
    let large = vec![0; 4 * 1024 * 1024 + 1];
    assert_eq!(decode(&large), Err((ErrorCode::TooLarge, "file")));
}

#[test]
fn any_bytes_decode_or_are_refused() {
    let mut numbers = Numbers(11);
    let good = with_attributes(&[number(VERSION, DECIMAL, 7), PACKAGE_IS_NAME]);
    for size in 0..good.len() {
        assert!(decode(&good[..size]).is_err(), "cut at {size}");
    }
    for _ in 0..20_000 {
        let _ = decode(&numbers.damage(&good));
    }
}

#[test]
fn manifests_of_real_apks_are_read() {
    let Some(folder) = support::corpus("sig-apksig/apk") else {
        return;
    };
    let mut read = 0;
    for path in support::files(&folder, "apk") {
        let apk = fs::read(&path).expect("readable");
        let Ok(entries) = find_sections(&apk[..]).and_then(|found| read_strict(&apk[..], &found))
        else {
            continue;
        };
        let Some(entry) = entries
            .iter()
            .find(|entry| entry.name == "AndroidManifest.xml")
        else {
            continue;
        };
        let mut bytes = Vec::new();
        let copied = copy_entry(&apk[..], entry, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        });
        if copied.is_err() || !bytes.starts_with(&[3, 0, 8, 0]) {
            continue; // no binary XML, where that is not what the sample is about
        }
        let manifest = decode_manifest(&bytes).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(manifest.package.contains('.'), "{path:?}: {manifest:?}");
        read += 1;
    }
    assert!(read >= 20, "only {read} were read");
}
