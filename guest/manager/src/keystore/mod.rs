//! IMicrobuildKeystore: keys that are derived from the instance's secret whenever they are used, never stored. An
//! interface of ours; its errors and codes are in docs/guest-interface.md.

mod keys;
mod seal;
mod spec;

use std::sync::Arc;

use microbuild_rpc::{Exception, Parcel, ParcelReader, Service, Status, StatusCode};
use zeroize::Zeroizing;

use crate::local_service::random;
use crate::secrets::Secrets;
use keys::{Key, SealingKey};
use spec::{read_alias, KeySpec};

const DESCRIPTOR: &str = "dev.microbuild.keystore.IMicrobuildKeystore";
const DERIVE_KEY: u32 = 1;
const GENERATE_KEY: u32 = 2;
const GET_PUBLIC_KEY: u32 = 3;
const SIGN: u32 = 4;
const VERIFY: u32 = 5;
const MAC: u32 = 6;
const SEAL: u32 = 7;
const OPEN: u32 = 8;

/// Of messages, plaintexts and additional data: with all of them a call fits a message of every version of Binder RPC.
const DATA_SIZE_MAX: usize = 65536;
const DERIVED_SIZES: std::ops::RangeInclusive<usize> = 16..=64;

/// Service-specific exceptions of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    BadAlias = 1,
    BadAlgorithm = 2,
    BadVersion = 3,
    BadSize = 4,
    CannotOpen = 5,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let text = match refusal {
            Refusal::BadAlias => "an alias has 1 to 128 characters of ASCII from ! to ~",
            Refusal::BadAlgorithm => "the algorithm is unknown or cannot do this",
            Refusal::BadVersion => "a version is not negative",
            Refusal::BadSize => "more bytes than allowed, or a size that keys cannot have",
            Refusal::CannotOpen => "not sealed by this key with this additional data",
        };
        Exception::service_specific(refusal as i32, text).into()
    }
}

pub struct Keystore {
    secrets: Arc<Secrets>,
}

impl Keystore {
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets }
    }

    fn key(&self, arguments: &mut ParcelReader<'_>) -> Result<Key, Status> {
        let spec = KeySpec::read(arguments)?;
        Ok(Key::derive(&self.secrets, &spec)?)
    }

    fn sealing_key(&self, arguments: &mut ParcelReader<'_>) -> Result<SealingKey, Status> {
        match self.key(arguments)? {
            Key::Sealing(key) => Ok(key),
            _ => Err(Refusal::BadAlgorithm.into()),
        }
    }
}

fn read_data<'a>(arguments: &mut ParcelReader<'a>) -> Result<&'a [u8], Status> {
    let data = arguments.read_bytes()?;
    match data.len() <= DATA_SIZE_MAX {
        true => Ok(data),
        false => Err(Refusal::BadSize.into()),
    }
}

impl Service for Keystore {
    fn descriptor(&self) -> &str {
        DESCRIPTOR
    }

    fn on_transact(&self, code: u32, arguments: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        let mut reply = Parcel::reply();
        match code {
            DERIVE_KEY => {
                let alias = read_alias(arguments)?;
                let size = usize::try_from(arguments.read_i32()?).unwrap_or(usize::MAX);
                if !DERIVED_SIZES.contains(&size) {
                    return Err(Refusal::BadSize.into());
                }
                let secret = keys::derive_secret(&self.secrets, &alias, size);
                reply.write_bytes(&secret[..size]);
            }
            GENERATE_KEY => {
                reply.write_bytes(&self.key(arguments)?.public_key().unwrap_or_default());
            }
            GET_PUBLIC_KEY => {
                let public = self.key(arguments)?.public_key();
                reply.write_bytes(&public.ok_or(Refusal::BadAlgorithm)?);
            }
            SIGN => {
                let key = self.key(arguments)?;
                reply.write_bytes(&key.sign(read_data(arguments)?)?);
            }
            VERIFY => {
                let key = self.key(arguments)?;
                let message = read_data(arguments)?;
                reply.write_bool(key.verify(message, read_data(arguments)?)?);
            }
            MAC => {
                let Key::Mac(key) = self.key(arguments)? else {
                    return Err(Refusal::BadAlgorithm.into());
                };
                reply.write_bytes(&key.mac(read_data(arguments)?));
            }
            SEAL => {
                let key = self.sealing_key(arguments)?;
                let plaintext = read_data(arguments)?;
                let aad = read_data(arguments)?;
                let mut fresh = Zeroizing::new([0; seal::FRESH_SIZE]);
                random(&mut *fresh).map_err(|error| {
                    Exception::new(
                        Exception::ILLEGAL_STATE,
                        format!("no random bytes: {error}"),
                    )
                })?;
                reply.write_bytes(&seal::seal(&key, &fresh, plaintext, aad));
            }
            OPEN => {
                let key = self.sealing_key(arguments)?;
                let sealed = arguments.read_bytes()?;
                if sealed.len() > DATA_SIZE_MAX + seal::OVERHEAD {
                    return Err(Refusal::BadSize.into());
                }
                let plaintext = seal::open(&key, sealed, read_data(arguments)?);
                reply.write_bytes(&plaintext.ok_or(Refusal::CannotOpen)?);
            }
            _ => return Err(StatusCode::UNKNOWN_TRANSACTION.into()),
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests;
