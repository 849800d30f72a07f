/**
 * What only a payload with a configuration file may ask, because it tells VMs apart: for tests and for payloads of the
 * platform. For others the functions without a status abort the process.
 */

#pragma once

#include "vm_payload.h"

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * Gives the VM's DICE chain: CBOR, the root key and a certificate for each stage of the boot.
 *
 * @param data room for `size` bytes, of which no more are written; may be null if size is 0.
 * @return the size of the whole.
 */
size_t AVmPayload_getDiceAttestationChain(void* data, size_t size);

/**
 * Gives the secret of the chain's last stage that attestation keys are derived from.
 *
 * @param data room for `size` bytes, of which no more are written; may be null if size is 0.
 * @return the size of the whole.
 */
size_t AVmPayload_getDiceAttestationCdi(void* data, size_t size);

/** AVmPayload_requestAttestation, in a test mode. */
AVmAttestationStatus AVmPayload_requestAttestationForTesting(const void* challenge, size_t challenge_size,
                                                             AVmAttestationResult** result);

#if defined(__cplusplus)
}
#endif
