/**
 * What a payload asks of the VM that it runs in: Android's API of level 36.
 *
 * A payload is a shared library, linked with -lvm_payload, that exports AVmPayload_main. It is loaded by
 * microdroid_launcher and runs as an ordinary user. stdout and stderr are the VM's log.
 *
 * Functions without an error code abort the process when they fail: the VM is then beyond help. Every function may be
 * called from any thread.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm_main.h"

#if defined(__cplusplus)
extern "C" {
#endif

/** An object that serves calls; see android/binder_ibinder.h. */
typedef struct AIBinder AIBinder;

/**
 * Tells the host that the payload is ready, and waits until it knows. Calls after the first do nothing.
 *
 * Aborts the process if the host cannot be told.
 */
void AVmPayload_notifyPayloadReady(void);

/**
 * Serves an object on a vsock port, for the host alone, and never returns.
 *
 * Takes a reference to the object. Connections are served by a thread each, so calls on the object may come from several
 * threads at once: 8 for each session, or what ABinderProcess_setThreadPoolMaxThreadCount said before, and 128 for all.
 * Connections from elsewhere than the host are closed. Aborts the process if it cannot listen.
 *
 * @param service the object, not null.
 * @param port the vsock port to listen on.
 * @param on_ready called once, when connections are accepted; the place for AVmPayload_notifyPayloadReady. May be null.
 * @param param passed to on_ready.
 */
__attribute__((noreturn))
void AVmPayload_runVsockRpcServer(AIBinder* service, uint32_t port, void (*on_ready)(void* param), void* param);

/**
 * The directory with the contents of the payload's APK, verified and read-only.
 *
 * @return a path that stays valid for the life of the VM; not to be freed.
 */
const char* AVmPayload_getApkContentsPath(void);

/**
 * The directory of the VM's encrypted storage.
 *
 * @return null: a VM of this kind keeps nothing.
 */
const char* AVmPayload_getEncryptedStoragePath(void);

/**
 * Gives a secret of this instance: the same bytes at each boot for the same identifier, others for another identifier,
 * another instance, or a payload of another signer. Aborts the process for a size above 32.
 *
 * The host can compute it: it protects from other VMs and other payloads, not from the host.
 *
 * @param identifier names the secret; any bytes, not secret themselves.
 * @param secret room for `size` bytes.
 * @param size at most 32.
 */
void AVmPayload_getVmInstanceSecret(const void* identifier, size_t identifier_size, void* secret, size_t size);

/** Whether this is the first boot of the instance, whose secrets are then new. */
bool AVmPayload_isNewInstance(void);

/** What AVmPayload_requestAttestation gives: a key, and certificates of it. */
typedef struct AVmAttestationResult AVmAttestationResult;

/** How a request for attestation ended. */
typedef int32_t AVmAttestationStatus;
enum {
    ATTESTATION_OK = 0,
    /** The challenge is larger than 64 bytes. */
    ATTESTATION_ERROR_INVALID_CHALLENGE = -10001,
    /** It may work later. */
    ATTESTATION_ERROR_ATTESTATION_FAILED = -10002,
    /** There is nobody who could attest to this VM. */
    ATTESTATION_ERROR_UNSUPPORTED = -10003,
};

/**
 * Asks for a key that is attested to belong to this VM. The answer of a VM that is not protected from its host, which all
 * of these are, is ATTESTATION_ERROR_UNSUPPORTED.
 *
 * @param challenge up to 64 bytes that will be in the certificate.
 * @param result the result if the status is ATTESTATION_OK, to be freed by AVmAttestationResult_free.
 */
AVmAttestationStatus AVmPayload_requestAttestation(const void* challenge, size_t challenge_size,
                                                   AVmAttestationResult** result);

/** A status in words; the text lives as long as the process. */
const char* AVmAttestationStatus_toString(AVmAttestationStatus status);

/** Frees a result; null is allowed. */
void AVmAttestationResult_free(AVmAttestationResult* result);

/**
 * Gives the private key: ECPrivateKey of RFC 5915 in DER, on curve P-256.
 *
 * @param data room for `size` bytes, of which no more are written; may be null if size is 0.
 * @return the size of the whole.
 */
size_t AVmAttestationResult_getPrivateKey(const AVmAttestationResult* result, void* data, size_t size);

/**
 * Signs a message with that key: ECDSA, SHA-256, in DER.
 *
 * @param data room for `size` bytes, of which no more are written; may be null if size is 0.
 * @return the size of the signature, or 72, which is always enough, if it did not fit.
 */
size_t AVmAttestationResult_sign(const AVmAttestationResult* result, const void* message, size_t message_size,
                                 void* data, size_t size);

/** How many certificates there are, from the key's to the root's. */
size_t AVmAttestationResult_getCertificateCount(const AVmAttestationResult* result);

/**
 * Gives a certificate: X.509 in DER. Aborts the process if there is none with the index.
 *
 * @param data room for `size` bytes, of which no more are written; may be null if size is 0.
 * @return the size of the whole.
 */
size_t AVmAttestationResult_getCertificateAt(const AVmAttestationResult* result, size_t index, void* data, size_t size);

/** Why a rollback-protected secret could not be had. */
typedef int32_t AVmAccessRollbackProtectedSecretStatus;
enum {
    /** Nothing was ever written, or the host deleted it. */
    AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_ENTRY_NOT_FOUND = -1,
    /** Less than 32 bytes were to be written. */
    AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_BAD_SIZE = -2,
    /** This VM has no storage that is protected from rollback: the answer of all of these VMs. */
    AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_ACCESS_FAILED = -3,
};

/** Keeps the first 32 bytes of `buf` for this instance; 32, or one of the statuses. */
int32_t AVmPayload_writeRollbackProtectedSecret(const void* buf, size_t n);

/** Gives what was kept, at most `n` of its bytes; 32, or one of the statuses. */
int32_t AVmPayload_readRollbackProtectedSecret(void* buf, size_t n);

#if defined(__cplusplus)
}
#endif
