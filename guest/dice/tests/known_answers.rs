//! DICE as others compute it: open-dice's own known answers, and the chain of Android's sample values.

use std::fs;
use std::path::{Path, PathBuf};

use microbuild_dice::certificate::{issue, Extras};
use microbuild_dice::derive::{certificate_id, derive_cdis, derive_key, kdf, sha512, Cdi, Hash};
use microbuild_dice::payload::{encode_descriptor, Subcomponent};
use microbuild_dice::{cbor, Cdis, Config, Handover, Input, Mode, PayloadConfig};
use serde_json::Value;
use zeroize::Zeroizing;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hex text");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn hash(value: &Value) -> Hash {
    unhex(value).try_into().expect("64 bytes")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// How open-dice's tests make up inputs: hashes of a growing hash of a name.
fn fake_input(name: &str, size: usize) -> Vec<u8> {
    let mut state = sha512(&[name.as_bytes()]);
    let mut output = Vec::new();
    while output.len() < size {
        output.extend_from_slice(&sha512(&[&state]));
        let counter = u64::from_le_bytes(state[..8].try_into().expect("8 bytes"));
        state[..8].copy_from_slice(&counter.wrapping_add(1).to_le_bytes());
    }
    output.truncate(size);
    output
}

fn cdi(bytes: &[u8]) -> Cdi {
    Zeroizing::new(bytes.try_into().expect("32 bytes"))
}

fn check(known: &Value, current: &Cdis, input: &Input, extras: Extras) {
    let next = derive_cdis(current, input);
    assert_eq!(hex(&*next.attest), known["cdiAttest"]);
    assert_eq!(hex(&*next.seal), known["cdiSeal"]);
    let subject = derive_key(&next.attest).verifying_key().to_bytes();
    let extras = Extras {
        profile_name: Some("android.18"),
        ..extras
    };
    let certificate = issue(&derive_key(&current.attest), &subject, input, extras);
    assert_eq!(hex(&certificate), known["certificate"]);
}

#[test]
fn known_answers_of_open_dice() {
    let known = json(&repository().join("test/fixtures/dice/open-dice.json"));
    let zeros = [0; 64];
    let mut input = Input {
        code_hash: &zeros,
        config: Config::Inline(&zeros),
        authority_hash: &zeros,
        mode: Mode::NotConfigured,
        hidden: &zeros,
    };
    let zero_cdis = Cdis {
        attest: cdi(&[0; 32]),
        seal: cdi(&[0; 32]),
    };
    check(&known["zeroInput"], &zero_cdis, &input, Extras::default());

    let fake_hash = |name| Hash::try_from(fake_input(name, 64)).expect("64 bytes");
    let code = fake_hash("code_hash");
    let authority = fake_hash("authority_hash");
    let inline = fake_hash("inline_config");
    let cdis = Cdis {
        attest: cdi(&fake_input("cdi_attest", 32)),
        seal: cdi(&fake_input("cdi_seal", 32)),
    };
    input.code_hash = &code;
    input.authority_hash = &authority;
    input.config = Config::Inline(&inline);
    check(&known["hashOnlyInput"], &cdis, &input, Extras::default());

    let config = fake_input("config_desc", 40);
    input.config = Config::Descriptor(&config);
    let extras = Extras {
        code_descriptor: Some(&fake_input("code_desc", 100)),
        authority_descriptor: Some(&fake_input("authority_desc", 65)),
        profile_name: None,
    };
    check(&known["descriptorInput"], &cdis, &input, extras);
}

/// Android's sample values; `None` where the shared test data is absent.
fn golden() -> Option<Value> {
    let root = std::env::var_os("MICROBUILD_CORPUS")
        .map_or_else(|| repository().join("../shared/corpus"), PathBuf::from);
    let path = root.join("dice/golden.json");
    if path.exists() {
        return Some(json(&path));
    }
    eprintln!("corpus: {} is absent, its test is skipped", path.display());
    None
}

#[test]
fn sample_chain_of_android() {
    let Some(golden) = golden() else { return };
    let sample = &golden["sample_chain"];
    let input = |name: &str| hash(&sample["inputs"][name]);
    let uds = unhex(&sample["inputs"]["UDS"]);
    let mut handover = Handover::root(&uds.try_into().expect("32 bytes"));
    for stage in sample["stages"].as_array().expect("stages") {
        let name = stage["name"].as_str().expect("a name");
        let upper = name.to_uppercase();
        let of_android = upper == "ANDROID";
        let mut descriptor = cbor::Writer::default();
        descriptor.map(3).int(-70002).text(name);
        descriptor
            .int(-70003)
            .int(stage["version"].as_i64().expect("a version"));
        descriptor.int(-70004).null();
        let descriptor = descriptor.into_vec();
        let or_zeros = |prefix: &str| match of_android {
            true => [0; 64],
            false => input(&format!("{prefix}_{upper}")),
        };
        let stage = Input {
            code_hash: &or_zeros("CODE_HASH"),
            config: Config::Descriptor(&descriptor),
            authority_hash: &input(&format!("AUTHORITY_HASH_{upper}")),
            mode: Mode::Normal,
            hidden: &or_zeros("HIDDEN"),
        };
        handover = handover.next(&stage, Extras::default()).expect("a stage");
        // What one stage writes the next one reads.
        handover = Handover::decode(&handover.encode()).expect("a handover");
    }
    let expected = &sample["expected"];
    assert_eq!(
        hex(&*handover.cdis.attest),
        expected["EXPECTED_SAMPLE_CDI_ATTEST"]
    );
    assert_eq!(
        hex(&*handover.cdis.seal),
        expected["EXPECTED_SAMPLE_CDI_SEAL"]
    );
    assert_eq!(hex(handover.chain()), expected["EXPECTED_SAMPLE_BCC"]);

    let known = &golden["open_dice"];
    assert_eq!(hex(&sha512(&[b"hello world"])), known["hash(hello world)"]);
    assert_eq!(
        hex(&*kdf::<32>(b"myInitialKeyMaterial", b"mySalt", b"myInfo")),
        known["kdf(ikm=myInitialKeyMaterial,salt=mySalt,info=myInfo,32)"]
    );
    assert_eq!(
        certificate_id(b"MyPubKey"),
        known["certificate_id(MyPubKey)"]
    );
    let seed = sha512(&[b"MySeedString"]);
    let key = derive_key(&seed[..32].try_into().expect("32 bytes"));
    assert_eq!(hex(key.verifying_key().as_bytes()), known["ed25519_public"]);
}

#[test]
fn payload_is_described_in_the_bytes_of_android() {
    let Some(golden) = golden() else { return };
    for each in golden["payload_config_descriptor"]
        .as_array()
        .expect("descriptors")
    {
        let config = match (
            each["config_path"].as_str(),
            each["payload_binary_name"].as_str(),
        ) {
            (Some(path), _) => PayloadConfig::Path(path.into()),
            (None, name) => PayloadConfig::Binary(name.expect("a name").into()),
        };
        let parts = each["subcomponents"].as_array().expect("subcomponents");
        let hashes: Vec<Vec<u8>> = parts.iter().map(|part| unhex(&part["code_hash"])).collect();
        let parts: Vec<Subcomponent<'_>> = parts
            .iter()
            .zip(&hashes)
            .map(|(part, code_hash)| Subcomponent {
                name: part["name"].as_str().expect("a name").into(),
                version: part["version"].as_u64().expect("a version"),
                code_hash,
                authority_hash: unhex(&part["authority_hash"]),
            })
            .collect();
        assert_eq!(hex(&encode_descriptor(&config, &parts)), each["cbor"]);
    }
}
