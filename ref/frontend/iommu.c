/* SPDX-License-Identifier: MIT */
#include "frontend/iommu.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/queue.h"
#include "spec/virtio.h"
#include "spec/virtio_iommu.h"
#include "util/bits.h"

#define TIMEOUT_DEFAULT_NS 10000000000ull
#define SLOT_BYTES         64u
#define SLOTS              (XEN_PAGE_BYTES / SLOT_BYTES)
#define TAIL_OFFSET        48u
#define TAIL_UNWRITTEN     0xffu
#define EVENTS             32u
#define TAIL_BYTES         ((uint32_t)sizeof(struct virtio_iommu_req_tail))
#define PROBE_AT           128u /* of the answer, in its memory */
#define PROBE_BYTES_MAX    (XEN_PAGE_BYTES - PROBE_AT - TAIL_BYTES)
#define YIELDS             64u /* before a waiting thread sleeps for moments */
#define PAUSE_NS           20000l
#define CHECK_NS           50000000ull /* an answer that takes so long: is the device still there? */

/* The part of the request page that one request has. */
struct slot {
    bool busy, done;
    const uint8_t *tail; /* in memory of the device's, too */
    uint8_t status;
    uint32_t used_bytes;
};

struct fe_iommu {
    struct fe_virtio *v;   /* borrowed */
    struct fe_memory *mem; /* borrowed */
    pthread_mutex_t lock;  /* of all that follows */
    struct fe_queue q, events;
    struct fe_dma page, event_page;
    struct fe_dma probe; /* of one PROBE at a time */
    pthread_mutex_t probe_lock;
    struct slot slots[SLOTS];
    struct fe_iommu_info info;
    uint64_t timeout_ns;
    bool gone;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Between two looks. */
static void breathe(unsigned turn)
{
    if (turn < YIELDS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

/* ---- creation ---- */

static int config64(struct fe_virtio *v, unsigned offset, uint64_t *value)
{
    le64_t raw = {0};
    int rc = fe_virtio_config_get(v, offset, sizeof(raw), &raw);

    *value = le64_get(raw);
    return rc;
}

static int read_info(struct fe_iommu *m)
{
    struct fe_iommu_info *i = &m->info;
    le32_t word[2] = {0};
    uint64_t mask = 0;
    int rc;

    *i = (struct fe_iommu_info){
        .features = m->v->features, .input_last = UINT64_MAX, .domain_last = UINT32_MAX};
    rc = config64(m->v, offsetof(struct virtio_iommu_config, page_size_mask), &mask);
    i->page_bytes = mask & (~mask + 1);
    if (!rc && i->features & VIRTIO_F(VIRTIO_IOMMU_F_INPUT_RANGE)) {
        rc = config64(m->v, offsetof(struct virtio_iommu_config, input_start), &i->input_first);
        if (!rc)
            rc = config64(m->v, offsetof(struct virtio_iommu_config, input_end), &i->input_last);
    }
    if (!rc && i->features & VIRTIO_F(VIRTIO_IOMMU_F_DOMAIN_RANGE)) {
        rc = fe_virtio_config_get(m->v, offsetof(struct virtio_iommu_config, domain_start),
                                  sizeof(word), word);
        i->domain_first = le32_get(word[0]);
        i->domain_last = le32_get(word[1]);
    }
    if (!rc && i->features & VIRTIO_F(VIRTIO_IOMMU_F_PROBE)) {
        rc = fe_virtio_config_get(m->v, offsetof(struct virtio_iommu_config, probe_size),
                                  sizeof(word[0]), word);
        i->probe_bytes = le32_get(word[0]);
    }
    if (!rc && (!i->page_bytes || i->probe_bytes > PROBE_BYTES_MAX ||
                i->input_last < i->input_first || i->domain_last < i->domain_first))
        rc = -EPROTO;
    return rc;
}

static gpa_t event_addr(const struct fe_iommu *m, unsigned n)
{
    return fe_dma_addr(&m->event_page, n * sizeof(struct virtio_iommu_fault));
}

static int event_post(struct fe_iommu *m, struct virtio_iommu_fault *f)
{
    unsigned n = (unsigned)(f - (struct virtio_iommu_fault *)(void *)m->event_page.va);
    const struct virtq_sg in = {event_addr(m, n), sizeof(*f)};

    memset(f, 0, sizeof(*f));
    return virtq_drv_add(&m->events.drv, NULL, 0, &in, 1, NULL, f, NULL);
}

static int events_start(struct fe_iommu *m)
{
    struct virtio_iommu_fault *f = (void *)m->event_page.va;
    int rc = 0;

    for (unsigned n = 0; n < EVENTS && !rc; n++)
        rc = event_post(m, &f[n]);
    return rc == -ENOSPC ? 0 : rc;
}

int fe_iommu_create(struct fe_virtio *v, const struct fe_iommu_config *cfg, struct fe_iommu **out)
{
    const uint64_t want = VIRTIO_F(VIRTIO_F_EVENT_IDX) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM) |
                          VIRTIO_F(VIRTIO_IOMMU_F_INPUT_RANGE) |
                          VIRTIO_F(VIRTIO_IOMMU_F_DOMAIN_RANGE) |
                          VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG) | VIRTIO_F(VIRTIO_IOMMU_F_PROBE);
    uint64_t need =
        VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_IOMMU_F_MAP_UNMAP) | cfg->features_need;
    struct fe_queue_config queue = {.index = VIRTIO_IOMMU_REQUESTQ, .vcpu = cfg->vcpu};
    struct fe_iommu *m;
    int rc;

