/* SPDX-License-Identifier: MIT */
#include "device/iommu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/vdev_impl.h"
#include "gmem/iommu.h"
#include "spec/virtio.h"
#include "spec/virtio_iommu.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define IOMMU_CLASS_CODE 0x080600 /* base system peripheral: IOMMU */
#define INPUT_END        (BIT64(48) - 1)
#define DOMAIN_END       255u
#define PAGE_MASK        ((uint64_t)XEN_PAGE_BYTES - 1)
#define CHAIN_MAX        16u
#define PROBE_BYTES      64u
/* Where x86 has its doorbells. Messages reach the guest through Xen, wherever a driver of another
 * machine has them. */
#define MSI_START 0xfee00000ull
#define MSI_END   0xfeefffffull
#define MAP_FLAGS (VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE)

/* The device's part of a vdev_request: vdev_request.user. */
struct waiting {
    struct iommu_wait wait;
    struct vdev_request *r;
    struct waiting *next;
};

struct iommu_device {
    struct vdev vdev; /* first: the core hands us this */
    struct iommu *iommu;
    uint64_t features;
    bool bypass;
    struct waiting *waiting;
    struct iommu_stats stats;
};

static struct iommu_device *to_iommu(struct vdev *d)
{
    return (struct iommu_device *)(void *)d;
}

static uint64_t iommu_features(struct vdev *d)
{
    return to_iommu(d)->features;
}
static unsigned iommu_num_queues(struct vdev *d)
{
    return 2;
}
static unsigned iommu_queue_size_max(struct vdev *d, unsigned queue)
{
    return 0; /* no limit but the program's */
}

/* Offered, not negotiated: PROBE comes before a driver knows what to attach (5.16.6.7). */
static bool has_probe(const struct iommu_device *m)
{
    return m->features & VIRTIO_F(VIRTIO_IOMMU_F_PROBE);
}

/* ---- configuration ---- */

static void iommu_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value)
{
    const struct virtio_iommu_config c = {
        .page_size_mask = le64_make(MUTANT(iommu_no_page_size) ? 0 : ~PAGE_MASK),
        .input_end = le64_make(INPUT_END),
        .domain_end = le32_make(DOMAIN_END),
        .probe_size = le32_make(has_probe(to_iommu(d)) ? PROBE_BYTES : 0),
        .bypass = to_iommu(d)->bypass,
    };

    memcpy(value, (const char *)&c + offset, bytes);
}

static void iommu_config_write(struct vdev *d, unsigned offset, unsigned bytes, const void *value)
{
    struct iommu_device *m = to_iommu(d);
    uint8_t bypass = *(const uint8_t *)value;

    if (offset != offsetof(struct virtio_iommu_config, bypass) ||
        !vdev_has(d, VIRTIO_IOMMU_F_BYPASS_CONFIG) || bypass > 1) {
        log_warn_limited("%s: %u bytes of configuration written at %u: ignored", d->label, bytes,
                         offset);
        return;
    }
    m->bypass = bypass;
    iommu_set_bypass(m->iommu, bypass && !MUTANT(iommu_bypass_ignored));
}

/* ---- requests ---- */

static void answer(struct iommu_device *m, struct vdev_request *r, uint8_t status)
{
    const struct virtio_iommu_req_tail tail = {.status = status};

    m->stats.requests++;
    m->stats.refused += status != VIRTIO_IOMMU_S_OK;
    (void)vdev_iov_write(r->in, r->in_count, 0, &tail, sizeof(tail));
    vdev_request_done(r, sizeof(tail));
}

static void waiting_unlink(struct iommu_device *m, struct waiting *w)
{
    for (struct waiting **link = &m->waiting; *link; link = &(*link)->next)
        if (*link == w) {
            *link = w->next;
            return;
        }
}

static void wait_over(struct iommu_wait *wait)
{
    struct waiting *w = container_of(wait, struct waiting, wait);
    struct iommu_device *m = to_iommu(w->r->queue->dev);

    waiting_unlink(m, w);
    answer(m, w->r, VIRTIO_IOMMU_S_OK);
}

