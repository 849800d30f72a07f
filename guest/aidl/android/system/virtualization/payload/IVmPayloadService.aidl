package android.system.virtualization.payload;

/**
 * What the manager does for the payload, on the unix socket /dev/socket/vm_payload_service, which only the payload's
 * user can open. Codes 1 to 5 are those of Android 15; what Android 16 added stands behind them.
 */
interface IVmPayloadService {
    /** requestAttestation: the challenge is longer than 64 bytes. Service-specific. */
    const int STATUS_FAILED_TO_PREPARE_CSR_AND_KEY = 1;

    /** Tells the host that the payload serves. */
    void notifyPayloadReady() = 0;

    /**
     * A secret of this instance and payload; the same in each boot, and after updates by the same signers.
     *
     * @param identifier Which of them; any bytes.
     * @param size How many bytes, 0 to 32; EX_ILLEGAL_ARGUMENT otherwise. A short secret is the start of the long one.
     */
    byte[] getVmInstanceSecret(in byte[] identifier, int size) = 1;

    /**
     * The DICE chain: a CBOR array of the root's COSE_Key and a certificate for each stage. EX_SECURITY for a payload
     * without a configuration file.
     */
    byte[] getDiceAttestationChain() = 2;

    /** The attestation CDI of the payload's stage, 32 bytes. EX_SECURITY for a payload without a configuration file. */
    byte[] getDiceAttestationCdi() = 3;

    /** EX_UNSUPPORTED_OPERATION: this machine is not protected, so nobody can vouch for it. */
    AttestationResult requestAttestation(in byte[] challenge, boolean testMode) = 4;

    /** Service-specific -1: there is no Secretkeeper that could keep the host from going back in time. */
    void writePayloadRpData(in byte[32] data) = 5;

    /** Service-specific -1, as writePayloadRpData. */
    @nullable byte[32] readPayloadRpData() = 6;

    /** Whether no payload was given this instance's secrets before this boot. */
    boolean isNewInstance() = 7;

    parcelable AttestationResult {
        /** DER ECPrivateKey (RFC 5915) of the attested P-256 key. */
        byte[] privateKey;
        /** The leaf first. */
        Certificate[] certificateChain;
    }

    parcelable Certificate {
        /** DER X.509. */
        byte[] encodedCertificate;
    }
}