    *out = NULL;
    if (v->device_id != VIRTIO_ID_IOMMU)
        return -ENODEV;
    m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->probe_lock, NULL);
    m->v = v;
    v->vcpu = cfg->vcpu;
    m->mem = cfg->memory;
    m->timeout_ns = cfg->timeout_ns ? cfg->timeout_ns : TIMEOUT_DEFAULT_NS;
    /* A grant is no physical address: the device has to know (6.1). */
    if (m->mem->addressing == FE_ADDRESSING_GRANTS)
        need |= VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    rc = fe_dma_alloc(m->mem, XEN_PAGE_BYTES, &m->page);
    if (!rc)
        rc = fe_dma_alloc(m->mem, XEN_PAGE_BYTES, &m->event_page);
    if (!rc)
        rc = fe_dma_alloc(m->mem, XEN_PAGE_BYTES, &m->probe);
    if (!rc)
        rc = fe_virtio_reset(v, m->timeout_ns);
    if (!rc)
        rc = fe_virtio_negotiate(v, need, want);
    if (!rc)
        rc = read_info(m);
    if (!rc)
        rc = fe_queue_init(&m->q, v, m->mem, &queue);
    queue.index = VIRTIO_IOMMU_EVENTQ;
    if (!rc)
        rc = fe_queue_init(&m->events, v, m->mem, &queue);
    if (!rc)
        rc = events_start(m);
    if (!rc)
        rc = fe_virtio_driver_ok(v);
    if (!rc)
        rc = fe_queue_kick(&m->events);
    if (rc)
        fe_iommu_destroy(m);
    else
        *out = m;
    return rc;
}

static void queue_empty(struct fe_queue *q)
{
    void *cookie;
    uint16_t id;

    while (q->virtio && virtq_drv_detach(&q->drv, &cookie, &id))
        ;
}

int fe_iommu_destroy(struct fe_iommu *m)
{
    int rc, errors[5] = {0};

    if (!m)
        return 0;
    /* Only a device that was reset has let go of the rings. One that is gone holds nothing. */
    rc = fe_virtio_reset(m->v, m->timeout_ns);
    if (rc == -ENODEV || rc == -EFAULT)
        rc = 0;
    queue_empty(&m->q);
    queue_empty(&m->events);
    errors[0] = fe_queue_fini(&m->q);
    errors[1] = fe_queue_fini(&m->events);
    errors[2] = fe_dma_free(m->mem, &m->page);
    errors[3] = fe_dma_free(m->mem, &m->event_page);
    errors[4] = fe_dma_free(m->mem, &m->probe);
    for (unsigned i = 0; i < ARRAY_LENGTH(errors); i++)
        if (errors[i])
            rc = errors[i];
    pthread_mutex_destroy(&m->probe_lock);
    pthread_mutex_destroy(&m->lock);
    free(m);
    return rc;
}

void fe_iommu_get_info(const struct fe_iommu *m, struct fe_iommu_info *info)
{
    *info = m->info;
}

/* ---- requests ---- */

