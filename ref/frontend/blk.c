/* SPDX-License-Identifier: MIT */
#include "frontend/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/queue.h"
#include "spec/virtio.h"
#include "spec/virtio_blk.h"
#include "util/bits.h"

#define BLK_DEVICE_ID          2u
#define BLK_TIMEOUT_DEFAULT_NS 10000000000ull
#define BLK_STATUS_NONE        0xffu

/*
 * What a request needs beside its data, in memory that the device reaches for long:
 * header, status, and the indirect table.
 */
#define SLOT_BYTES         512u
#define SLOT_STATUS        16u
#define SLOT_TABLE         64u
#define SLOT_TABLE_ENTRIES ((SLOT_BYTES - SLOT_TABLE) / 16u)
#define BLK_DATA_SEGS_MAX  (SLOT_TABLE_ENTRIES - 2u)

enum slot_state {
    SLOT_FREE,
    SLOT_BUSY, /* in the ring */
    SLOT_LOST, /* the device was reset under it: reap reports -ESTALE */
    SLOT_HELD, /* completed, and the backend still maps its data */
};

struct blk_slot {
    enum slot_state state;
    struct fe_mapping map;
    void *token;
};

struct blk_queue {
    struct fe_queue q;
    struct fe_dma pool;     /* SLOT_BYTES for each slot */
    struct blk_slot *slots; /* owned */
    unsigned depth, cursor, lost;
    bool failed;
};

struct fe_blk {
    struct fe_virtio *v;   /* borrowed */
    struct fe_memory *mem; /* borrowed */
    struct fe_blk_config cfg;
    struct fe_blk_info info;
    uint64_t timeout_ns;
    struct fe_dma scratch; /* the synchronous helpers' data */
    struct blk_queue *queues;
};

static uint64_t blk_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool blk_has(const struct fe_blk *b, unsigned bit)
{
    return (b->v->features & VIRTIO_F(bit)) != 0;
}

/* ---- configuration ---- */

#define CONFIG_FIELD(b, field, to)                                                                 \
    fe_virtio_config_get((b)->v, offsetof(struct virtio_blk_config, field), sizeof(to), &(to))

static int blk_config_discard(struct fe_blk *b)
{
    struct fe_blk_info *i = &b->info;
    int rc;

    if (i->discard) {
        rc = CONFIG_FIELD(b, max_discard_sectors, i->discard_sectors_max);
        if (rc)
            return rc;
        rc = CONFIG_FIELD(b, max_discard_seg, i->discard_segments_max);
        if (rc)
            return rc;
    }
    if (i->write_zeroes) {
        rc = CONFIG_FIELD(b, max_write_zeroes_sectors, i->write_zeroes_sectors_max);
        if (rc)
            return rc;
        rc = CONFIG_FIELD(b, max_write_zeroes_seg, i->write_zeroes_segments_max);
        if (rc)
            return rc;
    }
    return 0;
}

static int blk_config_read(struct fe_blk *b)
{
    struct fe_blk_info *i = &b->info;
    int rc;

    memset(i, 0, sizeof(*i));
    i->features = b->v->features;
    i->readonly = blk_has(b, VIRTIO_BLK_F_RO);
    i->flush = blk_has(b, VIRTIO_BLK_F_FLUSH);
    i->discard = blk_has(b, VIRTIO_BLK_F_DISCARD);
    i->write_zeroes = blk_has(b, VIRTIO_BLK_F_WRITE_ZEROES);
    i->block_bytes = FE_BLK_SECTOR_BYTES;
    i->size_max_bytes = UINT32_MAX;
    i->seg_max = BLK_DATA_SEGS_MAX;

    rc = CONFIG_FIELD(b, capacity, i->capacity_sectors);
    if (rc)
        return rc;
    if (i->capacity_sectors > UINT64_MAX / FE_BLK_SECTOR_BYTES)
        return -EPROTO;
    if (blk_has(b, VIRTIO_BLK_F_SIZE_MAX)) {
        rc = CONFIG_FIELD(b, size_max, i->size_max_bytes);
        if (rc)
            return rc;
        if (i->size_max_bytes == 0)
            return -EPROTO;
    }
    if (blk_has(b, VIRTIO_BLK_F_SEG_MAX)) {
        rc = CONFIG_FIELD(b, seg_max, i->seg_max);
        if (rc)
            return rc;
        if (i->seg_max == 0)
            return -EPROTO;
    }
    if (blk_has(b, VIRTIO_BLK_F_BLK_SIZE)) {
        rc = CONFIG_FIELD(b, blk_size, i->block_bytes);
        if (rc)
            return rc;
        if (i->block_bytes < FE_BLK_SECTOR_BYTES || (i->block_bytes & (i->block_bytes - 1)))
            return -EPROTO;
    }
    return blk_config_discard(b);
}

