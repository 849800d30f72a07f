//! APK Signature Scheme v3, with the checks and their order as in apkverify.

use microbuild_formats::apk::{
    decode_signed_data_v3, decode_v3_signers, Sections, SignerV3, SigningBlock,
    SIGNATURE_SCHEME_V3_BLOCK_ID,
};
use microbuild_formats::der::certificate_public_key;
use microbuild_formats::ReadAt;

use super::algorithm::Algorithm;
use super::content_digest;
use super::public_key::is_signed_by;
use super::{Rejection, VerifyError};

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
        .ok_or(Rejection::NoV3Block)?;
    let signers = decode_v3_signers(value)?;
    let mut for_sdk = signers
        .iter()
        .filter(|signer| (signer.min_sdk..=signer.max_sdk).contains(&sdk));
    let signer = match (for_sdk.next(), for_sdk.count()) {
        (Some(signer), 0) => signer,
        (first, more) => {
            let count = more + usize::from(first.is_some());
            return Err(Rejection::SignerCount { sdk, count }.into());
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
        return Err(Rejection::Signature.into());
    }
    let signed = decode_signed_data_v3(signer.signed_data)?;
    if (signed.min_sdk, signed.max_sdk) != (signer.min_sdk, signer.max_sdk) {
        return Err(Rejection::SdkRange.into());
    }
    let ids = |records: &[(u32, &[u8])]| records.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    if ids(&signed.digests) != ids(&signer.signatures) {
        return Err(Rejection::Algorithms.into());
    }
    let digest = signed
        .digests
        .iter()
        .find(|(known, _)| *known == id)
        .map(|(_, digest)| *digest);
    let computed = content_digest::compute(source, sections, algorithm.hash)?;
    if digest != Some(&computed) {
        let signed = digest.unwrap_or_default().to_vec();
        return Err(Rejection::ContentDigest { computed, signed }.into());
    }
    let certificate = *signed
        .certificates
        .first()
        .ok_or(Rejection::NoCertificate)?;
    if certificate_public_key(certificate)? != signer.public_key {
        return Err(Rejection::CertificateKey.into());
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

/// The signature with the longest digest of those that this guest verifies; of equals the last.
fn strongest<'a>(signer: &SignerV3<'a>) -> Result<(u32, Algorithm, &'a [u8]), Rejection> {
    signer
        .signatures
        .iter()
        .filter_map(|(id, bytes)| Some((*id, Algorithm::from_id(*id)?, *bytes)))
        .max_by_key(|(_, algorithm, _)| algorithm.hash)
        .ok_or(Rejection::NoSupportedSignature)
}
