//! The decoders, each with its samples and what it may cost.

use std::cell::RefCell;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::OnceLock;

use microbuild_dice::certificate::read_claims;
use microbuild_dice::{cbor, Handover};
use microbuild_formats::apk::{decode_signed_data_v3, decode_v3_signers, find_sections};
use microbuild_formats::avb::{decode_descriptors, decode_vbmeta};
use microbuild_formats::bootconfig::{decode_trailer, Bootconfig};
use microbuild_formats::der::{certificate_public_key, decode_public_key, PublicKey};
use microbuild_formats::idsig::{decode_idsig, encode_signed_data};
use microbuild_formats::payload_metadata::decode_metadata;
use microbuild_formats::zip::{
    copy_entry, read_archive, read_strict, Archive, CopyError, Entry, Method,
};
use microbuild_formats::{android_manifest, FormatError};
use microbuild_manager::payload_config::PayloadConfig;
use microbuild_manager::verify::algorithm::Algorithm;
use microbuild_manager::verify::public_key::is_signed_by;
use microbuild_manager::verify::{verify_v3, VerifyError, PLATFORM_SDK};
use microbuild_rpc::{
    Lock, Parcel, ParcelReader, Server, Service, SessionTable, Status, Transport, TransportError,
};
use microbuild_zipfuse::{FileSystem, Owner};

use crate::seeds;

/// A decoder. Memory may be `memory_base + memory_factor * input` bytes.
pub struct Target {
    pub name: &'static str,
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Returns a number for the kind of answer.
    pub decode: fn(&[u8]) -> u64,
    pub size_max: usize,
    pub memory_base: usize,
    pub memory_factor: usize,
}

const KIB: usize = 1024;