static int blk_queues_wanted(struct fe_blk *b, unsigned *wanted)
{
    uint16_t n = 1;
    unsigned have;
    int rc;

    if (blk_has(b, VIRTIO_BLK_F_MQ)) {
        rc = CONFIG_FIELD(b, num_queues, n);
        if (rc)
            return rc;
    }
    rc = b->v->ops->num_queues(b->v, &have);
    if (rc)
        return rc;
    if (n == 0 || have == 0)
        return -EPROTO;
    *wanted = b->cfg.queues ? b->cfg.queues : n;
    if (*wanted > n)
        *wanted = n;
    if (*wanted > have)
        *wanted = have;
    if (*wanted > FE_BLK_QUEUES_MAX)
        *wanted = FE_BLK_QUEUES_MAX;
    return 0;
}

/* ---- start and stop ---- */

static int blk_queue_init(struct fe_blk *b, unsigned index)
{
    struct blk_queue *bq = &b->queues[index];
    unsigned vcpus = b->v->platform->nr_vcpus;
    struct fe_queue_config cfg = {
        .index = index,
        .size = b->cfg.queue_size,
        .vcpu = vcpus ? (b->cfg.vcpu_first + index) % vcpus : 0,
        .interrupt = b->cfg.interrupts,
    };
    int rc = fe_queue_init(&bq->q, b->v, b->mem, &cfg);

    if (rc)
        return rc;
    /* A request is one descriptor with an indirect table, else header, data and status. */
    bq->depth = blk_has(b, VIRTIO_F_INDIRECT_DESC) ? bq->q.size : bq->q.size / 3;
    if (bq->depth == 0)
        return -EPROTO;
    bq->slots = calloc(bq->depth, sizeof(*bq->slots));
    if (!bq->slots)
        return -ENOMEM;
    return fe_dma_alloc(b->mem, (size_t)bq->depth * SLOT_BYTES, &bq->pool);
}

static void blk_slot_release(struct fe_blk *b, struct blk_slot *s)
{
    s->state = fe_dma_unmap(b->mem, &s->map) ? SLOT_HELD : SLOT_FREE;
}

static int blk_queue_fini(struct fe_blk *b, struct blk_queue *bq)
{
    int rc = 0, err;

    for (unsigned i = 0; bq->slots && i < bq->depth; i++) {
        err = fe_dma_unmap(b->mem, &bq->slots[i].map);
        if (err)
            rc = err;
    }
    err = fe_dma_free(b->mem, &bq->pool);
    if (err)
        rc = err;
    err = fe_queue_fini(&bq->q);
    if (err)
        rc = err;
    free(bq->slots);
    bq->slots = NULL;
    return rc;
}

static int blk_negotiate(struct fe_blk *b, uint64_t need, uint64_t want)
{
    int rc = fe_virtio_reset(b->v, b->timeout_ns);

    if (rc)
        return rc;
    return fe_virtio_negotiate(b->v, need, want);
}

