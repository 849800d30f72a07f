/**
 * Objects that serve calls: the payload's own, and those of a peer that it was given. The names and meanings are those of
 * Android's libbinder_ndk, level 36.
 *
 * Every function may be called from any thread. Where a pointer may not be null, the process is aborted if it is.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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

/** How a call is made. */
typedef uint32_t binder_flags_t;
enum {
    /** The caller does not wait, and learns nothing. Such calls to one object are executed in order. */
    FLAG_ONEWAY = 0x01,
};

/** The implementation of an interface. */
typedef struct AIBinder_Class AIBinder_Class;

/** An object with a count of references; the last one to go destroys it. */
typedef struct AIBinder AIBinder;

/** A reference that does not keep its object. */
typedef struct AIBinder_Weak AIBinder_Weak;

/** Who is told that an object of a peer is gone. */
typedef struct AIBinder_DeathRecipient AIBinder_DeathRecipient;

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

/** Writes the state of an object to a file, for people. */
typedef binder_status_t (*AIBinder_onDump)(AIBinder* binder, int fd, const char** args, uint32_t numArgs);

/** Sets what AIBinder_dump calls; before objects are made of the class. */
void AIBinder_Class_setOnDump(AIBinder_Class* clazz, AIBinder_onDump onDump);

/**
 * Makes calls to and from objects of the class go without the interface's name in front, for interfaces that are not
 * AIDL; before objects are made of the class.
 */
void AIBinder_Class_disableInterfaceTokenHeader(AIBinder_Class* clazz);

/**
 * Names the methods, for traces; once.
 *
 * @param transactionCodeToFunctionMap names by code, from FIRST_CALL_TRANSACTION on; lives as long as the process.
 */
void AIBinder_Class_setTransactionCodeToFunctionNameMap(AIBinder_Class* clazz,
                                                        const char* const* transactionCodeToFunctionMap, size_t length);

/** The name of a method, null where it has none. */
const char* AIBinder_Class_getFunctionName(AIBinder_Class* clazz, transaction_code_t code);

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
 * Says of which class an object is. An object of the payload's own has the class that it was made with. One of a peer is
 * asked for the name of its interface the first time; it keeps the first class that fits, and fits every other of that
 * name. Needed before the object is called.
 *
 * @return whether the object is of this class, by its name if it is a peer's; false for null.
 */
bool AIBinder_associateClass(AIBinder* binder, const AIBinder_Class* clazz);

/** The class of an object; null for null, and for a peer's object that none was associated with. */
const AIBinder_Class* AIBinder_getClass(AIBinder* binder);

/** What the class's onCreate returned; null for null and for an object of a peer. */
void* AIBinder_getUserData(AIBinder* binder);

/** Whether the object is one of a peer's; false for null. */
bool AIBinder_isRemote(const AIBinder* binder);

/** Whether the object can be called: false for null, and for one of a peer whose session has ended. */
bool AIBinder_isAlive(const AIBinder* binder);

/** Calls the object to no effect; STATUS_DEAD_OBJECT if it is gone, STATUS_UNEXPECTED_NULL for null. */
binder_status_t AIBinder_ping(AIBinder* binder);

/** Has an own object write its state to a file. STATUS_FDS_NOT_ALLOWED for one of a peer. */
binder_status_t AIBinder_dump(AIBinder* binder, int fd, const char** args, uint32_t numArgs);

/**
 * Starts a call: makes a parcel for its arguments, with the interface's name in it.
 *
 * @param in the parcel, to be given to AIBinder_transact for the same object, or deleted.
 * @return STATUS_INVALID_OPERATION if the object has no class (AIBinder_associateClass).
 */
binder_status_t AIBinder_prepareTransaction(AIBinder* binder, AParcel** in);

