//! The verdicts of Android's own verifiers, on the files that they are tested with.

mod support;

use std::fs;
use std::path::Path;

use microbuild_formats::apk::find_sections;
use microbuild_formats::hex;
use microbuild_formats::idsig::{decode_idsig, Idsig};
use microbuild_manager::verify::algorithm::Algorithm;
use microbuild_manager::verify::{
    verify_idsig, verify_v3, Rejection, VerifiedApk, VerifyError, PLATFORM_SDK,
};
use sha2::{Digest, Sha256};

fn verify(apk: &[u8], sdk: u32) -> Result<VerifiedApk, VerifyError> {
    verify_v3(apk, &find_sections(apk)?, sdk)
}

/// A platform in each of the ranges that apksig was asked about.
const RANGES: [(&str, u32); 3] = [("24-27", 27), ("28-32", 32), ("34-10000", PLATFORM_SDK)];

/// DSA, which apksig verifies and apkverify does not.
fn has_supported_signature(block: &serde_json::Value) -> bool {
    let is_known = |signature: &serde_json::Value| {
        let id = signature["alg"]
            .as_str()
            .and_then(|id| id.strip_prefix("0x"));
        let id = id.and_then(|id| u32::from_str_radix(id, 16).ok());
        id.is_some_and(|id| Algorithm::from_id(id).is_some())
    };
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let v3 = list(&block["block"]["pairs"])
        .into_iter()
        .find(|pair| pair["id"] == "0xf05368c0");
    let signers = v3.map(|pair| list(&pair["signers"])).unwrap_or_default();
    signers
        .iter()
        .any(|signer| list(&signer["signatures"]).iter().any(is_known))
}

/// Scheme v3 alone, as in apkverify: what apksig verifies by v3.1 or by v2 is refused here, and the rest must agree.
fn agrees_with_apksig(folder: &Path) -> usize {
    let expected = support::json(&folder.join("EXPECTED_verify.json"));
    let blocks = support::json(&folder.join("EXPECTED_blocks.json"));
    let mut judged = 0;
    for (name, verdicts) in expected.as_object().expect("files") {
        let Ok(apk) = fs::read(folder.join(name)) else {
            continue;
        };
        for (range, sdk) in RANGES {
            let verdict = &verdicts[range];
            // apksig takes v3 from Android 9 (28) on; the file says what it found at 28 for earlier platforms.
            let is_v3 =
                |verdict: &serde_json::Value| verdict["v3"] == true && verdict["v31"] != true;
            let expects = (is_v3(verdict) || (sdk < 28 && is_v3(&verdicts["28-32"])))
                && has_supported_signature(&blocks[name]);
            let result = verify(&apk, sdk);
            assert_eq!(result.is_ok(), expects, "{name} at {sdk}: {result:?}");
            if sdk >= 28 && !expects {
                // Absent where apksig threw, on what is no ZIP archive.
                let error = verdict["errors"][0].as_str();
                check_reason(&format!("{name} at {sdk}"), error, result.clone().err());
            }
            if let (Ok(verified), Some(certificate)) = (result, verdict["v3_certs"][0].as_str()) {
                assert_eq!(
                    hex::encode(&Sha256::digest(verified.certificate)),
                    certificate,
                    "{name}"
                );
            }
            judged += 1;
        }
    }
    judged
}

#[test]
fn verdicts_agree_with_apksig_on_the_files_of_apkverify() {
    let Some(folder) = support::corpus("apkverify") else {
        return;
    };
    assert!(agrees_with_apksig(&folder) >= 30);
}

