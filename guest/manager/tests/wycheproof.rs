//! Signatures that are wrong in all the ways that implementations have been wrong about. What a file is about is told
//! by its fields, not by its name.

mod support;

use std::collections::BTreeMap;
use std::fs;

use microbuild_formats::hex;
use microbuild_manager::verify::algorithm::{Algorithm, Hash, Scheme};
use microbuild_manager::verify::public_key::is_signed_by;
use serde_json::Value;

/// The algorithm of a group, `None` for one that no APK signature has.
fn algorithm_of(group: &Value) -> Option<Algorithm> {
    let (hash, size) = match group["sha"].as_str()? {
        "SHA-256" => (Hash::Sha256, 32),
        "SHA-512" => (Hash::Sha512, 64),
        _ => return None,
    };
    let scheme = match group["type"].as_str()? {
        "RsassaPkcs1Verify" => Scheme::RsaPkcs1,
        "RsassaPssVerify" if group["mgfSha"] == group["sha"] && group["sLen"] == size => {
            Scheme::RsaPss
        }
        "EcdsaVerify" => {
            let curve = group["publicKey"]["curve"].as_str()?;
            ["secp256r1", "secp384r1", "secp521r1"]
                .contains(&curve)
                .then_some(Scheme::Ecdsa)?
        }
        _ => return None,
    };
    Some(Algorithm { scheme, hash })
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("text")).expect("hexadecimal")
}

#[test]
fn no_verdict_is_wrong() {
    let Some(folder) = support::corpus("sig-wycheproof") else {
        return;
    };
    let mut judged = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let file = support::json(&path);
        for group in file["testGroups"].as_array().expect("groups") {
            let Some(algorithm) = algorithm_of(group) else {
                continue;
            };
            let key = bytes(&group["publicKeyDer"]);
            for test in group["tests"].as_array().expect("tests") {
                let verified =
                    is_signed_by(&key, algorithm, &bytes(&test["msg"]), &bytes(&test["sig"]));
                let expected = match test["result"].as_str() {
                    Some("valid") => true,
                    Some("invalid") => false,
                    _ => continue, // acceptable: either way is right
                };
                if verified != expected {
                    wrong.push(format!(
                        "{} {}: {}",
                        path.display(),
                        test["tcId"],
                        test["comment"]
                    ));
                }
                *judged.entry(format!("{:?}", algorithm.scheme)).or_insert(0) += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (scheme, least) in [("RsaPkcs1", 800), ("RsaPss", 100), ("Ecdsa", 800)] {
        let count = judged.get(scheme).copied().unwrap_or(0);
        assert!(count > least, "only {count} of {scheme} were judged");
    }
}
