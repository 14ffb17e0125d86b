/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.4: the entropy device. Whether bytes are random cannot be proved; that they are not can.
 */
#define CHECK_FAMILY "entropy"

#include <stdlib.h>
#include <string.h>

#include "conformance/ring.h"
#include "frontend/rng.h"
#include "spec/virtio.h"
#include "util/bits.h"

#define ENTROPY (NEED_DEVICE | NEED_RNG)
/* So many bytes are never by chance what they were before. */
#define NO_CHANCE_BYTES 16u

struct rng {
    struct device *d;
    struct ring *q;
};

static void rng_start(struct rng *g, uint64_t features)
{
    device_negotiate(g->d, features);
    g->q = given_queue(g->d, 0, 0);
    device_driver_ok(g->d);
}

static struct rng given_rng(struct check_ctx *t, uint64_t features)
{
    struct rng g = {.d = given_device(t)};

    rng_start(&g, features);
    return g;
}

/* One request for all of a buffer. Expects the used entry, with a length that can be. */
static uint32_t rng_read(struct rng *g, struct buffer *b)
{
    struct check_ctx *t = g->d->t;
    struct piece p = piece_of(b, true);
    uint16_t head = ring_chain(g->q, 0, &p, 1);
    uint32_t len;

    ring_offer(g->q, head);
    ring_kick(g->q);
    len = expect_used(g->q, head);
    expect(t, MUST, len >= 1, "a buffer of %u bytes was used without a byte in it", b->bytes);
    expect(t, MUST, len <= b->bytes, "%u bytes were used of a buffer of %u", len, b->bytes);
    if (len < 1 || len > b->bytes)
        stop_check(t);
    return len;
}

/* As many bytes as asked for, in as many requests as it takes. */
static void rng_collect(struct rng *g, uint8_t *all, uint32_t bytes)
{
    struct buffer *b = given_buffer(g->d, XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
    uint32_t have = 0;

    while (have < bytes) {
        uint32_t got = rng_read(g, b);

        got = got < bytes - have ? got : bytes - have;
        memcpy(all + have, b->va, got);
        have += got;
    }
    buffer_release(b);
}

CHECK(each_buffer_gets_a_byte, .judges = DEVICE, .proves = "entropy.device-operation.device.1",
      .needs = ENTROPY, .title = "One or more bytes in buffers of every size")
{
    static const uint32_t sizes[] = {1, 2, 3, 7, 64, 4095, 4096, 4097, 65536, 256 * 1024};
    struct rng g = given_rng(t, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct buffer *b = given_buffer(g.d, sizes[i], i * 100, FE_DMA_FROM_DEVICE);

        (void)rng_read(&g, b);
        expect_canaries(t, b, "a buffer for random bytes");
        buffer_release(b);
    }
}

CHECK(used_bytes_were_written, .judges = DEVICE, .proves = "xen.entropy.bytes.1", .needs = ENTROPY,
      .title = "As many bytes as the used length says are new")
{
    struct rng g = given_rng(t, 0);
    struct buffer *b = given_buffer(g.d, 1024, 0x400, FE_DMA_FROM_DEVICE);
    uint8_t changed[1024] = {0};
    uint32_t len = b->bytes;

    /* A byte may be by chance what it was before, but hardly eight times. */
    for (unsigned i = 0; i < 8; i++) {
        uint32_t got;

        memset(b->va, 0x11 * (int)i, b->bytes);
        got = rng_read(&g, b);
        len = got < len ? got : len;
        for (uint32_t at = 0; at < got; at++)
            changed[at] |= b->va[at] != 0x11 * i;
    }
    for (uint32_t at = 0; at < len; at++)
        if (!changed[at]) {
            expect(t, MUST, changed[at], "byte %u of %u was not written", at, len);
            break;
        }
    expect_canaries(t, b, "a buffer for random bytes");
    buffer_release(b);
}

CHECK(bytes_do_not_repeat, .judges = DEVICE, .proves = "xen.entropy.bytes.2", .needs = ENTROPY,
      .title = "No sequence comes twice, before a reset or after it")
{
    struct rng g = given_rng(t, 0);
    enum { ROUNDS = 16 };
    uint8_t seen[ROUNDS][NO_CHANCE_BYTES];

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == ROUNDS / 2)
            rng_start(&g, 0);
        rng_collect(&g, seen[i], NO_CHANCE_BYTES);
        for (unsigned before = 0; before < i; before++)
            expect(t, MUST, memcmp(seen[before], seen[i], NO_CHANCE_BYTES) != 0,
                   "requests %u and %u got the same %u bytes", before, i, NO_CHANCE_BYTES);
    }
}