/* A slot for a request whose tail is the end of what the device writes. */
static int slot_start(struct fe_iommu *m, struct slot *s, const struct virtq_sg *out,
                      const struct virtq_sg *in, uint8_t *tail)
{
    int rc;

    memset(tail, TAIL_UNWRITTEN, TAIL_BYTES);
    rc = virtq_drv_add(&m->q.drv, out, 1, in, 1, NULL, s, NULL);
    if (rc == -ENOSPC)
        return -EBUSY;
    if (rc)
        return rc;
    *s = (struct slot){.busy = true, .tail = tail};
    rc = fe_queue_kick(&m->q);
    /* Nobody is at its registers any more. */
    if (rc == -EFAULT || rc == -ENODEV) {
        m->gone = true;
        rc = -ENODEV;
    }
    return rc;
}

static int slot_find(const struct fe_iommu *m, unsigned *id)
{
    unsigned n = 0;

    while (n < SLOTS && m->slots[n].busy)
        n++;
    *id = n;
    if (m->gone)
        return -ENODEV;
    return n == SLOTS ? -EBUSY : 0;
}

static int start(struct fe_iommu *m, const void *request, uint32_t bytes, unsigned *id)
{
    struct virtq_sg out, in;
    uint8_t *at;
    int rc;

    pthread_mutex_lock(&m->lock);
    rc = slot_find(m, id);
    if (!rc) {
        at = m->page.va + *id * SLOT_BYTES;
        memcpy(at, request, bytes);
        out = (struct virtq_sg){fe_dma_addr(&m->page, *id * SLOT_BYTES), bytes};
        in = (struct virtq_sg){fe_dma_addr(&m->page, *id * SLOT_BYTES + TAIL_OFFSET), TAIL_BYTES};
        rc = slot_start(m, &m->slots[*id], &out, &in, at + TAIL_OFFSET);
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int start_probe(struct fe_iommu *m, uint32_t endpoint, unsigned *id)
{
    const struct virtio_iommu_req_probe q = {.head.type = VIRTIO_IOMMU_T_PROBE,
                                             .endpoint = le32_make(endpoint)};
    const struct virtq_sg out = {fe_dma_addr(&m->probe, 0), sizeof(q)};
    const struct virtq_sg in = {fe_dma_addr(&m->probe, PROBE_AT), m->info.probe_bytes + TAIL_BYTES};
    int rc;

    memset(m->probe.va, 0, m->probe.bytes);
    memcpy(m->probe.va, &q, sizeof(q));
    pthread_mutex_lock(&m->lock);
    rc = slot_find(m, id);
    if (!rc)
        rc = slot_start(m, &m->slots[*id], &out, &in, m->probe.va + PROBE_AT + m->info.probe_bytes);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* Answers of whomever. */
static int reap(struct fe_iommu *m)
{
    struct virtq_done done;
    int rc;

    while ((rc = virtq_drv_reap(&m->q.drv, &done)) == 1) {
        struct slot *s = done.cookie;

        if (!s || done.fault != VIRTQ_OK)
            return -EPROTO;
        s->status = *s->tail;
        s->used_bytes = done.len_bytes;
        s->done = true;
    }
    return rc;
}

static int result_of(const struct slot *s)
{
    static const int of_status[] = {[VIRTIO_IOMMU_S_OK] = 0,
                                    [VIRTIO_IOMMU_S_IOERR] = -EIO,
                                    [VIRTIO_IOMMU_S_UNSUPP] = -EOPNOTSUPP,
                                    [VIRTIO_IOMMU_S_DEVERR] = -EIO,
                                    [VIRTIO_IOMMU_S_INVAL] = -EINVAL,
                                    [VIRTIO_IOMMU_S_RANGE] = -ERANGE,
                                    [VIRTIO_IOMMU_S_NOENT] = -ENOENT,
                                    [VIRTIO_IOMMU_S_FAULT] = -EFAULT,
                                    [VIRTIO_IOMMU_S_NOMEM] = -ENOMEM};

    if (s->used_bytes == 0 || s->status == TAIL_UNWRITTEN)
        return -EPROTO;
    return s->status < ARRAY_LENGTH(of_status) ? of_status[s->status] : -EIO;
}

int fe_iommu_wait(struct fe_iommu *m, unsigned id, uint64_t timeout_ns)
{
    uint64_t now = now_ns(), deadline = now + timeout_ns, check = now + CHECK_NS;
    struct slot *s = &m->slots[id];

    for (unsigned turn = 0;; turn++) {
        bool done;
        int rc;

        pthread_mutex_lock(&m->lock);
        rc = reap(m);
        done = s->done;
        if (done) {
            rc = result_of(s);
            s->busy = s->done = false;
        } else if (!rc && now >= check) {
            check = now + CHECK_NS;
            rc = fe_virtio_check(m->v) ? -ENODEV : 0;
            m->gone = m->gone || rc;
        }
        pthread_mutex_unlock(&m->lock);
        if (done || rc)
            return rc;
        now = now_ns();
        if (now >= deadline)
            return -ETIME;
        breathe(turn);
    }
}

/* An answer that a request cannot do without. */
static int answer(struct fe_iommu *m, unsigned id)
{
    int rc = fe_iommu_wait(m, id, m->timeout_ns);

    if (rc == -ETIME || rc == -EPROTO) {
        pthread_mutex_lock(&m->lock);
        m->gone = true;
        pthread_mutex_unlock(&m->lock);
    }
    return rc;
}

static int request(struct fe_iommu *m, const void *request, uint32_t bytes)
{
    unsigned id;
    int rc = start(m, request, bytes, &id);

    return rc ? rc : answer(m, id);
}

/* Properties that are whole, up to the first that is none. */
static int read_properties(const uint8_t *at, uint32_t bytes, struct fe_iommu_reserved *list,
                           unsigned max, unsigned *count)
{
    struct virtio_iommu_probe_resv_mem p;

    while (bytes >= sizeof(p.head)) {
        uint32_t length, type;

        memcpy(&p.head, at, sizeof(p.head));
        type = le16_get(p.head.type);
        length = le16_get(p.head.length);
        if (type == VIRTIO_IOMMU_PROBE_T_NONE)
            return 0;
        if (length > bytes - sizeof(p.head))
            return -EPROTO;
        /* One whose reserved bits are set is not meant for us (5.16.6.7). */
        if (type == VIRTIO_IOMMU_PROBE_T_RESV_MEM && length >= sizeof(p) - sizeof(p.head)) {
            memcpy(&p, at, sizeof(p));
            if (*count == max)
                return -ENOSPC;
            list[(*count)++] =
                (struct fe_iommu_reserved){p.subtype, le64_get(p.start), le64_get(p.end)};
        }
        at += sizeof(p.head) + length;
        bytes -= (uint32_t)sizeof(p.head) + length;
    }
    return 0;
}

int fe_iommu_probe(struct fe_iommu *m, uint32_t endpoint, struct fe_iommu_reserved *list,
                   unsigned max, unsigned *count)
{
    unsigned id;
    int rc;

    *count = 0;
    if (!m->info.probe_bytes)
        return 0;
    pthread_mutex_lock(&m->probe_lock);
    rc = start_probe(m, endpoint, &id);
    if (!rc)
        rc = answer(m, id);
    if (!rc) {
        uint8_t properties[PROBE_BYTES_MAX];

        /* Once, for the device can still write there. */
        memcpy(properties, m->probe.va + PROBE_AT, m->info.probe_bytes);
        rc = read_properties(properties, m->info.probe_bytes, list, max, count);
    }
    pthread_mutex_unlock(&m->probe_lock);
    return rc;
}

int fe_iommu_attach(struct fe_iommu *m, uint32_t domain, uint32_t endpoint, bool bypass)
{
    const struct virtio_iommu_req_attach q = {
        .head.type = VIRTIO_IOMMU_T_ATTACH,
        .domain = le32_make(domain),
        .endpoint = le32_make(endpoint),
        .flags = le32_make(bypass ? VIRTIO_IOMMU_ATTACH_F_BYPASS : 0),
    };

    return request(m, &q, sizeof(q));
}

static struct virtio_iommu_req_detach detach_request(uint32_t domain, uint32_t endpoint)
{
    return (struct virtio_iommu_req_detach){.head.type = VIRTIO_IOMMU_T_DETACH,
                                            .domain = le32_make(domain),
                                            .endpoint = le32_make(endpoint)};
}

int fe_iommu_detach(struct fe_iommu *m, uint32_t domain, uint32_t endpoint)
{
    const struct virtio_iommu_req_detach q = detach_request(domain, endpoint);

    return request(m, &q, sizeof(q));
}

int fe_iommu_detach_start(struct fe_iommu *m, uint32_t domain, uint32_t endpoint, unsigned *id)
{
    const struct virtio_iommu_req_detach q = detach_request(domain, endpoint);

    return start(m, &q, sizeof(q), id);
}

int fe_iommu_map(struct fe_iommu *m, uint32_t domain, uint64_t iova, uint64_t bytes, gpa_t phys,
                 enum fe_dma_dir dir)
{
    const struct virtio_iommu_req_map q = {
        .head.type = VIRTIO_IOMMU_T_MAP,
        .domain = le32_make(domain),
        .virt_start = le64_make(iova),
        .virt_end = le64_make(iova + (bytes - 1)),
        .phys_start = le64_make(phys.raw),
        .flags = le32_make((dir != FE_DMA_FROM_DEVICE ? VIRTIO_IOMMU_MAP_F_READ : 0) |
                           (dir != FE_DMA_TO_DEVICE ? VIRTIO_IOMMU_MAP_F_WRITE : 0)),
    };

    return request(m, &q, sizeof(q));
}

static struct virtio_iommu_req_unmap unmap_request(uint32_t domain, uint64_t iova, uint64_t bytes)
{
    return (struct virtio_iommu_req_unmap){.head.type = VIRTIO_IOMMU_T_UNMAP,
                                           .domain = le32_make(domain),
                                           .virt_start = le64_make(iova),
                                           .virt_end = le64_make(iova + (bytes - 1))};
}

int fe_iommu_unmap(struct fe_iommu *m, uint32_t domain, uint64_t iova, uint64_t bytes)
{
    const struct virtio_iommu_req_unmap q = unmap_request(domain, iova, bytes);

    return request(m, &q, sizeof(q));
}

int fe_iommu_unmap_start(struct fe_iommu *m, uint32_t domain, uint64_t iova, uint64_t bytes,
                         unsigned *id)
{
    const struct virtio_iommu_req_unmap q = unmap_request(domain, iova, bytes);

    return start(m, &q, sizeof(q), id);
}

int fe_iommu_set_bypass(struct fe_iommu *m, bool bypass)
{
    int rc;

    if (!(m->info.features & VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG)))
        return -ENOTSUP;
    pthread_mutex_lock(&m->lock);
    rc = m->v->ops->config_write(m->v, offsetof(struct virtio_iommu_config, bypass), 1, bypass);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* ---- faults ---- */

/* 1, 0: none is there, or an error. */
static int fault_take(struct fe_iommu *m, struct fe_iommu_fault *f)
{
    struct virtio_iommu_fault raw;
    struct virtq_done done;
    int rc = virtq_drv_reap(&m->events.drv, &done);

    if (rc != 1)
        return rc;
    if (!done.cookie || done.fault != VIRTQ_OK)
        return -EPROTO;
    memcpy(&raw, done.cookie, sizeof(raw));
    rc = event_post(m, done.cookie);
    if (!rc)
        rc = fe_queue_kick(&m->events);
    if (rc)
        return rc;
    /* "If the reserved field is not zero, the driver MUST ignore the fault report" (5.16.6.9). */
    if (done.len_bytes < sizeof(raw) || raw.reserved[0] || raw.reserved[1] || raw.reserved[2])
        return 0;
    *f = (struct fe_iommu_fault){.reason = raw.reason,
                                 .flags = le32_get(raw.flags),
                                 .endpoint = le32_get(raw.endpoint),
                                 .address = le64_get(raw.address)};
    return 1;
}

int fe_iommu_next_fault(struct fe_iommu *m, struct fe_iommu_fault *f, uint64_t timeout_ns)
{
    uint64_t deadline = now_ns() + timeout_ns;

    for (unsigned turn = 0;; turn++) {
        int rc;

        pthread_mutex_lock(&m->lock);
        rc = fault_take(m, f);
        pthread_mutex_unlock(&m->lock);
        if (rc || now_ns() >= deadline)
            return rc;
        breathe(turn);
    }
}

/* ---- address spaces ---- */

/* A range that was given out. */
struct area {
    struct area *next; /* by address */
    uint64_t start;
    unsigned pages;
};

struct space {
    struct fe_translation base;
    struct fe_iommu *iommu; /* borrowed */
    uint32_t domain;
    uint64_t first, end; /* that are given out, in pages of Xen's */
    pthread_mutex_t lock;
    struct area *areas;
};

static int area_take(struct space *x, unsigned pages, uint64_t *start)
{
    uint64_t bytes = (uint64_t)pages * XEN_PAGE_BYTES, at = x->first;
    struct area **link = &x->areas, *a;

    /* What a device reserves may overlap. */
    while (*link && ((*link)->start < at || (*link)->start - at < bytes)) {
        at = max_u64(at, (*link)->start + (uint64_t)(*link)->pages * XEN_PAGE_BYTES);
        link = &(*link)->next;
    }
    if (at > x->end || x->end - at < bytes)
        return -ENOSPC;
    a = malloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    *a = (struct area){*link, at, pages};
    *link = a;
    *start = at;
    return 0;
}

static void area_give(struct space *x, uint64_t start)
{
    struct area **link = &x->areas, *a;

    pthread_mutex_lock(&x->lock);
    while (*link && (*link)->start != start)
        link = &(*link)->next;
    a = *link;
    if (a)
        *link = a->next;
    free(a);
    pthread_mutex_unlock(&x->lock);
}

/* No answer but yes makes sense to what was asked for here. */
static int must_succeed(int rc)
{
    return rc == -EINVAL || rc == -ERANGE || rc == -ENOENT || rc == -EOPNOTSUPP ? -EPROTO : rc;
}

static int space_map(struct fe_translation *base, gpa_t phys, unsigned pages, enum fe_dma_dir dir,
                     gpa_t *iova)
{
    struct space *x = (struct space *)base;
    uint64_t start;
    int rc;

    pthread_mutex_lock(&x->lock);
    rc = area_take(x, pages, &start);
    pthread_mutex_unlock(&x->lock);
    if (rc)
        return rc;
    rc = must_succeed(
        fe_iommu_map(x->iommu, x->domain, start, (uint64_t)pages * XEN_PAGE_BYTES, phys, dir));
    if (rc)
        area_give(x, start);
    else
        *iova = gpa_make(start);
    return rc;
}

/* An address is nobody else's before the device has forgotten it. */
static int space_unmap(struct fe_translation *base, gpa_t iova, unsigned pages)
{
    struct space *x = (struct space *)base;
    int rc = fe_iommu_unmap(x->iommu, x->domain, iova.raw, (uint64_t)pages * XEN_PAGE_BYTES);

    /* The domain has ended with a device that was taken away, and all of its mappings with it. */
    rc = rc == -ENOENT ? 0 : must_succeed(rc);
    if (!rc)
        area_give(x, iova.raw);
    return rc;
}

int fe_iommu_space_create(struct fe_iommu *m, uint32_t domain, struct fe_translation **out)
{
    const struct fe_iommu_info *i = &m->info;
    struct space *x;

    *out = NULL;
    if (i->page_bytes > XEN_PAGE_BYTES)
        return -ENOTSUP;
    x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    *x = (struct space){
        .base = {.map = space_map, .unmap = space_unmap},
        .iommu = m,
        .domain = domain,
        /* Nothing is at 0, which is what a field is that nobody has set. */
        .first = align_up(i->input_first, XEN_PAGE_BYTES) + XEN_PAGE_BYTES,
        .end = align_down(i->input_first + (i->input_last - i->input_first) / 2, XEN_PAGE_BYTES),
    };
    pthread_mutex_init(&x->lock, NULL);
    *out = &x->base;
    return 0;
}

int fe_iommu_space_reserve(struct fe_translation *base, const struct fe_iommu_reserved *r)
{
    struct space *x = (struct space *)base;
    struct area **link = &x->areas, *a;
    uint64_t first = align_down(r->first, XEN_PAGE_BYTES);
    uint64_t last = r->last < x->end ? r->last : x->end - 1;

    if (r->last < r->first || first >= x->end || r->last < x->first)
        return 0;
    first = first < x->first ? x->first : first;
    while (*link && (*link)->start < first)
        link = &(*link)->next;
    /* Its pages may be too many for one area. */
    while (first <= last) {
        uint64_t pages = min_u64((last - first) / XEN_PAGE_BYTES + 1, UINT32_MAX);

        a = malloc(sizeof(*a));
        if (!a)
            return -ENOMEM;
        *a = (struct area){*link, first, (unsigned)pages};
        *link = a;
        link = &a->next;
        first += pages * XEN_PAGE_BYTES;
    }
    return 0;
}

void fe_iommu_space_destroy(struct fe_translation *base)
{
    struct space *x = (struct space *)base;

    if (!x)
        return;
    while (x->areas) {
        struct area *a = x->areas;

        x->areas = a->next;
        free(a);
    }
    pthread_mutex_destroy(&x->lock);
    free(x);
}
