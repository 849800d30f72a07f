/**
 * What a payload asks of the VM that it runs in: Android's API of level 34, as far as this VM has it.
 *
 * A payload is a shared library, linked with -lvm_payload, that exports AVmPayload_main. It is loaded by
 * microdroid_launcher and runs as an ordinary user. stdout and stderr are the VM's console.
 *
 * Not here, because these VMs keep no state and no secrets: AVmPayload_getVmInstanceSecret and the functions of API 35
 * and later.
 */

#pragma once

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** An object that serves calls; see android/binder_ibinder.h. */
typedef struct AIBinder AIBinder;

/**
 * The payload's entry point, which the payload defines. The VM lives as long as this function runs; its result is the
 * payload's exit code.
 */
__attribute__((visibility("default")))
int AVmPayload_main(void);

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
 * threads at once. Connections from elsewhere than the host are closed. Aborts the process if it cannot listen.
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

#if defined(__cplusplus)
}
#endif
