//! One signature, checked with one public key. The arithmetic is RustCrypto's.

use microbuild_formats::der::{decode_public_key, Curve, PublicKey};
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Digest, Sha256, Sha512};

use super::algorithm::{Algorithm, Hash, Scheme};

/// The largest key that apksig's own tests sign with.
const RSA_BITS_MAX: usize = 16384;
/// Bytes of the order of P-521.
const P521_FIELD_SIZE: usize = 66;

/// Whether `signature` over `data` was made with the key in this SubjectPublicKeyInfo. An unreadable key verifies nothing.
pub fn is_signed_by(spki: &[u8], algorithm: Algorithm, data: &[u8], signature: &[u8]) -> bool {
    let digest = match algorithm.hash {
        Hash::Sha256 => Sha256::digest(data).to_vec(),
        Hash::Sha512 => Sha512::digest(data).to_vec(),
    };
    match (decode_public_key(spki), algorithm.scheme) {
        (Ok(PublicKey::Rsa { modulus, exponent }), Scheme::RsaPss | Scheme::RsaPkcs1) => {
            is_rsa_signature(modulus, exponent, algorithm, &digest, signature)
        }
        (Ok(PublicKey::Ec { curve, point }), Scheme::Ecdsa) => {
            is_ecdsa_signature(curve, point, &digest, signature)
        }
        _ => false,
    }
}

fn is_rsa_signature(
    modulus: &[u8],
    exponent: &[u8],
    algorithm: Algorithm,
    digest: &[u8],
    signature: &[u8],
) -> bool {
    let (modulus, exponent) = (
        BigUint::from_bytes_be(modulus),
        BigUint::from_bytes_be(exponent),
    );
    let Ok(key) = RsaPublicKey::new_with_max_size(modulus, exponent, RSA_BITS_MAX) else {
        return false;
    };
    // In PSS the salt is as long as the digest: source.android.com, "Signature algorithm IDs".
    let verified = match (algorithm.scheme, algorithm.hash) {
        (Scheme::RsaPkcs1, Hash::Sha256) => {
            key.verify(Pkcs1v15Sign::new::<Sha256>(), digest, signature)
        }
        (Scheme::RsaPkcs1, Hash::Sha512) => {
            key.verify(Pkcs1v15Sign::new::<Sha512>(), digest, signature)
        }
        (_, Hash::Sha256) => key.verify(
            Pss::new_with_salt::<Sha256>(digest.len()),
            digest,
            signature,
        ),
        (_, Hash::Sha512) => key.verify(
            Pss::new_with_salt::<Sha512>(digest.len()),
            digest,
            signature,
        ),
    };
    verified.is_ok()
}

macro_rules! verify_on_curve {
    ($curve:ident, $point:expr, $digest:expr, $signature:expr) => {{
        use $curve::ecdsa::{signature::hazmat::PrehashVerifier, Signature, VerifyingKey};
        match (
            VerifyingKey::from_sec1_bytes($point),
            Signature::from_der($signature),
        ) {
            (Ok(key), Ok(signature)) => key.verify_prehash($digest, &signature).is_ok(),
            _ => false,
        }
    }};
}

fn is_ecdsa_signature(curve: Curve, point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    match curve {
        Curve::P256 => verify_on_curve!(p256, point, digest, signature),
        Curve::P384 => verify_on_curve!(p384, point, digest, signature),
        Curve::P521 => {
            // The library refuses digests below half the field; the number is the same with zeros in front.
            let mut padded = [0; P521_FIELD_SIZE];
            padded[P521_FIELD_SIZE - digest.len()..].copy_from_slice(digest);
            verify_on_curve!(p521, point, &padded, signature)
        }
    }
}