CHECK(every_bit_is_used, .judges = DEVICE, .proves = "xen.entropy.bytes.3", .needs = ENTROPY,
      .title = "Each bit of a byte is set about half of the time, each value occurs")
{
    enum { BYTES = 32768 };
    struct rng g = given_rng(t, 0);
    unsigned ones[8] = {0}, missing = 0;
    bool value[256] = {false};
    static uint8_t bytes[BYTES];

    rng_collect(&g, bytes, BYTES);
    for (unsigned i = 0; i < BYTES; i++) {
        value[bytes[i]] = true;
        for (unsigned bit = 0; bit < 8; bit++)
            ones[bit] += bytes[i] >> bit & 1;
    }
    for (unsigned v = 0; v < 256; v++)
        missing += !value[v];
    /* The deviation is 90 or so: ten times that is no chance. */
    for (unsigned bit = 0; bit < 8; bit++)
        expect(t, MUST, ones[bit] > BYTES / 2 - 900 && ones[bit] < BYTES / 2 + 900,
               "bit %u is set in %u of %u bytes", bit, ones[bit], (unsigned)BYTES);
    expect(t, MUST, missing == 0, "%u of 256 values never occur in %u bytes", missing,
           (unsigned)BYTES);
}

CHECK(readable_buffers_do_no_harm, .judges = DEVICE, .proves = "xen.entropy.request.1",
      .needs = ENTROPY, .title = "A request that the device could only read")
{
    struct rng g = given_rng(t, 0);
    struct buffer *b = given_buffer(g.d, 64, 0, FE_DMA_BOTH);
    struct piece p = piece_of(b, false);
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    struct virtq_raw_used u = {0};
    bool used = false, needs_reset = false;

    buffer_fill(b, 3);
    ring_offer(g.q, ring_chain(g.q, 0, &p, 1));
    ring_kick(g.q);
    while (!used && !needs_reset && given_now_ns() < deadline) {
        used = ring_used(g.q, &u, MS(1));
        needs_reset = device_status(g.d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    }
    expect(t, SHOULD, used || needs_reset,
           "the device neither used the buffer nor set DEVICE_NEEDS_RESET");
    expect(t, MUST, buffer_matches(b, 3), "a buffer that the device may only read was written");
    rng_start(&g, 0);
    buffer_release(b);
    b = given_buffer(g.d, 64, 0, FE_DMA_FROM_DEVICE);
    (void)rng_read(&g, b);
    buffer_release(b);
}

/* ---- the driver library ---- */

struct library_run {
    struct fe_rng *rng;
    struct check_ctx *t;
};

static void library_end(void *arg)
{
    struct library_run *r = arg;
    int rc = fe_rng_destroy(r->rng);

    if (rc)
        expect(r->t, MUST, rc == 0, "stopping the driver: %s", strerror(-rc));
    free(r);
}

CHECK(driver_library_reads, .judges = DEVICE, .proves = "xen.entropy.bytes.1",
      .needs = ENTROPY | NEED_IRQ,
      .title = "An ordinary driver with interrupts gets what it asks for")
{
    const struct subject *s = check_subject(t);
    struct device *d = given_device(t);
    struct library_run *r = calloc(1, sizeof(*r));
    struct fe_rng_config cfg = {.interrupts = true, .features_need = given_ring_features(s)};
    uint8_t bytes[10000];
    unsigned zeroes = 0;
    int rc = 0;

    if (!r)
        error_out(t, "no memory");
    r->t = t;
    check_defer(t, library_end, r);
    cfg.memory = &d->mem;
    must(t, fe_rng_create(d->v, &cfg, &r->rng), "starting the device");
    for (uint32_t n = 1; n <= sizeof(bytes) && !rc; n *= 10) {
        memset(bytes, 0, sizeof(bytes));
        rc = fe_rng_read(r->rng, bytes, n);
        expect(t, MUST, rc == 0, "reading %u random bytes: %s", n, strerror(-rc));
    }
    for (unsigned i = 0; i < sizeof(bytes); i++)
        zeroes += bytes[i] == 0;
    expect(t, MUST, zeroes < 200, "%u of %zu bytes are 0", zeroes, sizeof(bytes));
}
