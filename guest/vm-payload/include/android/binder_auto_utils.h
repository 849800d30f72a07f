/**
 * Owners of what the C functions give away, for C++: what Android's header of the same name has, without the standard
 * library of C++. In C the header declares nothing.
 */

#pragma once

#include <android/binder_ibinder.h>
#include <android/binder_parcel.h>
#include <android/binder_status.h>

#if defined(__cplusplus)

namespace ndk {

/** A counted reference to an object. */
class SpAIBinder {
   public:
    SpAIBinder() = default;
    /** Takes over the caller's reference. */
    explicit SpAIBinder(AIBinder* binder) : mBinder(binder) {}
    SpAIBinder(decltype(nullptr)) {}
    SpAIBinder(const SpAIBinder& other) : mBinder(other.mBinder) { AIBinder_incStrong(mBinder); }
    SpAIBinder(SpAIBinder&& other) noexcept : mBinder(other.mBinder) { other.mBinder = nullptr; }
    ~SpAIBinder() { set(nullptr); }

    SpAIBinder& operator=(const SpAIBinder& other) {
        AIBinder_incStrong(other.mBinder);
        set(other.mBinder);
        return *this;
    }
    SpAIBinder& operator=(SpAIBinder&& other) noexcept {
        AIBinder* binder = other.mBinder;
        other.mBinder = nullptr;
        set(binder);
        return *this;
    }

    /** Gives the reference back and takes over the caller's. */
    void set(AIBinder* binder) {
        AIBinder* before = mBinder;
        mBinder = binder;
        if (before != nullptr) AIBinder_decStrong(before);
    }

    AIBinder* get() const { return mBinder; }

    /** Room for a function that gives a reference away; what was there before must be null. */
    AIBinder** getR() { return &mBinder; }

    friend bool operator==(const SpAIBinder& left, const SpAIBinder& right) { return left.get() == right.get(); }
    friend bool operator!=(const SpAIBinder& left, const SpAIBinder& right) { return left.get() != right.get(); }
    friend bool operator<(const SpAIBinder& left, const SpAIBinder& right) {
        return AIBinder_lt(left.get(), right.get());
    }

   private:
    AIBinder* mBinder = nullptr;
};

namespace impl {

/** What is deleted by a function of the C interface. */
template <typename T, void (*Destroy)(T)>
class ScopedAResource {
   public:
    explicit ScopedAResource(T resource = nullptr) : mResource(resource) {}
    ScopedAResource(const ScopedAResource&) = delete;
    ScopedAResource(ScopedAResource&& other) noexcept : mResource(other.release()) {}
    ~ScopedAResource() { set(nullptr); }

    ScopedAResource& operator=(const ScopedAResource&) = delete;
    ScopedAResource& operator=(ScopedAResource&& other) noexcept {
        set(other.release());
        return *this;
    }

    void set(T resource) {
        T before = mResource;
        mResource = resource;
        Destroy(before);
    }

    T get() const { return mResource; }
    T* getR() { return &mResource; }

    /** Gives it away. */
    [[nodiscard]] T release() {
        T resource = mResource;
        mResource = nullptr;
        return resource;
    }

   private:
    T mResource;
};

}  // namespace impl

class ScopedAParcel : public impl::ScopedAResource<AParcel*, AParcel_delete> {
   public:
    using ScopedAResource::ScopedAResource;
};

class ScopedAIBinder_DeathRecipient
    : public impl::ScopedAResource<AIBinder_DeathRecipient*, AIBinder_DeathRecipient_delete> {
   public:
    using ScopedAResource::ScopedAResource;
};

class ScopedAIBinder_Weak : public impl::ScopedAResource<AIBinder_Weak*, AIBinder_Weak_delete> {
   public:
    using ScopedAResource::ScopedAResource;

    /** The object, or null if it is gone. */
    SpAIBinder promote() const { return SpAIBinder(AIBinder_Weak_promote(get())); }
};

/** How a method ended. */
class ScopedAStatus : public impl::ScopedAResource<AStatus*, AStatus_delete> {
   public:
    using ScopedAResource::ScopedAResource;

    bool isOk() const { return get() != nullptr && AStatus_isOk(get()); }
    binder_exception_t getExceptionCode() const { return AStatus_getExceptionCode(get()); }
    int32_t getServiceSpecificError() const { return AStatus_getServiceSpecificError(get()); }
    binder_status_t getStatus() const { return AStatus_getStatus(get()); }
    const char* getMessage() const { return AStatus_getMessage(get()); }

    static ScopedAStatus ok() { return ScopedAStatus(AStatus_newOk()); }
    static ScopedAStatus fromExceptionCode(binder_exception_t exception) {
        return ScopedAStatus(AStatus_fromExceptionCode(exception));
    }
    static ScopedAStatus fromExceptionCodeWithMessage(binder_exception_t exception, const char* message) {
        return ScopedAStatus(AStatus_fromExceptionCodeWithMessage(exception, message));
    }
    static ScopedAStatus fromServiceSpecificError(int32_t error) {
        return ScopedAStatus(AStatus_fromServiceSpecificError(error));
    }
    static ScopedAStatus fromServiceSpecificErrorWithMessage(int32_t error, const char* message) {
        return ScopedAStatus(AStatus_fromServiceSpecificErrorWithMessage(error, message));
    }
    static ScopedAStatus fromStatus(binder_status_t status) { return ScopedAStatus(AStatus_fromStatus(status)); }
};

}  // namespace ndk

#endif
