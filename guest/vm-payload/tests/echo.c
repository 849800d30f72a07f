/* A service that reads one value of each type and writes them back, for tests/payloads.rs. */

#include <android/binder_ibinder.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vm_payload.h>

#define TRY(call) \
    if ((status = (call)) != STATUS_OK) return status

enum { kScalars = 1, kArrays = 2, kStatus = 3, kParcelables = 4, kLifetime = 5 };

/* An array of any type, with its length as the parcel has it. */
struct array {
    int32_t length;
    void* data;
};

static bool allocate(struct array* array, int32_t length, size_t size) {
    array->length = length;
    array->data = length > 0 ? calloc((size_t)length, size) : NULL;
    return length <= 0 || array->data != NULL;
}

#define ALLOCATOR(name, type)                                                 \
    static bool allocate_##name(void* array, int32_t length, type** buffer) { \
        if (!allocate(array, length, sizeof(type))) return false;             \
        *buffer = ((struct array*)array)->data;                               \
        return true;                                                          \
    }
ALLOCATOR(i32, int32_t)
ALLOCATOR(u32, uint32_t)
ALLOCATOR(i64, int64_t)
ALLOCATOR(u64, uint64_t)
ALLOCATOR(float, float)
ALLOCATOR(double, double)
ALLOCATOR(char, char16_t)
ALLOCATOR(byte, int8_t)

static bool allocate_string(void* string, int32_t length, char** buffer) {
    char** target = string;
    *target = NULL;
    if (length < 0) return true;
    *target = *buffer = malloc((size_t)length);
    return *target != NULL;
}

static bool allocate_bools(void* array, int32_t length) {
    return allocate(array, length, sizeof(bool));
}
static void set_bool(void* array, size_t index, bool value) {
    ((bool*)((struct array*)array)->data)[index] = value;
}
static bool get_bool(const void* array, size_t index) {
    return ((const bool*)((const struct array*)array)->data)[index];
}

static bool allocate_strings(void* array, int32_t length) {
    return allocate(array, length, sizeof(char*));
}
static bool allocate_element(void* array, size_t index, int32_t length, char** buffer) {
    return allocate_string((char**)((struct array*)array)->data + index, length, buffer);
}
static const char* get_element(const void* array, size_t index, int32_t* length) {
    const char* element = ((char* const*)((const struct array*)array)->data)[index];
    *length = element == NULL ? -1 : (int32_t)strlen(element);
    return element;
}

static binder_status_t scalars(const AParcel* in, AParcel* out) {
    binder_status_t status;
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    uint64_t u64;
    float f32;
    double f64;
    bool boolean;
    char16_t unit;
    int8_t byte;
    char* string;
    TRY(AParcel_readInt32(in, &i32));
    TRY(AParcel_readUint32(in, &u32));
    TRY(AParcel_readInt64(in, &i64));
    TRY(AParcel_readUint64(in, &u64));
    TRY(AParcel_readFloat(in, &f32));
    TRY(AParcel_readDouble(in, &f64));
    TRY(AParcel_readBool(in, &boolean));
    TRY(AParcel_readChar(in, &unit));
    TRY(AParcel_readByte(in, &byte));
    TRY(AParcel_readString(in, &string, allocate_string));
    assert(AParcel_getDataPosition(in) == AParcel_getDataSize(in));
    AStatus* ok = AStatus_newOk();
    TRY(AParcel_writeStatusHeader(out, ok));
    AStatus_delete(ok);
    TRY(AParcel_writeInt32(out, i32));
    TRY(AParcel_writeUint32(out, u32));
    TRY(AParcel_writeInt64(out, i64));
    TRY(AParcel_writeUint64(out, u64));
    TRY(AParcel_writeFloat(out, f32));
    TRY(AParcel_writeDouble(out, f64));
    TRY(AParcel_writeBool(out, boolean));
    TRY(AParcel_writeChar(out, unit));
    TRY(AParcel_writeByte(out, byte));
    TRY(AParcel_writeString(out, string, string == NULL ? -1 : (int32_t)strlen(string)));
    free(string);
    return STATUS_OK;
}

