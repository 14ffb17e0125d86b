/* SPDX-License-Identifier: MIT */
/* An entropy device behind Linux's virtio_rng: the random bytes of /dev/hwrng. */
#include "stock/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CURRENT "/sys/class/misc/hw_random/rng_current"
#define READS   4u
#define BYTES   64u

struct reading {
    unsigned char data[READS][BYTES];
};

/* The driver names its source "virtio_rng.N"; the kernel may prefer another one. */
static int choose_source(void)
{
    char list[512] = "", *name;
    int fd = open("/sys/class/misc/hw_random/rng_available", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, list, sizeof(list) - 1);
    int err = n < 0 ? errno : 0;

    if (fd >= 0)
        close(fd);
    if (err)
        return err;
    name = strstr(list, "virtio_rng");
    if (!name)
        return ENODEV;
    name[strcspn(name, " \n")] = '\0';
    fd = open(CURRENT, O_WRONLY | O_CLOEXEC);
    err = fd < 0 || write(fd, name, strlen(name)) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return err;
}

static int read_bytes(void *arg)
{
    struct reading *r = arg;
    int err = choose_source();
    int fd = err ? -1 : open("/dev/hwrng", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err ? err : errno;
    for (unsigned i = 0; i < READS && !err; i++) {
        size_t have = 0;

        while (have < BYTES && !err) {
            ssize_t n = read(fd, r->data[i] + have, BYTES - have);

            if (n > 0)
                have += (size_t)n;
            else if (n == 0 || errno != EINTR)
                err = n ? errno : ENODATA;
        }
    }
    close(fd);
    return err;
}

void stock_exercise_rng(struct stock *s)
{
    struct reading *r = stock_memory(s, sizeof(*r));
    int err;

    memset(r, 0, sizeof(*r));
    err = stock_do(s, "a read of /dev/hwrng", read_bytes, r);
    expect(s->t, MUST, err == 0, "a read of /dev/hwrng fails: %s", strerror(err));
    if (err)
        stop_check(s->t);
    for (unsigned i = 0; i < READS; i++)
        for (unsigned j = 0; j < i; j++)
            expect(s->t, MUST, memcmp(r->data[i], r->data[j], BYTES) != 0,
                   "reads %u and %u of %u bytes gave the same", j, i, BYTES);
}
