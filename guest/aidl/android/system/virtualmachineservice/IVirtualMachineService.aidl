package android.system.virtualmachineservice;

/**
 * What the host does for the guest's manager: vsock CID 2, port = the guest's CID. Everything is two-way, so that what the
 * guest says has been heard when it goes on. The methods from 101 on are microbuild's own.
 */
interface IVirtualMachineService {
    void notifyPayloadStarted() = 0;

    void notifyPayloadReady() = 1;

    void notifyPayloadFinished(int exitCode) = 2;

    /** @param errorCode 0 unknown, 1 verification failed, 2 payload changed, 3 invalid configuration. */
    void notifyError(int errorCode, String message) = 3;

    /** EX_UNSUPPORTED_OPERATION: the machine is not protected. On Android the result is a list of certificates. */
    byte[] requestAttestation(in byte[] csr, boolean testMode) = 4;

    /** Null: there is none. */
    @nullable IBinder getSecretkeeper() = 5;

    /**
     * The CDIs and the DICE chain of the guest's system: CBOR {1: CDI_Attest, 2: CDI_Seal, 3: chain}. Once for a boot and
     * after admitPayload; EX_ILLEGAL_STATE otherwise. The host forgets them with the answer.
     */
    byte[] takeDiceHandover() = 100;

    /** Whether no guest has taken this instance's handover before this boot. */
    boolean isNewInstance() = 101;

    /**
     * Names the verified APKs, the payload first, before takeDiceHandover; one entry for each in all three arrays.
     * Service-specific 1 when this instance has run a newer version of one of them.
     *
     * @param signers SHA-256 of each signer's DER certificate, in lower-case hex.
     */
    void admitPayload(in String[] packages, in long[] versionCodes, in String[] signers) = 102;
}
