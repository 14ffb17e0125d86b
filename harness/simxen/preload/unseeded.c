/* SPDX-License-Identifier: MIT */
/*
 * A host whose kernel was just booted on a processor without RDRAND, for a backend (LD_PRELOAD): it
 * refuses random numbers to whoever will not wait, and gathers entropy while somebody waits, for a
 * time (Linux's try_to_generate_entropy). Then it has them for all.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT    __attribute__((visibility("default")))
#define GATHER_NS 200000000L

/* As the kernel's own: of the whole machine. */
static atomic_bool seeded;

EXPORT ssize_t getrandom(void *buf, size_t bytes, unsigned flags)
{
    const struct timespec gather = {.tv_nsec = GATHER_NS};

    if (!atomic_load(&seeded) && flags & GRND_NONBLOCK) {
        errno = EAGAIN;
        return -1;
    }
    if (!atomic_load(&seeded)) {
        nanosleep(&gather, NULL);
        atomic_store(&seeded, true);
    }
    return syscall(SYS_getrandom, buf, bytes, flags);
}
