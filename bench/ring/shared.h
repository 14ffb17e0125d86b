/* SPDX-License-Identifier: MIT */
/*
 * What the two processes share, made before the second begins: a page of words for the benchmark's
 * own purposes, the ring's areas, and memory for payload and indirect tables, at the same addresses
 * in both.
 */
#ifndef RP_RINGBENCH_SHARED_H
#define RP_RINGBENCH_SHARED_H

#include "ringbench/row.h"
#include "stats/histogram.h"
#include "virtq/virtq.h"

/* Two cache lines, as what prefetches takes them in pairs. */
#define SHARED_APART 128

/* Where payload lies in the addresses that are in descriptors. */
#define SHARED_GUEST_BASE  0x40000000ull
#define SHARED_TABLE_BYTES 16u

struct shared_words {
    /* Of the round trip. */
    _Alignas(SHARED_APART) uint64_t ping;
    _Alignas(SHARED_APART) uint64_t pong;
    /* The ring is empty and can be looked at; the driver has everything back. */
    _Alignas(SHARED_APART) uint32_t ready;
    uint32_t stop;
    /* What the device did, to be read after its end. */
    _Alignas(SHARED_APART) uint64_t device_cpu_ns;
    uint64_t device_wall_ns, device_chains, device_sum, device_sleeps, device_interrupts;
    int device_error; /* -errno, or a positive enum virtq_fault */
};

struct shared {
    const struct row *row;
    struct shared_words *words;
    struct virtq_areas areas;
    unsigned char *payload; /* row->depth pieces of payload_stride bytes, then tables */
    uint32_t payload_stride;
    uint64_t payload_bytes; /* all of it, tables, too */
    unsigned char *tables;
    int doorbell_fd, interrupt_fd; /* -1 where both poll */
    void *base;
    size_t bytes;
    bool huge; /* the kernel gave huge pages */
};

/* 0 or -errno; then everything but the two fds, which are closed by fini. */
int shared_init(struct shared *s, const struct row *r);
void shared_fini(struct shared *s);

/* The address of the same byte for descriptors. */
gpa_t shared_guest_addr(const struct shared *s, const void *va);

/* Round trips of a cache line. The driver asks for about duration_ns and gets the median in ns;
 * meanwhile the device answers, until it was asked to stop. Each is called in its own process. */
double shared_ping(struct shared *s, uint64_t duration_ns);
void shared_answer(struct shared *s);

uint64_t wall_ns(void);
/* Of this process. */
uint64_t cpu_ns(void);

/* A clock that costs little; what a tick is follows from wall_ns around the same work. */
static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return wall_ns();
#endif
}

struct driver_result {
    uint64_t buffers, wall_ns, cpu_ns;
    uint64_t sum; /* of the sequence numbers in the payload */
    uint64_t sleeps, doorbells;
    struct histogram latency;
    int error; /* as device_error */
};

void driver_run(struct shared *s, struct driver_result *result);
void device_run(struct shared *s);
void floor_driver_run(struct shared *s, struct driver_result *result);
void floor_device_run(struct shared *s);
/* Of the floor's two rings, the entries that each of the areas holds. */
size_t floor_area_bytes(unsigned size);

/* ---- doorbell ---- */

/* How long a side looks before it sleeps: longer when what it waits for tends to come soon. */
struct patience {
    uint64_t spin_ns;
};
void patience_init(struct patience *p);
/* `came`: it came while we looked, after waited_ns. */
void patience_learn(struct patience *p, bool came, uint64_t waited_ns);

/*
 * How long a side that found nothing leaves the cache lines to its peer, who writes to them just
 * then: longer as long as several buffers come at once, because a line that moves once for many
 * costs each of them less. With one outstanding it soon is the shortest.
 */
struct restraint {
    unsigned pauses; /* from RESTRAINT_MIN to _MAX */
    unsigned found;  /* buffers since nothing was there */
    bool each; /* a pause before each look: of a packed ring, where the line that a side looks at
                  is the one that the peer writes everything to, in two steps */
};
#define RESTRAINT_MIN  1u
#define RESTRAINT_MAX  40u
#define RESTRAINT_MANY 4u /* buffers that come at once */

static inline void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* Nothing is there. */
static inline void restraint_wait(struct restraint *r)
{
    if (r->found == 0) {
        if (r->each)
            cpu_pause();
        return;
    }
    if (r->found >= RESTRAINT_MANY)
        r->pauses += r->pauses < RESTRAINT_MAX;
    else if (r->pauses > RESTRAINT_MIN)
        r->pauses--;
    r->found = 0;
    for (unsigned i = 0; i < r->pauses; i++)
        cpu_pause();
}

void doorbell_ring(int fd);
/* Sleep until it rings. 0, or -ETIMEDOUT after a second. */
int doorbell_wait(int fd);

#endif
