/* SPDX-License-Identifier: MIT */
#include "blkbench/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spec/virtio_blk.h"
#include "util/bits.h"

#define LINE_BYTES  64u
#define CLOCK_LOOK  64u
#define PATIENCE_NS 2000000000u
#define UNWRITTEN   0xffu
#define VERIFY_STEP 61u /* blocks between two that are looked at */

enum what { READ_TIMED, WRITE_ALL, READ_BACK };

/* What the device reads and writes beside the data: one line. */
struct frame {
    _Alignas(LINE_BYTES) struct virtio_blk_req_hdr header;
    uint8_t status;
};

struct slot {
    struct frame *frame;
    unsigned char *data;
    uint64_t block;
    struct virtq_sg sg[3];
};

struct load {
    struct load_config config;
    struct front *front; /* borrowed */
    struct virtq_drv q;
    struct slot *slots;
    struct slot **pool; /* a stack of those that are free */
    unsigned free;
    uint64_t next; /* block */
    uint64_t done, kicks;
    struct restraint restraint;
};

uint64_t load_data_bytes(const struct load_config *c)
{
    return (uint64_t)c->depth * (sizeof(struct frame) + align_up(c->bytes, LINE_BYTES));
}

int load_create(struct front *f, const struct load_config *config, struct load **out)
{
    const struct virtq_drv_config ring = {.format = f->config.format,
                                          .size = f->config.size,
                                          .event_idx = f->config.event_idx,
                                          .areas = f->areas};
    struct load *l = aligned_alloc(SHARED_APART, align_up(sizeof(*l), SHARED_APART));
    unsigned char *data = f->data + (size_t)config->depth * sizeof(struct frame);
    int rc;

    if (!l)
        return -ENOMEM;
    *l = (struct load){.config = *config, .front = f, .free = config->depth};
    l->restraint = (struct restraint){.pauses = RESTRAINT_MIN};
    l->slots = calloc(config->depth, sizeof(*l->slots));
    l->pool = calloc(config->depth, sizeof(struct slot *));
    rc = l->slots && l->pool ? virtq_drv_init(&l->q, &ring) : -ENOMEM;
    for (unsigned i = 0; !rc && i < config->depth; i++) {
        struct slot *s = &l->slots[i];

        s->frame = (struct frame *)(void *)f->data + i;
        s->data = data + (size_t)i * align_up(config->bytes, LINE_BYTES);
        s->sg[0] =
            (struct virtq_sg){front_guest_addr(f, &s->frame->header), sizeof(s->frame->header)};
        s->sg[1] = (struct virtq_sg){front_guest_addr(f, s->data), config->bytes};
        s->sg[2] = (struct virtq_sg){front_guest_addr(f, &s->frame->status), 1};
        l->pool[config->depth - 1 - i] = s;
    }
    if (!rc)
        virtq_drv_irq_disable(&l->q);
    if (!rc)
        rc = front_go(f);
    if (rc)
        load_destroy(l);
    else
        *out = l;
    return rc;
}

void load_destroy(struct load *l)
{
    if (!l)
        return;
    virtq_drv_fini(&l->q);
    free(l->slots);
    free(l->pool);
    free(l);
}

static void number_put(unsigned char *data, unsigned bytes, uint64_t number)
{
    for (unsigned at = 0; at + sizeof(number) <= bytes; at += sizeof(number))
        memcpy(data + at, &number, sizeof(number));
}

static int number_check(const unsigned char *data, unsigned bytes, uint64_t number)
{
    for (unsigned at = 0; at + sizeof(number) <= bytes; at += sizeof(number))
        if (memcmp(data + at, &number, sizeof(number)))
            return -EBADMSG;
    return 0;
}

static int add(struct load *l, enum what what)
{
    struct slot *s = l->pool[l->free - 1];
    const uint64_t sector = l->next * (l->config.bytes / VIRTIO_BLK_SECTOR_BYTES);
    const bool writes = what == WRITE_ALL;
    int rc;

    s->block = l->next;
    s->frame->header =
        (struct virtio_blk_req_hdr){.type = le32_make(writes ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN),
                                    .sector = le64_make(sector)};
    s->frame->status = UNWRITTEN;
    if (writes)
        number_put(s->data, l->config.bytes, s->block);
    rc = virtq_drv_add(&l->q, s->sg, writes ? 2 : 1, s->sg + (writes ? 2 : 1), writes ? 1 : 2, NULL,
                       s, NULL);
    if (rc < 0)
        return rc;
    l->free--;
    l->next += what == READ_BACK ? VERIFY_STEP : 1;
    if (l->next >= l->config.blocks)
        l->next = 0;
    return 0;
}

