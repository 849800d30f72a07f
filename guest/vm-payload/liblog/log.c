/*
 * liblog.so: Android's log functions for payloads that call them. Each message is a line, written at once to stderr.
 */

#include <android/log.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* Android's own limit on a message. */
enum { kMaxLine = 4096 };

static _Atomic int minimum = ANDROID_LOG_INFO;

static char letter(int priority) {
    static const char kLetters[] = "??VDIWEFS";
    return priority >= 0 && priority < (int)sizeof kLetters - 1 ? kLetters[priority] : '?';
}

EXPORT int __android_log_is_loggable(int priority, const char* tag, int default_priority) {
    (void)tag;
    int least = atomic_load(&minimum);
    if (least == ANDROID_LOG_DEFAULT) least = default_priority;
    return priority >= least && least != ANDROID_LOG_SILENT;
}

EXPORT int32_t __android_log_set_minimum_priority(int32_t priority) {
    return atomic_exchange(&minimum, priority);
}

EXPORT int32_t __android_log_get_minimum_priority(void) {
    return atomic_load(&minimum);
}

EXPORT int __android_log_write(int priority, const char* tag, const char* text) {
    if (!__android_log_is_loggable(priority, tag, ANDROID_LOG_INFO)) return 0;
    char line[kMaxLine];
    int length = snprintf(line, sizeof line, "%c/%s: %s", letter(priority), tag ? tag : "", text ? text : "");
    if (length < 0) return length;
    /* What does not fit is cut; the line feed takes the place of the terminator. */
    size_t size = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    if (size == 0 || line[size - 1] != '\n') line[size++] = '\n';
    for (size_t done = 0; done < size;) {
        ssize_t written = write(STDERR_FILENO, line + done, size - done);
        if (written <= 0) return -1;
        done += (size_t)written;
    }
    return 1;
}

EXPORT int __android_log_vprint(int priority, const char* tag, const char* format, va_list arguments) {
    char text[kMaxLine];
    vsnprintf(text, sizeof text, format, arguments);
    return __android_log_write(priority, tag, text);
}

EXPORT int __android_log_print(int priority, const char* tag, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int result = __android_log_vprint(priority, tag, format, arguments);
    va_end(arguments);
    return result;
}

EXPORT int __android_log_buf_write(int buffer, int priority, const char* tag, const char* text) {
    (void)buffer;
    return __android_log_write(priority, tag, text);
}

EXPORT int __android_log_buf_print(int buffer, int priority, const char* tag, const char* format, ...) {
    (void)buffer;
    va_list arguments;
    va_start(arguments, format);
    int result = __android_log_vprint(priority, tag, format, arguments);
    va_end(arguments);
    return result;
}

EXPORT void __android_log_assert(const char* condition, const char* tag, const char* format, ...) {
    char text[kMaxLine];
    if (format != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
    } else {
        snprintf(text, sizeof text, "Assertion failed: %s", condition ? condition : "unspecified");
    }
    __android_log_write(ANDROID_LOG_FATAL, tag, text);
    abort();
}