static uint8_t status_of(int rc)
{
    switch (-rc) {
    case 0:
        return VIRTIO_IOMMU_S_OK;
    case ENODEV:
    case ENOENT:
        return VIRTIO_IOMMU_S_NOENT;
    case EPERM:
    case EEXIST:
        return VIRTIO_IOMMU_S_INVAL;
    case EINVAL:
    case ERANGE:
        return VIRTIO_IOMMU_S_RANGE;
    case ENOMEM:
    case ENOSPC:
        return VIRTIO_IOMMU_S_NOMEM;
    default:
        return VIRTIO_IOMMU_S_DEVERR;
    }
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i])
            return false;
    return true;
}

/* A request's fields, ours alone. */
union request {
    struct virtio_iommu_req_head head;
    struct virtio_iommu_req_attach attach;
    struct virtio_iommu_req_detach detach;
    struct virtio_iommu_req_map map;
    struct virtio_iommu_req_unmap unmap;
    struct virtio_iommu_req_probe probe;
};

/* Each gives a status, or, with *waits, none yet. */
static uint8_t do_attach(struct iommu_device *m, const union request *q, struct iommu_wait *w,
                         bool *waits)
{
    uint32_t domain = le32_get(q->attach.domain), flags = le32_get(q->attach.flags);
    uint32_t known =
        vdev_has(&m->vdev, VIRTIO_IOMMU_F_BYPASS_CONFIG) ? VIRTIO_IOMMU_ATTACH_F_BYPASS : 0;
    int rc;

    if (!all_zero(q->attach.reserved, sizeof(q->attach.reserved)) &&
        !MUTANT(iommu_attach_reserved_ignored))
        return VIRTIO_IOMMU_S_INVAL;
    if (flags & ~known && !MUTANT(iommu_attach_flags_ignored))
        return VIRTIO_IOMMU_S_INVAL;
    if (domain > DOMAIN_END)
        return VIRTIO_IOMMU_S_RANGE;
    rc = iommu_attach(m->iommu, domain, le32_get(q->attach.endpoint),
                      flags & VIRTIO_IOMMU_ATTACH_F_BYPASS, w);
    if (rc == -ENODEV && MUTANT(iommu_endpoint_unknown))
        rc = 0;
    *waits = rc == 1;
    return status_of(rc);
}

static uint8_t do_detach(struct iommu_device *m, const union request *q, struct iommu_wait *w,
                         bool *waits)
{
    int rc = iommu_detach(m->iommu, le32_get(q->detach.domain), le32_get(q->detach.endpoint), w);

    if (rc == -ENODEV && MUTANT(iommu_endpoint_unknown))
        rc = 0;
    *waits = rc == 1;
    return rc == -ENOENT ? VIRTIO_IOMMU_S_INVAL : status_of(rc);
}

static uint8_t do_map(struct iommu_device *m, const union request *q, struct iommu_wait *w,
                      bool *waits)
{
    uint32_t flags = le32_get(q->map.flags);
    const struct iova_mapping mapping = {
        .start = le64_get(q->map.virt_start),
        .end = le64_get(q->map.virt_end),
        .phys = le64_get(q->map.phys_start),
        .access = (flags & VIRTIO_IOMMU_MAP_F_READ ? (uint32_t)GMEM_READ : 0) |
                  (flags & VIRTIO_IOMMU_MAP_F_WRITE ? (uint32_t)GMEM_WRITE : 0),
    };
    uint64_t odd = (mapping.start | mapping.phys | (mapping.end + 1)) & PAGE_MASK;

    (void)w;
    *waits = false;
    if (!vdev_has(&m->vdev, VIRTIO_IOMMU_F_MAP_UNMAP))
        return VIRTIO_IOMMU_S_UNSUPP;
    if (flags & ~MAP_FLAGS && !MUTANT(iommu_map_flags_ignored))
        return VIRTIO_IOMMU_S_INVAL;
    if (odd && !MUTANT(iommu_alignment_ignored))
        return VIRTIO_IOMMU_S_RANGE;
    if (mapping.end > INPUT_END && !MUTANT(iommu_input_range_ignored))
        return VIRTIO_IOMMU_S_RANGE;
    if (has_probe(m) && mapping.start <= MSI_END && mapping.end >= MSI_START &&
        !MUTANT(iommu_reserved_mapped))
        return VIRTIO_IOMMU_S_INVAL;
    return status_of(iommu_map(m->iommu, le32_get(q->map.domain), &mapping));
}

