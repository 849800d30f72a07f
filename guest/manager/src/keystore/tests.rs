//! The keystore as a payload sees it, and as node:crypto and OpenSSL compute it (test/golden/dice-guest.test.ts).

use std::fs;
use std::path::Path;

use microbuild_dice::{ApkMeasurement, Handover, PayloadConfig, PayloadMeasurement};
use microbuild_formats::hex;
use serde_json::Value;

use super::*;
use crate::secrets::tests::{measurement, secrets};
use crate::secrets::Secrets;

struct Spec<'a>(&'a str, i32, i32);

impl Spec<'_> {
    fn write(&self, parcel: &mut Parcel) {
        parcel.write_i32(1);
        let start = parcel.position();
        parcel.write_i32(0);
        parcel.write_str(self.0);
        parcel.write_i32(self.1);
        parcel.write_i32(self.2);
        let end = parcel.position();
        parcel.set_position(start).expect("a position");
        parcel.write_i32((end - start) as i32);
        parcel.set_position(end).expect("a position");
    }
}

fn call(keystore: &Keystore, code: u32, write: impl FnOnce(&mut Parcel)) -> Result<Parcel, Status> {
    let mut arguments = Parcel::new();
    write(&mut arguments);
    keystore.on_transact(code, &mut arguments.reader())
}

fn with_key(keystore: &Keystore, code: u32, spec: &Spec, data: &[&[u8]]) -> Result<Parcel, Status> {
    call(keystore, code, |arguments| {
        spec.write(arguments);
        for each in data {
            arguments.write_bytes(each);
        }
    })
}

fn read<T>(
    reply: Result<Parcel, Status>,
    read: impl FnOnce(&mut ParcelReader<'_>) -> Result<T, StatusCode>,
) -> T {
    let reply = reply.expect("a reply");
    let mut reader = reply.reader();
    reader
        .read_status()
        .expect("a status")
        .expect("no exception");
    read(&mut reader).expect("a value")
}

fn bytes(reply: Result<Parcel, Status>) -> Vec<u8> {
    read(reply, |reader| Ok(reader.read_bytes()?.to_vec()))
}

fn refusal(reply: Result<Parcel, Status>) -> i32 {
    match reply {
        Err(Status::Exception(exception)) => {
            assert_eq!(exception.code, Exception::SERVICE_SPECIFIC);
            exception.service_specific
        }
        other => panic!("no refusal: {other:?}"),
    }
}

fn keystore() -> Keystore {
    Keystore::new(Arc::new(secrets(1, &measurement(1, b"signer"))))
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex text")).expect("hex")
}

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/fixtures/dice/guest.json");
    serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON")
}

fn fixture_secrets(fixture: &Value) -> Secrets {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let payload = PayloadMeasurement {
        apks: fixture["payload"]["apks"]
            .as_array()
            .expect("APKs")
            .iter()
            .map(|apk| ApkMeasurement {
                package: text(&apk["package"]),
                version_code: text(&apk["versionCode"]).parse().expect("a version"),
                root_hash: unhex(&apk["rootHash"]),
                certificate: unhex(&apk["certificate"]),
            })
            .collect(),
        config: PayloadConfig::Binary(text(&fixture["payload"]["library"])),
        debuggable: false,
    };
    let handover = unhex(&fixture["handover"]);
    let system = Handover::decode(&handover).expect("a handover");
    assert_eq!(system.encode().as_slice(), handover);
    let stage = payload.stage(&system).expect("a stage");
    assert_eq!(hex::encode(&stage.encode()), fixture["payloadStage"]);
    assert_eq!(
        hex::encode(&payload.authority_hash()),
        fixture["authorityHash"]
    );
    Secrets::of(&handover, &payload, false).expect("secrets")
}

