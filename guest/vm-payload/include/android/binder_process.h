/**
 * The threads that execute calls. Android's kernel driver needs them; servers here bring their own, so a payload that uses
 * these functions works, and one that does not works as well.
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <android/binder_status.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Changes nothing but the answer of ABinderProcess_isThreadPoolStarted. */
void ABinderProcess_startThreadPool(void);

/** Whether ABinderProcess_startThreadPool was called. */
bool ABinderProcess_isThreadPoolStarted(void);

/** How many calls each client of a server that is started later may make at once, less one. Always true. */
bool ABinderProcess_setThreadPoolMaxThreadCount(uint32_t numThreads);

/** Never returns. */
void ABinderProcess_joinThreadPool(void);

/** STATUS_INVALID_OPERATION and a descriptor of -1: there is no driver to poll. */
binder_status_t ABinderProcess_setupPolling(int* fd);

/** STATUS_INVALID_OPERATION. */
binder_status_t ABinderProcess_handlePolledCommands(void);


#if defined(__cplusplus)
}
#endif
