/* SPDX-License-Identifier: MIT */
#include "conformance/service.h"

#include <stdlib.h>
#include <string.h>

#include "spec/virtio.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_iommu.h"
#include "util/bits.h"

#define DATA_BYTES 512u

struct service_type {
    uint32_t device_id;
    unsigned queue;
    void (*make)(struct request *r, bool small);
    /* Contents as before the device had it. */
    void (*refresh)(struct request *r);
    bool (*is_answered)(const struct request *r, uint32_t used_len);
    bool may_be_short; /* the device may write less than there is room for */
};

static void request_part(struct request *r, uint32_t bytes, uint32_t offset, enum fe_dma_dir dir)
{
    r->part[r->parts].b = given_buffer(r->s->d, bytes, offset, dir);
    r->part[r->parts].dir = dir;
    r->parts++;
}

/* ---- blk: a sector is read, or the serial number ---- */

/* Never a status that a device gives (5.2.6): whoever finds it knows that nothing was written. */
#define STATUS_UNWRITTEN 0xee

static void blk_make(struct request *r, bool small)
{
    /* Odd places in their pages, so that canaries are on both sides. */
    request_part(r, sizeof(struct virtio_blk_req_hdr), 0x130, FE_DMA_TO_DEVICE);
    if (!small)
        request_part(r, DATA_BYTES, 0x200, FE_DMA_FROM_DEVICE);
    request_part(r, small ? VIRTIO_BLK_ID_BYTES + 1 : 1, 0x7f5, FE_DMA_FROM_DEVICE);
}

/* Behind the data, or with it in the last buffer. */
static uint8_t *blk_status(const struct request *r)
{
    const struct buffer *last = r->part[r->parts - 1].b;

    return last->va + last->bytes - 1;
}

static void blk_refresh(struct request *r)
{
    const struct virtio_blk_req_hdr h = {
        .type = le32_make(r->parts == 2 ? VIRTIO_BLK_T_GET_ID : VIRTIO_BLK_T_IN),
    };

    memcpy(r->part[0].b->va, &h, sizeof(h));
    *blk_status(r) = STATUS_UNWRITTEN;
}

static bool blk_is_answered(const struct request *r, uint32_t used_len)
{
    return *blk_status(r) == VIRTIO_BLK_S_OK;
}

/* ---- rng: bytes are filled ---- */

static void rng_make(struct request *r, bool small)
{
    request_part(r, small ? 8 : 64, 0x300, FE_DMA_FROM_DEVICE);
}

static void rng_refresh(struct request *r)
{
    memset(r->part[0].b->va, 0, r->part[0].b->bytes);
}

static bool rng_is_answered(const struct request *r, uint32_t used_len)
{
    const struct buffer *b = r->part[0].b;

    /* A device may give less (5.4.6.2), but what it says it gives is there. */
    return used_len >= 1 && used_len <= b->bytes && (used_len < 8 || !buffer_is(b, 0));
}

/* ---- console: bytes are taken from port 0, whether or not somebody is at its host end ---- */

static void console_make(struct request *r, bool small)
{
    request_part(r, small ? 8 : 64, 0x280, FE_DMA_TO_DEVICE);
}

static void console_refresh(struct request *r)
{
    memset(r->part[0].b->va, '.', r->part[0].b->bytes);
}

static bool console_is_answered(const struct request *r, uint32_t used_len)
{
    return buffer_is(r->part[0].b, '.');
}

/* ---- iommu: an endpoint that does not exist is attached to a domain, in vain ---- */

static void iommu_make(struct request *r, bool small)
{
    (void)small;
    request_part(r, sizeof(struct virtio_iommu_req_attach), 0x1a4, FE_DMA_TO_DEVICE);
    request_part(r, sizeof(struct virtio_iommu_req_tail), 0x64c, FE_DMA_FROM_DEVICE);
}

static void iommu_refresh(struct request *r)
{
    const struct virtio_iommu_req_attach q = {.head.type = VIRTIO_IOMMU_T_ATTACH,
                                              .endpoint = le32_make(UINT32_MAX)};

    memcpy(r->part[0].b->va, &q, sizeof(q));
    memset(r->part[1].b->va, STATUS_UNWRITTEN, sizeof(struct virtio_iommu_req_tail));
}

static bool iommu_is_answered(const struct request *r, uint32_t used_len)
{
    return r->part[1].b->va[0] == VIRTIO_IOMMU_S_NOENT;
}

/* ---- the table ---- */

static const struct service_type types[] = {
    {VIRTIO_ID_BLOCK, 0, blk_make, blk_refresh, blk_is_answered, false},
    {VIRTIO_ID_ENTROPY, 0, rng_make, rng_refresh, rng_is_answered, true},
    {VIRTIO_ID_IOMMU, 0, iommu_make, iommu_refresh, iommu_is_answered, false},
    {VIRTIO_ID_CONSOLE, 1, console_make, console_refresh, console_is_answered, false},
};

