/* SPDX-License-Identifier: MIT */
#include "util/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/evloop.h"

#define LOG_LINE_BYTES   1024
#define LOG_PREFIX_BYTES 32

static const char *const log_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static atomic_int log_level = LOG_LEVEL_WARN;
/* Written once before other threads start. */
static char log_prefix[LOG_PREFIX_BYTES];

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_set_prefix(const char *prefix)
{
    snprintf(log_prefix, sizeof(log_prefix), "%s", prefix);
}

int log_level_parse(const char *text, enum log_level *level)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(log_names); i++) {
        if (strcmp(text, log_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

void log_write_va(enum log_level level, const char *fmt, va_list ap)
{
    char line[LOG_LINE_BYTES];
    int saved_errno = errno;
    int head, len;

    if (!log_enabled(level))
        return;
    head = snprintf(line, sizeof(line), "%s%s%s: ", log_prefix, log_prefix[0] != '\0' ? ": " : "",
                    log_names[level]);
    len = vsnprintf(line + head, sizeof(line) - (size_t)head, fmt, ap);
    if (len < 0)
        len = 0;
    len += head;
    if (len > (int)sizeof(line) - 1)
        len = (int)sizeof(line) - 1;
    /* Text that came from a guest or a store must not forge lines or drive a terminal. */
    for (int i = head; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    line[len++] = '\n';
    for (int done = 0; done < len;) {
        ssize_t n = write(STDERR_FILENO, line + done, (size_t)(len - done));

        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (int)n : 0;
    }
    errno = saved_errno;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_write_va(level, fmt, ap);
    va_end(ap);
}

bool log_site_admit(struct log_site *site, uint32_t *dropped)
{
    uint64_t now = evloop_now_ns();
    uint64_t start = __atomic_load_n(&site->window_start_ns, __ATOMIC_RELAXED);

    if (start == 0 || now - start >= LOG_LIMIT_WINDOW_NS) {
        __atomic_store_n(&site->window_start_ns, now, __ATOMIC_RELAXED);
        __atomic_store_n(&site->passed, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_fetch_add(&site->passed, 1, __ATOMIC_RELAXED) < LOG_LIMIT_BURST) {
        *dropped = __atomic_exchange_n(&site->dropped, 0, __ATOMIC_RELAXED);
        return true;
    }
    __atomic_fetch_add(&site->dropped, 1, __ATOMIC_RELAXED);
    return false;
}
