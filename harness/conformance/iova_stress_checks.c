/* SPDX-License-Identifier: MIT */
/*
 * Mapping and unmapping against I/O: while a disk reads into windows, a thread takes each away and
 * gives it back, without asking whether a request is on its way to it. Requests that come too late
 * fault, and the disk is started anew; no byte of a window may change from the answer to its UNMAP
 * on until it is mapped again.
 */
#define CHECK_FAMILY "iova"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/iommuwin.h"
#include "spec/virtio_iommu.h"

#define WINDOWS      8u
#define WINDOW_PAGES 8u
#define REQUESTS     8u /* at once */
#define LOOKS        6u /* at a window that is unmapped */
#define STALL_NS     MS(2)
/* Of each, requests and UNMAPs. Where they are slow, few have to do. */
#define ENOUGH      1500u
#define FEW         20u
#define SLOW_NS     MS(15000)
#define TOO_LONG_NS MS(45000)

#define SLOT_BYTES 32u /* header at 0, status behind it */

struct stress {
    struct blk *k;
    struct window *w[WINDOWS];
    struct fe_dma slots; /* headers and statuses, behind the IOMMU as all of the disk's */
    pthread_t thread;
    bool joined;
    atomic_bool over;
    uint64_t random; /* of the disk's thread */
    uint64_t begun_ns;
    unsigned served, starts;
    atomic_uint unmaps;
    atomic_int rc;    /* the other thread's: it has ended when that is not 0 */
    unsigned changed; /* to be looked at when it has ended */
};

static unsigned next_random(uint64_t *state, unsigned below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*state >> 33) % below;
}

static void *map_and_unmap(void *arg)
{
    struct stress *x = arg;
    struct device *d = x->k->d;
    uint64_t random = 2;

    while (!atomic_load(&x->over) && !x->rc) {
        struct window *w = x->w[next_random(&random, WINDOWS)];
        bool own = true;

        x->rc = fe_iommu_unmap(d->behind->iommu, d->domain, w->iova, w->bytes);
        if (x->rc)
            break;
        window_own(w);
        for (unsigned i = 0; i < LOOKS && own; i++) {
            sched_yield();
            own = window_is_own(w);
        }
        atomic_fetch_add(&x->unmaps, 1);
        x->changed += !own;
        x->rc =
            fe_iommu_map(d->behind->iommu, d->domain, w->iova, w->bytes, w->mem.addr, FE_DMA_BOTH);
    }
    return NULL;
}

static void stress_join(struct stress *x)
{
    atomic_store(&x->over, true);
    if (!x->joined)
        pthread_join(x->thread, NULL);
    x->joined = true;
}

static void stress_end(void *arg)
{
    struct stress *x = arg;

    stress_join(x);
    (void)fe_dma_free(&x->k->d->mem, &x->slots);
    free(x);
}

static void offer(struct stress *x, unsigned slot)
{
    uint8_t *at = x->slots.va + slot * SLOT_BYTES;
    const struct window *w = x->w[next_random(&x->random, WINDOWS)];
    uint32_t sectors = 1 + next_random(&x->random, WINDOW_PAGES * 8 - 1);
    const struct virtio_blk_req_hdr h = {
        .type = le32_make(VIRTIO_BLK_T_IN),
        .sector = le64_make(next_random(&x->random, 1024)),
    };
    const struct piece p[3] = {
        {fe_dma_addr(&x->slots, slot * SLOT_BYTES), sizeof(h), false},
        window_piece(w, next_random(&x->random, 16) * 32, sectors * SECTOR, true),
        {fe_dma_addr(&x->slots, slot * SLOT_BYTES + sizeof(h)), 1, true},
    };

    memcpy(at, &h, sizeof(h));
    ring_offer(x->k->q, ring_chain(x->k->q, slot * 3, p, 3));
}

static bool is_over(struct stress *x)
{
    unsigned unmaps = atomic_load(&x->unmaps), least = unmaps < x->served ? unmaps : x->served;
    uint64_t for_ns = given_now_ns() - x->begun_ns;

    return least >= ENOUGH || (least >= FEW && for_ns >= SLOW_NS) || for_ns >= TOO_LONG_NS ||
           atomic_load(&x->rc);
}

/* Until the disk has to be started anew, or it is over. */
static void run(struct stress *x)
{
    struct ring *q = x->k->q;
    struct virtq_raw_used u;

    for (unsigned i = 0; i < REQUESTS; i++)
        offer(x, i);
    ring_kick(q);
    while (!is_over(x)) {
        if (ring_used(q, &u, STALL_NS)) {
            x->served++;
            offer(x, u.id / 3 % REQUESTS);
            ring_kick(q);
        } else if (device_status(x->k->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET) {
            return;
        }
    }
}

CHECK(nothing_is_written_after_unmap, .judges = DEVICE,
      .proves = "xen.memory.iommu.11 xen.memory.iommu.20",
      .needs = NEED_DEVICE | NEED_BEHIND | NEED_BLK, .timeout_ms = 60000,
      .title = "Windows are mapped and unmapped while the disk reads into them")
{
    struct stress *x = calloc(1, sizeof(*x));

    if (!x)
        error_out(t, "no memory");
    x->random = 1;
    x->joined = true;
    x->k = given_blk(t, 0, 32);
    if (x->k->d->subject->platform->nr_vcpus < 2)
        skip_check(t, "two threads need two vCPUs");
    for (unsigned i = 0; i < WINDOWS; i++) {
        x->w[i] = given_window(x->k->d, i, WINDOW_PAGES + 1);
        window_map(x->w[i], FE_DMA_BOTH);
    }
    must(t, fe_dma_alloc(&x->k->d->mem, REQUESTS * SLOT_BYTES, &x->slots), "allocating headers");
    check_defer(t, stress_end, x);
    x->begun_ns = given_now_ns();
    x->joined = pthread_create(&x->thread, NULL, map_and_unmap, x) != 0;
    if (x->joined)
        error_out(t, "no thread");
    for (run(x); !is_over(x); run(x)) {
        blk_restart(x->k, 0, 32);
        x->starts++;
    }
    stress_join(x);
    note(t, "requests served", "%u", x->served);
    note(t, "starts after faults", "%u", x->starts);
    note(t, "UNMAPs", "%u", x->unmaps);
    must(t, x->rc, "mapping and unmapping");
    expect(t, MUST, x->changed == 0, "%u of %u windows were written after their UNMAP was answered",
           x->changed, x->unmaps);
    if (x->unmaps < FEW || x->served < FEW)
        error_out(t, "too little happened: %u requests, %u UNMAPs", x->served, x->unmaps);
}