static const struct service_type *type_of(uint32_t device_id)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(types); i++)
        if (types[i].device_id == device_id)
            return &types[i];
    return NULL;
}

bool service_of_device(uint32_t device_id)
{
    return type_of(device_id) != NULL;
}

/* ---- services ---- */

static struct service *service_make(struct device *d)
{
    struct service *s = calloc(1, sizeof(*s));
    struct check_ctx *t = d->t;

    if (!s)
        error_out(t, "no memory");
    check_defer(t, free, s);
    s->d = d;
    s->type = type_of(s->d->v->device_id);
    if (!s->type)
        skip_check(t, "no request is known that a device of type %u completes by itself",
                   s->d->v->device_id);
    return s;
}

struct service *given_service_negotiated(struct check_ctx *t, uint64_t features)
{
    return service_make(given_negotiated(t, features));
}

void service_queue(struct service *s, unsigned size)
{
    s->q = given_queue(s->d, s->type->queue, size);
}

static void service_run(struct service *s, unsigned size)
{
    service_queue(s, size);
    device_driver_ok(s->d);
}

struct service *given_service(struct check_ctx *t, uint64_t features, unsigned size)
{
    struct service *s = given_service_negotiated(t, features);

    service_run(s, size);
    return s;
}

struct service *given_service_of(struct device *d, uint64_t features, unsigned size)
{
    struct service *s = service_make(d);

    service_restart(s, features, size);
    return s;
}

void service_restart(struct service *s, uint64_t features, unsigned size)
{
    device_negotiate(s->d, features);
    service_run(s, size);
}

/* ---- requests ---- */

static struct request *request_make(struct service *s, bool small)
{
    struct request *r = calloc(1, sizeof(*r));

    if (!r)
        error_out(s->d->t, "no memory");
    check_defer(s->d->t, free, r);
    r->s = s;
    s->type->make(r, small);
    s->type->refresh(r);
    return r;
}

struct request *given_request(struct service *s)
{
    return request_make(s, false);
}

struct request *given_small_request(struct service *s)
{
    return request_make(s, true);
}

void request_refresh(struct request *r)
{
    r->s->type->refresh(r);
    for (unsigned i = 0; i < r->parts; i++)
        if (!r->part[i].b->mapped)
            buffer_map(r->part[i].b, r->part[i].dir);
}

unsigned request_pieces(const struct request *r, struct piece p[REQUEST_PIECES_MAX], unsigned want)
{
    unsigned n = 0;

    if (!r->parts)
        error_out(r->s->d->t, "a request without buffers");
    for (; n < r->parts; n++)
        p[n] = piece_of(r->part[n].b, r->part[n].dir != FE_DMA_TO_DEVICE);
    while (n < want) {
        unsigned longest = 0;
        uint32_t first;

        for (unsigned i = 1; i < n; i++)
            if (p[i].len > p[longest].len)
                longest = i;
        /* Framing has no meaning (2.7.4.2): any cut is as good as this one, in odd places. */
        first = p[longest].len / 3;
        memmove(&p[longest + 1], &p[longest], (n - longest) * sizeof(*p));
        p[longest].len = first;
        p[longest + 1].addr = gpa_add(p[longest + 1].addr, first);
        p[longest + 1].len -= first;
        n++;
    }
    return n;
}

bool request_is_answered(const struct request *r, uint32_t used_len)
{
    return r->s->type->is_answered(r, used_len);
}

bool request_claims(const struct request *r, const struct piece *p, unsigned bad, uint32_t used_len)
{
    uint32_t before = 0;

    for (unsigned i = 0; i < bad; i++)
        before += p[i].writable ? p[i].len : 0;
    return p[bad].writable && request_is_answered(r, used_len) &&
           !(r->s->type->may_be_short && used_len <= before);
}

void expect_answered(struct request *r, uint32_t used_len)
{
    struct check_ctx *t = r->s->d->t;
    uint32_t room = 0;

    for (unsigned i = 0; i < r->parts; i++) {
        if (r->part[i].dir != FE_DMA_TO_DEVICE)
            room += r->part[i].b->bytes;
        expect_canaries(t, r->part[i].b, "a request");
    }
    expect(t, MUST, used_len <= room, "%u bytes were used of %u writable ones", used_len, room);
    expect(t, MUST, request_is_answered(r, used_len), "a request was used and not done");
}

void request_release(struct request *r)
{
    for (unsigned i = 0; i < r->parts; i++)
        buffer_release(r->part[i].b);
}

static uint16_t offer_indirect(struct request *r, struct ring *q, struct buffer *table)
{
    struct piece p[REQUEST_PIECES_MAX];

    return ring_chain_indirect(q, 0, table, p, request_pieces(r, p, 1));
}

