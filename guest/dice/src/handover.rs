//! The secrets of a stage with the chain that leads to its key, in the form in which Android hands them over
//! ("BccHandover").

use zeroize::Zeroizing;

use crate::cbor::{decode_bytes, Error, Reader, Writer};
use crate::certificate::{encode_key, issue, read_claims, Extras};
use crate::derive::{derive_cdis, derive_key, Cdi, Cdis, Hash, Input, CDI_SIZE};

const CDI_ATTEST: i64 = 1;
const CDI_SEAL: i64 = 2;
const CHAIN: i64 = 3;
/// More stages than any machine has; a chain has one certificate for each.
const STAGES_MAX: usize = 64;
/// A label of AVF's in the system's configuration descriptor.
const INSTANCE_HASH: i64 = -71003;

#[derive(Clone)]
pub struct Handover {
    pub cdis: Cdis,
    /// CBOR array: the root's COSE_Key, a certificate for each stage.
    chain: Vec<u8>,
}

impl Handover {
    /// A root without any stage; its UDS stands for both secrets.
    pub fn root(uds: &[u8; CDI_SIZE]) -> Self {
        let mut chain = Writer::default();
        let key = derive_key(uds).verifying_key().to_bytes();
        chain.array(1).raw(&encode_key(&key));
        let uds = Zeroizing::new(*uds);
        let cdis = Cdis {
            attest: uds.clone(),
            seal: uds,
        };
        Self {
            cdis,
            chain: chain.into_vec(),
        }
    }

    /// Reads a handover, and checks that the chain leads to the key that the secret gives.
    ///
    /// # Errors
    /// Whatever is not the three parts, or a chain that is another machine's.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (mut attest, mut seal, mut chain) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.int_map(|label, value| {
            match label {
                CDI_ATTEST => attest = Some(cdi(value)?),
                CDI_SEAL => seal = Some(cdi(value)?),
                CHAIN => chain = Some(value.to_vec()),
                _ => return Err(Error("DICE: a handover with an unknown part")),
            }
            Ok(())
        })?;
        reader.end()?;
        let (Some(attest), Some(seal), Some(chain)) = (attest, seal, chain) else {
            return Err(Error("DICE: a handover lacks a part"));
        };
        let cdis = Cdis { attest, seal };
        let handover = Self { cdis, chain };
        let key = derive_key(&handover.cdis.attest).verifying_key().to_bytes();
        let entries = handover.entries()?;
        let vouched = match entries.as_slice() {
            [] => return Err(Error("DICE: a chain without a root")),
            [root] => root,
            [.., last] => read_claims(last)?.subject_public_key,
        };
        if vouched != encode_key(&key) {
            return Err(Error("DICE: the chain leads to another key"));
        }
        Ok(handover)
    }

    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut handover = Writer::with_capacity(self.chain.len() + 128);
        handover.map(3);
        handover.int(CDI_ATTEST).bytes(&*self.cdis.attest);
        handover.int(CDI_SEAL).bytes(&*self.cdis.seal);
        handover.int(CHAIN).raw(&self.chain);
        handover.finish()
    }

    pub fn chain(&self) -> &[u8] {
        &self.chain
    }

    fn entries(&self) -> Result<Vec<&[u8]>, Error> {
        let mut reader = Reader::new(&self.chain);
        let count = reader.array()?;
        if count > STAGES_MAX + 1 {
            return Err(Error("DICE: a chain of too many stages"));
        }
        let entries = (0..count).map(|_| reader.raw()).collect();
        reader.end().and(entries)
    }

    /// Which instance the machine is, by the configuration of the last stage; `None` where it does not say.
    pub fn instance_hash(&self) -> Result<Option<Hash>, Error> {
        let entries = self.entries()?;
        let [_, .., last] = entries.as_slice() else {
            return Ok(None);
        };
        let mut hash = None;
        let mut descriptor = Reader::new(read_claims(last)?.config_descriptor);
        descriptor.int_map(|label, value| {
            if label == INSTANCE_HASH {
                let value = decode_bytes(value)?;
                hash = Some(
                    value
                        .try_into()
                        .map_err(|_| Error("DICE: an instance hash of another size"))?,
                );
            }
            Ok(())
        })?;
        descriptor.end()?;
        Ok(hash)
    }

    /// The secrets and the chain of the next stage.
    pub fn next(&self, input: &Input, extras: Extras) -> Result<Self, Error> {
        let cdis = derive_cdis(&self.cdis, input);
        let subject = derive_key(&cdis.attest).verifying_key().to_bytes();
        let certificate = issue(&derive_key(&self.cdis.attest), &subject, input, extras);
        let entries = self.entries()?;
        let mut chain = Writer::default();
        chain.array(entries.len() + 1);
        for entry in entries {
            chain.raw(entry);
        }
        chain.raw(&certificate);
        Ok(Self {
            cdis,
            chain: chain.into_vec(),
        })
    }
}

fn cdi(encoded: &[u8]) -> Result<Cdi, Error> {
    let bytes: &[u8; CDI_SIZE] = decode_bytes(encoded)?
        .try_into()
        .map_err(|_| Error("DICE: a secret of another size"))?;
    Ok(Zeroizing::new(*bytes))
}
