/**
 * Parcels: the arguments and results of calls. The names and meanings are those of Android's libbinder_ndk, level 36. File
 * descriptors cannot leave the VM: writing one gives STATUS_FDS_NOT_ALLOWED.
 *
 * Values are read in the order in which they were written. A function that cannot read returns STATUS_NOT_ENOUGH_DATA at
 * the end of the parcel, STATUS_BAD_VALUE for what cannot be the value asked for, STATUS_UNEXPECTED_NULL for a null that
 * the caller does not take, STATUS_NO_MEMORY if the caller's allocator fails. A null parcel gives STATUS_UNEXPECTED_NULL.
 *
 * Arrays and strings belong to the caller. To read one, the library asks an allocator for room for `length` elements and
 * fills it; length -1 stands for null, and an allocator that takes null returns true. To write null, give a null pointer
 * and length -1.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uchar.h>

#include <android/binder_status.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** A sequence of values with a position, at which the next one is read or written. */
typedef struct AParcel AParcel;

/** An object; see android/binder_ibinder.h. */
typedef struct AIBinder AIBinder;

/** Makes an empty parcel, to be deleted by AParcel_delete. */
AParcel* AParcel_create(void);

/** Deletes a parcel of AParcel_create, AIBinder_prepareTransaction or AIBinder_transact; null is allowed. */
void AParcel_delete(AParcel* parcel);

/** Moves the position, to at most the size; STATUS_BAD_VALUE beyond. */
binder_status_t AParcel_setDataPosition(const AParcel* parcel, int32_t position);

/** The position in bytes from the parcel's start. */
int32_t AParcel_getDataPosition(const AParcel* parcel);

/** The size in bytes. */
int32_t AParcel_getDataSize(const AParcel* parcel);

/** Empties a parcel. */
binder_status_t AParcel_reset(AParcel* parcel);

/** Writes a part of another parcel, with the objects in it; STATUS_BAD_VALUE if there is no such part. */
binder_status_t AParcel_appendFrom(const AParcel* from, AParcel* to, int32_t start, int32_t size);

/** Copies a part of a parcel's bytes; STATUS_INVALID_OPERATION if it holds objects, STATUS_BAD_VALUE outside of it. */
binder_status_t AParcel_marshal(const AParcel* parcel, uint8_t* buffer, size_t start, size_t len);

/** Replaces what is in a parcel by bytes of AParcel_marshal; the position is then behind them. */
binder_status_t AParcel_unmarshal(AParcel* parcel, const uint8_t* buffer, size_t len);

/** Says that a parcel holds secrets. Parcels are never logged here, so it changes nothing. */
void AParcel_markSensitive(const AParcel* parcel);

/** Writes an object, or null. The parcel holds a reference of its own. */
binder_status_t AParcel_writeStrongBinder(AParcel* parcel, AIBinder* binder);

/** Reads an object, or null. The caller gives the reference back (AIBinder_decStrong). */
binder_status_t AParcel_readStrongBinder(const AParcel* parcel, AIBinder** binder);

/** Writes the null of a ParcelFileDescriptor for -1; STATUS_FDS_NOT_ALLOWED for a descriptor. */
binder_status_t AParcel_writeParcelFileDescriptor(AParcel* parcel, int fd);

/** Reads a ParcelFileDescriptor, which is null (-1) or STATUS_BAD_TYPE. */
binder_status_t AParcel_readParcelFileDescriptor(const AParcel* parcel, int* fd);

/**
 * Writes how a method ended, which is the head of its reply.
 *
 * @return STATUS_OK; for a status of EX_TRANSACTION_FAILED, of which a reply says nothing, its status code, which
 *     onTransact then returns.
 */
binder_status_t AParcel_writeStatusHeader(AParcel* parcel, const AStatus* status);

/** Reads the head of a reply into a new status, to be deleted by AStatus_delete. */
binder_status_t AParcel_readStatusHeader(const AParcel* parcel, AStatus** status);

/**
 * Gives room for a string.
 *
 * @param stringData what was given to AParcel_readString.
 * @param length bytes to make room for, the terminating zero included; -1 for a null string.
 * @param buffer where to put the address of the room; null if length is -1.
 * @return whether there is room, or null is taken.
 */
typedef bool (*AParcel_stringAllocator)(void* stringData, int32_t length, char** buffer);

/** Writes UTF-8 text of `length` bytes without terminator; STATUS_BAD_VALUE if it is not UTF-8. */
binder_status_t AParcel_writeString(AParcel* parcel, const char* string, int32_t length);

