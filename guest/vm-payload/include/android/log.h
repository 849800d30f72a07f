/**
 * Android's log, of liblog.so. A line `PRIORITY/TAG: text` goes to stderr, which is the VM's log.
 */

#pragma once

#include <stdarg.h>
#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** How much a message matters. */
typedef enum android_LogPriority {
    ANDROID_LOG_UNKNOWN = 0,
    ANDROID_LOG_DEFAULT,
    ANDROID_LOG_VERBOSE,
    ANDROID_LOG_DEBUG,
    ANDROID_LOG_INFO,
    ANDROID_LOG_WARN,
    ANDROID_LOG_ERROR,
    ANDROID_LOG_FATAL,
    ANDROID_LOG_SILENT,
} android_LogPriority;

/** Writes a message; 1, or 0 if its priority is not logged. */
int __android_log_write(int prio, const char* tag, const char* text);

/** Writes a message like printf. */
int __android_log_print(int prio, const char* tag, const char* fmt, ...) __attribute__((format(printf, 3, 4)));

/** Writes a message like vprintf. */
int __android_log_vprint(int prio, const char* tag, const char* fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/** Writes a message to a log buffer; all are the same here. */
int __android_log_buf_write(int bufID, int prio, const char* tag, const char* text);

/** Writes a message like printf to a log buffer; all are the same here. */
int __android_log_buf_print(int bufID, int prio, const char* tag, const char* fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** Writes a message, or the condition where there is none, and aborts the process. */
void __android_log_assert(const char* cond, const char* tag, const char* fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/** Sets the least priority that is logged (ANDROID_LOG_INFO otherwise) and returns the one before. */
int32_t __android_log_set_minimum_priority(int32_t priority);

/** The least priority that is logged. */
int32_t __android_log_get_minimum_priority(void);

/** Whether a message would be logged. */
int __android_log_is_loggable(int prio, const char* tag, int default_prio);


#if defined(__cplusplus)
}
#endif
