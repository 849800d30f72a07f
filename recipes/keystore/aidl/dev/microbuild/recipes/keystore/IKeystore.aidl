package dev.microbuild.recipes.keystore;

/** What the payload serves on vsock port 5678. Keys belong to the instance: each boot of it has the same. */
interface IKeystore {
    /** A secret of 32 bytes for this purpose, for those who may have it. */
    byte[] derive(String purpose);

    /** DER SubjectPublicKeyInfo of the key that signs, Ed25519. */
    byte[] publicKey();

    byte[] sign(in byte[] message);

    boolean verify(in byte[] message, in byte[] signature);

    /** Signs a text and verifies the signature: throws EX_ILLEGAL_STATE if that fails, and gives it in hexadecimal. */
    String prove(String text);
}
