//! As much DER as it takes to find a public key: X.509 certificate -> SubjectPublicKeyInfo -> key.
//!
//! RFC 5280 section 4.1, RFC 3279 section 2.3, ITU-T X.690. Definite, minimal lengths only.

use crate::error::{ErrorCode, FormatError};
use crate::reader::Reader;

const FORMAT: &str = "der";

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;

const OID_RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_SECP521R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// A public key by its numbers; byte strings are big-endian without leading zeros.
#[derive(Debug, PartialEq, Eq)]
pub enum PublicKey<'a> {
    Rsa {
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
    /// `point` is in SEC1 form.
    Ec { curve: Curve, point: &'a [u8] },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

/// The whole SubjectPublicKeyInfo element of a certificate.
///
/// # Errors
/// When the certificate's outline is not RFC 5280's.
pub fn certificate_public_key(certificate: &[u8]) -> Result<&[u8], FormatError> {
    let mut outer = Reader::new(FORMAT, certificate);
    let mut fields = element(&mut outer, SEQUENCE, "Certificate")?.content;
    outer.finish("Certificate")?;
    let mut tbs = element(&mut fields, SEQUENCE, "TBSCertificate")?.content;
    if any_element(&mut tbs.clone(), "version")?.tag == CONTEXT_0 {
        any_element(&mut tbs, "version")?;
    }
    element(&mut tbs, INTEGER, "serialNumber")?;
    for field in ["signature", "issuer", "validity", "subject"] {
        element(&mut tbs, SEQUENCE, field)?;
    }
    let public_key = element(&mut tbs, SEQUENCE, "subjectPublicKeyInfo")?.whole;
    element(&mut fields, SEQUENCE, "signatureAlgorithm")?;
    element(&mut fields, BIT_STRING, "signatureValue")?;
    fields.finish("Certificate")?;
    Ok(public_key)
}

/// Reads a SubjectPublicKeyInfo.
///
/// # Errors
/// When it is malformed, or the key is neither RSA nor on P-256, P-384 or P-521.
pub fn decode_public_key(spki: &[u8]) -> Result<PublicKey<'_>, FormatError> {
    let mut outer = Reader::new(FORMAT, spki);
    let mut info = element(&mut outer, SEQUENCE, "SubjectPublicKeyInfo")?.content;
    outer.finish("SubjectPublicKeyInfo")?;
    let mut algorithm = element(&mut info, SEQUENCE, "algorithm")?.content;
    let oid = element(&mut algorithm, OBJECT_IDENTIFIER, "algorithm")?
        .content
        .rest();
    let mut key = element(&mut info, BIT_STRING, "subjectPublicKey")?.content;
    info.finish("SubjectPublicKeyInfo")?;
    if key.u8("subjectPublicKey")? != 0 {
        return Err(key.error(ErrorCode::BadValue, "subjectPublicKey"));
    }
    if oid == OID_RSA_ENCRYPTION {
        element(&mut algorithm, NULL, "parameters")?
            .content
            .finish("parameters")?;
        algorithm.finish("algorithm")?;
        let mut numbers = element(&mut key, SEQUENCE, "RSAPublicKey")?.content;
        key.finish("RSAPublicKey")?;
        let modulus = unsigned(&mut numbers, "modulus")?;
        let exponent = unsigned(&mut numbers, "publicExponent")?;
        numbers.finish("RSAPublicKey")?;
        return Ok(PublicKey::Rsa { modulus, exponent });
    }
    if oid == OID_EC_PUBLIC_KEY {
        let named = element(&mut algorithm, OBJECT_IDENTIFIER, "namedCurve")?
            .content
            .rest();
        algorithm.finish("algorithm")?;
        let curve = match named {
            OID_PRIME256V1 => Curve::P256,
            OID_SECP384R1 => Curve::P384,
            OID_SECP521R1 => Curve::P521,
            _ => return Err(algorithm.error(ErrorCode::Unsupported, "namedCurve")),
        };
        return Ok(PublicKey::Ec {
            curve,
            point: key.rest(),
        });
    }
    Err(algorithm.error(ErrorCode::Unsupported, "algorithm"))
}

struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: Reader<'a>,
}

fn element<'a>(
    reader: &mut Reader<'a>,
    tag: u8,
    field: &'static str,
) -> Result<Element<'a>, FormatError> {
    let error = reader.error(ErrorCode::BadValue, field);
    let found = any_element(reader, field)?;
    if found.tag == tag {
        Ok(found)
    } else {
        Err(error)
    }
}

fn any_element<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<Element<'a>, FormatError> {
    let mut start = reader.clone();
    let begin = reader.remaining();
    let tag = reader.u8(field)?;
    let first = reader.u8(field)?;
    let size = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let digits = reader.take(usize::from(first & 0x7f), field)?;
            let size = digits
                .iter()
                .fold(0usize, |size, digit| size << 8 | usize::from(*digit));
            if digits.first() == Some(&0) || size < 0x80 {
                return Err(reader.error(ErrorCode::BadValue, field));
            }
            size
        }
        _ => return Err(reader.error(ErrorCode::Unsupported, field)),
    };
    let base = reader.offset();
    let content = Reader::at(FORMAT, reader.take(size, field)?, base);
    let whole = start.take(begin - reader.remaining(), field)?;
    Ok(Element {
        tag,
        whole,
        content,
    })
}

/// A positive INTEGER without its sign byte.
fn unsigned<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], FormatError> {
    let error = reader.error(ErrorCode::BadValue, field);
    match element(reader, INTEGER, field)?.content.rest() {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Ok(rest),
        rest @ [1..=0x7f, ..] => Ok(rest),
        _ => Err(error),
    }
}
