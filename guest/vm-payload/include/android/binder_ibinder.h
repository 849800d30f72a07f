/**
 * Objects that serve calls. The names and meanings are those of Android's libbinder_ndk; what is declared here is what
 * libvm_payload.so implements: objects of the payload's own, which others call.
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <android/binder_parcel.h>
#include <android/binder_status.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Identifies a method of an interface: FIRST_CALL_TRANSACTION plus its index in the AIDL file. */
typedef uint32_t transaction_code_t;
enum {
    FIRST_CALL_TRANSACTION = 0x00000001,
    LAST_CALL_TRANSACTION = 0x00ffffff,
};

/** The implementation of an interface. */
typedef struct AIBinder_Class AIBinder_Class;

/** An object with a count of references; the last one to go destroys it. */
typedef struct AIBinder AIBinder;

/** Makes the user data of a new object from what was given to AIBinder_new. */
typedef void* (*AIBinder_Class_onCreate)(void* args);

/** Destroys the user data of an object. */
typedef void (*AIBinder_Class_onDestroy)(void* userData);

/**
 * Executes a call. It may be called by several threads at once.
 *
 * The caller's interface was compared with the class's before, and the parcel `in` stands behind it, at the first
 * argument. The function writes the reply to `out`: for an AIDL method that is AParcel_writeStatusHeader and, after a
 * success, the return value and the out parameters. Both parcels are gone after the function's return.
 *
 * @return STATUS_OK, or why the call could not be executed (STATUS_UNKNOWN_TRANSACTION for an unknown code, or what
 *     reading the arguments gave); `out` is not sent then.
 */
typedef binder_status_t (*AIBinder_Class_onTransact)(AIBinder* binder, transaction_code_t code, const AParcel* in,
                                                     AParcel* out);

/**
 * Defines a class, once for the life of the process.
 *
 * @param interfaceDescriptor the interface's full name, such as "dev.example.IThing", in UTF-8.
 * @return the class, or null if an argument is null or the name is not UTF-8.
 */
AIBinder_Class* AIBinder_Class_define(const char* interfaceDescriptor, AIBinder_Class_onCreate onCreate,
                                      AIBinder_Class_onDestroy onDestroy, AIBinder_Class_onTransact onTransact);

/** The name that the class was defined with. It lives as long as the process. */
const char* AIBinder_Class_getDescriptor(const AIBinder_Class* clazz);

/**
 * Makes an object. The caller holds the one reference to it.
 *
 * @param args passed to the class's onCreate.
 * @return the object, or null if the class is null.
 */
AIBinder* AIBinder_new(const AIBinder_Class* clazz, void* args);

/** Takes a reference; null is allowed. */
void AIBinder_incStrong(AIBinder* binder);

/** Gives a reference back, the last of which destroys the object; null is allowed. */
void AIBinder_decStrong(AIBinder* binder);

/** The count of references, for tests; -1 for null. */
int32_t AIBinder_debugGetRefCount(AIBinder* binder);

/**
 * Whether the object is of this class. An object of the payload's own has the class that it was made with, so unlike on
 * Android nothing is ever associated here.
 */
bool AIBinder_associateClass(AIBinder* binder, const AIBinder_Class* clazz);

/** The class of an object; null for null. */
const AIBinder_Class* AIBinder_getClass(AIBinder* binder);

/** What the class's onCreate returned; null for null. */
void* AIBinder_getUserData(AIBinder* binder);

/** Whether the object lives in another process: false, as a payload has none of those. */
bool AIBinder_isRemote(const AIBinder* binder);

/** Whether the object can be called: true unless null. */
bool AIBinder_isAlive(const AIBinder* binder);

/** STATUS_OK; STATUS_UNEXPECTED_NULL for null. */
binder_status_t AIBinder_ping(AIBinder* binder);

#if defined(__cplusplus)
}
#endif
