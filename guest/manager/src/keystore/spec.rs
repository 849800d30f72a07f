//! Which key is meant: the parcelable `KeySpec`.

use microbuild_rpc::{ParcelReader, Status, StatusCode};

use super::Refusal;

const ALIAS_SIZE_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Ed25519 = 1,
    EcdsaP256 = 2,
    HmacSha256 = 3,
    Aes256Gcm = 4,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    pub alias: String,
    pub algorithm: Algorithm,
    pub version: u32,
}

/// One spelling for each alias: what could look alike or be normalized differs in no byte.
pub fn read_alias(arguments: &mut ParcelReader<'_>) -> Result<String, Status> {
    let alias = arguments.read_string()?;
    let is_printable = alias.bytes().all(|byte| byte.is_ascii_graphic());
    if alias.is_empty() || alias.len() > ALIAS_SIZE_MAX || !is_printable {
        return Err(Refusal::BadAlias.into());
    }
    Ok(alias)
}

impl KeySpec {
    /// AIDL's form: not null, its size, the fields. A field beyond the size has its default; what stands behind the
    /// fields that are known here is passed over.
    pub fn read(arguments: &mut ParcelReader<'_>) -> Result<Self, Status> {
        if arguments.read_i32()? == 0 {
            return Err(StatusCode::UNEXPECTED_NULL.into());
        }
        let start = arguments.position();
        let size = usize::try_from(arguments.read_i32()?).map_err(|_| StatusCode::BAD_VALUE)?;
        let end = start.saturating_add(size);
        if size < 4 || end > arguments.size() {
            return Err(StatusCode::BAD_VALUE.into());
        }
        let alias = read_alias(arguments)?;
        let field = |arguments: &mut ParcelReader<'_>| match arguments.position() < end {
            true => arguments.read_i32(),
            false => Ok(0),
        };
        let algorithm = match field(arguments)? {
            1 => Algorithm::Ed25519,
            2 => Algorithm::EcdsaP256,
            3 => Algorithm::HmacSha256,
            4 => Algorithm::Aes256Gcm,
            _ => return Err(Refusal::BadAlgorithm.into()),
        };
        let version = u32::try_from(field(arguments)?).map_err(|_| Refusal::BadVersion)?;
        if arguments.position() > end {
            return Err(StatusCode::BAD_VALUE.into());
        }
        arguments.set_position(end)?;
        Ok(Self {
            alias,
            algorithm,
            version,
        })
    }
}
