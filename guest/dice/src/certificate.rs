//! CDI certificates: an untagged COSE_Sign1 (RFC 9052) over a CBOR Web Token, in which a stage vouches for the key of
//! the next one and says what it measured.

use ed25519_dalek::{Signer, SigningKey};

use crate::cbor::{decode_bytes, Error, Reader, Writer};
use crate::derive::{certificate_id, Config, Input};

// RFC 8392 and the Open Profile for DICE.
const ISSUER: i64 = 1;
const SUBJECT: i64 = 2;
const CODE_HASH: i64 = -4670545;
const CODE_DESCRIPTOR: i64 = -4670546;
const CONFIG_HASH: i64 = -4670547;
const CONFIG_DESCRIPTOR: i64 = -4670548;
const AUTHORITY_HASH: i64 = -4670549;
const AUTHORITY_DESCRIPTOR: i64 = -4670550;
const MODE: i64 = -4670551;
const SUBJECT_PUBLIC_KEY: i64 = -4670552;
const KEY_USAGE: i64 = -4670553;
const PROFILE_NAME: i64 = -4670554;
/// RFC 5280: keyCertSign.
const CERT_SIGN: u8 = 0x20;

/// RFC 9053.
const EDDSA: i64 = -8;

/// What a certificate may say beyond the input of the derivation.
#[derive(Clone, Copy, Default)]
pub struct Extras<'a> {
    pub code_descriptor: Option<&'a [u8]>,
    pub authority_descriptor: Option<&'a [u8]>,
    /// Such as `android.16`; none is read as `android.14`.
    pub profile_name: Option<&'a str>,
}

/// The COSE_Key of an Ed25519 key.
pub fn encode_key(public_key: &[u8; 32]) -> Vec<u8> {
    const TYPE: i64 = 1;
    const ALGORITHM: i64 = 3;
    const OPERATIONS: i64 = 4;
    const CURVE: i64 = -1;
    const X: i64 = -2;
    const OCTET_KEY_PAIR: i64 = 1;
    const VERIFY: i64 = 2;
    const ED25519: i64 = 6;
    let mut key = Writer::default();
    key.map(5).int(TYPE).int(OCTET_KEY_PAIR);
    key.int(ALGORITHM).int(EDDSA);
    key.int(OPERATIONS).array(1).int(VERIFY);
    key.int(CURVE).int(ED25519).int(X).bytes(public_key);
    key.into_vec()
}

/// The certificate that the owner of `issuer` gives to the stage measured as `input`.
pub fn issue(issuer: &SigningKey, subject: &[u8; 32], input: &Input, extras: Extras) -> Vec<u8> {
    let extra = [extras.code_descriptor, extras.authority_descriptor];
    let entries = 8
        + usize::from(matches!(input.config, Config::Descriptor(_)))
        + extra.iter().flatten().count()
        + usize::from(extras.profile_name.is_some());
    let mut claims = Writer::default();
    claims.map(entries);
    let issuer_id = certificate_id(issuer.verifying_key().as_bytes());
    claims.int(ISSUER).text(&issuer_id);
    claims.int(SUBJECT).text(&certificate_id(subject));
    claims.int(CODE_HASH).bytes(input.code_hash);
    if let Some(descriptor) = extras.code_descriptor {
        claims.int(CODE_DESCRIPTOR).bytes(descriptor);
    }
    match input.config {
        Config::Descriptor(descriptor) => {
            claims.int(CONFIG_DESCRIPTOR).bytes(descriptor);
            claims.int(CONFIG_HASH).bytes(&input.config.value());
        }
        Config::Inline(value) => drop(claims.int(CONFIG_DESCRIPTOR).bytes(value)),
    }
    claims.int(AUTHORITY_HASH).bytes(input.authority_hash);
    if let Some(descriptor) = extras.authority_descriptor {
        claims.int(AUTHORITY_DESCRIPTOR).bytes(descriptor);
    }
    claims.int(MODE).bytes(&[input.mode as u8]);
    claims.int(SUBJECT_PUBLIC_KEY).bytes(&encode_key(subject));
    claims.int(KEY_USAGE).bytes(&[CERT_SIGN]);
    if let Some(name) = extras.profile_name {
        claims.int(PROFILE_NAME).text(name);
    }
    let payload = claims.into_vec();

    let mut header = Writer::default();
    header.map(1).int(1).int(EDDSA);
    let header = header.into_vec();
    let mut signed = Writer::default();
    signed.array(4).text("Signature1").bytes(&header);
    signed.bytes(&[]).bytes(&payload);
    let signature = issuer.sign(&signed.into_vec()).to_bytes();
    let mut certificate = Writer::default();
    certificate.array(4).bytes(&header).map(0);
    certificate.bytes(&payload).bytes(&signature);
    certificate.into_vec()
}

/// What the next stage needs of the certificate of its own stage.
pub struct Claims<'a> {
    /// An encoded COSE_Key.
    pub subject_public_key: &'a [u8],
    pub config_descriptor: &'a [u8],
}

/// Reads a certificate; its signature is not checked.
pub fn read_claims(certificate: &[u8]) -> Result<Claims<'_>, Error> {
    let mut reader = Reader::new(certificate);
    if reader.array()? != 4 {
        return Err(Error("DICE: a certificate is not a COSE_Sign1"));
    }
    reader.bytes()?;
    reader.raw()?;
    let payload = reader.bytes()?;
    reader.bytes()?;
    reader.end()?;
    let mut key = None;
    let mut config = None;
    let mut claims = Reader::new(payload);
    claims.int_map(|label, value| {
        match label {
            SUBJECT_PUBLIC_KEY => key = Some(decode_bytes(value)?),
            CONFIG_DESCRIPTOR => config = Some(decode_bytes(value)?),
            _ => {}
        }
        Ok(())
    })?;
    claims.end()?;
    match (key, config) {
        (Some(subject_public_key), Some(config_descriptor)) => Ok(Claims {
            subject_public_key,
            config_descriptor,
        }),
        _ => Err(Error(
            "DICE: a certificate lacks its key or its configuration",
        )),
    }
}
