//! APK Signature Scheme v3, with the checks and their order as in apkverify.

use microbuild_formats::apk::{
    decode_v3_signers, Sections, SignerV3, SigningBlock, SIGNATURE_SCHEME_V3_BLOCK_ID,
};
use microbuild_formats::der::certificate_public_key;
use microbuild_formats::{hex, ReadAt};

use super::algorithm::Algorithm;
use super::content_digest;
use super::public_key::is_signed_by;
use super::VerifyError;

/// What a valid signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedApk {
    /// DER of the certificate whose key signed.
    pub certificate: Vec<u8>,
    /// SubjectPublicKeyInfo of that key.
    pub public_key: Vec<u8>,
    /// All content digests that the signer vouches for.
    pub digests: Vec<Vec<u8>>,
}

/// Verifies the one signer for `sdk` and the whole contents.
///
/// # Errors
/// When the signature, the contents, or the way they are put together is wrong.
pub fn verify_v3(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
    sdk: u32,
) -> Result<VerifiedApk, VerifyError> {
    let block = SigningBlock::read(source, sections)?;
    let value = block
        .find(SIGNATURE_SCHEME_V3_BLOCK_ID)?
        .ok_or_else(|| VerifyError::rejected("there is no APK Signature Scheme v3 block"))?;
    let signers = decode_v3_signers(value)?;
    let mut for_sdk = signers
        .iter()
        .filter(|signer| (signer.min_sdk..=signer.max_sdk).contains(&sdk));
    let signer = match (for_sdk.next(), for_sdk.count()) {
        (Some(signer), 0) => signer,
        (None, _) => return Err(VerifyError::rejected(format!("no signer for SDK {sdk}"))),
        (Some(_), more) => {
            return Err(VerifyError::rejected(format!(
                "{} signers for SDK {sdk}, one is supported",
                more + 1
            )))
        }
    };
    verify_signer(source, sections, signer)
}

fn verify_signer(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
    signer: &SignerV3<'_>,
) -> Result<VerifiedApk, VerifyError> {
    let (id, algorithm, signature) = strongest(signer)?;
    if !is_signed_by(signer.public_key, algorithm, signer.signed_data, signature) {
        return Err(VerifyError::rejected("the signature does not verify"));
    }
    let signed = &signer.signed;
    if (signed.min_sdk, signed.max_sdk) != (signer.min_sdk, signer.max_sdk) {
        return Err(VerifyError::rejected(
            "the SDK range differs between signed and unsigned data",
        ));
    }
    let ids = |records: &[(u32, &[u8])]| records.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    if ids(&signed.digests) != ids(&signer.signatures) {
        return Err(VerifyError::rejected(
            "the algorithms of digests and signatures differ",
        ));
    }
    let digest = signed
        .digests
        .iter()
        .find(|(known, _)| *known == id)
        .map(|(_, digest)| *digest);
    let computed = content_digest::compute(source, sections, algorithm.hash)?;
    if digest != Some(&computed) {
        let signed = hex::encode(digest.unwrap_or_default());
        return Err(VerifyError::rejected(format!(
            "the contents' digest is {}, signed was {signed}",
            hex::encode(&computed)
        )));
    }
    let certificate = *signed
        .certificates
        .first()
        .ok_or_else(|| VerifyError::rejected("no certificate is listed"))?;
    if certificate_public_key(certificate)? != signer.public_key {
        return Err(VerifyError::rejected(
            "the certificate is for another key than the signature",
        ));
    }
    Ok(VerifiedApk {
        certificate: certificate.to_vec(),
        public_key: signer.public_key.to_vec(),
        digests: signed
            .digests
            .iter()
            .map(|(_, digest)| digest.to_vec())
            .collect(),
    })
}

/// The signature with the longest digest of those that this guest verifies; of equals the first.
fn strongest<'a>(signer: &SignerV3<'a>) -> Result<(u32, Algorithm, &'a [u8]), VerifyError> {
    let supported = signer
        .signatures
        .iter()
        .filter_map(|(id, bytes)| Some((*id, Algorithm::from_id(*id)?, *bytes)));
    supported
        .reduce(|best, next| {
            if next.1.hash > best.1.hash {
                next
            } else {
                best
            }
        })
        .ok_or_else(|| {
            VerifyError::rejected("no signature has a supported algorithm (DSA is not supported)")
        })
}