static int blk_start(struct fe_blk *b)
{
    unsigned n;
    int rc = blk_config_read(b);

    if (rc)
        return rc;
    rc = blk_queues_wanted(b, &n);
    if (rc)
        return rc;
    b->queues = calloc(n, sizeof(*b->queues));
    if (!b->queues)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        b->info.queues = i + 1;
        rc = blk_queue_init(b, i);
        if (rc)
            return rc;
    }
    b->info.queue_size = b->queues[0].q.size;
    b->info.depth = b->queues[0].depth;
    return fe_virtio_driver_ok(b->v);
}

int fe_blk_create(struct fe_virtio *v, const struct fe_blk_config *cfg, struct fe_blk **out)
{
    const uint64_t want = VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_F(VIRTIO_BLK_F_SEG_MAX) |
                          VIRTIO_F(VIRTIO_BLK_F_RO) | VIRTIO_F(VIRTIO_BLK_F_BLK_SIZE) |
                          VIRTIO_F(VIRTIO_BLK_F_FLUSH) | VIRTIO_F(VIRTIO_BLK_F_TOPOLOGY) |
                          VIRTIO_F(VIRTIO_BLK_F_MQ) | VIRTIO_F(VIRTIO_BLK_F_DISCARD) |
                          VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES) | VIRTIO_F(VIRTIO_F_INDIRECT_DESC) |
                          VIRTIO_F(VIRTIO_F_EVENT_IDX) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM) |
                          VIRTIO_F(VIRTIO_F_IN_ORDER) | VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA) |
                          VIRTIO_F(VIRTIO_F_NOTIF_CONFIG_DATA);
    uint64_t need = VIRTIO_F(VIRTIO_F_VERSION_1) | cfg->features_need;
    struct fe_blk *b;
    int rc;

    *out = NULL;
    if (v->device_id != BLK_DEVICE_ID)
        return -ENODEV;
    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->v = v;
    b->mem = cfg->memory;
    b->cfg = *cfg;
    b->timeout_ns = cfg->timeout_ns ? cfg->timeout_ns : BLK_TIMEOUT_DEFAULT_NS;
    /* A grant is no physical address: the device has to know (6.1). */
    if (b->mem->addressing == FE_ADDRESSING_GRANTS)
        need |= VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);

    rc = fe_dma_alloc(b->mem, XEN_PAGE_BYTES, &b->scratch);
    if (rc)
        goto out;
    rc = blk_negotiate(b, need, want & ~cfg->features_off);
    if (rc)
        goto out;
    rc = blk_start(b);
out:
    if (rc)
        fe_blk_destroy(b);
    else
        *out = b;
    return rc;
}

int fe_blk_destroy(struct fe_blk *b)
{
    int rc = 0, err;

    if (!b)
        return 0;
    /* Only a device that was reset has let go of the rings. One that is gone holds nothing. */
    err = fe_virtio_reset(b->v, b->timeout_ns);
    if (err && err != -ENODEV && err != -EFAULT)
        rc = err;
    for (unsigned i = 0; b->queues && i < b->info.queues; i++) {
        err = blk_queue_fini(b, &b->queues[i]);
        if (err)
            rc = err;
    }
    err = fe_dma_free(b->mem, &b->scratch);
    if (err)
        rc = err;
    free(b->queues);
    free(b);
    return rc;
}

const struct fe_blk_info *fe_blk_get_info(const struct fe_blk *b)
{
    return &b->info;
}

int fe_blk_check(struct fe_blk *b)
{
    return fe_virtio_check(b->v);
}

/* The device was reset: what was in the ring will not be completed by it any more. */
static void blk_queue_abandon(struct fe_blk *b, struct blk_queue *bq)
{
    void *cookie;
    uint16_t id;

    while (virtq_drv_detach(&bq->q.drv, &cookie, &id)) {
        struct blk_slot *s = cookie;

        s->state = SLOT_LOST;
        bq->lost++;
    }
    bq->failed = false;
}

