//! Signatures that are wrong in all the ways that implementations have been wrong about.

mod support;

use microbuild_formats::hex;
use microbuild_manager::verify::algorithm::{Algorithm, Hash, Scheme};
use microbuild_manager::verify::public_key::is_signed_by;

/// Judges every test of a file; returns how many there were.
fn judge(file: &str, scheme: Scheme, hash: Hash) -> usize {
    let Some(folder) = support::corpus("sig-wycheproof") else {
        return 0;
    };
    let path = folder.join(file);
    if !path.exists() {
        return 0; // half of the set is elsewhere
    }
    let algorithm = Algorithm { scheme, hash };
    let vectors = support::json(&path);
    let mut judged = 0;
    for group in vectors["testGroups"].as_array().expect("groups") {
        let text =
            |value: &serde_json::Value| hex::decode(value.as_str().expect("text")).expect("hex");
        let key = text(&group["publicKeyDer"]);
        for test in group["tests"].as_array().expect("tests") {
            let verified = is_signed_by(&key, algorithm, &text(&test["msg"]), &text(&test["sig"]));
            match test["result"].as_str() {
                Some("valid") => assert!(verified, "{file} {}: {}", test["tcId"], test["comment"]),
                Some("invalid") => {
                    assert!(!verified, "{file} {}: {}", test["tcId"], test["comment"])
                }
                _ => {}
            }
            judged += 1;
        }
    }
    judged
}

#[test]
fn ecdsa_verdicts_are_all_right() {
    let curves = ["secp256r1", "secp384r1", "secp521r1"];
    let hashes = [("sha256", Hash::Sha256), ("sha512", Hash::Sha512)];
    let mut judged = 0;
    for (curve, (name, hash)) in curves
        .into_iter()
        .flat_map(|curve| hashes.map(|hash| (curve, hash)))
    {
        judged += judge(
            &format!("ecdsa_{curve}_{name}_test.json"),
            Scheme::Ecdsa,
            hash,
        );
    }
    assert!(
        judged > 800 || support::corpus("sig-wycheproof").is_none(),
        "only {judged} were judged"
    );
}

#[test]
fn rsa_pkcs1_verdicts_are_all_right() {
    let hashes = [("sha256", Hash::Sha256), ("sha512", Hash::Sha512)];
    let mut judged = 0;
    for (bits, (name, hash)) in [2048, 3072, 4096, 8192]
        .into_iter()
        .flat_map(|bits| hashes.map(|hash| (bits, hash)))
    {
        judged += judge(
            &format!("rsa_signature_{bits}_{name}_test.json"),
            Scheme::RsaPkcs1,
            hash,
        );
    }
    assert!(
        judged > 800 || support::corpus("sig-wycheproof").is_none(),
        "only {judged} were judged"
    );
}

#[test]
fn rsa_pss_verdicts_are_all_right() {
    let mut judged = 0;
    for bits in [2048, 3072, 4096] {
        judged += judge(
            &format!("rsa_pss_{bits}_sha256_mgf1_32_test.json"),
            Scheme::RsaPss,
            Hash::Sha256,
        );
        judged += judge(
            &format!("rsa_pss_{bits}_sha512_mgf1_64_test.json"),
            Scheme::RsaPss,
            Hash::Sha512,
        );
    }
    assert!(
        judged > 100 || support::corpus("sig-wycheproof").is_none(),
        "only {judged} were judged"
    );
}
