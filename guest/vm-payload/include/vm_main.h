/** The one function that a payload has to define. */

#pragma once

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * The payload's entry point, which the payload defines. The VM lives as long as this function runs; its result is the
 * payload's exit code.
 */
__attribute__((visibility("default")))
int AVmPayload_main(void);

#if defined(__cplusplus)
}
#endif