#[test]
fn keys_and_digests_are_those_that_apkverify_finds() {
    let Some(folder) = support::corpus("apkverify") else {
        return;
    };
    let mut compared = 0;
    for entry in fs::read_dir(&folder).expect("readable").flatten() {
        let (Ok(key), Ok(digest)) = (
            fs::read(entry.path().with_extension("apk.der")),
            fs::read(entry.path().with_extension("apk.apk_digest")),
        ) else {
            continue;
        };
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "apk")
        {
            let verified =
                verify(&fs::read(entry.path()).expect("readable"), PLATFORM_SDK).expect("verifies");
            assert_eq!(verified.public_key, key, "{:?}", entry.path());
            assert!(verified.digests.contains(&digest), "{:?}", entry.path());
            compared += 1;
        }
    }
    assert!(compared >= 5, "only {compared} were compared");
}

/// The check that fails in the guest, by apksig's name of it.
fn check_reason(name: &str, apksig: Option<&str>, error: Option<VerifyError>) {
    let Some(VerifyError::Rejected(rejection)) = error else {
        return assert!(error.is_some(), "{name}, the guest accepts");
    };
    let agrees = match apksig.and_then(|error| error.strip_prefix("V3_SIG_")) {
        Some("NO_SUPPORTED_SIGNATURES") => rejection == Rejection::NoSupportedSignature,
        Some("DID_NOT_VERIFY") => rejection == Rejection::Signature,
        Some("APK_DIGEST_DID_NOT_VERIFY") => {
            matches!(rejection, Rejection::ContentDigest { .. })
        }
        Some("NO_CERTIFICATES") => rejection == Rejection::NoCertificate,
        Some("PUBLIC_KEY_MISMATCH_BETWEEN_CERTIFICATE_AND_SIGNATURES_RECORD") => {
            rejection == Rejection::CertificateKey
        }
        Some("SIG_ALG_MISMATCH_BETWEEN_SIGNATURES_AND_DIGESTS_RECORDS") => {
            rejection == Rejection::Algorithms
        }
        // What the guest has no word of its own for, or finds later or not at all.
        _ => true,
    };
    // DSA, which apksig reads and the guest does not.
    assert!(
        agrees || rejection == Rejection::NoSupportedSignature,
        "{name}, the guest {rejection:?}"
    );
}

#[test]
fn what_apksig_refuses_for_its_v3_signature_is_refused() {
    let Some(folder) = support::corpus("sig-apksig") else {
        return;
    };
    let manifest = support::json(&folder.join("manifest.json"));
    let mut judged = 0;
    for (name, facts) in manifest["files"].as_object().expect("files") {
        let Ok(apk) = fs::read(folder.join("apk").join(name)) else {
            continue;
        };
        let errors = facts["oracle_default"]["apksig14_errors"]
            .as_array()
            .expect("errors");
        let Some(error) = errors.iter().find(|error| {
            error
                .as_str()
                .is_some_and(|text| text.starts_with("V3_SIG_"))
        }) else {
            continue;
        };
        let name = format!("{name}: apksig says {error}");
        check_reason(&name, error.as_str(), verify(&apk, PLATFORM_SDK).err());
        judged += 1;
    }
    assert!(judged >= 5, "only {judged} were judged");
}

/// The APK of apkverify with the shortest way from a byte to a verdict.
fn sample() -> Option<Vec<u8>> {
    let path = support::corpus("apkverify")?.join("v3-only-with-ecdsa-sha512-p384.apk");
    Some(fs::read(path).expect("readable"))
}

#[test]
fn no_byte_outside_the_signing_block_can_change() {
    let Some(good) = sample() else { return };
    assert!(verify(&good, PLATFORM_SDK).is_ok());
    let sections = find_sections(&good[..]).expect("sections");
    let block = sections.signing_block_offset as usize..sections.central_directory_offset as usize;
    for at in (0..good.len())
        .filter(|at| !block.contains(at))
        .step_by(97)
        .chain(good.len() - 22..good.len())
    {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(verify(&bad, PLATFORM_SDK).is_err(), "byte {at}");
    }
}

