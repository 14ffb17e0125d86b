/* SPDX-License-Identifier: MIT */
/*
 * Both formats: the driver side, the device side and a plain model of both play random traffic
 * against each other, over many laps of the ring and across the wrap of the 16-bit indices. Then
 * two threads that sleep, for the barriers.
 *
 * RINGPROOF_TEST_SEED replays a seed that a failure printed; RINGPROOF_TEST_ROUNDS=small is for
 * slow tools.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "unit/run.h"
#include "util/bits.h"
#include "virtq/dev.h"
#include "virtq/drv.h"

#define QUEUE_SIZE_MAX 1024u
#define TABLE_SEGS     16u

/* ck_assert talks to the parent process each time: too slow for millions. */
#define must(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond))                                                                               \
            ck_abort_msg("seed %llu, size %u: %s", (unsigned long long)t->seed, t->size, #cond);   \
    } while (0)

/* What the model remembers of one chain. */
struct model_chain {
    struct virtq_sg sg[QUEUE_SIZE_MAX];
    unsigned out, in;
    uint64_t in_bytes;
    uint32_t written;
    struct virtq_token token;
    unsigned places; /* by which the positions that events name move on: see struct model */
    bool busy;
    unsigned char table[TABLE_SEGS * 16] __attribute__((aligned(16)));
};

struct model {
    uint64_t seed, rng;
    unsigned size;
    enum virtq_format format;
    bool indirect, event_idx, in_order;
    struct virtq_drv drv;
    struct virtq_dev dev;
    void *memory;
    struct model_chain *chains; /* `size` of them */
    /* Queues of chain numbers as 64-bit positions over arrays of `size` entries. */
    unsigned *made, *taken, *used;
    uint64_t added, published, popped, taken_count, pushed, used_published, reaped;
    /* Events name positions, modulo `lap`: split: a chain, 65536; packed: a ring descriptor, twice
     * the size (offset and wrap counter). */
    uint64_t lap;
    uint64_t added_at, published_at, popped_at, pushed_at, used_at, reaped_at;
    uint64_t kick_from, irq_from;
    struct event {
        enum { OFF, ALWAYS, AT } mode;
        uint64_t at;
    } kick, irq;
    bool kick_on, irq_on;
    unsigned tables_out;
};