#[test]
fn secrets_and_keys_are_those_of_openssl() {
    let fixture = fixture();
    let secrets = fixture_secrets(&fixture);
    for each in fixture["instanceSecrets"].as_array().expect("secrets") {
        let identifier = each["identifier"]
            .as_str()
            .expect("an identifier")
            .as_bytes();
        let size = each["size"].as_u64().expect("a size") as usize;
        let secret = secrets.payload_secret(identifier, size);
        assert_eq!(hex::encode(&secret), each["secret"]);
    }
    let keystore = Keystore::new(Arc::new(secrets));
    let message = fixture["message"].as_str().expect("a message").as_bytes();
    let aad = fixture["aad"].as_str().expect("data").as_bytes();
    for key in fixture["keys"].as_array().expect("keys") {
        let number = |name: &str| key[name].as_i64().expect("a number") as i32;
        let alias = key["alias"].as_str().expect("an alias");
        let spec = Spec(alias, number("algorithm"), number("version"));
        match spec.1 {
            0 => {
                let derived = call(&keystore, DERIVE_KEY, |arguments| {
                    arguments.write_str(alias);
                    arguments.write_i32(spec.2);
                });
                assert_eq!(hex::encode(&bytes(derived)), key["derived"]);
            }
            1 | 2 => {
                let public = bytes(with_key(&keystore, GET_PUBLIC_KEY, &spec, &[]));
                assert_eq!(hex::encode(&public), key["publicKey"]);
                let signature = bytes(with_key(&keystore, SIGN, &spec, &[message]));
                assert_eq!(hex::encode(&signature), key["signature"]);
            }
            3 => {
                let mac = bytes(with_key(&keystore, MAC, &spec, &[message]));
                assert_eq!(hex::encode(&mac), key["mac"]);
            }
            _ => {
                let sealed = unhex(&key["sealed"]);
                let opened = bytes(with_key(&keystore, OPEN, &spec, &[&sealed, aad]));
                assert_eq!(opened, message);
                let fresh = unhex(&fixture["fresh"]).try_into().expect("32 bytes");
                let spec = KeySpec {
                    alias: alias.into(),
                    algorithm: spec::Algorithm::Aes256Gcm,
                    version: 0,
                };
                let Ok(Key::Sealing(own)) = Key::derive(&keystore.secrets, &spec) else {
                    panic!("no sealing key");
                };
                assert_eq!(seal::seal(&own, &fresh, message, aad), sealed);
            }
        }
    }
}

#[test]
fn signatures_and_macs_are_verified_and_told_from_others() {
    let keystore = keystore();
    for algorithm in 1..=3 {
        let spec = Spec("key", algorithm, 0);
        let make = if algorithm == 3 { MAC } else { SIGN };
        let made = bytes(with_key(&keystore, make, &spec, &[b"message"]));
        let verify = |spec: &Spec, message: &[u8], signature: &[u8]| {
            let reply = with_key(&keystore, VERIFY, spec, &[message, signature]);
            read(reply, |reader| reader.read_bool())
        };
        assert!(verify(&spec, b"message", &made));
        assert!(!verify(&spec, b"massage", &made));
        assert!(!verify(&Spec("key", algorithm, 1), b"message", &made));
        assert!(!verify(&Spec("kez", algorithm, 0), b"message", &made));
        assert!(!verify(&spec, b"message", b""));
        for at in 0..made.len() {
            let mut changed = made.clone();
            changed[at] ^= 1;
            assert!(!verify(&spec, b"message", &changed), "byte {at}");
            assert!(!verify(&spec, b"message", &made[..at]), "{at} bytes");
        }
        assert_eq!(made, bytes(with_key(&keystore, make, &spec, &[b"message"])));
    }
}

#[test]
fn what_is_sealed_is_opened_by_the_same_key_with_the_same_data_only() {
    let keystore = keystore();
    let spec = Spec("box", 4, 0);
    for plaintext in [&b""[..], b"x", &[7; DATA_SIZE_MAX]] {
        let sealed = bytes(with_key(&keystore, SEAL, &spec, &[plaintext, b"aad"]));
        assert_eq!(sealed.len(), plaintext.len() + seal::OVERHEAD);
        let opened = with_key(&keystore, OPEN, &spec, &[&sealed, b"aad"]);
        assert_eq!(bytes(opened), plaintext);
        let again = bytes(with_key(&keystore, SEAL, &spec, &[plaintext, b"aad"]));
        assert_ne!(again, sealed, "each sealing has a salt of its own");
        for (spec, aad) in [(&spec, &b"add"[..]), (&Spec("box", 4, 1), b"aad")] {
            let refused = with_key(&keystore, OPEN, spec, &[&sealed, aad]);
            assert_eq!(refusal(refused), Refusal::CannotOpen as i32);
        }
    }
    let sealed = bytes(with_key(&keystore, SEAL, &spec, &[b"text", b""]));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 0x80;
        for bad in [&changed[..], &sealed[..at]] {
            let refused = with_key(&keystore, OPEN, &spec, &[bad, b""]);
            assert_eq!(refusal(refused), Refusal::CannotOpen as i32);
        }
    }
}

#[test]
fn salt_of_a_sealing_depends_on_the_message_even_when_nothing_is_random() {
    let Ok(Key::Sealing(key)) = Key::derive(
        &secrets(1, &measurement(1, b"signer")),
        &KeySpec {
            alias: "box".into(),
            algorithm: spec::Algorithm::Aes256Gcm,
            version: 0,
        },
    ) else {
        panic!("no sealing key");
    };
    let salt =
        |plaintext: &[u8], aad: &[u8]| seal::seal(&key, &[0; 32], plaintext, aad)[..25].to_vec();
    assert_eq!(salt(b"a", b""), salt(b"a", b""));
    assert_ne!(salt(b"a", b""), salt(b"b", b""));
    assert_ne!(salt(b"ab", b""), salt(b"b", b"a"));
}