static uint8_t do_unmap(struct iommu_device *m, const union request *q, struct iommu_wait *w,
                        bool *waits)
{
    int rc;

    *waits = false;
    if (!vdev_has(&m->vdev, VIRTIO_IOMMU_F_MAP_UNMAP))
        return VIRTIO_IOMMU_S_UNSUPP;
    if (!all_zero(q->unmap.reserved, sizeof(q->unmap.reserved)))
        return VIRTIO_IOMMU_S_INVAL;
    rc = iommu_unmap(m->iommu, le32_get(q->unmap.domain), le64_get(q->unmap.virt_start),
                     le64_get(q->unmap.virt_end), w);
    *waits = rc == 1;
    return status_of(rc);
}

/* The properties are in front of the tail, which is where the driver has its end. */
static void do_probe(struct iommu_device *m, struct vdev_request *r, const union request *q)
{
    const struct virtio_iommu_probe_resv_mem msi = {
        .head = {.type = le16_make(VIRTIO_IOMMU_PROBE_T_RESV_MEM),
                 .length = le16_make(MUTANT(iommu_property_length_wrong)
                                         ? sizeof(msi)
                                         : sizeof(msi) - sizeof(msi.head))},
        .subtype = VIRTIO_IOMMU_RESV_MEM_T_MSI,
        .start = le64_make(MSI_START),
        .end = le64_make(MSI_END),
    };
    struct virtio_iommu_req_tail tail = {.status = VIRTIO_IOMMU_S_OK};
    uint64_t room = min_u64(r->in_bytes - sizeof(tail), PROBE_BYTES);

    if (room < PROBE_BYTES)
        tail.status = VIRTIO_IOMMU_S_INVAL;
    else if (!iommu_has_endpoint(m->iommu, le32_get(q->probe.endpoint)) &&
             !MUTANT(iommu_probe_of_nobody))
        tail.status = VIRTIO_IOMMU_S_NOENT;
    if (!MUTANT(iommu_probe_rest_unwritten))
        (void)vdev_iov_fill(r->in, r->in_count, 0, 0, room);
    if (tail.status == VIRTIO_IOMMU_S_OK)
        (void)vdev_iov_write(r->in, r->in_count, 0, &msi, sizeof(msi));
    (void)vdev_iov_write(r->in, r->in_count, room, &tail, sizeof(tail));
    m->stats.requests++;
    m->stats.refused += tail.status != VIRTIO_IOMMU_S_OK;
    vdev_request_done(r, (uint32_t)(room + sizeof(tail)));
}

static const struct {
    size_t bytes; /* 0: no such request */
    uint8_t (*run)(struct iommu_device *m, const union request *q, struct iommu_wait *w,
                   bool *waits);
} kinds[] = {
    [VIRTIO_IOMMU_T_ATTACH] = {sizeof(struct virtio_iommu_req_attach), do_attach},
    [VIRTIO_IOMMU_T_DETACH] = {sizeof(struct virtio_iommu_req_detach), do_detach},
    [VIRTIO_IOMMU_T_MAP] = {sizeof(struct virtio_iommu_req_map), do_map},
    [VIRTIO_IOMMU_T_UNMAP] = {sizeof(struct virtio_iommu_req_unmap), do_unmap},
};

