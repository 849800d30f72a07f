/**
 * Marks which part of an Android system an interface belongs to. A VM has one part, and Binder RPC no such parts: the
 * functions, which code of the AIDL compiler calls, change nothing.
 */

#pragma once

#include <android/binder_ibinder.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** More flags for AIBinder_transact, which are ignored. */
enum {
    FLAG_PRIVATE_LOCAL = 0,
    FLAG_PRIVATE_VENDOR = 0x10000000,
};

/** Changes nothing. */
void AIBinder_markSystemStability(AIBinder* binder);

/** Changes nothing. */
void AIBinder_markVendorStability(AIBinder* binder);

/** Changes nothing. */
void AIBinder_markVintfStability(AIBinder* binder);

/** Changes nothing. */
void AIBinder_forceDowngradeToSystemStability(AIBinder* binder);

/** Changes nothing. */
void AIBinder_forceDowngradeToVendorStability(AIBinder* binder);

/** Changes nothing. */
static inline void AIBinder_markCompilationUnitStability(AIBinder* binder) {
    AIBinder_markSystemStability(binder);
}

/** Changes nothing. */
static inline void AIBinder_forceDowngradeToLocalStability(AIBinder* binder) {
    AIBinder_forceDowngradeToSystemStability(binder);
}


#if defined(__cplusplus)
}
#endif
