/** Services by name. A VM has no service manager: nothing is found, and nothing can be added. */

#pragma once

#include <android/binder_ibinder.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** EX_UNSUPPORTED_OPERATION. */
binder_exception_t AServiceManager_addService(AIBinder* binder, const char* instance);

/** Null. */
AIBinder* AServiceManager_checkService(const char* instance);

/** Null. */
AIBinder* AServiceManager_getService(const char* instance);

/** Null, at once. */
AIBinder* AServiceManager_waitForService(const char* instance);

/** False. */
bool AServiceManager_isDeclared(const char* instance);

/** Calls nothing. */
void AServiceManager_forEachDeclaredInstance(const char* interface, void* context,
                                             void (*callback)(const char* instance, void* context));


#if defined(__cplusplus)
}
#endif