static void iommu_request(struct vdev *d, struct vdev_request *r)
{
    struct iommu_device *m = to_iommu(d);
    struct waiting *w = r->user;
    union request q = {0};
    uint64_t got = vdev_iov_read(r->out, r->out_count, 0, &q, sizeof(q));
    bool waits = false;
    uint8_t status;

    if (has_probe(m) && got >= sizeof(q.probe) && q.head.type == VIRTIO_IOMMU_T_PROBE &&
        r->in_bytes >= sizeof(struct virtio_iommu_req_tail)) {
        do_probe(m, r, &q);
        return;
    }
    /* What cannot be understood goes back as it is (5.16.6). */
    if (MUTANT(iommu_unknown_answered) && got >= sizeof(q.head) &&
        (q.head.type >= ARRAY_LENGTH(kinds) || !kinds[q.head.type].bytes)) {
        answer(m, r, VIRTIO_IOMMU_S_UNSUPP);
        return;
    }
    if (got < sizeof(q.head) || q.head.type >= ARRAY_LENGTH(kinds) || !kinds[q.head.type].bytes ||
        got < kinds[q.head.type].bytes || r->in_bytes < sizeof(struct virtio_iommu_req_tail)) {
        log_debug_limited("%s: a request of %llu bytes that is none", d->label,
                          (unsigned long long)r->out_bytes);
        vdev_request_done(r, 0);
        return;
    }
    *w = (struct waiting){.wait.done = wait_over, .r = r};
    status = kinds[q.head.type].run(m, &q, &w->wait, &waits);
    if (!waits) {
        answer(m, r, status);
        return;
    }
    m->stats.waits++;
    w->next = m->waiting;
    m->waiting = w;
}

/* Nobody is told any more; what was asked for was done. */
static void drop_waiting(struct iommu_device *m)
{
    while (m->waiting) {
        struct waiting *w = m->waiting;

        m->waiting = w->next;
        iommu_wait_end(m->iommu, &w->wait);
        vdev_request_done(w->r, 0);
    }
}

/* ---- faults ---- */

static bool iommu_queue_pulled(struct vdev *d, unsigned queue)
{
    return queue == VIRTIO_IOMMU_EVENTQ;
}

/* Buffers wait for a fault. */
static bool iommu_queue_ready(struct vdev *d, unsigned queue)
{
    return false;
}

static void fault_report(void *ctx, const struct iommu_fault *f)
{
    struct iommu_device *m = ctx;
    struct vdev_request *r;
    const struct virtio_iommu_fault report = {
        .reason = f->reason == IOMMU_FAULT_DOMAIN ? VIRTIO_IOMMU_FAULT_R_DOMAIN
                                                  : VIRTIO_IOMMU_FAULT_R_MAPPING,
        .flags = le32_make((f->access & GMEM_READ ? VIRTIO_IOMMU_FAULT_F_READ : 0) |
                           (f->access & GMEM_WRITE ? VIRTIO_IOMMU_FAULT_F_WRITE : 0) |
                           VIRTIO_IOMMU_FAULT_F_ADDRESS),
        .endpoint = le32_make(MUTANT(iommu_fault_endpoint_wrong) ? f->endpoint + 1 : f->endpoint),
        .address = le64_make(f->addr),
    };
    bool fits;

    m->stats.faults++;
    log_info("%s: endpoint %u: %s of %#llx refused", m->vdev.label, f->endpoint,
             f->access & GMEM_WRITE ? "a write" : "a read", (unsigned long long)f->addr);
    if (MUTANT(iommu_fault_unreported))
        return;
    if (vdev_queue_take(&m->vdev, VIRTIO_IOMMU_EVENTQ, &r) != 1) {
        m->stats.faults_dropped++;
        return;
    }
    fits = r->in_bytes >= sizeof(report);
    if (fits)
        (void)vdev_iov_write(r->in, r->in_count, 0, &report, sizeof(report));
    else
        m->stats.faults_dropped++;
    vdev_request_done(r, fits ? sizeof(report) : 0);
}

