package dev.microbuild.keystore;

/** What a key is for. It takes part in the key's derivation: one alias names another key for each algorithm. */
@Backing(type="int")
enum Algorithm {
    /** sign, verify. Signatures of 64 bytes (RFC 8032). */
    ED25519 = 1,
    /** sign, verify. ECDSA over P-256 and SHA-256, deterministic (RFC 6979), signatures in DER. */
    ECDSA_P256 = 2,
    /** mac, verify. 32 bytes. */
    HMAC_SHA256 = 3,
    /** seal, open. */
    AES_256_GCM = 4,
}
