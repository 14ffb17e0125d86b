/* SPDX-License-Identifier: MIT */
/*
 * What a request costs: mappings, copies, events, traps, counted by the hypervisor. The requests
 * are offered one by one, so that the counts are exact; the same ones, in the same memory, are
 * counted twice, behind a first time in which a backend fills whatever it keeps.
 */
#define CHECK_FAMILY "memory"

#include <stdio.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "util/bits.h"

#define REQUESTS 32u

static const struct shape {
    const char *name;
    uint32_t type, bytes, offset;
} shapes[] = {
    {"read 4 KiB", VIRTIO_BLK_T_IN, 4096, 0},
    {"read 64 KiB", VIRTIO_BLK_T_IN, 65536, 0},
    {"write 4 KiB", VIRTIO_BLK_T_OUT, 4096, 0},
    {"write 64 KiB", VIRTIO_BLK_T_OUT, 65536, 0},
};

static const struct count {
    const char *member; /* of the testbed's answer */
    const char *column;
} counts[] = {
    {"pages_mapped", "pages mapped"},
    {"pages_unmapped", "pages unmapped"},
    {"copies", "copies"},
    {"bytes_copied", "bytes copied"},
    {"events", "events"},
    {"interrupts", "interrupts"},
    {"traps", "traps"},
};

enum { MAPPED, UNMAPPED, COUNTS = ARRAY_LENGTH(counts) };

static void counts_read(struct check_ctx *t, uint64_t now[COUNTS])
{
    const char *members[COUNTS];

    for (unsigned i = 0; i < COUNTS; i++)
        members[i] = counts[i].member;
    given_ask_numbers(t, "domain.costs", members, COUNTS, now);
}

/* The requests of one shape, each with the data where the one before had it. */
static void requests_make(struct blk *k, const struct shape *s, struct buffer *b)
{
    bool read = s->type == VIRTIO_BLK_T_IN;

    for (unsigned i = 0; i < REQUESTS; i++) {
        struct piece p;

        buffer_map(b, read ? FE_DMA_FROM_DEVICE : FE_DMA_TO_DEVICE);
        p = piece_of(b, read);
        expect_eq(k->d->t, MUST, blk_request(k, s->type, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a request");
        buffer_release(b);
    }
}

/* What they cost; now[] is what was counted before, and then after them. */
static void requests_cost(struct blk *k, const struct shape *s, struct buffer *b,
                          uint64_t now[COUNTS], uint64_t cost[COUNTS])
{
    uint64_t before[COUNTS];

    memcpy(before, now, sizeof(before));
    requests_make(k, s, b);
    counts_read(k->d->t, now);
    for (unsigned i = 0; i < COUNTS; i++)
        cost[i] = now[i] - before[i];
}

static void note_cost(struct check_ctx *t, const struct shape *s, const uint64_t cost[COUNTS])
{
    note(t, "row", "%s", s->name);
    for (unsigned i = 0; i < COUNTS; i++) {
        if (cost[i] % REQUESTS)
            note(t, counts[i].column, "%.2f", (double)cost[i] / REQUESTS);
        else
            note(t, counts[i].column, "%llu", (unsigned long long)(cost[i] / REQUESTS));
    }
}

CHECK(requests_cost_what_they_cost, .judges = DEVICE, .proves = "xen.memory.cost.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_TESTBED | NEED_COSTS,
      .timeout_ms = 30000,
      .title = "The same requests cost the same, and leave nothing more mapped")
{
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(shapes); i++) {
        uint64_t first[COUNTS], again[COUNTS], now[COUNTS];
        struct buffer *b;

        if (shapes[i].bytes > k->size_max)
            continue;
        b = given_buffer(k->d, shapes[i].bytes, shapes[i].offset, FE_DMA_BOTH);
        buffer_release(b);
        requests_make(k, &shapes[i], b);
        counts_read(t, now);
        requests_cost(k, &shapes[i], b, now, first);
        requests_cost(k, &shapes[i], b, now, again);
        note_cost(t, &shapes[i], again);
        for (unsigned c = 0; c < COUNTS; c++)
            expect(t, SHOULD, first[c] == again[c],
                   "%s: %u requests cost %llu %s, the same again %llu", shapes[i].name, REQUESTS,
                   (unsigned long long)first[c], counts[c].column, (unsigned long long)again[c]);
        expect(t, MUST, again[MAPPED] == again[UNMAPPED],
               "%s: of %llu pages that %u requests had mapped %llu were unmapped", shapes[i].name,
               (unsigned long long)again[MAPPED], REQUESTS, (unsigned long long)again[UNMAPPED]);
    }
}