/* ---- the device ---- */

static void iommu_device_reset(struct vdev *d)
{
    struct iommu_device *m = to_iommu(d);

    drop_waiting(m);
    if (!MUTANT(iommu_reset_forgets_nothing))
        iommu_reset(m->iommu);
    if (MUTANT(iommu_bypass_is_reset))
        m->bypass = false;
}

static void iommu_queue_reset(struct vdev *d, unsigned queue)
{
    if (queue == VIRTIO_IOMMU_REQUESTQ)
        drop_waiting(to_iommu(d));
}

static void iommu_device_destroy(struct vdev *d)
{
    struct iommu_device *m = to_iommu(d);

    (void)iommu_set_reporter(m->iommu, NULL, NULL);
    iommu_set_bypass(m->iommu, false);
    vdev_fini(d);
    free(m);
}

static const struct vdev_feature feature_names[] = {
    {"input-range", VIRTIO_IOMMU_F_INPUT_RANGE},
    {"domain-range", VIRTIO_IOMMU_F_DOMAIN_RANGE},
    {"map-unmap", VIRTIO_IOMMU_F_MAP_UNMAP},
    {"bypass-config", VIRTIO_IOMMU_F_BYPASS_CONFIG},
    {"probe", VIRTIO_IOMMU_F_PROBE},
    {NULL, 0},
};

const struct vdev_type iommu_type = {
    .name = "iommu",
    .device_id = VIRTIO_ID_IOMMU,
    .class_code = IOMMU_CLASS_CODE,
    .config_bytes = sizeof(struct virtio_iommu_config),
    .feature_names = feature_names,
    .features = iommu_features,
    .num_queues = iommu_num_queues,
    .queue_size_max = iommu_queue_size_max,
    .config_read = iommu_config_read,
    .config_write = iommu_config_write,
    .reset = iommu_device_reset,
    .queue_reset = iommu_queue_reset,
    .request = iommu_request,
    .queue_pulled = iommu_queue_pulled,
    .queue_ready = iommu_queue_ready,
    .destroy = iommu_device_destroy,
};

int iommu_device_create(const struct vdev_config *config, const struct iommu_options *options,
                        struct vdev **out, char *error, size_t error_bytes)
{
    const struct vdev_init_params params = {.chain_max = CHAIN_MAX,
                                            .user_bytes = sizeof(struct waiting)};
    struct iommu_device *m = calloc(1, sizeof(*m));
    int rc = m ? 0 : -ENOMEM;

    if (rc)
        goto out;
    m->iommu = config->iommu;
    m->features = (VIRTIO_F(VIRTIO_IOMMU_F_INPUT_RANGE) | VIRTIO_F(VIRTIO_IOMMU_F_DOMAIN_RANGE) |
                   VIRTIO_F(VIRTIO_IOMMU_F_MAP_UNMAP) | VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG) |
                   VIRTIO_F(VIRTIO_IOMMU_F_PROBE)) &
                  ~options->features_off;
    if (MUTANT(iommu_map_unmap_not_offered))
        m->features &= ~VIRTIO_F(VIRTIO_IOMMU_F_MAP_UNMAP);
    if (MUTANT(iommu_bypass_offered))
        m->features |= VIRTIO_F(VIRTIO_IOMMU_F_BYPASS);
    rc = iommu_set_reporter(m->iommu, fault_report, m);
    if (rc)
        goto out;
    rc = vdev_init(&m->vdev, &iommu_type, config, &params);
    if (rc)
        (void)iommu_set_reporter(m->iommu, NULL, NULL);
    else
        *out = &m->vdev;
out:
    if (rc) {
        snprintf(error, error_bytes, "%s",
                 rc == -EBUSY ? "this process has an IOMMU already" : strerror(-rc));
        free(m);
    }
    return rc;
}

void iommu_get_stats(const struct vdev *d, struct iommu_stats *stats)
{
    *stats = ((const struct iommu_device *)(const void *)d)->stats;
}