/// All of them, in the order in which a boot meets them.
#[must_use]
pub fn all() -> Vec<Target> {
    let target = |name, seeds, decode| Target {
        name,
        seeds,
        decode,
        size_max: 64 * KIB,
        memory_base: 64 * KIB,
        memory_factor: 4,
    };
    vec![
        target("bootconfig", bootconfigs, bootconfig),
        target("vbmeta", seeds::vbmetas, |bytes| {
            answer(decode_vbmeta(bytes))
        }),
        target(
            "avb-descriptors",
            || seeds::files("avb/descriptors", ".bin", 64 * 1024),
            |bytes| answer(decode_descriptors(bytes, 0)),
        ),
        target(
            "payload-metadata",
            || seeds::files("payload-metadata", ".bin", 64 * 1024),
            |bytes| answer(decode_metadata(bytes)),
        ),
        target(
            "idsig",
            || seeds::files("idsig-unsigned", ".idsig", 64 * 1024),
            idsig,
        ),
        Target {
            // A record of 46 bytes becomes an entry with its name, twice in the index of names.
            memory_base: 512 * KIB,
            memory_factor: 24,
            ..target("zip", seeds::apks, zip)
        },
        Target {
            // A window, tables, and a piece of input and of output.
            memory_base: 256 * KIB,
            ..target("zip-contents", Vec::new, zip_contents)
        },
        Target {
            memory_base: 1536 * KIB,
            ..target("apk-v3", seeds::apks, apk_v3)
        },
        target("v3-signers", seeds::v3_blocks, v3_signers),
        target("der", || seeds::files("apkverify", ".der", 8192), der),
        Target {
            // Arithmetic with numbers of 16384 bits.
            memory_base: 256 * KIB,
            ..target(
                "public-key",
                || seeds::files("apkverify", ".der", 8192),
                public_key,
            )
        },
        target("android-manifest", seeds::manifests, |bytes| {
            answer(android_manifest::decode_manifest(bytes))
        }),
        target("payload-config", payload_configs, payload_config),
        Target {
            memory_base: 512 * KIB,
            ..target("fuse", seeds::fuse_requests, fuse)
        },
        Target {
            // A body may be 600 KiB, and is read once its size has been.
            memory_base: 2048 * KIB,
            ..target("rpc-server", seeds::rpc_streams, rpc_server)
        },
        target("rpc-parcel", Vec::new, rpc_parcel),
        target("cbor", || seeds::files("dice", ".dat", 65_536), dice),
    ]
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The kind of answer: accepted, or which field was wrong and how. Where it was does not matter.
fn answer<T>(result: Result<T, FormatError>) -> u64 {
    match result {
        Ok(_) => 0,
        Err(error) => hash((error.code as u8, error.field)),
    }
}

/// The kind of an error that only has a text: without its numbers.
fn answer_text<T>(result: Result<T, impl Debug>) -> u64 {
    match result {
        Ok(_) => 0,
        Err(error) => {
            let text = format!("{error:?}");
            let kind = text.chars().filter(|c| !c.is_ascii_digit()).take(80);
            hash(kind.collect::<String>())
        }
    }
}

fn bootconfigs() -> Vec<Vec<u8>> {
    let mut found = seeds::texts(&[
        "androidboot.vbmeta.size = 4096\nmicrobuild.payload.certificates = \"sha256:00\", 'b'\n",
        "a = b # comment\nc\nd = \"\"\n",
    ]);
    for name in ["normal", "debuggable", "common"] {
        found.extend(seeds::files("bootconfig", name, 64 * 1024));
    }
    // As a trailer too: text, padding, size, sum, magic.
    let trailers: Vec<Vec<u8>> = found
        .iter()
        .map(|text| {
            let mut bytes = text.clone();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let sum = bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
            let size = bytes.len() as u32;
            bytes.extend(size.to_le_bytes());
            bytes.extend(sum.to_le_bytes());
            bytes.extend(b"#BOOTCONFIG\n");
            bytes
        })
        .collect();
    found.extend(trailers);
    found
}

fn bootconfig(bytes: &[u8]) -> u64 {
    let trailer = answer(decode_trailer(bytes));
    let text = answer(Bootconfig::parse(&String::from_utf8_lossy(bytes)));
    hash((trailer, text))
}

fn idsig(bytes: &[u8]) -> u64 {
    answer(decode_idsig(bytes).inspect(|idsig| {
        let _ = encode_signed_data(idsig, 7);
    }))
}

fn zip(bytes: &[u8]) -> u64 {
    let strict = find_sections(bytes).and_then(|sections| {
        let archive = read_archive(bytes, &sections)?;
        let files = archive.files.len();
        let strict = read_strict(bytes, &sections)?;
        assert_eq!(strict.len(), files);
        Ok(archive)
    });
    match strict {
        Err(error) => answer::<()>(Err(error)),
        Ok(archive) => {
            let count = archive.files.len() + archive.directories.len();
            let owner = Owner { uid: 0, gid: 0 };
            let view = FileSystem::new(bytes.to_vec(), archive, owner);
            hash((count, view.is_ok()))
        }
    }
}

/// A DEFLATE stream whose sizes and CRC are in front of it.
fn zip_contents(bytes: &[u8]) -> u64 {
    let Some((head, data)) = bytes.split_first_chunk::<8>() else {
        return 1;
    };
    let [a, b, c, d, e, f, g, h] = *head;
    let entry = Entry {
        name: String::new(),
        mode: None,
        method: if a & 1 == 0 {
            Method::Deflated
        } else {
            Method::Stored
        },
        crc32: u32::from_le_bytes([b, c, d, e]),
        compressed_size: data.len() as u64,
        size: u64::from(u32::from_le_bytes([f, g, h, 0])),
        data_offset: 0,
    };
    let mut size = 0u64;
    let copied = copy_entry(data, &entry, |part| {
        size += part.len() as u64;
        if size > 4 * 1024 * 1024 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    });
    assert!(size <= entry.size, "more than declared");
    match copied {
        Ok(()) => 0,
        Err(CopyError::Format(error)) => answer::<()>(Err(error)),
        Err(CopyError::Sink(_)) => 2,
    }
}

fn apk_v3(bytes: &[u8]) -> u64 {
    let verified = find_sections(bytes)
        .map_err(VerifyError::from)
        .and_then(|sections| verify_v3(bytes, &sections, PLATFORM_SDK));
    match verified {
        Ok(_) => 0,
        Err(VerifyError::Format(error)) => answer::<()>(Err(error)),
        Err(VerifyError::Rejected(rejection)) => hash(std::mem::discriminant(&rejection)),
    }
}

fn v3_signers(bytes: &[u8]) -> u64 {
    let signers = decode_v3_signers(bytes).and_then(|signers| {
        for signer in &signers {
            decode_signed_data_v3(signer.signed_data)?;
        }
        Ok(())
    });
    hash((answer(signers), answer(decode_signed_data_v3(bytes))))
}

fn der(bytes: &[u8]) -> u64 {
    hash((
        answer(certificate_public_key(bytes)),
        answer(decode_public_key(bytes)),
    ))
}

/// Is a hostile key, or a hostile signature by a good one, only ever refused?
fn public_key(bytes: &[u8]) -> u64 {
    let (key, signature) = bytes.split_at(bytes.len().saturating_sub(72));
    // As long as the modulus, or it would be refused before any arithmetic.
    let long = match decode_public_key(bytes) {
        Ok(PublicKey::Rsa { modulus, .. }) => {
            vec![signature.first().copied().unwrap_or(1); modulus.len()]
        }
        _ => Vec::new(),
    };
    let id = match bytes.last().map_or(0, |last| last % 5) {
        0 => 0x0101,
        1 => 0x0103,
        2 => 0x0104,
        3 => 0x0201,
        _ => 0x0202,
    };
    let verified = Algorithm::from_id(id).is_some_and(|algorithm| {
        let is_signed = |key, signature| is_signed_by(key, algorithm, b"data", signature);
        is_signed(key, signature) || is_signed(bytes, signature) || is_signed(bytes, &long)
    });
    hash((verified, id, answer(decode_public_key(bytes))))
}

fn payload_configs() -> Vec<Vec<u8>> {
    let mut found = seeds::files("config", ".json", 16_384);
    found.extend(seeds::texts(&[
        "{\"task\": {\"type\": \"microdroid_launcher\", \"command\": \"liba.so\"}}",
        "[1, -2.5e3, \"\\u00e9\\ud83d\\ude00\", null, true, {}]",
    ]));
    found
}

fn payload_config(bytes: &[u8]) -> u64 {
    let json = microbuild_manager::json::parse(bytes);
    hash((answer_text(json), answer_text(PayloadConfig::parse(bytes))))
}

fn fuse(request: &[u8]) -> u64 {
    static VIEW: OnceLock<Option<FileSystem<Vec<u8>>>> = OnceLock::new();
    let view = VIEW.get_or_init(|| {
        let entry = |name: &str, method| Entry {
            name: name.to_owned(),
            mode: None,
            method,
            crc32: 0x1234,
            compressed_size: 3000,
            size: 3000,
            data_offset: 10,
        };
        let files = vec![
            entry("lib/a.so", Method::Stored),
            entry("b", Method::Deflated),
        ];
        let archive = Archive {
            files,
            directories: Vec::new(),
        };
        FileSystem::new(vec![0x5a; 4000], archive, Owner { uid: 0, gid: 0 }).ok()
    });
    let mut reply = Vec::new();
    let has_reply = view
        .as_ref()
        .is_some_and(|view| view.answer(request, &mut reply));
    let len = reply.first_chunk().map(|len| u32::from_ne_bytes(*len));
    assert!(
        !has_reply || len == Some(reply.len() as u32),
        "the reply's own size"
    );
    hash((has_reply, reply.get(4..8), reply.len().min(200)))
}

/// Reads what it was given, and counts what is sent back.
struct Stream<'a> {
    input: &'a [u8],
    sent: usize,
}