#[test]
fn keys_differ_by_alias_algorithm_version_instance_and_signer() {
    let of = |instance, signer: &[u8]| {
        Keystore::new(Arc::new(secrets(instance, &measurement(1, signer))))
    };
    let mut seen = std::collections::BTreeSet::new();
    for (keystore, spec) in [
        (of(1, b"s"), Spec("a", 1, 0)),
        (of(1, b"s"), Spec("b", 1, 0)),
        (of(1, b"s"), Spec("a", 2, 0)),
        (of(1, b"s"), Spec("a", 1, 1)),
        (of(2, b"s"), Spec("a", 1, 0)),
        (of(1, b"t"), Spec("a", 1, 0)),
    ] {
        assert!(seen.insert(bytes(with_key(&keystore, GET_PUBLIC_KEY, &spec, &[]))));
        let generated = with_key(&keystore, GENERATE_KEY, &spec, &[]);
        assert!(seen.contains(&bytes(generated)));
    }
    let symmetric = with_key(&keystore(), GENERATE_KEY, &Spec("a", 4, 0), &[]);
    assert_eq!(bytes(symmetric), b"");
}

#[test]
fn what_is_asked_wrongly_is_refused_by_its_number() {
    let keystore = keystore();
    let public = |spec: &Spec| refusal(with_key(&keystore, GET_PUBLIC_KEY, spec, &[]));
    let long = "a".repeat(129);
    for alias in ["", "two words", "ключ", "a\0", "\u{7f}", &long] {
        assert_eq!(
            public(&Spec(alias, 1, 0)),
            Refusal::BadAlias as i32,
            "{alias:?}"
        );
    }
    for algorithm in [0, 3, 4, 5, -1, i32::MAX] {
        assert_eq!(
            public(&Spec("a", algorithm, 0)),
            Refusal::BadAlgorithm as i32
        );
    }
    assert_eq!(public(&Spec("a", 1, -1)), Refusal::BadVersion as i32);
    let long = vec![0; DATA_SIZE_MAX + 1];
    for (code, algorithm) in [(SIGN, 1), (MAC, 3), (VERIFY, 3), (SEAL, 4), (OPEN, 4)] {
        let longer = [&long[..], &[0; 100]].concat();
        let reply = with_key(&keystore, code, &Spec("a", algorithm, 0), &[&longer, b""]);
        assert_eq!(refusal(reply), Refusal::BadSize as i32, "code {code}");
        let other = with_key(&keystore, code, &Spec("a", 5 - algorithm, 0), &[b"", b""]);
        if code != VERIFY {
            assert_eq!(refusal(other), Refusal::BadAlgorithm as i32, "code {code}");
        }
    }
    for size in [-1, 0, 15, 65, i32::MAX] {
        let reply = call(&keystore, DERIVE_KEY, |arguments| {
            arguments.write_str("a");
            arguments.write_i32(size);
        });
        assert_eq!(refusal(reply), Refusal::BadSize as i32);
    }
}

/// The groups of a file of Wycheproof's; none where the shared test data is absent.
fn wycheproof(name: &str) -> Vec<Value> {
    let root = std::env::var_os("MICROBUILD_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        Into::into,
    );
    let path = root.join("sig-wycheproof").join(name);
    let Ok(bytes) = fs::read(&path) else {
        eprintln!("skipped: no {}", path.display());
        return Vec::new();
    };
    let file: Value = serde_json::from_slice(&bytes).expect("JSON");
    file["testGroups"].as_array().expect("groups").clone()
}

fn each_verdict(group: &Value, verify: impl Fn(&[u8], &[u8]) -> bool) {
    for test in group["tests"].as_array().expect("tests") {
        let found = verify(&unhex(&test["msg"]), &unhex(&test["sig"]));
        assert_eq!(found, test["result"] == "valid", "{test}");
    }
}

#[test]
fn signatures_of_wycheproof_have_its_verdicts() {
    for group in wycheproof("ed25519_test.json") {
        let key = unhex(&group["publicKey"]["pk"])
            .try_into()
            .expect("32 bytes");
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).expect("a key");
        each_verdict(&group, |message, signature| {
            keys::is_ed25519(&key, message, signature)
        });
    }
    for group in wycheproof("ecdsa_secp256r1_sha256_test.json") {
        let key = unhex(&group["publicKey"]["uncompressed"]);
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&key).expect("a key");
        each_verdict(&group, |message, signature| {
            keys::is_p256(&key, message, signature)
        });
    }
}

#[test]
fn junk_is_refused_and_the_machine_goes_on() {
    let keystore = keystore();
    let mut state = 1u32;
    for round in 0..4000 {
        let mut arguments = Parcel::new();
        for _ in 0..round % 12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            arguments.write_u32(match state >> 29 {
                0 => state,
                small => small,
            });
        }
        // A key that is whole by chance is an answer; all else is a status or an exception, never an end.
        let _answer = keystore.on_transact(round % 10, &mut arguments.reader());
    }
    let null = call(&keystore, SIGN, |arguments| arguments.write_i32(0));
    assert!(matches!(
        null,
        Err(Status::Code(StatusCode::UNEXPECTED_NULL))
    ));
}
