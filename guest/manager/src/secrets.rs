//! The payload's secrets: what the host hands over for the system, taken one DICE stage further to this payload. The
//! system's own secrets are gone before the payload starts.

use microbuild_dice::derive::{Cdi, Hash};
use microbuild_dice::{Handover, InstanceSecret, PayloadConfig, PayloadMeasurement};
use microbuild_formats::hex;
use microbuild_rpc::{Error, Exception};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::host::ERROR_ROLLBACK;
use crate::{lock, SharedHost};

const VERSION_LINK: &str = "payload-version";

pub struct Secrets {
    instance: InstanceSecret,
    cdi_attest: Cdi,
    chain: Vec<u8>,
    authority_hash: Hash,
    is_new_instance: bool,
    allows_restricted_calls: bool,
}

impl Secrets {
    /// Asks the host to admit what was verified, takes the handover and derives the payload's stage from it. Before
    /// anything of the payload runs, which could otherwise ask first.
    pub fn derive(host: &SharedHost, payload: &PayloadMeasurement) -> Result<Self, Failure> {
        let mut host = lock(host);
        let packages: Vec<&str> = payload.apks.iter().map(|apk| &apk.package[..]).collect();
        // Android's versions are `long`s; the bits are the same.
        let versions: Vec<i64> = payload
            .apks
            .iter()
            .map(|apk| apk.version_code as i64)
            .collect();
        let signers: Vec<String> = payload
            .apks
            .iter()
            .map(|apk| hex::encode(&Sha256::digest(&apk.certificate)))
            .collect();
        let signers: Vec<&str> = signers.iter().map(String::as_str).collect();
        host.admit_payload(&packages, &versions, &signers)
            .map_err(refusal)?;
        let handover = host
            .take_dice_handover()
            .map_err(Failure::cannot("take the secrets of this instance"))?;
        let is_new_instance = host
            .is_new_instance()
            .map_err(Failure::cannot("ask whether the instance is new"))?;
        Self::of(&handover, payload, is_new_instance)
            .map_err(Failure::cannot("derive the payload's secrets"))
    }

    pub(crate) fn of(
        handover: &[u8],
        payload: &PayloadMeasurement,
        is_new_instance: bool,
    ) -> Result<Self, microbuild_dice::Error> {
        let stage = payload.stage(&Handover::decode(handover)?)?;
        Ok(Self {
            instance: InstanceSecret::new(&stage.cdis.seal),
            cdi_attest: stage.cdis.attest.clone(),
            chain: stage.chain().to_vec(),
            authority_hash: payload.authority_hash(),
            is_new_instance,
            allows_restricted_calls: matches!(payload.config, PayloadConfig::Path(_)),
        })
    }

    /// What getVmInstanceSecret answers.
    pub fn payload_secret(&self, identifier: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
        self.instance.payload_secret(identifier, size)
    }

    /// A secret for a use that `salt` names, of this payload's signers alone.
    pub fn derive_for_signers<const N: usize>(
        &self,
        salt: &[u8],
        info: [&[u8]; 3],
    ) -> Zeroizing<[u8; N]> {
        let [first, second, third] = info;
        self.instance
            .derive(salt, &[&self.authority_hash, first, second, third])
    }

    pub fn is_new_instance(&self) -> bool {
        self.is_new_instance
    }

    /// CBOR array: the root's key, a certificate for each stage. `None` for a payload that may not see it: it tells
    /// machines apart.
    pub fn restricted_chain(&self) -> Option<&[u8]> {
        self.allows_restricted_calls.then_some(&self.chain)
    }

    /// `None` as [`Self::restricted_chain`].
    pub fn restricted_cdi(&self) -> Option<&[u8]> {
        self.allows_restricted_calls.then_some(&self.cdi_attest[..])
    }
}

fn refusal(error: Error) -> Failure {
    match error {
        Error::Exception(Exception {
            code: Exception::SERVICE_SPECIFIC,
            service_specific: ERROR_ROLLBACK,
            message,
        }) => Failure::changed(VERSION_LINK, message.unwrap_or_default()),
        error => Failure::cannot("have the payload admitted")(error),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use microbuild_dice::certificate::Extras;
    use microbuild_dice::{ApkMeasurement, Config, Input, Mode};

    use super::*;

    /// What a host hands over for an instance of this first byte.
    pub fn handover(instance: u8) -> Zeroizing<Vec<u8>> {
        let zeros = [0; 64];
        let input = Input {
            code_hash: &zeros,
            config: Config::Descriptor(&[0xa0]),
            authority_hash: &zeros,
            mode: Mode::Normal,
            hidden: &zeros,
        };
        let system = Handover::root(&[instance; 32]).next(&input, Extras::default());
        system.expect("a stage").encode()
    }

    pub fn measurement(version: u64, signer: &[u8]) -> PayloadMeasurement {
        PayloadMeasurement {
            apks: vec![ApkMeasurement {
                package: "dev.microbuild.test".into(),
                version_code: version,
                root_hash: vec![version as u8; 32],
                certificate: signer.to_vec(),
            }],
            config: PayloadConfig::Binary("libtest.so".into()),
            debuggable: false,
        }
    }

    pub fn secrets(instance: u8, payload: &PayloadMeasurement) -> Secrets {
        Secrets::of(&handover(instance), payload, true).expect("secrets")
    }

    fn secret(instance: u8, payload: &PayloadMeasurement) -> Vec<u8> {
        secrets(instance, payload)
            .payload_secret(b"id", 32)
            .to_vec()
    }

    #[test]
    fn secret_stays_with_instance_and_signer_through_updates() {
        let first = secret(1, &measurement(1, b"signer"));
        assert_eq!(first, secret(1, &measurement(2, b"signer")));
        assert_ne!(
            first,
            secret(2, &measurement(1, b"signer")),
            "another instance"
        );
        assert_ne!(
            first,
            secret(1, &measurement(1, b"other")),
            "another signer"
        );
        let debuggable = PayloadMeasurement {
            debuggable: true,
            ..measurement(1, b"signer")
        };
        assert_ne!(first, secret(1, &debuggable), "debug mode");
        let mut extra = measurement(1, b"signer");
        extra.apks.push(measurement(1, b"other").apks.remove(0));
        assert_ne!(first, secret(1, &extra), "an extra APK by somebody else");
    }

    #[test]
    fn attestation_secret_changes_with_the_code() {
        let (one, two) = (
            secrets(1, &measurement(1, b"s")),
            secrets(1, &measurement(2, b"s")),
        );
        assert_ne!(*one.cdi_attest, *two.cdi_attest);
        assert_ne!(one.chain, two.chain);
    }

    #[test]
    fn only_a_payload_with_a_configuration_file_sees_the_chain() {
        let plain = secrets(1, &measurement(1, b"s"));
        assert!(plain.restricted_chain().is_none() && plain.restricted_cdi().is_none());
        let configured = PayloadMeasurement {
            config: PayloadConfig::Path("/mnt/apk/assets/vm_config.json".into()),
            ..measurement(1, b"s")
        };
        let configured = secrets(1, &configured);
        assert!(configured
            .restricted_chain()
            .is_some_and(|chain| chain[0] == 0x83));
        assert!(configured
            .restricted_cdi()
            .is_some_and(|cdi| cdi.len() == 32));
    }
}