#[test]
fn platform_outside_the_signers_range_is_refused() {
    let Some(good) = sample() else { return };
    let (sdk, count) = (1, 0);
    assert_eq!(
        verify(&good, sdk),
        Err(Rejection::SignerCount { sdk, count }.into())
    );
    // The v3 signer of this one is for 24 to 32; the v3.1 signer for what comes then is not looked at.
    let folder = support::corpus("apkverify").expect("the corpus");
    let rotated = fs::read(folder.join("v31-rsa-2048_2-tgt-33-1-tgt-28.apk")).expect("readable");
    for (sdk, verifies) in [(23, false), (24, true), (32, true), (33, false)] {
        assert_eq!(verify(&rotated, sdk).is_ok(), verifies, "SDK {sdk}");
    }
}

fn v4_samples() -> Vec<(String, VerifiedApk, Idsig, u64)> {
    let Some(folder) = support::corpus("sig-apksig") else {
        return Vec::new();
    };
    let mut samples = Vec::new();
    for entry in fs::read_dir(folder.join("idsig"))
        .expect("readable")
        .flatten()
    {
        let name = entry
            .file_name()
            .to_string_lossy()
            .trim_end_matches(".idsig")
            .to_owned();
        let Ok(apk) = fs::read(folder.join("apk").join(&name)) else {
            continue;
        };
        let Ok(verified) = verify(&apk, PLATFORM_SDK) else {
            continue;
        }; // v2 only
        let idsig = decode_idsig(&fs::read(entry.path()).expect("readable")[..]).expect("decodes");
        samples.push((name, verified, idsig, apk.len() as u64));
    }
    samples
}

#[test]
fn idsigs_of_apksigner_verify_against_their_apks_and_no_other() {
    let samples = v4_samples();
    if samples.is_empty() {
        return eprintln!("skipped: no corpus");
    }
    assert!(samples.len() >= 5);
    for (name, apk, idsig, size) in &samples {
        assert_eq!(verify_idsig(idsig, apk, *size), Ok(()), "{name}");
        assert!(
            verify_idsig(idsig, apk, size + 1).is_err(),
            "{name}: another size"
        );
        let others = samples
            .iter()
            .filter(|(_, other, ..)| other.digests != apk.digests);
        for (other_name, other, ..) in others {
            assert!(
                verify_idsig(idsig, other, *size).is_err(),
                "{name} against {other_name}"
            );
        }
    }
}

#[test]
fn every_part_of_an_idsig_that_is_signed_or_signs_counts() {
    let samples = v4_samples();
    let Some((name, apk, idsig, size)) = samples.into_iter().next() else {
        return;
    };
    let mut idsig = idsig;
    let broken: [fn(&mut Idsig); 9] = [
        |idsig| idsig.root_hash[0] ^= 1,
        |idsig| idsig.salt.push(0),
        |idsig| idsig.signing_info.apk_digest[0] ^= 1,
        |idsig| idsig.signing_info.certificate[40] ^= 1,
        |idsig| idsig.signing_info.additional_data.push(0),
        |idsig| idsig.signing_info.public_key[40] ^= 1,
        |idsig| idsig.signing_info.algorithm = 0x0104,
        |idsig| idsig.signing_info.algorithm = 0x0301,
        |idsig| idsig.signing_info.signature[0] ^= 1,
    ];
    for (index, breaks) in broken.into_iter().enumerate() {
        let good = idsig.clone();
        breaks(&mut idsig);
        assert!(
            verify_idsig(&idsig, &apk, size).is_err(),
            "{name}: case {index}"
        );
        idsig = good;
    }
    // Without a signature only the APK's digest binds it, and half a signature is a wrong one.
    idsig.signing_info.signature.clear();
    assert!(verify_idsig(&idsig, &apk, size).is_err());
    idsig.signing_info.certificate.clear();
    idsig.signing_info.public_key.clear();
    assert_eq!(verify_idsig(&idsig, &apk, size), Ok(()));
    idsig.signing_info.apk_digest[0] ^= 1;
    assert!(verify_idsig(&idsig, &apk, size).is_err());
}