/* Takes back what was used. How many, or -errno. */
static int reap(struct load *l, enum what what)
{
    struct virtq_done done;
    int got = 0, rc;

    while ((rc = virtq_drv_reap(&l->q, &done)) == 1) {
        struct slot *s = done.cookie;

        if (done.fault != VIRTQ_OK)
            return -EPROTO;
        if (__atomic_load_n(&s->frame->status, __ATOMIC_RELAXED) != VIRTIO_BLK_S_OK)
            return -EIO;
        if (what == READ_BACK && number_check(s->data, l->config.bytes, s->block))
            return -EBADMSG;
        l->pool[l->free++] = s;
        got++;
    }
    l->done += (unsigned)got;
    return rc < 0 ? -EPROTO : got;
}

/* Everything that can be added is, up to `left` requests. */
static int turn(struct load *l, enum what what, uint64_t *left)
{
    unsigned added = 0;
    int rc = reap(l, what);

    if (rc < 0)
        return rc;
    l->restraint.found += (unsigned)rc;
    for (; l->free && *left; added++, (*left)--) {
        int bad = add(l, what);

        if (bad)
            return bad;
    }
    if (added) {
        virtq_drv_publish(&l->q);
        if (virtq_drv_kick_needed(&l->q)) {
            l->kicks++;
            front_kick(l->front);
        }
    } else if (rc == 0) {
        restraint_wait(&l->restraint);
    }
    return 0;
}

/* Until that moment, or until `left` were added and all are back. */
static int turns(struct load *l, enum what what, uint64_t until_ns, uint64_t left)
{
    uint64_t last = wall_ns(), before = l->done;
    int rc = 0;

    while (!rc) {
        const uint64_t now = wall_ns();

        if (now >= until_ns || (left == 0 && l->free == l->config.depth))
            return 0;
        if (l->done != before) {
            before = l->done;
            last = now;
        } else if (now - last > PATIENCE_NS) {
            return -ETIMEDOUT;
        }
        for (unsigned i = 0; i < CLOCK_LOOK && !rc; i++)
            rc = turn(l, what, &left);
    }
    return rc;
}

int load_read(struct load *l, uint64_t duration_ns, struct load_result *result)
{
    uint64_t begin, cpu, before;
    int rc = turns(l, READ_TIMED, wall_ns() + duration_ns / 10, UINT64_MAX);

    begin = wall_ns();
    cpu = cpu_ns();
    before = l->done;
    if (!rc)
        rc = turns(l, READ_TIMED, begin + duration_ns, UINT64_MAX);
    *result = (struct load_result){l->done - before, wall_ns() - begin, cpu_ns() - cpu};
    return rc ? rc : turns(l, READ_TIMED, UINT64_MAX, 0);
}

int load_fill(struct load *l)
{
    l->next = 0;
    return turns(l, WRITE_ALL, UINT64_MAX, l->config.blocks);
}

int load_verify(struct load *l)
{
    l->next = 0;
    return turns(l, READ_BACK, UINT64_MAX, (l->config.blocks + VERIFY_STEP - 1) / VERIFY_STEP);
}

void load_memcpy(struct load_config *c, uint64_t duration_ns, struct load_result *result)
{
    const size_t bytes = (size_t)(c->blocks * c->bytes);
    unsigned char *store = malloc(bytes), *buffers = malloc((size_t)c->depth * c->bytes);
    uint64_t begin, cpu, now, block = 0;
    unsigned slot = 0;

    *result = (struct load_result){0};
    if (store && buffers) {
        memset(store, 1, bytes);
        memset(buffers, 1, (size_t)c->depth * c->bytes);
        begin = now = wall_ns();
        cpu = cpu_ns();
        while (now - begin < duration_ns) {
            for (unsigned i = 0; i < CLOCK_LOOK; i++) {
                memcpy(buffers + (size_t)slot * c->bytes, store + block * c->bytes, c->bytes);
                __asm__ volatile("" ::: "memory"); /* each of them is wanted */
                slot = slot + 1 == c->depth ? 0 : slot + 1;
                block = block + 1 == c->blocks ? 0 : block + 1;
            }
            result->requests += CLOCK_LOOK;
            now = wall_ns();
        }
        result->wall_ns = now - begin;
        result->cpu_ns = cpu_ns() - cpu;
    }
    free(store);
    free(buffers);
}
