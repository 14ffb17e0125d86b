/* SPDX-License-Identifier: MIT */
/*
 * Two rings of one producer and one consumer: 16 bytes towards the device, 8 bytes back, and
 * nothing else. An entry is there when its number is not that of the round before, so that no index
 * is shared. What a virtqueue costs beyond this is its own.
 */
#include <errno.h>

#include "ringbench/shared.h"
#include "virtq/virtq.h"

#define CLOCK_LOOK  4096u
#define PATIENCE_NS 2000000000u

struct request {
    uint64_t value, number; /* number: 1, 2, ... */
};

size_t floor_area_bytes(unsigned size)
{
    return size * sizeof(struct request);
}

void floor_driver_run(struct shared *s, struct driver_result *result)
{
    struct request *out = s->areas.desc;
    const uint64_t *in = s->areas.device;
    const uint64_t mask = s->row->size - 1, depth = s->row->depth, batch = s->row->batch;
    uint64_t sent = 0, got = 0, at_begin = 0, begin = wall_ns(), last = begin, last_got = 0;
    uint64_t until = begin + s->row->measure_ns / 10, cpu_begin = 0, now;
    bool warm = false;

    __atomic_store_n(&s->words->ready, 1, __ATOMIC_RELEASE);
    for (;;) {
        for (unsigned i = 0; i < CLOCK_LOOK; i++) {
            if (sent - got + batch <= depth) {
                for (uint64_t k = batch; k-- > 1;) {
                    out[(sent + k) & mask].value = sent + k;
                    __atomic_store_n(&out[(sent + k) & mask].number, sent + k + 1,
                                     __ATOMIC_RELAXED);
                }
                out[sent & mask].value = sent;
                __atomic_store_n(&out[sent & mask].number, sent + 1, __ATOMIC_RELEASE);
                sent += batch;
            }
            for (uint64_t k = 0; k < batch && got < sent &&
                                 __atomic_load_n(&in[got & mask], __ATOMIC_ACQUIRE) == got + 1;
                 k++)
                got++;
        }
        now = wall_ns();
        if (got != last_got) {
            last_got = got;
            last = now;
        } else if (now - last > PATIENCE_NS) {
            result->error = -ETIMEDOUT;
            break;
        }
        if (now < until)
            continue;
        if (warm)
            break;
        warm = true;
        begin = now;
        cpu_begin = cpu_ns();
        at_begin = got;
        until = begin + s->row->measure_ns;
    }
    result->wall_ns = now - begin;
    result->cpu_ns = cpu_ns() - cpu_begin;
    result->buffers = got - at_begin;
    __atomic_store_n(&s->words->stop, 1, __ATOMIC_RELEASE);
}

void floor_device_run(struct shared *s)
{
    const struct request *in = s->areas.desc;
    uint64_t *out = s->areas.device;
    const uint64_t mask = s->row->size - 1;
    uint64_t got = 0, sum = 0;

    while (!__atomic_load_n(&s->words->stop, __ATOMIC_ACQUIRE))
        for (unsigned i = 0; i < CLOCK_LOOK; i++)
            if (__atomic_load_n(&in[got & mask].number, __ATOMIC_ACQUIRE) == got + 1) {
                sum += in[got & mask].value;
                got++;
                __atomic_store_n(&out[(got - 1) & mask], got, __ATOMIC_RELEASE);
            }
    s->words->device_chains = got;
    s->words->device_sum = sum;
}
