/** Scheduling and identity of callers, which have a meaning with Android's kernel driver only. */

#pragma once

#include <android/binder_ibinder.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Handles a command of Android's shell. */
typedef binder_status_t (*AIBinder_handleShellCommand)(AIBinder* binder, int in, int out, int err, const char** argv,
                                                       uint32_t argc);

/** Sets a function that is never called: no shell reaches the VM. */
void AIBinder_Class_setHandleShellCommand(AIBinder_Class* clazz, AIBinder_handleShellCommand handleShellCommand);

/** Changes nothing. */
void AIBinder_setRequestingSid(AIBinder* binder, bool requestingSid);

/** Null. */
const char* AIBinder_getCallingSid(void);

/** Changes nothing. */
void AIBinder_setMinSchedulerPolicy(AIBinder* binder, int policy, int priority);

/** Changes nothing. */
void AIBinder_setInheritRt(AIBinder* binder, bool inheritRt);

/** Whether file descriptors can be written to a parcel: false. */
bool AParcel_getAllowFds(const AParcel* parcel);


#if defined(__cplusplus)
}
#endif