int fe_blk_reinit(struct fe_blk *b)
{
    struct fe_blk_info before = b->info;
    int rc = b->v->ops->present(b->v);

    if (rc)
        return rc;
    rc = b->v->ops->reattach(b->v);
    if (rc)
        return rc;
    rc = fe_virtio_reset(b->v, b->timeout_ns);
    if (rc)
        return rc;
    for (unsigned i = 0; i < before.queues; i++)
        blk_queue_abandon(b, &b->queues[i]);

    rc = fe_virtio_negotiate(b->v, before.features, 0);
    if (rc)
        return rc;
    rc = blk_config_read(b);
    if (rc == 0 && b->info.capacity_sectors < before.capacity_sectors)
        rc = -EIO;
    b->info.queues = before.queues;
    b->info.queue_size = before.queue_size;
    b->info.depth = before.depth;
    if (rc) {
        b->info = before;
        return rc;
    }
    for (unsigned i = 0; i < b->info.queues; i++) {
        rc = fe_queue_restart(&b->queues[i].q);
        if (rc)
            return rc;
    }
    return fe_virtio_driver_ok(b->v);
}

/* ---- requests ---- */

static struct blk_slot *blk_slot_take(struct fe_blk *b, struct blk_queue *bq)
{
    for (unsigned n = 0; n < bq->depth; n++) {
        struct blk_slot *s = &bq->slots[bq->cursor];

        bq->cursor = bq->cursor + 1 == bq->depth ? 0 : bq->cursor + 1;
        if (s->state == SLOT_HELD)
            blk_slot_release(b, s);
        if (s->state == SLOT_FREE)
            return s;
    }
    return NULL;
}

static bool blk_type_writes_memory(enum fe_blk_type type)
{
    return type == FE_BLK_IN || type == FE_BLK_GET_ID;
}

/* Cut the data into pieces that the device accepts. */
static int blk_segments(const struct fe_blk *b, gpa_t addr, uint32_t bytes, struct virtq_sg *sg,
                        unsigned *count)
{
    unsigned max = b->info.seg_max < BLK_DATA_SEGS_MAX ? b->info.seg_max : BLK_DATA_SEGS_MAX;

    *count = 0;
    while (bytes) {
        uint32_t n = bytes < b->info.size_max_bytes ? bytes : b->info.size_max_bytes;

        if (*count == max)
            return -EINVAL;
        sg[*count].addr = addr;
        sg[*count].len_bytes = n;
        ++*count;
        addr = gpa_add(addr, n);
        bytes -= n;
    }
    return 0;
}

static int blk_submit_slot(struct fe_blk *b, struct blk_queue *bq, struct blk_slot *s, gpa_t addr,
                           const struct fe_blk_io *io)
{
    uint32_t at = (uint32_t)(s - bq->slots) * SLOT_BYTES;
    struct virtio_blk_req_hdr *header = (struct virtio_blk_req_hdr *)(bq->pool.va + at);
    struct virtq_sg out[BLK_DATA_SEGS_MAX + 1], in[BLK_DATA_SEGS_MAX + 1];
    struct virtq_indirect ind = {
        .va = bq->pool.va + at + SLOT_TABLE,
        .addr = fe_dma_addr(&bq->pool, at + SLOT_TABLE),
        .entries = SLOT_TABLE_ENTRIES,
    };
    unsigned outs = 1, ins = 0, n;
    int rc;

    header->type = le32_make(io->type);
    header->reserved = le32_make(0);
    header->sector = le64_make(io->sector);
    bq->pool.va[at + SLOT_STATUS] = BLK_STATUS_NONE;
    out[0] = (struct virtq_sg){fe_dma_addr(&bq->pool, at), sizeof(*header)};

    if (blk_type_writes_memory(io->type)) {
        rc = blk_segments(b, addr, io->bytes, in, &n);
        ins = n;
    } else {
        rc = blk_segments(b, addr, io->bytes, out + 1, &n);
        outs += n;
    }
    if (rc)
        return rc;
    in[ins++] = (struct virtq_sg){fe_dma_addr(&bq->pool, at + SLOT_STATUS), 1};

    rc = virtq_drv_add(&bq->q.drv, out, outs, in, ins,
                       blk_has(b, VIRTIO_F_INDIRECT_DESC) ? &ind : NULL, s, NULL);
    return rc == -ENOSPC ? -EAGAIN : rc;
}

