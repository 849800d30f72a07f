//! Who signed an APK, and is it all of it: the rules of Android's apkverify.
//!
//! AOSP Virtualization libs/apkverify. Scheme v3 only; one signer for this platform; no fall-back to v2, no rotation.

pub mod algorithm;
mod content_digest;
mod idsig;
pub mod public_key;
mod v3;

use std::fmt;

use microbuild_formats::{hex, FormatError};

pub use idsig::verify_idsig;
pub use v3::{verify_v3, VerifiedApk};

/// The platform that signers' SDK ranges are compared with: Android 15, whose Microdroid this guest follows.
pub const PLATFORM_SDK: u32 = 35;

/// The bytes are not an APK, or the APK is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    Format(FormatError),
    Rejected(Rejection),
}

/// Which check said no; in the order in which they are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    NoV3Block,
    SignerCount { sdk: u32, count: usize },
    NoSupportedSignature,
    Signature,
    SdkRange,
    Algorithms,
    ContentDigest { computed: Vec<u8>, signed: Vec<u8> },
    NoCertificate,
    CertificateKey,
    IdsigContentDigest,
    IdsigSigner,
    IdsigAlgorithm(u32),
    IdsigSignature,
}

impl From<FormatError> for VerifyError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl From<Rejection> for VerifyError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::Rejected(rejection) => rejection.fmt(f),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignerCount { sdk, count } => {
                return write!(f, "{count} signers are for SDK {sdk}, there must be one")
            }
            Self::ContentDigest { computed, signed } => {
                let (computed, signed) = (hex::encode(computed), hex::encode(signed));
                return write!(f, "the contents' digest is {computed}, signed was {signed}");
            }
            Self::IdsigAlgorithm(id) => {
                return write!(
                    f,
                    "the idsig's signature algorithm {id:#06x} is not supported"
                )
            }
            Self::NoV3Block => "there is no APK Signature Scheme v3 block",
            Self::NoSupportedSignature => {
                "no signature has a supported algorithm (DSA is not supported)"
            }
            Self::Signature => "the signature does not verify",
            Self::SdkRange => "the SDK range differs between signed and unsigned data",
            Self::Algorithms => "the algorithms of digests and signatures differ",
            Self::NoCertificate => "no certificate is listed",
            Self::CertificateKey => "the certificate is for another key than the signature",
            Self::IdsigContentDigest => "the idsig is for an APK with another content digest",
            Self::IdsigSigner => "the idsig names another signer than the APK",
            Self::IdsigSignature => "the idsig's signature does not verify",
        })
    }
}

impl std::error::Error for VerifyError {}