static uint64_t rng_next(struct model *t)
{
    /* splitmix64 */
    uint64_t z = (t->rng += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static unsigned rng_below(struct model *t, unsigned n)
{
    return (unsigned)(rng_next(t) % n);
}

static int table_get(void *ctx, gpa_t addr, uint32_t len_bytes, struct iovec *iov,
                     unsigned *iov_count)
{
    struct model *t = ctx;
    char *p = (char *)(uintptr_t)addr.raw; /* NOLINT: the model's addresses are host addresses */
    unsigned cut = rng_below(t, len_bytes + 1);

    must(t->tables_out == 0);
    t->tables_out++;
    /* Cut it anywhere, also inside a descriptor. */
    iov[0] = (struct iovec){p, cut};
    iov[1] = (struct iovec){p + cut, len_bytes - cut};
    *iov_count = 2;
    return 0;
}

static void table_put(void *ctx)
{
    struct model *t = ctx;

    must(t->tables_out == 1);
    t->tables_out--;
}

#define INDIRECT  1u
#define EVENT_IDX 2u
#define IN_ORDER  4u
#define FEATURES  8u /* the number of combinations */

static void model_init(struct model *t, enum virtq_format format, unsigned size, unsigned features,
                       uint64_t seed)
{
    const char *fixed = getenv("RINGPROOF_TEST_SEED");
    bool indirect = features & INDIRECT, event_idx = features & EVENT_IDX;
    bool in_order = features & IN_ORDER;
    struct virtq_layout layout;
    struct virtq_drv_config drv = {
        .format = format, .size = size, .event_idx = event_idx, .in_order = in_order};
    struct virtq_dev_config dev = {.format = format,
                                   .size = size,
                                   .event_idx = event_idx,
                                   .in_order = in_order,
                                   .indirect = indirect,
                                   .chain_max = VIRTQ_CHAIN_MAX};
    uint32_t desc_off, driver_off, device_off, bytes;

    *t = (struct model){.format = format,
                        .size = size,
                        .indirect = indirect,
                        .event_idx = event_idx,
                        .in_order = in_order,
                        .lap = format == VIRTQ_PACKED ? 2 * size : 65536};
    t->seed = t->rng = fixed != NULL ? strtoull(fixed, NULL, 0) : seed;
    ck_assert_int_eq(virtq_layout_init(&layout, format, size), 0);
    bytes = virtq_layout_place(&layout, false, &desc_off, &driver_off, &device_off);
    t->memory = aligned_alloc(4096, align_up(bytes, 4096));
    drv.areas = (struct virtq_areas){(char *)t->memory + desc_off, (char *)t->memory + driver_off,
                                     (char *)t->memory + device_off};
    dev.areas = drv.areas;
    dev.indirect_get = table_get;
    dev.indirect_put = table_put;
    dev.ctx = t;
    ck_assert_int_eq(virtq_drv_init(&t->drv, &drv), 0);
    ck_assert_int_eq(virtq_dev_init(&t->dev, &dev), 0);
    t->chains = aligned_alloc(16, size * sizeof(*t->chains));
    memset(t->chains, 0, size * sizeof(*t->chains));
    t->made = calloc(size, sizeof(*t->made));
    t->taken = calloc(size, sizeof(*t->taken));
    t->used = calloc(size, sizeof(*t->used));
    t->kick_on = t->irq_on = true;
    t->kick.mode = t->irq.mode = event_idx && format == VIRTQ_SPLIT ? AT : ALWAYS;
}

static void model_fini(struct model *t)
{
    virtq_drv_fini(&t->drv);
    free(t->memory);
    free(t->chains);
    free(t->made);
    free(t->taken);
    free(t->used);
}

/* Is the event's position among those passed from `from` up to `to`? */
static bool event_passed(const struct model *t, uint64_t event, uint64_t from, uint64_t to)
{
    for (uint64_t p = from; p != to; p++)
        if (p % t->lap == event % t->lap)
            return true;
    return false;
}

static bool event_wanted(const struct model *t, struct event e, uint64_t from, uint64_t to)
{
    return e.mode == AT ? event_passed(t, e.at, from, to) : e.mode == ALWAYS && from != to;
}

/* Split with EVENT_IDX has positions only: a hint that is off names one that was just passed. */
static void event_off(const struct model *t, struct event *e, uint64_t now)
{
    if (t->event_idx && t->format == VIRTQ_SPLIT)
        *e = (struct event){AT, now - 1};
    else
        e->mode = OFF;
}

static void event_on(const struct model *t, struct event *e, uint64_t at)
{
    *e = (struct event){t->event_idx ? AT : ALWAYS, at};
}

static void drv_adds(struct model *t)
{
    unsigned n, total, free_before = virtq_drv_free_descs(&t->drv);
    struct virtq_indirect ind;
    struct model_chain *c;
    bool table;
    int rc;

    for (n = 0; n < t->size && t->chains[n].busy; n++)
        continue;
    if (n == t->size) {
        struct virtq_sg one = {gpa_make(1), 1};

        must(virtq_drv_add(&t->drv, &one, 1, NULL, 0, NULL, t, NULL) == -ENOSPC);
        return;
    }
    c = &t->chains[n];
    total = 1 + rng_below(t, rng_below(t, 16) == 0 ? t->size : (unsigned)min_u64(t->size, 6));
    c->out = rng_below(t, total + 1);
    c->in = total - c->out;
    c->in_bytes = 0;
    for (unsigned i = 0; i < total; i++) {
        uint32_t len = 1 + rng_below(t, rng_below(t, 2) ? 4096 : 65536);

        c->sg[i] = (struct virtq_sg){gpa_make(rng_next(t) >> 1), len};
        if (i >= c->out)
            c->in_bytes += len;
    }
    table = t->indirect && total <= TABLE_SEGS && rng_below(t, 2);
    ind = (struct virtq_indirect){c->table, gpa_make((uintptr_t)c->table), TABLE_SEGS};
    rc = virtq_drv_add(&t->drv, c->sg, c->out, c->sg + c->out, c->in, table ? &ind : NULL, c, NULL);
    if (free_before < (table ? 1 : total)) {
        must(rc == -ENOSPC);
        must(virtq_drv_free_descs(&t->drv) == free_before);
        return;
    }
    must(rc == 0);
    must(virtq_drv_free_descs(&t->drv) == free_before - (table ? 1 : total));
    c->busy = true;
    c->places = t->format == VIRTQ_PACKED && !table ? total : 1;
    t->made[t->added++ % t->size] = n;
    t->added_at += c->places;
}

static void drv_publishes(struct model *t)
{
    uint64_t at;

    must(virtq_drv_publish(&t->drv) == t->added - t->published);
    t->published = t->added;
    t->published_at = at = t->added_at;
    must(virtq_drv_kick_needed(&t->drv) == event_wanted(t, t->kick, t->kick_from, at));
    t->kick_from = at;
    if (t->format == VIRTQ_PACKED)
        at = at % t->size | (at % t->lap < t->size ? 1u << 15 : 0);
    must(virtq_drv_next_avail(&t->drv) == (uint16_t)at);
    must(!virtq_drv_kick_needed(&t->drv));
}

static void dev_pops(struct model *t)
{
    struct virtq_seg segs[VIRTQ_CHAIN_MAX];
    struct virtq_chain chain = {.segs = segs};
    struct model_chain *c;
    unsigned n;
    int rc;

    rc = virtq_dev_pop(&t->dev, &chain);
    if (t->popped == t->published) {
        must(rc == 0);
        return;
    }
    must(rc == 1);
    n = t->made[t->popped++ % t->size];
    c = &t->chains[n];
    must(chain.count == c->out + c->in);
    must(chain.readable == c->out);
    must(chain.writable_bytes == c->in_bytes);
    for (unsigned i = 0; i < chain.count; i++) {
        must(segs[i].addr.raw == c->sg[i].addr.raw);
        must(segs[i].len_bytes == c->sg[i].len_bytes);
        must(segs[i].writable == (i >= c->out));
    }
    c->token = chain.token;
    t->popped_at += c->places;
    t->taken[t->taken_count++] = n;
    must(virtq_dev_outstanding(&t->dev) == t->taken_count);
}

static void dev_pushes(struct model *t)
{
    unsigned pick, n;
    struct model_chain *c;

    if (t->taken_count == 0)
        return;
    pick = t->in_order ? 0 : rng_below(t, (unsigned)t->taken_count);
    n = t->taken[pick];
    t->taken_count--;
    for (unsigned i = pick; i < t->taken_count; i++)
        t->taken[i] = t->taken[i + 1];
    c = &t->chains[n];
    /* All of it often enough for batches of IN_ORDER to grow. */
    c->written = (uint32_t)(rng_below(t, 4) ? c->in_bytes : rng_next(t) % (c->in_bytes + 1));
    virtq_dev_push(&t->dev, c->token, c->written);
    t->pushed_at += c->places;
    t->used[t->pushed++ % t->size] = n;
}

static void dev_publishes(struct model *t)
{
    must(virtq_dev_publish(&t->dev) == t->pushed - t->used_published);
    t->used_published = t->pushed;
    t->used_at = t->pushed_at;
    must(virtq_dev_interrupt_needed(&t->dev) == event_wanted(t, t->irq, t->irq_from, t->used_at));
    t->irq_from = t->used_at;
    must(!virtq_dev_interrupt_needed(&t->dev));
}

static void drv_reaps(struct model *t)
{
    struct virtq_done done;
    struct model_chain *c;
    int rc;

    must(virtq_drv_used_pending(&t->drv) == (t->reaped != t->used_published));
    rc = virtq_drv_reap(&t->drv, &done);
    if (t->reaped == t->used_published) {
        must(rc == 0);
        return;
    }
    must(rc == 1 && done.fault == VIRTQ_OK);
    c = &t->chains[t->used[t->reaped++ % t->size]];
    must(done.cookie == c);
    must(done.len_bytes == c->written);
    t->reaped_at += c->places;
    c->busy = false;
    must(virtq_drv_outstanding(&t->drv) == t->added - t->reaped);
}

static void sides_toggle_events(struct model *t)
{
    uint64_t left = t->added - t->reaped;
    unsigned after;

    switch (rng_below(t, 5)) {
    case 0:
        virtq_dev_kick_disable(&t->dev);
        if (t->kick_on)
            event_off(t, &t->kick, t->popped_at);
        t->kick_on = false;
        break;
    case 1:
        must(virtq_dev_kick_enable(&t->dev) == (t->published != t->popped));
        event_on(t, &t->kick, t->popped_at);
        t->kick_on = true;
        break;
    case 2:
        virtq_drv_irq_disable(&t->drv);
        if (t->irq_on)
            event_off(t, &t->irq, t->reaped_at);
        t->irq_on = false;
        break;
    case 3:
        must(virtq_drv_irq_enable(&t->drv) == (t->used_published != t->reaped));
        event_on(t, &t->irq, t->reaped_at);
        t->irq_on = true;
        break;
    default:
        after = rng_below(t, t->size + 2);
        if (!t->event_idx || after == 0)
            after = 1;
        else
            after = (unsigned)max_u64(1, min_u64(after, left));
        must(virtq_drv_irq_enable_delayed(&t->drv, after) ==
             (t->used_published - t->reaped >= (t->format == VIRTQ_PACKED ? 1 : after)));
        event_on(t, &t->irq, t->reaped_at + after - 1);
        t->irq_on = true;
        break;
    }
}

/* More than the indices of a split ring can count, and some laps of any packed one. */
static uint64_t buffers_wanted(enum virtq_format format)
{
    const char *rounds = getenv("RINGPROOF_TEST_ROUNDS");

    if (rounds != NULL && strcmp(rounds, "small") == 0)
        return 2000;
    return format == VIRTQ_SPLIT ? 70000 : 20000;
}

static const struct {
    enum virtq_format format;
    unsigned size;
} rings[] = {{VIRTQ_SPLIT, 1},    {VIRTQ_SPLIT, 2},   {VIRTQ_SPLIT, 4},    {VIRTQ_SPLIT, 8},
             {VIRTQ_SPLIT, 32},   {VIRTQ_SPLIT, 256}, {VIRTQ_SPLIT, 1024}, {VIRTQ_PACKED, 1},
             {VIRTQ_PACKED, 2},   {VIRTQ_PACKED, 3},  {VIRTQ_PACKED, 5},   {VIRTQ_PACKED, 8},
             {VIRTQ_PACKED, 13},  {VIRTQ_PACKED, 64}, {VIRTQ_PACKED, 255}, {VIRTQ_PACKED, 1000},
             {VIRTQ_PACKED, 1024}};

/* _i: a ring, and every combination of features on it. */
START_TEST(random_traffic)
{
    struct model *t = calloc(1, sizeof(*t));
    unsigned ring = (unsigned)_i / FEATURES;
    uint64_t wanted = buffers_wanted(rings[ring].format);

    model_init(t, rings[ring].format, rings[ring].size, (unsigned)_i % FEATURES,
               0x5eed0000ull + (unsigned)_i);
    while (t->reaped < wanted) {
        /* Bursts, so that the queue runs full and empty. */
        unsigned burst = 1 + rng_below(t, (unsigned)min_u64(t->size * 2, 64));
        unsigned action = rng_below(t, 7);

        for (unsigned i = 0; i < burst; i++) {
            switch (action) {
            case 0:
                drv_adds(t);
                break;
            case 1:
                drv_publishes(t);
                i = burst;
                break;
            case 2:
                dev_pops(t);
                break;
            case 3:
                dev_pushes(t);
                break;
            case 4:
                dev_publishes(t);
                i = burst;
                break;
            case 5:
                drv_reaps(t);
                break;
            default:
                sides_toggle_events(t);
                i = burst;
                break;
            }
        }
    }
    must(t->tables_out == 0);
    model_fini(t);
    free(t);
}
END_TEST

/* ---- two threads that sleep whenever the ring says they may ---- */

struct pair {
    struct model model;
    int kick_fd, irq_fd;
    uint64_t total;
    unsigned kicks, irqs;
    bool lost; /* a side waited for a notification that never came */
};

static bool wait_fd(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t count;

    if (poll(&p, 1, 20000) != 1)
        return false;
    return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static void signal_fd(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static void *device_thread(void *arg)
{
    struct pair *p = arg;
    struct virtq_dev *q = &p->model.dev;
    struct virtq_seg segs[4];
    struct virtq_chain chain = {.segs = segs};

    for (uint64_t done = 0; done < p->total;) {
        unsigned batch = 0;

        virtq_dev_kick_disable(q);
        while (virtq_dev_pop(q, &chain) == 1) {
            virtq_dev_push(q, chain.token, 1);
            batch++;
            if (batch % 4 == 0) {
                virtq_dev_publish(q);
                if (virtq_dev_interrupt_needed(q)) {
                    p->irqs++;
                    signal_fd(p->irq_fd);
                }
            }
        }
        virtq_dev_publish(q);
        if (virtq_dev_interrupt_needed(q)) {
            p->irqs++;
            signal_fd(p->irq_fd);
        }
        done += batch;
        if (done < p->total && !virtq_dev_kick_enable(q) && !wait_fd(p->kick_fd)) {
            p->lost = true;
            signal_fd(p->irq_fd);
            return NULL;
        }
    }
    return NULL;
}

/* _i: event_idx bit 0, delayed interrupts bit 1, packed bit 2, in order bit 3. */
START_TEST(two_threads_lose_no_wakeup)
{
    struct pair *p = calloc(1, sizeof(*p));
    struct model *t = &p->model;
    struct virtq_drv *q = &t->drv;
    uint64_t given = 0, reaped = 0;
    pthread_t thread;

    model_init(t, _i & 4 ? VIRTQ_PACKED : VIRTQ_SPLIT, 16,
               (_i & 1 ? EVENT_IDX : 0) | (_i & 8 ? IN_ORDER : 0), 1);
    p->total = buffers_wanted(t->format);
    p->kick_fd = eventfd(0, EFD_CLOEXEC);
    p->irq_fd = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_eq(pthread_create(&thread, NULL, device_thread, p), 0);
    while (reaped < p->total && !p->lost) {
        struct virtq_sg sg = {gpa_make(0x1000), 64};
        struct virtq_done done;
        bool more;

        virtq_drv_irq_disable(q);
        while (virtq_drv_reap(q, &done) == 1) {
            must(done.fault == VIRTQ_OK);
            reaped++;
        }
        while (given < p->total && virtq_drv_add(q, NULL, 0, &sg, 1, NULL, p, NULL) == 0) {
            given++;
            if (rng_below(t, 3) == 0)
                break;
        }
        virtq_drv_publish(q);
        if (virtq_drv_kick_needed(q)) {
            p->kicks++;
            signal_fd(p->kick_fd);
        }
        if (reaped == p->total)
            break;
        more = _i & 2 ? virtq_drv_irq_enable_delayed(q, virtq_drv_outstanding(q) * 3 / 4)
                      : virtq_drv_irq_enable(q);
        if (!more && !wait_fd(p->irq_fd))
            break;
    }
    if (reaped < p->total)
        signal_fd(p->kick_fd);
    pthread_join(thread, NULL);
    ck_assert_msg(reaped == p->total && !p->lost, "a wake-up was lost at %llu of %llu",
                  (unsigned long long)reaped, (unsigned long long)p->total);
    close(p->kick_fd);
    close(p->irq_fd);
    model_fini(t);
    free(p);
}
END_TEST

/* Chains come back at reset, the queue works again from zero. _i: format. */
START_TEST(detach_and_reset)
{
    struct model *t = calloc(1, sizeof(*t));
    struct virtq_sg sg[3] = {{gpa_make(1), 1}, {gpa_make(2), 1}, {gpa_make(3), 1}};
    unsigned cookies[4], seen = 0;
    void *cookie;

    model_init(t, (enum virtq_format)_i, 8, EVENT_IDX, 1);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 2; i++)
            must(virtq_drv_add(&t->drv, sg, 3, NULL, 0, NULL, &cookies[i], NULL) == 0);
        must(virtq_drv_add(&t->drv, sg, 3, NULL, 0, NULL, &cookies[2], NULL) == -ENOSPC);
        virtq_drv_publish(&t->drv);
        while (virtq_drv_detach(&t->drv, &cookie, NULL))
            seen += 1u << (8 * ((unsigned *)cookie - cookies));
        must(virtq_drv_free_descs(&t->drv) == 8);
        virtq_drv_reset(&t->drv);
    }
    ck_assert_uint_eq(seen, 0x0303);
    model_fini(t);
    free(t);
}
END_TEST

START_TEST(refused_arguments)
{
    struct model *t = calloc(1, sizeof(*t));
    struct virtq_sg ok = {gpa_make(1), 1}, empty = {gpa_make(1), 0};
    struct virtq_sg big[3] = {{gpa_make(1), UINT32_MAX}, {gpa_make(1), 1}, {gpa_make(1), 1}};
    struct virtq_indirect ind = {t, gpa_make(0x1000), 1};
    struct virtq_layout layout;
    struct virtq_drv_config c;
    struct virtq_dev_config d;
    struct virtq_drv drv;
    struct virtq_dev dev;

    model_init(t, VIRTQ_SPLIT, 4, 0, 1);
    must(virtq_drv_add(&t->drv, NULL, 0, NULL, 0, NULL, t, NULL) == -EINVAL);
    must(virtq_drv_add(&t->drv, &empty, 1, NULL, 0, NULL, t, NULL) == -EINVAL);
    must(virtq_drv_add(&t->drv, &ok, 5, NULL, 0, NULL, t, NULL) == -EINVAL);
    must(virtq_drv_add(&t->drv, &ok, 1, &ok, 1, &ind, t, NULL) == -EINVAL);
    must(virtq_drv_add(&t->drv, big, 3, NULL, 0, NULL, t, NULL) == -EINVAL);
    must(virtq_drv_add(&t->drv, big, 2, NULL, 0, NULL, t, NULL) == 0); /* 2^32 exactly */
    must(virtq_layout_init(&layout, VIRTQ_SPLIT, 0) == -EINVAL);
    must(virtq_layout_init(&layout, VIRTQ_SPLIT, 3) == -EINVAL);
    must(virtq_layout_init(&layout, VIRTQ_SPLIT, 65536) == -EINVAL);
    must(virtq_layout_init(&layout, VIRTQ_PACKED, 3) == 0);
    must(virtq_layout_init(&layout, VIRTQ_SPLIT, 32768) == 0);
    must(layout.desc_bytes == 16 * 32768 && layout.driver_bytes == 6 + 2 * 32768 &&
         layout.device_bytes == 6 + 8 * 32768);
    must(virtq_layout_check(&layout, gpa_make(16), gpa_make(2), gpa_make(4)) == 0);
    must(virtq_layout_check(&layout, gpa_make(8), gpa_make(2), gpa_make(4)) == -EINVAL);
    must(virtq_layout_check(&layout, gpa_make(16), gpa_make(1), gpa_make(4)) == -EINVAL);
    must(virtq_layout_check(&layout, gpa_make(16), gpa_make(2), gpa_make(2)) == -EINVAL);
    must(virtq_layout_check(&layout, gpa_make(-4096ull), gpa_make(2), gpa_make(4)) == -EINVAL);

    c = t->drv.cfg;
    c.areas.device = (char *)c.areas.device + 2;
    must(virtq_drv_init(&drv, &c) == -EINVAL);
    c = t->drv.cfg;
    c.size = 3;
    must(virtq_drv_init(&drv, &c) == -EINVAL);
    d = t->dev.cfg;
    d.chain_max = VIRTQ_CHAIN_MAX + 1;
    must(virtq_dev_init(&dev, &d) == -EINVAL);
    d = t->dev.cfg;
    d.indirect = true;
    d.indirect_get = NULL;
    must(virtq_dev_init(&dev, &d) == -EINVAL);
    d = t->dev.cfg;
    d.areas.desc = NULL;
    must(virtq_dev_init(&dev, &d) == -EINVAL);
    d = t->dev.cfg;
    d.start.used_idx = 1; /* ahead of what was made available */
    must(virtq_dev_init(&dev, &d) == -EINVAL);
    d = t->dev.cfg;
    d.format = VIRTQ_PACKED;
    d.start.avail_idx = 1; /* something in flight, and nobody knows how long it is */
    must(virtq_dev_init(&dev, &d) == -EINVAL);
    d.start.avail_idx = d.start.used_idx = 4; /* beyond the ring */
    must(virtq_dev_init(&dev, &d) == -EINVAL);
    d.start = (struct virtq_dev_state){.avail_lap_odd = true};
    must(virtq_dev_init(&dev, &d) == -EINVAL);
    must(virtq_dev_state_recover(VIRTQ_PACKED, 4, &d.areas, &d.start) == -EOPNOTSUPP);
    model_fini(t);
    free(t);
}
END_TEST

/* A device side that died between requests is followed by another one. _i: format. */
START_TEST(device_side_resumes)
{
    struct model *t = calloc(1, sizeof(*t));
    struct virtq_dev_config again;
    struct virtq_dev_state state;

    model_init(t, (enum virtq_format)_i, 4, EVENT_IDX, 1);
    for (unsigned i = 0; i < buffers_wanted(t->format); i++) {
        drv_adds(t);
        drv_publishes(t);
        dev_pops(t);
        dev_pushes(t);
        dev_publishes(t);
        drv_reaps(t);
        if (i % 1000 != 999)
            continue;
        virtq_dev_get_state(&t->dev, &state);
        again = t->dev.cfg;
        if (t->format == VIRTQ_SPLIT) {
            must(state.avail_idx == (uint16_t)t->popped && state.used_idx == state.avail_idx);
            must(virtq_dev_state_recover(VIRTQ_SPLIT, 4, &again.areas, &again.start) == 0);
            must(again.start.avail_idx == state.avail_idx &&
                 again.start.used_idx == state.used_idx);
        } else {
            must(state.avail_idx == t->popped_at % 4 && state.used_idx == state.avail_idx);
            must(state.avail_lap_odd == (t->popped_at % 8 >= 4));
            must(state.used_lap_odd == state.avail_lap_odd);
            again.start = state;
        }
        must(virtq_dev_init(&t->dev, &again) == 0);
    }
    model_fini(t);
    free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtq/traffic");
    TCase *tc = tcase_create("traffic");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, random_traffic, 0, (int)(ARRAY_LENGTH(rings) * FEATURES));
    tcase_add_loop_test(tc, two_threads_lose_no_wakeup, 0, 16);
    tcase_add_loop_test(tc, detach_and_reset, 0, 2);
    tcase_add_test(tc, refused_arguments);
    tcase_add_loop_test(tc, device_side_resumes, 0, 2);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