/**
 * Makes a call, and waits for its end unless it is one-way.
 *
 * A thread that executes a call of a peer calls that peer back on the same connection. Other threads, and one-way calls,
 * need a connection that the peer has opened for that; if it has none the result is STATUS_WOULD_BLOCK.
 *
 * @param code the method's, between FIRST_CALL_TRANSACTION and LAST_CALL_TRANSACTION.
 * @param in what AIBinder_prepareTransaction made, always deleted and set to null.
 * @param out the reply, to be deleted by AParcel_delete; null unless the result is STATUS_OK.
 * @param flags 0 or FLAG_ONEWAY.
 */
binder_status_t AIBinder_transact(AIBinder* binder, transaction_code_t code, AParcel** in, AParcel** out,
                                  binder_flags_t flags);

/** The user of the caller. Binder RPC does not say: this process's own. */
uid_t AIBinder_getCallingUid(void);

/** The process of the caller. Binder RPC does not say: this process's own. */
pid_t AIBinder_getCallingPid(void);

/** Whether a call of Android's kernel driver is executed: false. */
bool AIBinder_isHandlingTransaction(void);

/** Makes a weak reference, to be deleted by AIBinder_Weak_delete; null for null. */
AIBinder_Weak* AIBinder_Weak_new(AIBinder* binder);

/** Deletes a weak reference; null is allowed. */
void AIBinder_Weak_delete(AIBinder_Weak* weakBinder);

/** Takes a reference to the object, which is to be given back; null if the object is gone. */
AIBinder* AIBinder_Weak_promote(AIBinder_Weak* weakBinder);

/** Makes another weak reference to the same object; null for null. */
AIBinder_Weak* AIBinder_Weak_clone(const AIBinder_Weak* weak);

/** An order of objects that does not change while they live. */
bool AIBinder_lt(const AIBinder* lhs, const AIBinder* rhs);

/** The same order, of weak references. */
bool AIBinder_Weak_lt(const AIBinder_Weak* lhs, const AIBinder_Weak* rhs);

/** Told of a death: called with what was given to AIBinder_linkToDeath, from any thread. */
typedef void (*AIBinder_DeathRecipient_onBinderDied)(void* cookie);

/** Told that a link has ended, by death or otherwise: the cookie is used no more. */
typedef void (*AIBinder_DeathRecipient_onBinderUnlinked)(void* cookie);

/** Makes a recipient, to be deleted by AIBinder_DeathRecipient_delete; null for null. */
AIBinder_DeathRecipient* AIBinder_DeathRecipient_new(AIBinder_DeathRecipient_onBinderDied onBinderDied);

/** Sets what is called at the end of each link; before the first AIBinder_linkToDeath. */
void AIBinder_DeathRecipient_setOnUnlinked(AIBinder_DeathRecipient* recipient,
                                           AIBinder_DeathRecipient_onBinderUnlinked onUnlinked);

/** Deletes a recipient and ends its links; null is allowed. */
void AIBinder_DeathRecipient_delete(AIBinder_DeathRecipient* recipient);

/**
 * Links a recipient to the death of a peer's object, which is the end of its session. The link ends with the death, with
 * the last reference to the object, with the recipient, or by AIBinder_unlinkToDeath.
 *
 * @return STATUS_INVALID_OPERATION for an object of the payload's own, STATUS_DEAD_OBJECT if it is dead already.
 */
binder_status_t AIBinder_linkToDeath(AIBinder* binder, AIBinder_DeathRecipient* recipient, void* cookie);

/** Ends a link; STATUS_NAME_NOT_FOUND if there is none. */
binder_status_t AIBinder_unlinkToDeath(AIBinder* binder, AIBinder_DeathRecipient* recipient, void* cookie);

/** Gives the object that extends this one, or null; the caller gives the reference back. */
binder_status_t AIBinder_getExtension(AIBinder* binder, AIBinder** outExt);

/** Extends an object of the payload's own by another; STATUS_INVALID_OPERATION for one of a peer. */
binder_status_t AIBinder_setExtension(AIBinder* binder, AIBinder* ext);

/** Asks for at least so many threads for each client of a server that is started later. */
binder_status_t AIBinder_setMinRpcThreads(AIBinder* binder, uint16_t min);

#if defined(__cplusplus)
}
#endif
