//! APK Signature Scheme v4: is the idsig this APK's, and did the APK's signer say so?

use microbuild_formats::der::certificate_public_key;
use microbuild_formats::idsig::{encode_signed_data, Idsig};

use super::algorithm::Algorithm;
use super::public_key::is_signed_by;
use super::v3::VerifiedApk;
use super::{Rejection, VerifyError};

/// Checks an idsig against the APK that it lies next to. One that a host made carries no signature: then the root hash is
/// only as good as the v3 digest, which has been computed over every byte that the root hash covers.
///
/// # Errors
/// When the idsig is for other contents, for another signer, or signed wrongly.
pub fn verify_idsig(idsig: &Idsig, apk: &VerifiedApk, apk_size: u64) -> Result<(), VerifyError> {
    let info = &idsig.signing_info;
    if !apk.digests.contains(&info.apk_digest) {
        return Err(Rejection::IdsigContentDigest.into());
    }
    if info.is_unsigned() {
        return Ok(());
    }
    if info.certificate != apk.certificate
        || certificate_public_key(&info.certificate)? != info.public_key
    {
        return Err(Rejection::IdsigSigner.into());
    }
    let algorithm =
        Algorithm::from_id(info.algorithm).ok_or(Rejection::IdsigAlgorithm(info.algorithm))?;
    if !is_signed_by(
        &info.public_key,
        algorithm,
        &encode_signed_data(idsig, apk_size),
        &info.signature,
    ) {
        return Err(Rejection::IdsigSignature.into());
    }
    Ok(())
}
