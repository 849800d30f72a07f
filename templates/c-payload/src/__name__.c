/*
 * A payload that serves I__Name__, written as the AIDL compiler's NDK code would be, by hand.
 *
 * It shows the whole of what a service needs: a class with its onTransact, an object, a server, and word to the host
 * when the server listens.
 */

#include <android/binder_ibinder.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vm_payload.h>

/* Descriptor, port and codes are the interface's: clients have the same from aidl/. */
static const char kDescriptor[] = "__package__.I__Name__";
enum { kPort = 5678 };
enum { kTransactionHello = FIRST_CALL_TRANSACTION + 0 };

static const char kGreeting[] = "Hello, %s! This is __package__ in a verified micro-VM.";

/* An AParcel_stringAllocator for a `char*`. It takes no null: the interface says `String`, not `@nullable String`. */
static bool allocate_string(void* string, int32_t length, char** buffer) {
    if (length < 0) return false;
    *buffer = malloc((size_t)length);
    *(char**)string = *buffer;
    return *buffer != NULL;
}

/* The method itself: the greeting, to be freed, or null and in `status` why not. */
static char* hello(const char* name, AStatus** status) {
    if (*name == '\0') {
        *status = AStatus_fromExceptionCodeWithMessage(EX_ILLEGAL_ARGUMENT, "The name is empty");
        return NULL;
    }
    size_t size = sizeof(kGreeting) + strlen(name);
    char* greeting = malloc(size);
    if (greeting == NULL) {
        *status = AStatus_fromStatus(STATUS_NO_MEMORY);
        return NULL;
    }
    snprintf(greeting, size, kGreeting, name);
    *status = AStatus_newOk();
    return greeting;
}

/* Arguments out of `in`, the call, status and result into `out`. */
static binder_status_t transact_hello(const AParcel* in, AParcel* out) {
    char* name = NULL;
    binder_status_t result = AParcel_readString(in, &name, allocate_string);
    if (result != STATUS_OK) return result;

    AStatus* status = NULL;
    char* greeting = hello(name, &status);
    result = AParcel_writeStatusHeader(out, status);
    if (result == STATUS_OK && AStatus_isOk(status)) {
        result = AParcel_writeString(out, greeting, (int32_t)strlen(greeting));
    }
    AStatus_delete(status);
    free(greeting);
    free(name);
    return result;
}

static binder_status_t on_transact(AIBinder* binder, transaction_code_t code, const AParcel* in, AParcel* out) {
    (void)binder;
    switch (code) {
        case kTransactionHello:
            return transact_hello(in, out);
        default:
            return STATUS_UNKNOWN_TRANSACTION;
    }
}

/* The service has no state: its user data is whatever it was made with, here null. */
static void* on_create(void* args) {
    return args;
}

static void on_destroy(void* user_data) {
    (void)user_data;
}

static void on_ready(void* param) {
    (void)param;
    printf("__name__: serving %s on vsock port %d\n", kDescriptor, kPort);
    fflush(stdout);
    AVmPayload_notifyPayloadReady();
}

int AVmPayload_main(void) {
    AIBinder_Class* class = AIBinder_Class_define(kDescriptor, on_create, on_destroy, on_transact);
    AIBinder* service = AIBinder_new(class, NULL);
    if (service == NULL) {
        fprintf(stderr, "__name__: cannot make the service\n");
        return 1;
    }
    AVmPayload_runVsockRpcServer(service, kPort, on_ready, NULL);
}
