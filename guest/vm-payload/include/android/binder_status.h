/**
 * How calls end: status codes, exceptions, and AStatus, which carries either. The names and meanings are those of
 * Android's libbinder_ndk; what is declared here is what libvm_payload.so implements.
 */

#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Codes for calls that did not take place. Other values count as STATUS_UNKNOWN_ERROR. */
enum {
    STATUS_OK = 0,

    STATUS_UNKNOWN_ERROR = (-2147483647 - 1),
    STATUS_BAD_TYPE = (STATUS_UNKNOWN_ERROR + 1),
    STATUS_FAILED_TRANSACTION = (STATUS_UNKNOWN_ERROR + 2),
    STATUS_FDS_NOT_ALLOWED = (STATUS_UNKNOWN_ERROR + 7),
    STATUS_UNEXPECTED_NULL = (STATUS_UNKNOWN_ERROR + 8),

    STATUS_NO_MEMORY = -ENOMEM,
    STATUS_INVALID_OPERATION = -ENOSYS,
    STATUS_BAD_VALUE = -EINVAL,
    STATUS_NAME_NOT_FOUND = -ENOENT,
    STATUS_PERMISSION_DENIED = -EPERM,
    STATUS_NO_INIT = -ENODEV,
    STATUS_ALREADY_EXISTS = -EEXIST,
    STATUS_DEAD_OBJECT = -EPIPE,
    STATUS_BAD_INDEX = -EOVERFLOW,
    STATUS_NOT_ENOUGH_DATA = -ENODATA,
    STATUS_WOULD_BLOCK = -EWOULDBLOCK,
    STATUS_TIMED_OUT = -ETIMEDOUT,
    STATUS_UNKNOWN_TRANSACTION = -EBADMSG,
};
typedef int32_t binder_status_t;

/** Codes for methods that ran and refused. Other values count as EX_TRANSACTION_FAILED. */
enum {
    EX_NONE = 0,
    EX_SECURITY = -1,
    EX_BAD_PARCELABLE = -2,
    EX_ILLEGAL_ARGUMENT = -3,
    EX_NULL_POINTER = -4,
    EX_ILLEGAL_STATE = -5,
    EX_NETWORK_MAIN_THREAD = -6,
    EX_UNSUPPORTED_OPERATION = -7,
    /** The interface defines the number that goes with it. */
    EX_SERVICE_SPECIFIC = -8,
    EX_PARCELABLE = -9,
    /** The call did not take place; a status code goes with it. */
    EX_TRANSACTION_FAILED = -129,
};
typedef int32_t binder_exception_t;

/** The end of a call. Made by the functions below, deleted by AStatus_delete. */
typedef struct AStatus AStatus;

/** A success. */
AStatus* AStatus_newOk(void);

/** An exception without message; EX_NONE makes a success. */
AStatus* AStatus_fromExceptionCode(binder_exception_t exception);

/** An exception with a message, which is copied. */
AStatus* AStatus_fromExceptionCodeWithMessage(binder_exception_t exception, const char* message);

/** EX_SERVICE_SPECIFIC with an error number of the interface's. */
AStatus* AStatus_fromServiceSpecificError(int32_t serviceSpecific);

/** EX_SERVICE_SPECIFIC with an error number of the interface's and a message, which is copied. */
AStatus* AStatus_fromServiceSpecificErrorWithMessage(int32_t serviceSpecific, const char* message);

/** EX_TRANSACTION_FAILED with a status code; STATUS_OK makes a success. */
AStatus* AStatus_fromStatus(binder_status_t status);

/** Whether the call took place and its method returned. */
bool AStatus_isOk(const AStatus* status);

/** The exception, EX_NONE for a success. */
binder_exception_t AStatus_getExceptionCode(const AStatus* status);

/** The interface's error number for EX_SERVICE_SPECIFIC, else 0. */
int32_t AStatus_getServiceSpecificError(const AStatus* status);

/** The status code for EX_TRANSACTION_FAILED, else STATUS_OK. */
binder_status_t AStatus_getStatus(const AStatus* status);

/** The message, "" where there is none; it lives as long as the status. */
const char* AStatus_getMessage(const AStatus* status);

/** A text for logs, to be deleted by AStatus_deleteDescription. */
const char* AStatus_getDescription(const AStatus* status);

/** Deletes a text that AStatus_getDescription returned; null is allowed. */
void AStatus_deleteDescription(const char* description);

/** Deletes a status; null is allowed. */
void AStatus_delete(AStatus* status);

#if defined(__cplusplus)
}
#endif
