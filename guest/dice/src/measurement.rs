//! What the manager has verified of a payload, before anything of it runs.

/// One APK whose signature and bytes hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApkMeasurement {
    /// The manifest's package name.
    pub package: String,
    pub version_code: u64,
    /// Root hash of the APK's v4 Merkle tree.
    pub root_hash: Vec<u8>,
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
}

/// How the metadata names what to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadConfig {
    /// The path of a configuration file below `/mnt/apk`, as the metadata gives it. Unlocks the restricted calls of
    /// IVmPayloadService.
    Path(String),
    /// The file name of the payload's library.
    Binary(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadMeasurement {
    /// The payload first, extra APKs behind it in their order.
    pub apks: Vec<ApkMeasurement>,
    pub config: PayloadConfig,
    pub debuggable: bool,
}
