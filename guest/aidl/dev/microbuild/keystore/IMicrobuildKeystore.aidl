package dev.microbuild.keystore;

import dev.microbuild.keystore.KeySpec;

/**
 * Keys of this instance and payload, on the unix socket /dev/socket/microbuild_keystore, which only the payload's user can
 * open. Not an interface of Android's. No key is stored: each is derived from the instance's secret and the payload's
 * signers whenever it is used, so that it is there in every boot, for every payload by the same signers, and for nobody else.
 *
 * Failures are service-specific exceptions with the codes below. Messages, plaintexts and additional data have at most
 * 65536 bytes each.
 */
interface IMicrobuildKeystore {
    /** The alias is empty, too long, or holds characters that aliases cannot have. */
    const int ERROR_BAD_ALIAS = 1;
    /** No such algorithm, or one that cannot do what is asked of it. */
    const int ERROR_BAD_ALGORITHM = 2;
    /** The version is negative. */
    const int ERROR_BAD_VERSION = 3;
    /** More bytes than are allowed, or a size that keys cannot have. */
    const int ERROR_BAD_SIZE = 4;
    /** The sealed bytes were not made by this key with this additional data, or were changed. */
    const int ERROR_CANNOT_OPEN = 5;

    /** Secret bytes for uses of the payload's own. @param size 16 to 64; each size gives other bytes. */
    byte[] deriveKey(String alias, int size) = 0;

    /**
     * Makes sure that there is such a key; calling it again changes nothing, not calling it neither.
     *
     * @return The public key as getPublicKey gives it; empty for a symmetric key.
     */
    byte[] generateKey(in KeySpec key) = 1;

    /** DER SubjectPublicKeyInfo (RFC 5280). ERROR_BAD_ALGORITHM for a symmetric key. */
    byte[] getPublicKey(in KeySpec key) = 2;

    byte[] sign(in KeySpec key, in byte[] message) = 3;

    /** Whether the signature (or mac) is one of this key over this message. */
    boolean verify(in KeySpec key, in byte[] message, in byte[] signature) = 4;

    byte[] mac(in KeySpec key, in byte[] message) = 5;

    /** Encrypts, for storage by somebody who is not trusted. @param aad Has to be given to open again. */
    byte[] seal(in KeySpec key, in byte[] plaintext, in byte[] aad) = 6;

    byte[] open(in KeySpec key, in byte[] sealed, in byte[] aad) = 7;
}