int fe_blk_submit(struct fe_blk *b, unsigned queue, const struct fe_blk_io *io)
{
    struct blk_queue *bq;
    struct blk_slot *s;
    gpa_t addr = io->addr;
    int rc;

    if (queue >= b->info.queues)
        return -EINVAL;
    bq = &b->queues[queue];
    if (bq->failed)
        return -EPROTO;
    s = blk_slot_take(b, bq);
    if (!s)
        return -EAGAIN;
    if (io->bytes && addr.raw == 0) {
        rc = fe_dma_map(b->mem, io->va, io->bytes,
                        blk_type_writes_memory(io->type) ? FE_DMA_FROM_DEVICE : FE_DMA_TO_DEVICE,
                        &s->map);
        if (rc)
            return rc;
        addr = s->map.addr;
    }
    s->token = io->token;
    rc = blk_submit_slot(b, bq, s, addr, io);
    if (rc) {
        blk_slot_release(b, s);
        return rc;
    }
    s->state = SLOT_BUSY;
    return 0;
}

int fe_blk_kick(struct fe_blk *b, unsigned queue)
{
    if (queue >= b->info.queues)
        return -EINVAL;
    return fe_queue_kick(&b->queues[queue].q);
}

static int blk_status_result(uint8_t status)
{
    switch (status) {
    case VIRTIO_BLK_S_OK:
        return 0;
    case VIRTIO_BLK_S_IOERR:
        return -EIO;
    case VIRTIO_BLK_S_UNSUPP:
        return -ENOTSUP;
    default:
        return -EPROTO;
    }
}

static void blk_complete(struct fe_blk *b, struct blk_queue *bq, struct blk_slot *s, int result,
                         uint32_t used_bytes, struct fe_blk_done *done)
{
    blk_slot_release(b, s);
    if (s->state == SLOT_HELD && result == 0)
        result = -EBUSY;
    *done = (struct fe_blk_done){.token = s->token, .result = result, .used_bytes = used_bytes};
}

static unsigned blk_reap_lost(struct fe_blk *b, struct blk_queue *bq, struct fe_blk_done *done,
                              unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < bq->depth && n < max && bq->lost; i++) {
        if (bq->slots[i].state != SLOT_LOST)
            continue;
        blk_complete(b, bq, &bq->slots[i], -ESTALE, 0, &done[n++]);
        bq->lost--;
    }
    return n;
}

int fe_blk_reap(struct fe_blk *b, unsigned queue, struct fe_blk_done *done, unsigned max)
{
    struct blk_queue *bq;
    unsigned n;

    if (queue >= b->info.queues)
        return -EINVAL;
    bq = &b->queues[queue];
    n = bq->lost ? blk_reap_lost(b, bq, done, max) : 0;

    while (n < max && !bq->failed) {
        struct virtq_done used;
        struct blk_slot *s;
        uint8_t status;
        int rc = virtq_drv_reap(&bq->q.drv, &used);

        if (rc == 0)
            break;
        if (rc < 0 || used.fault != VIRTQ_OK)
            bq->failed = true;
        if (rc < 0 || !used.cookie)
            break;
        s = used.cookie;
        status = __atomic_load_n(&bq->pool.va[(size_t)(s - bq->slots) * SLOT_BYTES + SLOT_STATUS],
                                 __ATOMIC_RELAXED);
        blk_complete(b, bq, s, used.fault == VIRTQ_OK ? blk_status_result(status) : -EPROTO,
                     used.len_bytes, &done[n++]);
    }
    return n == 0 && bq->failed ? -EPROTO : (int)n;
}

