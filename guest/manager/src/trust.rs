//! Whose payloads may run: the certificate digests in the bootconfig, which the initrd's digest covers.

use std::fs;

use microbuild_formats::bootconfig::Bootconfig;
use microbuild_formats::hex;
use sha2::{Digest, Sha256, Sha512};

use crate::failure::Failure;

const BOOTCONFIG: &str = "/run/bootconfig";
const KEY: &str = "microbuild.payload.certificates";
const LINK: &str = "payload-certificate";

/// Digests of DER certificates. Empty: nobody is trusted.
#[derive(Debug, PartialEq, Eq)]
pub struct TrustedCertificates(Vec<CertificateDigest>);

#[derive(Debug, PartialEq, Eq)]
enum CertificateDigest {
    Sha256(Vec<u8>),
    Sha512(Vec<u8>),
}

pub fn read() -> Result<TrustedCertificates, Failure> {
    let refuse = |text: String| Failure::verification("bootconfig", text);
    let text = fs::read_to_string(BOOTCONFIG)
        .map_err(|error| refuse(format!("cannot read {BOOTCONFIG}: {error}")))?;
    let config = Bootconfig::parse(&text).map_err(|error| refuse(error.to_string()))?;
    TrustedCertificates::parse(config.values(KEY)).map_err(refuse)
}

impl TrustedCertificates {
    fn parse(values: &[String]) -> Result<Self, String> {
        values
            .iter()
            .map(|value| parse_digest(value))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Refuses a certificate that is not on the list.
    pub fn check(&self, certificate: &[u8]) -> Result<(), Failure> {
        let sha256 = CertificateDigest::Sha256(Sha256::digest(certificate).to_vec());
        let sha512 = CertificateDigest::Sha512(Sha512::digest(certificate).to_vec());
        if self
            .0
            .iter()
            .any(|trusted| *trusted == sha256 || *trusted == sha512)
        {
            return Ok(());
        }
        let digest = hex::encode(&Sha256::digest(certificate));
        Err(Failure::verification(
            LINK,
            format!("the signer's certificate sha256:{digest} is not trusted"),
        ))
    }
}

fn parse_digest(value: &str) -> Result<CertificateDigest, String> {
    let parsed = value.split_once(':').and_then(|(algorithm, digits)| {
        let digest = hex::decode(digits)?;
        match (algorithm, digest.len()) {
            ("sha256", 32) => Some(CertificateDigest::Sha256(digest)),
            ("sha512", 64) => Some(CertificateDigest::Sha512(digest)),
            _ => None,
        }
    });
    parsed.ok_or_else(|| format!("{KEY} holds \"{value}\", which is no digest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(values: &[String]) -> TrustedCertificates {
        TrustedCertificates::parse(values).expect("valid")
    }

    #[test]
    fn only_a_listed_certificate_is_trusted() {
        let certificate = b"DER";
        let by_sha256 = format!("sha256:{}", hex::encode(&Sha256::digest(certificate)));
        let by_sha512 = format!("sha512:{}", hex::encode(&Sha512::digest(certificate)));
        assert!(trusted(&[]).check(certificate).is_err());
        assert!(trusted(std::slice::from_ref(&by_sha256))
            .check(certificate)
            .is_ok());
        assert!(trusted(&[by_sha512, by_sha256.clone()])
            .check(certificate)
            .is_ok());
        assert!(trusted(&[by_sha256]).check(b"other").is_err());
    }

    #[test]
    fn list_with_anything_but_digests_is_refused_as_a_whole() {
        let good = format!("sha256:{}", "ab".repeat(32));
        for bad in [
            "",
            "sha256:",
            "sha256:zz",
            "sha1:00",
            "md5:00",
            &"ab".repeat(32),
            &format!("sha512:{}", "ab".repeat(32)),
        ] {
            assert!(
                TrustedCertificates::parse(&[good.clone(), bad.to_owned()]).is_err(),
                "{bad}"
            );
        }
    }
}
