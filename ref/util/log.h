/* SPDX-License-Identifier: MIT */
/*
 * Messages for people: one line to stderr each, "<prefix>: <level>: <text>".
 *
 * stderr belongs to the process, and so do the level and the prefix: they are the one piece of
 * process-wide state in the tree, set once in main. Everything here may be called from any
 * thread; a line is written with one write(2), so that lines of several processes that share a
 * log do not mix.
 *
 * A message that the other side of a ring can provoke at will goes through a *_limited macro:
 * each call site passes at most LOG_LIMIT_BURST lines in LOG_LIMIT_WINDOW_NS, then counts, and
 * says how many it left out when it speaks again.
 */
#ifndef RP_UTIL_LOG_H
#define RP_UTIL_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

#define LOG_LIMIT_BURST     8u
#define LOG_LIMIT_WINDOW_NS 5000000000ull

/* Messages above this level are dropped. The default is LOG_LEVEL_WARN. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Put before each line, at most 31 bytes are kept; the default is none. */
void log_set_prefix(const char *prefix);

/* "error", "warn", "info" or "debug". Returns 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *level);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_write_va(enum log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* The state of one call site; zero-initialised. */
struct log_site {
    uint64_t window_start_ns;
    uint32_t passed;
    uint32_t dropped;
};

/*
 * Whether this site may speak now. *dropped is the number of messages left out since it last
 * did. A race between two threads can let a few lines more pass, never lose the count for good.
 */
bool log_site_admit(struct log_site *site, uint32_t *dropped);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)                                                                              \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_INFO))                                                           \
            log_write(LOG_LEVEL_INFO, __VA_ARGS__);                                                \
    } while (0)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                               \
    } while (0)

#define log_limited(level, ...)                                                                    \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        uint32_t log_dropped_;                                                                     \
        if (log_enabled(level) && log_site_admit(&log_site_, &log_dropped_)) {                     \
            if (log_dropped_ != 0)                                                                 \
                log_write(level, "(%u messages like the next one were left out)", log_dropped_);   \
            log_write(level, __VA_ARGS__);                                                         \
        }                                                                                          \
    } while (0)

#define log_warn_limited(...)  log_limited(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info_limited(...)  log_limited(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug_limited(...) log_limited(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
