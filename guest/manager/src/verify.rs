//! Who signed an APK, and is it all of it: the rules of Android's apkverify.
//!
//! AOSP Virtualization libs/apkverify. Scheme v3 only; one signer for this platform; no fall-back to v2, no rotation.

pub mod algorithm;
mod content_digest;
mod idsig;
pub mod public_key;
mod v3;

use std::fmt;

use microbuild_formats::FormatError;

pub use idsig::verify_idsig;
pub use v3::{verify_v3, VerifiedApk};

/// The platform that signers' SDK ranges are compared with: Android 15, whose Microdroid this guest follows.
pub const PLATFORM_SDK: u32 = 35;

/// The bytes are not an APK, or the APK is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    Format(FormatError),
    Rejected(String),
}

impl VerifyError {
    fn rejected(text: impl Into<String>) -> Self {
        Self::Rejected(text.into())
    }
}

impl From<FormatError> for VerifyError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::Rejected(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for VerifyError {}
