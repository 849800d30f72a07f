//! The payload's stage, with the formulas of Android's microdroid_manager.

use crate::cbor::{Error, Writer};
use crate::certificate::Extras;
use crate::derive::{sha512, Config, Hash, Input, Mode};
use crate::handover::Handover;
use crate::measurement::{PayloadConfig, PayloadMeasurement};

const COMPONENT_NAME: i64 = -70002;
const CONFIG_PATH: i64 = -71000;
const PAYLOAD_CONFIG: i64 = -71001;
const SUBCOMPONENTS: i64 = -71002;
const PAYLOAD_NAME: &str = "Microdroid payload";

/// One part of the payload, as the descriptor lists it.
pub struct Subcomponent<'a> {
    /// `apk:` and the package.
    pub name: String,
    pub version: u64,
    pub code_hash: &'a [u8],
    /// SHA-512 of the signer's DER certificate.
    pub authority_hash: Vec<u8>,
}

pub fn encode_descriptor(config: &PayloadConfig, subcomponents: &[Subcomponent<'_>]) -> Vec<u8> {
    let mut descriptor = Writer::default();
    descriptor.map(2 + usize::from(!subcomponents.is_empty()));
    descriptor.int(COMPONENT_NAME).text(PAYLOAD_NAME);
    match config {
        PayloadConfig::Path(path) => descriptor.int(CONFIG_PATH).text(path),
        PayloadConfig::Binary(name) => descriptor.int(PAYLOAD_CONFIG).map(1).int(1).text(name),
    };
    if !subcomponents.is_empty() {
        descriptor.int(SUBCOMPONENTS).array(subcomponents.len());
        for each in subcomponents {
            descriptor.map(4).int(1).text(&each.name);
            descriptor.int(2).uint(each.version);
            descriptor.int(3).bytes(each.code_hash);
            descriptor.int(4).bytes(&each.authority_hash);
        }
    }
    descriptor.into_vec()
}

impl PayloadMeasurement {
    /// Whose payload it is: a hash of the signers' certificates, the same for each version they sign.
    pub fn authority_hash(&self) -> Hash {
        let signers: Vec<Hash> = self
            .apks
            .iter()
            .map(|apk| sha512(&[&apk.certificate]))
            .collect();
        let parts: Vec<&[u8]> = signers.iter().map(|hash| &hash[..]).collect();
        sha512(&parts)
    }

    fn code_hash(&self) -> Hash {
        let roots: Vec<&[u8]> = self.apks.iter().map(|apk| &apk.root_hash[..]).collect();
        sha512(&roots)
    }

    fn descriptor(&self) -> Vec<u8> {
        let parts: Vec<Subcomponent<'_>> = self
            .apks
            .iter()
            .map(|apk| Subcomponent {
                name: format!("apk:{}", apk.package),
                version: apk.version_code,
                code_hash: &apk.root_hash,
                authority_hash: sha512(&[&apk.certificate]).to_vec(),
            })
            .collect();
        encode_descriptor(&self.config, &parts)
    }

    /// The payload's stage on top of the system's. The instance takes part as the hidden input, as on Android where no
    /// rollback-protected storage is written at the first boot.
    pub fn stage(&self, system: &Handover) -> Result<Handover, Error> {
        let hidden = system.instance_hash()?.unwrap_or([0; 64]);
        let descriptor = self.descriptor();
        let input = Input {
            code_hash: &self.code_hash(),
            config: Config::Descriptor(&descriptor),
            authority_hash: &self.authority_hash(),
            mode: if self.debuggable {
                Mode::Debug
            } else {
                Mode::Normal
            },
            hidden: &hidden,
        };
        system.next(&input, Extras::default())
    }
}