/* Reads an array, writes it, frees it. */
#define ECHO(Type, name, type)                                                     \
    TRY(AParcel_read##Type##Array(in, &array, allocate_##name));                   \
    TRY(AParcel_write##Type##Array(out, (const type*)array.data, array.length)); \
    free(array.data)

static binder_status_t arrays(const AParcel* in, AParcel* out) {
    binder_status_t status;
    struct array array;
    TRY(AParcel_writeInt32(out, EX_NONE));
    ECHO(Int32, i32, int32_t);
    ECHO(Uint32, u32, uint32_t);
    ECHO(Int64, i64, int64_t);
    ECHO(Uint64, u64, uint64_t);
    ECHO(Float, float, float);
    ECHO(Double, double, double);
    ECHO(Char, char, char16_t);
    ECHO(Byte, byte, int8_t);
    TRY(AParcel_readBoolArray(in, &array, allocate_bools, set_bool));
    TRY(AParcel_writeBoolArray(out, &array, array.length, get_bool));
    free(array.data);
    TRY(AParcel_readStringArray(in, &array, allocate_strings, allocate_element));
    TRY(AParcel_writeStringArray(out, &array, array.length, get_element));
    for (int32_t index = 0; index < array.length; index++) free(((char**)array.data)[index]);
    free(array.data);
    return STATUS_OK;
}

/* Ends as the caller asks: kind, number, message. */
static binder_status_t end(const AParcel* in, AParcel* out) {
    binder_status_t status;
    int32_t kind, number;
    char* message;
    TRY(AParcel_readInt32(in, &kind));
    TRY(AParcel_readInt32(in, &number));
    TRY(AParcel_readString(in, &message, allocate_string));
    AStatus* end = kind == 0   ? AStatus_fromStatus(number)
                   : kind == 1 ? AStatus_fromExceptionCodeWithMessage(number, message)
                   : kind == 2 ? AStatus_fromServiceSpecificErrorWithMessage(number, message)
                   : kind == 3 ? AStatus_fromExceptionCode(number)
                               : AStatus_fromServiceSpecificError(number);
    const char* description = AStatus_getDescription(end);
    printf("%s | %d %d %d %s\n", description, AStatus_getExceptionCode(end), AStatus_getServiceSpecificError(end),
           AStatus_getStatus(end), AStatus_getMessage(end));
    fflush(stdout);
    AStatus_deleteDescription(description);
    status = AParcel_writeStatusHeader(out, end);
    if (status == STATUS_OK) {
        /* What was written reads back, from a parcel of our own. */
        AParcel* copy = AParcel_create();
        AStatus* read = NULL;
        assert(AParcel_writeStatusHeader(copy, end) == STATUS_OK);
        assert(AParcel_setDataPosition(copy, 0) == STATUS_OK);
        assert(AParcel_setDataPosition(copy, AParcel_getDataSize(copy) + 1) == STATUS_BAD_VALUE);
        assert(AParcel_readStatusHeader(copy, &read) == STATUS_OK);
        assert(AStatus_getExceptionCode(read) == AStatus_getExceptionCode(end));
        assert(AStatus_getServiceSpecificError(read) == AStatus_getServiceSpecificError(end));
        assert(strcmp(AStatus_getMessage(read), AStatus_getMessage(end)) == 0);
        AStatus_delete(read);
        AParcel_delete(copy);
    }
    AStatus_delete(end);
    free(message);
    return status;
}

static binder_status_t read_point(const AParcel* parcel, void* array, size_t index) {
    int32_t present;
    binder_status_t status;
    TRY(AParcel_readInt32(parcel, &present));
    return AParcel_readInt64(parcel, (int64_t*)((struct array*)array)->data + index);
}
static binder_status_t write_point(AParcel* parcel, const void* array, size_t index) {
    binder_status_t status;
    TRY(AParcel_writeInt32(parcel, 1));
    return AParcel_writeInt64(parcel, ((const int64_t*)((const struct array*)array)->data)[index]);
}
static bool allocate_points(void* array, int32_t length) {
    return allocate(array, length, sizeof(int64_t));
}

static binder_status_t parcelables(const AParcel* in, AParcel* out) {
    binder_status_t status;
    struct array array;
    TRY(AParcel_writeInt32(out, EX_NONE));
    TRY(AParcel_readParcelableArray(in, &array, allocate_points, read_point));
    TRY(AParcel_writeParcelableArray(out, &array, array.length, write_point));
    free(array.data);
    return STATUS_OK;
}

static int created, destroyed;

static void* on_create(void* args) {
    created++;
    return args;
}
static void on_destroy(void* user_data) {
    destroyed++;
    assert(user_data == &created);
}

static binder_status_t on_transact(AIBinder* binder, transaction_code_t code, const AParcel* in, AParcel* out);

/* The life of an object, and what the functions say to null. */
static binder_status_t lifetime(AIBinder* self, AParcel* out) {
    const AIBinder_Class* class = AIBinder_getClass(self);
    const AIBinder_Class* other = AIBinder_Class_define("other", on_create, on_destroy, on_transact);
    assert(strcmp(AIBinder_Class_getDescriptor(other), "other") == 0);
    assert(AIBinder_Class_define(NULL, on_create, on_destroy, on_transact) == NULL);
    assert(AIBinder_Class_define("x", NULL, on_destroy, on_transact) == NULL);
    assert(AIBinder_Class_define("\xff", on_create, on_destroy, on_transact) == NULL);
    assert(AIBinder_new(NULL, NULL) == NULL);
    int made = created, gone = destroyed;
    AIBinder* object = AIBinder_new(other, &created);
    assert(created == made + 1 && AIBinder_getUserData(object) == &created);
    assert(AIBinder_associateClass(object, other) && !AIBinder_associateClass(object, class));
    assert(!AIBinder_associateClass(NULL, other) && !AIBinder_associateClass(object, NULL));
    assert(!AIBinder_isRemote(object) && AIBinder_isAlive(object) && AIBinder_ping(object) == STATUS_OK);
    assert(!AIBinder_isAlive(NULL) && AIBinder_ping(NULL) == STATUS_UNEXPECTED_NULL);
    AIBinder_incStrong(object);
    assert(AIBinder_debugGetRefCount(object) == 2 && AIBinder_debugGetRefCount(NULL) == -1);
    AIBinder_decStrong(object);
    assert(destroyed == gone);
    AIBinder_decStrong(object);
    assert(destroyed == gone + 1);
    AIBinder_incStrong(NULL);
    assert(AIBinder_getClass(NULL) == NULL && AIBinder_getUserData(NULL) == NULL);
    assert(AParcel_writeInt32(NULL, 1) == STATUS_UNEXPECTED_NULL);
    assert(AParcel_writeString(out, NULL, 0) == STATUS_BAD_VALUE);
    assert(AParcel_writeString(out, "x", -1) == STATUS_BAD_VALUE);
    assert(AParcel_writeString(out, "\xff", 1) == STATUS_BAD_VALUE);
    assert(AParcel_writeInt32Array(out, NULL, 1) == STATUS_BAD_VALUE);
    assert(AParcel_writeInt32Array(out, &made, -1) == STATUS_BAD_VALUE);
    assert(AParcel_writeInt32Array(out, &made, -2) == STATUS_BAD_VALUE);
    assert(AParcel_getDataSize(out) == 0);
    assert(!AStatus_isOk(NULL));
    AStatus_delete(NULL);
    AParcel_delete(NULL);
    return AParcel_writeInt32(out, EX_NONE);
}

static binder_status_t on_transact(AIBinder* binder, transaction_code_t code, const AParcel* in, AParcel* out) {
    switch (code) {
        case kScalars: return scalars(in, out);
        case kArrays: return arrays(in, out);
        case kStatus: return end(in, out);
        case kParcelables: return parcelables(in, out);
        case kLifetime: return lifetime(binder, out);
        default: return -12345; /* no status of ours */
    }
}

int AVmPayload_main(void) {
    assert(strcmp(AVmPayload_getApkContentsPath(), "/mnt/apk") == 0);
    assert(AVmPayload_getEncryptedStoragePath() == NULL);
    AIBinder_Class* class = AIBinder_Class_define("microbuild.test.IEcho", on_create, on_destroy, on_transact);
    AVmPayload_runVsockRpcServer(AIBinder_new(class, &created), 77, NULL, NULL);
}