/** Reads a string as UTF-8, zero-terminated. */
binder_status_t AParcel_readString(const AParcel* parcel, void* stringData, AParcel_stringAllocator allocator);

/** Gives room for an array of strings. */
typedef bool (*AParcel_stringArrayAllocator)(void* arrayData, int32_t length);

/** Gives room for the string at an index, as AParcel_stringAllocator does. */
typedef bool (*AParcel_stringArrayElementAllocator)(void* arrayData, size_t index, int32_t length, char** buffer);

/** Returns the string at an index and its length without terminator; null and -1 for null. */
typedef const char* (*AParcel_stringArrayElementGetter)(const void* arrayData, size_t index, int32_t* outLength);

/** Writes an array of strings, or null if the length is -1. */
binder_status_t AParcel_writeStringArray(AParcel* parcel, const void* arrayData, int32_t length,
                                         AParcel_stringArrayElementGetter getter);

/** Reads an array of strings. */
binder_status_t AParcel_readStringArray(const AParcel* parcel, void* arrayData, AParcel_stringArrayAllocator allocator,
                                        AParcel_stringArrayElementAllocator elementAllocator);

/** Gives room for an array of parcelables. */
typedef bool (*AParcel_parcelableArrayAllocator)(void* arrayData, int32_t length);

/** Writes the parcelable at an index. */
typedef binder_status_t (*AParcel_writeParcelableElement)(AParcel* parcel, const void* arrayData, size_t index);

/** Reads the parcelable at an index. */
typedef binder_status_t (*AParcel_readParcelableElement)(const AParcel* parcel, void* arrayData, size_t index);

/** Writes an array of parcelables, or null if the length is -1. */
binder_status_t AParcel_writeParcelableArray(AParcel* parcel, const void* arrayData, int32_t length,
                                             AParcel_writeParcelableElement elementWriter);

/** Reads an array of parcelables. */
binder_status_t AParcel_readParcelableArray(const AParcel* parcel, void* arrayData,
                                            AParcel_parcelableArrayAllocator allocator,
                                            AParcel_readParcelableElement elementReader);

/** Writes a value: AIDL int. */
binder_status_t AParcel_writeInt32(AParcel* parcel, int32_t value);

/** Reads a value: AIDL int. */
binder_status_t AParcel_readInt32(const AParcel* parcel, int32_t* value);

/** Writes a value: an unsigned int, which AIDL does not have. */
binder_status_t AParcel_writeUint32(AParcel* parcel, uint32_t value);

/** Reads a value: an unsigned int, which AIDL does not have. */
binder_status_t AParcel_readUint32(const AParcel* parcel, uint32_t* value);

/** Writes a value: AIDL long. */
binder_status_t AParcel_writeInt64(AParcel* parcel, int64_t value);

/** Reads a value: AIDL long. */
binder_status_t AParcel_readInt64(const AParcel* parcel, int64_t* value);

/** Writes a value: an unsigned long, which AIDL does not have. */
binder_status_t AParcel_writeUint64(AParcel* parcel, uint64_t value);

/** Reads a value: an unsigned long, which AIDL does not have. */
binder_status_t AParcel_readUint64(const AParcel* parcel, uint64_t* value);

/** Writes a value: AIDL float. */
binder_status_t AParcel_writeFloat(AParcel* parcel, float value);

/** Reads a value: AIDL float. */
binder_status_t AParcel_readFloat(const AParcel* parcel, float* value);

/** Writes a value: AIDL double. */
binder_status_t AParcel_writeDouble(AParcel* parcel, double value);

/** Reads a value: AIDL double. */
binder_status_t AParcel_readDouble(const AParcel* parcel, double* value);

/** Writes a value: AIDL boolean. */
binder_status_t AParcel_writeBool(AParcel* parcel, bool value);

/** Reads a value: AIDL boolean. */
binder_status_t AParcel_readBool(const AParcel* parcel, bool* value);

/** Writes a value: AIDL char, a UTF-16 unit. */
binder_status_t AParcel_writeChar(AParcel* parcel, char16_t value);

/** Reads a value: AIDL char, a UTF-16 unit. */
binder_status_t AParcel_readChar(const AParcel* parcel, char16_t* value);

/** Writes a value: AIDL byte. */
binder_status_t AParcel_writeByte(AParcel* parcel, int8_t value);

/** Reads a value: AIDL byte. */
binder_status_t AParcel_readByte(const AParcel* parcel, int8_t* value);

/** Gives room for an array of int32_t. */
typedef bool (*AParcel_int32ArrayAllocator)(void* arrayData, int32_t length, int32_t** outBuffer);