void expect_served(struct service *s, struct ring *q, bool indirect)
{
    struct request *r = given_request(s);
    struct buffer *table = NULL;
    struct piece p[REQUEST_PIECES_MAX];
    uint32_t used_len;
    uint16_t head;

    if (indirect) {
        table = given_buffer(s->d, REQUEST_PIECES_MAX * (uint32_t)sizeof(struct virtq_desc), 0,
                             FE_DMA_TO_DEVICE);
        head = offer_indirect(r, q, table);
    } else {
        head = ring_chain(q, 0, p, request_pieces(r, p, 1));
    }
    ring_offer(q, head);
    ring_kick(q);
    used_len = expect_used(q, head);
    expect_answered(r, used_len);
    if (table) {
        expect_canaries(s->d->t, table, "indirect table");
        buffer_release(table);
    }
    request_release(r);
}

void expect_service_recovers(struct service *s, const char *after)
{
    struct check_ctx *t = s->d->t;
    struct piece p[REQUEST_PIECES_MAX];
    struct virtq_raw_used u = {0};
    struct request *r;
    uint16_t head;
    bool used;

    service_restart(s, 0, 0);
    r = given_request(s);
    head = ring_chain(s->q, 0, p, request_pieces(r, p, 1));
    ring_offer(s->q, head);
    ring_kick(s->q);
    used = ring_used(s->q, &u, LIMIT_REPLY_NS);
    expect(t, MUST, used && u.id == head && request_is_answered(r, u.len),
           "a request after %s and a reset is %s", after, used ? "not done" : "not used");
    if (!used)
        stop_check(t);
    request_release(r);
}

/* ---- bad addresses ---- */

void expect_bad_address_handled(struct service *s, enum bad_part part, gpa_t bad, const char *what)
{
    struct check_ctx *t = s->d->t;
    struct request *r = given_request(s);
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    bool used = false, needs_reset = false;
    struct piece p[REQUEST_PIECES_MAX];
    struct virtq_raw_used u = {0};
    unsigned n = request_pieces(r, p, 3);

    if (s->q->size < n)
        skip_check(t, "the queue has only %u entries", s->q->size);
    if (part < BAD_TABLE) {
        p[part].addr = bad;
        ring_offer(s->q, ring_chain(s->q, 0, p, n));
    } else {
        ring_desc_set(s->q, 0, (struct virtq_raw_desc){bad.raw, 48, VIRTQ_DESC_F_INDIRECT, 0});
        ring_offer(s->q, 0);
    }
    ring_kick(s->q);
    while (!used && !needs_reset && given_now_ns() < deadline) {
        used = ring_used(s->q, &u, MS(1));
        needs_reset = device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    }
    /* The driver has to learn of it somehow: a request that vanishes hangs a guest. */
    expect(t, MUST, used || needs_reset, "after %s the request was neither used nor a reset asked",
           what);
    if (used && part == BAD_MIDDLE && p[part].writable)
        expect(t, MUST, !request_claims(r, p, part, u.len), "%s: the request says success", what);
    expect_service_recovers(s, what);
    /* What the provocation left in the device's hands is free again after the reset. */
    request_release(r);
}

void expect_service_refused(struct service *s, const char *what)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    struct check_ctx *t = s->d->t;
    struct piece p[REQUEST_PIECES_MAX];
    struct virtq_raw_used u = {0};
    bool used = false, reset = false;

    service_queue(s, 0);
    device_driver_ok(s->d);
    struct request *r = given_request(s);
    ring_offer(s->q, ring_chain(s->q, 0, p, request_pieces(r, p, 1)));
    ring_kick(s->q);
    while (!used && !reset && given_now_ns() < deadline) {
        used = ring_used(s->q, &u, MS(1));
        reset = device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    }
    expect(t, MUST, reset && !used, "%s: the request is %s, DEVICE_NEEDS_RESET is %s", what,
           used ? "used" : "not used", reset ? "set" : "clear");
    device_reset(s->d);
    request_release(r);
}

void expect_bad_ring_handled(struct check_ctx *t, gpa_t bad, const char *what)
{
    struct service *s = given_service_negotiated(t, 0);

    for (unsigned area = 0; area < 3; area++) {
        struct fe_queue_setup setup;
        struct ring *r;

        device_negotiate(s->d, 0);
        r = given_queue_memory(s->d, s->type->queue, 0);
        setup = (struct fe_queue_setup){
            .size = (uint16_t)r->size,
            .desc = area == 0 ? bad : fe_dma_addr(&r->mem, r->desc_off),
            .driver = area == 1 ? bad : fe_dma_addr(&r->mem, r->driver_off),
            .device = area == 2 ? bad : fe_dma_addr(&r->mem, r->device_off),
            .vector = FE_NO_VECTOR,
        };
        must(t, s->d->v->ops->queue_setup(s->d->v, s->type->queue, &setup), "setting a queue up");
        device_driver_ok(s->d);
        ring_kick(r);
        (void)device_status(s->d);
        expect_service_recovers(s, what);
    }
}
