/* SPDX-License-Identifier: MIT */
#include "frontend/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/queue.h"
#include "spec/virtio.h"

#define TIMEOUT_DEFAULT_NS 10000000000ull

struct fe_rng {
    struct fe_virtio *v;   /* borrowed */
    struct fe_memory *mem; /* borrowed */
    struct fe_queue q;
    struct fe_dma page;
    uint64_t timeout_ns;
    bool failed;
};

int fe_rng_create(struct fe_virtio *v, const struct fe_rng_config *cfg, struct fe_rng **out)
{
    const struct fe_queue_config queue = {.vcpu = cfg->vcpu, .interrupt = cfg->interrupts};
    uint64_t need = VIRTIO_F(VIRTIO_F_VERSION_1) | cfg->features_need;
    struct fe_rng *g;
    int rc;

    *out = NULL;
    if (v->device_id != VIRTIO_ID_ENTROPY)
        return -ENODEV;
    g = calloc(1, sizeof(*g));
    if (!g)
        return -ENOMEM;
    g->v = v;
    g->mem = cfg->memory;
    g->timeout_ns = cfg->timeout_ns ? cfg->timeout_ns : TIMEOUT_DEFAULT_NS;
    /* A grant is no physical address: the device has to know (6.1). */
    if (g->mem->addressing == FE_ADDRESSING_GRANTS)
        need |= VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    rc = fe_dma_alloc(g->mem, XEN_PAGE_BYTES, &g->page);
    if (!rc)
        rc = fe_virtio_reset(v, g->timeout_ns);
    if (!rc)
        rc = fe_virtio_negotiate(v, need,
                                 VIRTIO_F(VIRTIO_F_EVENT_IDX) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM));
    if (!rc)
        rc = fe_queue_init(&g->q, v, g->mem, &queue);
    if (!rc)
        rc = fe_virtio_driver_ok(v);
    if (rc)
        fe_rng_destroy(g);
    else
        *out = g;
    return rc;
}

int fe_rng_destroy(struct fe_rng *g)
{
    void *cookie;
    uint16_t id;
    int rc, err;

    if (!g)
        return 0;
    /* Only a device that was reset has let go of the ring. One that is gone holds nothing. */
    rc = fe_virtio_reset(g->v, g->timeout_ns);
    if (rc == -ENODEV || rc == -EFAULT)
        rc = 0;
    while (g->q.virtio && virtq_drv_detach(&g->q.drv, &cookie, &id))
        ;
    err = fe_queue_fini(&g->q);
    if (err)
        rc = err;
    err = fe_dma_free(g->mem, &g->page);
    if (err)
        rc = err;
    free(g);
    return rc;
}

/* One request for at most a page. How many bytes are in it, or an error. */
static int rng_request(struct fe_rng *g, uint32_t bytes)
{
    const struct virtq_sg in = {g->page.addr, bytes};
    struct virtq_done done;
    int rc;

    rc = virtq_drv_add(&g->q.drv, NULL, 0, &in, 1, NULL, g, NULL);
    if (!rc)
        rc = fe_queue_kick(&g->q);
    if (rc)
        return rc;
    rc = fe_queue_wait(&g->q, g->timeout_ns);
    if (rc <= 0)
        return rc ? rc : -ETIME;
    rc = virtq_drv_reap(&g->q.drv, &done);
    if (rc != 1 || done.fault != VIRTQ_OK || done.len_bytes < 1 || done.len_bytes > bytes)
        return -EPROTO;
    return (int)done.len_bytes;
}

int fe_rng_read(struct fe_rng *g, void *to, size_t bytes)
{
    uint8_t *at = to;

    while (bytes) {
        uint32_t ask = bytes < g->page.bytes ? (uint32_t)bytes : (uint32_t)g->page.bytes;
        int got = g->failed ? -EPROTO : rng_request(g, ask);

        if (got < 0) {
            /* A request that is still out there would be taken for the next one's answer. */
            g->failed = true;
            return got;
        }
        memcpy(at, g->page.va, (size_t)got);
        /* Nobody else is to get these (or to see them in our memory). */
        memset(g->page.va, 0, (size_t)got);
        at += got;
        bytes -= (size_t)got;
    }
    return 0;
}
