/* SPDX-License-Identifier: MIT */
#include "conformance/iommuwin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spec/virtio_iommu.h"
#include "util/bits.h"

#define PLACE_BYTES (1ull << 20)

static void window_end(void *arg)
{
    struct window *w = arg;

    /* One that could not be taken back stays as it is: the backend may still write to it. */
    if (w->mapped && !w->d->gone_on_purpose)
        (void)fe_iommu_unmap(w->d->behind->iommu, w->d->domain, w->iova, w->bytes);
    (void)fe_dma_free(&w->d->behind->mem, &w->mem);
    free(w);
}

struct window *given_window_at(struct device *d, unsigned n, unsigned page, unsigned pages)
{
    struct window *w = calloc(1, sizeof(*w));
    struct fe_iommu_info i;

    if (!w)
        error_out(d->t, "no memory");
    fe_iommu_get_info(d->behind->iommu, &i);
    w->d = d;
    w->bytes = (uint64_t)pages * XEN_PAGE_BYTES;
    /* The upper half of the space: frontend/iommu.h leaves it to us. */
    w->iova = align_up(i.input_first + (i.input_last - i.input_first) / 2, PLACE_BYTES) +
              n * PLACE_BYTES + (uint64_t)page * XEN_PAGE_BYTES;
    check_defer(d->t, window_end, w);
    must(d->t, fe_dma_alloc(&d->behind->mem, w->bytes, &w->mem), "allocating a window");
    return w;
}

struct window *given_window(struct device *d, unsigned n, unsigned pages)
{
    return given_window_at(d, n, 0, pages);
}

void window_map(struct window *w, enum fe_dma_dir dir)
{
    must(w->d->t,
         fe_iommu_map(w->d->behind->iommu, w->d->domain, w->iova, w->bytes, w->mem.addr, dir),
         "mapping a window");
    w->mapped = true;
}

void window_unmap(struct window *w)
{
    must(w->d->t, fe_iommu_unmap(w->d->behind->iommu, w->d->domain, w->iova, w->bytes),
         "unmapping a window");
    w->mapped = false;
}

void window_own(struct window *w)
{
    memset(w->mem.va, WINDOW_OWN, w->bytes);
}

bool window_is_own(const struct window *w)
{
    const volatile uint8_t *at = w->mem.va;

    for (uint64_t i = 0; i < w->bytes; i++)
        if (at[i] != WINDOW_OWN)
            return false;
    return true;
}

unsigned window_in_use(struct window *w)
{
    unsigned n = 0;

    if (w->d->mem.addressing == FE_ADDRESSING_GRANTS)
        must(w->d->t, fe_grants_in_use(&w->d->behind->mem, w->mem.map.first, w->mem.pages, &n),
             "reading the grant table");
    return n;
}

struct piece window_piece(const struct window *w, uint32_t offset, uint32_t len, bool writable)
{
    return (struct piece){gpa_make(w->iova + offset), len, writable};
}

void faults_drain(struct device *d)
{
    struct fe_iommu_fault f;

    while (fe_iommu_next_fault(d->behind->iommu, &f, 0) == 1)
        ;
}

static void expect_fault(struct blk *k, const struct piece *p, uint8_t reason, const char *what)
{
    struct check_ctx *t = k->d->t;
    struct fe_iommu_fault f = {0};
    int rc = fe_iommu_next_fault(k->d->behind->iommu, &f, LIMIT_REPLY_NS);
    uint32_t access = p->writable ? VIRTIO_IOMMU_FAULT_F_WRITE : VIRTIO_IOMMU_FAULT_F_READ;

    if (rc < 0)
        must(t, rc, "looking for a report");
    expect(t, SHOULD, rc == 1, "%s: no fault is reported", what);
    if (rc != 1)
        return;
    expect(t, SHOULD, f.endpoint == k->d->subject->endpoint,
           "%s: a fault is reported of endpoint %u, not %u", what, f.endpoint,
           k->d->subject->endpoint);
    expect(t, SHOULD, f.reason == reason || f.reason == VIRTIO_IOMMU_FAULT_R_UNKNOWN,
           "%s: the reason of the fault is %u, not %u", what, f.reason, reason);
    expect(t, SHOULD,
           !(f.flags & ~(VIRTIO_IOMMU_FAULT_F_READ | VIRTIO_IOMMU_FAULT_F_WRITE |
                         VIRTIO_IOMMU_FAULT_F_ADDRESS)),
           "%s: the fault has flags 0x%x", what, f.flags);
    expect(t, SHOULD, f.flags & access || !(f.flags & 3), "%s: the fault has flags 0x%x", what,
           f.flags);
    if (f.flags & VIRTIO_IOMMU_FAULT_F_ADDRESS)
        expect(t, SHOULD, f.address >= p->addr.raw && f.address - p->addr.raw < p->len,
               "%s: the fault is reported at 0x%llx", what, (unsigned long long)f.address);
}

void expect_refused(struct blk *k, bool read, struct piece p, uint8_t reason, const char *what)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    struct virtq_raw_used u;
    bool used = false, reset = false;
    struct piece all[3];

    faults_drain(k->d);
    blk_prepare(k, read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, 0);
    all[0] = piece_of(k->header, false);
    all[1] = p;
    all[2] = piece_of(k->status, true);
    ring_offer(k->q, ring_chain(k->q, 0, all, 3));
    ring_kick(k->q);
    while (!used && !reset && given_now_ns() < deadline) {
        used = ring_used(k->q, &u, MS(1));
        reset = device_status(k->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    }
    expect(k->d->t, MUST, reset || (used && k->status->va[0] != VIRTIO_BLK_S_OK),
           "%s: the request %s", what,
           used ? "succeeds" : "is not used, and the device does not ask for a reset");
    expect_fault(k, &p, reason, what);
    expect_recovers(k, what);
}
