/* SPDX-License-Identifier: MIT */
#include "stock/kmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

#define RECORD_BYTES 8192 /* the kernel's own limit */
#define LEVEL_MASK   7
#define LEVEL_CRIT   2
#define MESSAGES_MAX 100000u

/* Beside everything that the kernel itself calls critical or worse. */
static const char *const complaints[] = {
    "Grant still in use", /* drivers/xen/grant-dma-ops.c: the device is of no use any more */
    "BUG:",               /* soft lockups, too */
    "WARNING: CPU",
    "Oops",
    "Internal error", /* the same on Arm */
    "Call Trace:",
    "blocked for more than",    /* hung tasks */
    "rcu: INFO: rcu_",          /* a processor that went nowhere */
    "I/O error, dev",           /* block/blk-core.c; no check of a sound disk causes one */
    "nobody cared",             /* an interrupt that nothing asked for */
    "probe with driver virtio", /* ... failed */
    "is not a head!",           /* drivers/virtio/virtio_ring.c: the id of a used entry */
};

static bool is_complaint(int level, const char *text)
{
    if (level <= LEVEL_CRIT)
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(complaints); i++)
        if (strstr(text, complaints[i]))
            return true;
    return false;
}

int kmsg_read(struct kmsg *k)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), err = 0;
    char record[RECORD_BYTES + 1];

    *k = (struct kmsg){0};
    if (fd < 0)
        return -errno;
    while (k->messages < MESSAGES_MAX) {
        ssize_t n = read(fd, record, RECORD_BYTES);
        /* The oldest were lost: go on with what is there. */
        if (n < 0 && (errno == EPIPE || errno == EINTR))
            continue;
        if (n < 0 && errno != EAGAIN)
            err = -errno;
        if (n <= 0)
            break;
        record[n] = 0;
        /* facility and level, sequence, time, flags; text */
        int prefix = (int)strtol(record, NULL, 10);
        char *text = strchr(record, ';');
        if (!text)
            continue;
        text++;
        text[strcspn(text, "\n")] = 0;
        k->messages++;
        /* What programs write there has another facility. */
        if (prefix > LEVEL_MASK || !is_complaint(prefix & LEVEL_MASK, text))
            continue;
        if (!k->complaints++)
            snprintf(k->first, sizeof(k->first), "%s", text);
    }
    close(fd);
    return err;
}