int fe_blk_wait(struct fe_blk *b, unsigned queue, uint64_t timeout_ns)
{
    int rc;

    if (queue >= b->info.queues)
        return -EINVAL;
    if (b->queues[queue].lost)
        return 1;
    rc = fe_queue_wait(&b->queues[queue].q, timeout_ns);
    return rc > 0 ? 1 : rc;
}

unsigned fe_blk_outstanding(const struct fe_blk *b, unsigned queue)
{
    if (queue >= b->info.queues)
        return 0;
    return virtq_drv_outstanding(&b->queues[queue].q.drv) + b->queues[queue].lost;
}

/* ---- synchronous ---- */

int fe_blk_io_sync(struct fe_blk *b, unsigned queue, const struct fe_blk_io *io)
{
    uint64_t deadline = blk_now_ns() + b->timeout_ns;
    struct fe_blk_io own = *io;
    struct fe_blk_done done;
    int rc;

    own.token = &own;
    rc = fe_blk_submit(b, queue, &own);
    if (rc)
        return rc;
    rc = fe_blk_kick(b, queue);
    if (rc)
        return rc;
    for (;;) {
        uint64_t now = blk_now_ns();

        rc = fe_blk_wait(b, queue, now < deadline ? deadline - now : 0);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return -ETIME;
        rc = fe_blk_reap(b, queue, &done, 1);
        if (rc < 0)
            return rc;
        if (rc == 1 && done.token == &own)
            return done.result;
    }
}

int fe_blk_read(struct fe_blk *b, uint64_t sector, void *va, uint32_t bytes)
{
    return fe_blk_io_sync(
        b, 0, &(struct fe_blk_io){.type = FE_BLK_IN, .sector = sector, .va = va, .bytes = bytes});
}

int fe_blk_write(struct fe_blk *b, uint64_t sector, void *va, uint32_t bytes)
{
    return fe_blk_io_sync(
        b, 0, &(struct fe_blk_io){.type = FE_BLK_OUT, .sector = sector, .va = va, .bytes = bytes});
}

int fe_blk_flush(struct fe_blk *b)
{
    return fe_blk_io_sync(b, 0, &(struct fe_blk_io){.type = FE_BLK_FLUSH});
}

int fe_blk_get_id(struct fe_blk *b, char id[FE_BLK_ID_BYTES + 1])
{
    struct fe_blk_io io = {
        .type = FE_BLK_GET_ID,
        .va = b->scratch.va,
        .addr = b->scratch.addr,
        .bytes = FE_BLK_ID_BYTES,
    };
    int rc = fe_blk_io_sync(b, 0, &io);

    memcpy(id, b->scratch.va, FE_BLK_ID_BYTES);
    id[FE_BLK_ID_BYTES] = '\0'; /* a full-length id has no terminator on the wire (5.2.6) */
    return rc;
}

static int blk_range_sync(struct fe_blk *b, enum fe_blk_type type, uint64_t sector,
                          uint32_t sectors, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes *range = (void *)b->scratch.va;
    struct fe_blk_io io = {
        .type = type,
        .va = b->scratch.va,
        .addr = b->scratch.addr,
        .bytes = sizeof(*range),
    };

    range->sector = le64_make(sector);
    range->num_sectors = le32_make(sectors);
    range->flags = le32_make(flags);
    return fe_blk_io_sync(b, 0, &io);
}

int fe_blk_discard(struct fe_blk *b, uint64_t sector, uint32_t sectors)
{
    return blk_range_sync(b, FE_BLK_DISCARD, sector, sectors, 0);
}

int fe_blk_write_zeroes(struct fe_blk *b, uint64_t sector, uint32_t sectors, bool unmap)
{
    return blk_range_sync(b, FE_BLK_WRITE_ZEROES, sector, sectors, unmap ? 1 : 0);
}