/** Writes an array of int32_t. */
binder_status_t AParcel_writeInt32Array(AParcel* parcel, const int32_t* arrayData, int32_t length);

/** Reads an array of int32_t. */
binder_status_t AParcel_readInt32Array(const AParcel* parcel, void* arrayData,
                                       AParcel_int32ArrayAllocator allocator);

/** Gives room for an array of uint32_t. */
typedef bool (*AParcel_uint32ArrayAllocator)(void* arrayData, int32_t length, uint32_t** outBuffer);

/** Writes an array of uint32_t. */
binder_status_t AParcel_writeUint32Array(AParcel* parcel, const uint32_t* arrayData, int32_t length);

/** Reads an array of uint32_t. */
binder_status_t AParcel_readUint32Array(const AParcel* parcel, void* arrayData,
                                        AParcel_uint32ArrayAllocator allocator);

/** Gives room for an array of int64_t. */
typedef bool (*AParcel_int64ArrayAllocator)(void* arrayData, int32_t length, int64_t** outBuffer);

/** Writes an array of int64_t. */
binder_status_t AParcel_writeInt64Array(AParcel* parcel, const int64_t* arrayData, int32_t length);

/** Reads an array of int64_t. */
binder_status_t AParcel_readInt64Array(const AParcel* parcel, void* arrayData,
                                       AParcel_int64ArrayAllocator allocator);

/** Gives room for an array of uint64_t. */
typedef bool (*AParcel_uint64ArrayAllocator)(void* arrayData, int32_t length, uint64_t** outBuffer);

/** Writes an array of uint64_t. */
binder_status_t AParcel_writeUint64Array(AParcel* parcel, const uint64_t* arrayData, int32_t length);

/** Reads an array of uint64_t. */
binder_status_t AParcel_readUint64Array(const AParcel* parcel, void* arrayData,
                                        AParcel_uint64ArrayAllocator allocator);

/** Gives room for an array of float. */
typedef bool (*AParcel_floatArrayAllocator)(void* arrayData, int32_t length, float** outBuffer);

/** Writes an array of float. */
binder_status_t AParcel_writeFloatArray(AParcel* parcel, const float* arrayData, int32_t length);

/** Reads an array of float. */
binder_status_t AParcel_readFloatArray(const AParcel* parcel, void* arrayData,
                                       AParcel_floatArrayAllocator allocator);

/** Gives room for an array of double. */
typedef bool (*AParcel_doubleArrayAllocator)(void* arrayData, int32_t length, double** outBuffer);

/** Writes an array of double. */
binder_status_t AParcel_writeDoubleArray(AParcel* parcel, const double* arrayData, int32_t length);

/** Reads an array of double. */
binder_status_t AParcel_readDoubleArray(const AParcel* parcel, void* arrayData,
                                        AParcel_doubleArrayAllocator allocator);

/** Gives room for a boolean array. */
typedef bool (*AParcel_boolArrayAllocator)(void* arrayData, int32_t length);

/** Returns the element at an index. */
typedef bool (*AParcel_boolArrayGetter)(const void* arrayData, size_t index);

/** Sets the element at an index. */
typedef void (*AParcel_boolArraySetter)(void* arrayData, size_t index, bool value);

/** Writes a boolean array, or null if the length is -1. */
binder_status_t AParcel_writeBoolArray(AParcel* parcel, const void* arrayData, int32_t length,
                                       AParcel_boolArrayGetter getter);

/** Reads a boolean array. */
binder_status_t AParcel_readBoolArray(const AParcel* parcel, void* arrayData, AParcel_boolArrayAllocator allocator,
                                      AParcel_boolArraySetter setter);

/** Gives room for an array of char16_t. */
typedef bool (*AParcel_charArrayAllocator)(void* arrayData, int32_t length, char16_t** outBuffer);

/** Writes an array of char16_t. */
binder_status_t AParcel_writeCharArray(AParcel* parcel, const char16_t* arrayData, int32_t length);

/** Reads an array of char16_t. */
binder_status_t AParcel_readCharArray(const AParcel* parcel, void* arrayData,
                                      AParcel_charArrayAllocator allocator);

/** Gives room for an array of int8_t. */
typedef bool (*AParcel_byteArrayAllocator)(void* arrayData, int32_t length, int8_t** outBuffer);

/** Writes an array of int8_t. */
binder_status_t AParcel_writeByteArray(AParcel* parcel, const int8_t* arrayData, int32_t length);

/** Reads an array of int8_t. */
binder_status_t AParcel_readByteArray(const AParcel* parcel, void* arrayData,
                                      AParcel_byteArrayAllocator allocator);

#if defined(__cplusplus)
}
#endif