impl Transport for Stream<'_> {
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        let (read, rest) = self
            .input
            .split_at_checked(buffer.len())
            .ok_or(TransportError::Closed)?;
        buffer.copy_from_slice(read);
        self.input = rest;
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.sent += bytes.len();
        Ok(())
    }
}

/// Reads its arguments in as many ways as there are.
struct Anything;

impl Service for Anything {
    fn descriptor(&self) -> &str {
        "a"
    }

    fn on_transact(&self, code: u32, data: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        read_parcel(code as u8, data)?;
        Ok(Parcel::reply())
    }
}

fn read_parcel(kind: u8, data: &mut ParcelReader<'_>) -> Result<(), Status> {
    match kind % 8 {
        0 => data.read_i32().map(drop)?,
        1 => data.read_optional_string().map(drop)?,
        2 => data.read_optional_bytes().map(drop)?,
        3 => data.read_binder().map(drop)?,
        4 => data.read_status().map(drop)?,
        5 => data.read_length(4).map(drop)?,
        6 => data.read_optional_utf16().map(drop)?,
        _ => data.read_u64().map(drop)?,
    }
    Ok(())
}

struct Sessions(RefCell<SessionTable>);

impl Lock<SessionTable> for Sessions {
    fn with<R>(&self, change: impl FnOnce(&mut SessionTable) -> R) -> R {
        Lock::with(&self.0, change)
    }
}

fn rpc_server(bytes: &[u8]) -> u64 {
    let sessions = Sessions(RefCell::new(SessionTable::new()));
    let server = Server::new(Anything, sessions);
    let mut stream = Stream {
        input: bytes,
        sent: 0,
    };
    let served = server.serve(&mut stream, [7; 32]);
    hash((answer_text(served), stream.sent.min(500)))
}

/// The first byte says how many reads, those behind it which.
fn rpc_parcel(bytes: &[u8]) -> u64 {
    let (kinds, data) = bytes.split_at(bytes.len().min(8));
    let mut parcel = Parcel::request("");
    parcel.write_raw(data);
    let mut reader = parcel.reader();
    let reads: Vec<bool> = kinds
        .iter()
        .map(|kind| read_parcel(*kind, &mut reader).is_ok())
        .collect();
    hash((reads, kinds.iter().map(|kind| kind % 8).collect::<Vec<_>>()))
}

fn dice(bytes: &[u8]) -> u64 {
    hash((
        answer_text(Handover::decode(bytes).map(drop)),
        answer_text(read_claims(bytes).map(drop)),
        answer_text(cbor::decode_bytes(bytes).map(drop)),
    ))
}
