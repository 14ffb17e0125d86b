/* SPDX-License-Identifier: MIT */
#include "conformance/given.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/behind.h"
#include "conformance/ring.h"
#include "spec/pci.h"
#include "spec/virtio.h"

#define CANARY 0xa7

uint64_t given_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void given_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

void must_at(struct check_ctx *t, int rc, const char *file, int line, const char *what)
{
    switch (-rc) {
    case 0:
        return;
    case ENODEV:
    case EFAULT:
    case ETIMEDOUT:
    case ETIME:
    case EPROTO:
    case EIO:
    case ENOTSUP:
    case ENOENT:
    case EBUSY:
    case EAGAIN:
        expect_at(t, MUST, false, file, line, "success", "%s: %s", what, strerror(-rc));
        stop_check(t);
    default:
        error_out(t, "%s: %s", what, strerror(-rc));
    }
}

static const struct subject *given_subject(struct check_ctx *t)
{
    return check_subject(t);
}

/* ---- the device ---- */

int subject_host_init(const struct subject *s, struct fe_pci_host *h)
{
    bool any = !s->has_device || s->place.transport != FE_TRANSPORT_PCI;

    for (unsigned i = 0; i < s->nr_bridges; i++) {
        uint64_t addr;

        fe_pci_host_init(h, s->platform, &s->bridges[i]);
        if (any || fe_ecam_addr(h, s->place.sbdf, 0, &addr) == 0)
            return 0;
    }
    return -ENXIO;
}

void device_reattach(struct device *d)
{
    uint64_t deadline = given_now_ns() + LIMIT_RESET_NS;
    int rc;

    do {
        rc = d->v->ops->reattach(d->v);
        if (rc == 0)
            break;
        given_pause();
    } while (given_now_ns() < deadline);
    must(d->t, rc, "finding the device of the new backend");
    if (d->behind)
        behind_reattach(d);
    d->gone_on_purpose = false;
}

struct fe_pci_host *given_host(struct check_ctx *t)
{
    struct fe_pci_host *h = calloc(1, sizeof(*h));

    if (!h)
        error_out(t, "no memory");
    check_defer(t, free, h);
    if (subject_host_init(given_subject(t), h))
        error_out(t, "no host bridge is known that the device could be behind");
    return h;
}

/* `beside`: a bridge whose addresses are given out in part; NULL: none. */
static int driver_of(struct check_ctx *t, const struct subject *s, const struct fe_pci_host *beside,
                     struct fe_pci_host *h, struct fe_virtio **v)
{
    if (s->place.transport == FE_TRANSPORT_PCI && subject_host_init(s, h))
        error_out(t, "no host bridge is known that the device could be behind");
    if (s->place.transport == FE_TRANSPORT_PCI && beside)
        memcpy(h->ranges, beside->ranges, sizeof(h->ranges));
    return fe_place_open(&s->place, s->platform, h, v);
}

int given_driver(struct check_ctx *t, struct fe_pci_host *h, struct fe_virtio **v)
{
    return driver_of(t, given_subject(t), NULL, h, v);
}

/*
 * The end of every check that had a device. Expectations are evaluated only to report a failure:
 * a check that evaluated none of its own must not pass because of these.
 */
static void device_end(void *arg)
{
    struct device *d = arg;
    struct buffer *b, *next;
    unsigned held = 0;
    int rc;

    if (d->v && !d->gone_on_purpose) {
        /* A check of BARs may have ended with decode off. */
        if (d->pci)
            fe_pci_command(&d->pci->func, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
        rc = fe_virtio_reset(d->v, LIMIT_RESET_NS);
        if (rc == -ESHUTDOWN)
            note(d->t, "end", "the domain is gone");
        else if (rc)
            expect(d->t, MUST, rc == 0, "after the check the device could not be reset: %s",
                   strerror(-rc));
    }
    while (d->rings) {
        struct ring *r = d->rings;

        d->rings = r->next;
        ring_release(r);
        free(r);
    }
    for (b = d->buffers; b; b = next) {
        next = b->next;
        if (b->mapped && fe_dma_unmap(&d->mem, &b->map) == -EBUSY)
            held++; /* its pages stay with us: the backend can still write to them */
        else if (b->base)
            fe_pages_free(&d->mem, b->base, b->pages);
        free(b);
    }
    if (held)
        expect(d->t, MUST, held == 0, "after a reset the backend still maps %u buffers", held);
    rc = fe_pool_end(&d->mem);
    if (rc == -EBUSY)
        expect(d->t, MUST, rc == 0, "after a reset the backend still maps pages of the pool");
    if (d->v)
        fe_virtio_destroy(d->v);
    behind_end(d);
    free(d);
}

static struct device *device_open(struct check_ctx *t, const struct subject *s)
{
    const struct fe_pci_host *beside = s->beside;
    struct device *d = calloc(1, sizeof(*d));

    if (!d)
        error_out(t, "no memory");
    d->t = t;
    d->subject = s;
    check_defer(t, device_end, d);
    if (!s->has_device)
        error_out(t, "no device is bound (--sbdf, --mmio)");
    fe_memory_init(&d->mem, s->platform, s->addressing, s->backend_domid);
    d->mem.buffers = s->buffers;
    if (s->has_iommu) {
        behind_begin(d);
        beside = beside ? beside : &d->behind->host;
    }
    must(t, driver_of(t, s, beside, &d->host, &d->v), "opening the virtio device");
    d->pci = fe_virtio_pci_of(d->v);
    d->mmio = fe_virtio_mmio_of(d->v);
    return d;
}

struct fe_discovery_sources device_sources(struct device *d)
{
    struct fe_discovery_sources s = d->subject->sources;

    s.host = &d->host;
    s.device = d->v;
    s.function = d->pci ? &d->pci->func : NULL;
    s.window = d->mmio ? &d->subject->place.window.base : NULL;
    return s;
}

void device_reset(struct device *d)
{
    must(d->t, fe_virtio_reset(d->v, LIMIT_RESET_NS), "resetting the device");
    while (d->rings) {
        struct ring *r = d->rings;

        d->rings = r->next;
        ring_release(r);
        free(r);
    }
}

struct device *given_device(struct check_ctx *t)
{
    return given_device_of(t, given_subject(t));
}

struct device *given_device_of(struct check_ctx *t, const struct subject *s)
{
    struct device *d = device_open(t, s);

    device_reset(d);
    must(t, fe_virtio_device_features(d->v, &d->offered), "reading the offered features");
    return d;
}

uint64_t given_ring_features(const struct subject *s)
{
    return s->packed ? VIRTIO_F(VIRTIO_F_RING_PACKED) : 0;
}

void device_negotiate(struct device *d, uint64_t features)
{
    uint64_t need = VIRTIO_F(VIRTIO_F_VERSION_1) | given_ring_features(d->subject);

    if (d->mem.addressing == FE_ADDRESSING_GRANTS)
        need |= VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    device_reset(d);
    must(d->t, fe_virtio_negotiate(d->v, need, features | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM)),
         "negotiating features");
}

struct device *given_negotiated(struct check_ctx *t, uint64_t features)
{
    struct device *d = given_device(t);

    device_negotiate(d, features);
    return d;
}

void device_driver_ok(struct device *d)
{
    must(d->t, fe_virtio_driver_ok(d->v), "setting DRIVER_OK");
}

uint8_t device_status(struct device *d)
{
    uint8_t status = 0;

    must(d->t, d->v->ops->status_read(d->v, &status), "reading the device status");
    return status;
}

bool device_status_wait(struct device *d, uint8_t mask, uint8_t want, uint64_t timeout_ns)
{
    uint64_t deadline = given_now_ns() + timeout_ns;

    for (;;) {
        if ((device_status(d) & mask) == want)
            return true;
        if (given_now_ns() >= deadline)
            return false;
        given_pause();
    }
}

void device_doorbell(struct device *d, unsigned queue)
{
    const struct fe_vpci_region *r;
    uint64_t off;

    if (!d->pci) {
        must(d->t, fe_virtio_notify(d->v, d->v->vcpu, queue, 0), "ringing a doorbell");
        return;
    }
    r = &d->pci->notify;
    common_set(d, FE_VPCI_FIELD(queue_select), queue);
    off = common_get(d, FE_VPCI_FIELD(queue_notify_off)) * d->pci->notify_multiplier;
    must(d->t,
         fe_pci_bar_write(&d->pci->func, d->v->vcpu, r->bar, (uint64_t)r->offset + off, 2, queue),
         "ringing a doorbell");
}

uint64_t device_identity(struct device *d, uint32_t *value)
{
    uint64_t addr = 0;

    if (d->mmio) {
        *value = VIRTIO_MMIO_MAGIC;
        return d->mmio->window.base + FE_VMMIO_REG(magic_value);
    }
    *value = (uint32_t)d->pci->func.device << 16 | d->pci->func.vendor;
    if (fe_ecam_addr(&d->host, d->pci->func.sbdf, PCI_REG_VENDOR_ID, &addr))
        error_out(d->t, "the device has no configuration space");
    return addr;
}

void expect_device_there(struct device *d, const char *when)
{
    struct fe_platform *p = d->subject->platform;
    uint64_t value = 0;
    uint32_t want;
    uint64_t addr = device_identity(d, &want);

    must(d->t, p->ops->mmio_read(p, d->v->vcpu, addr, 4, &value), "looking for the device");
    expect(d->t, MUST, value == want, "%s the device's identity reads 0x%llx, not 0x%x", when,
           (unsigned long long)value, want);
}

uint64_t device_registers(struct device *d)
{
    if (d->mmio)
        return d->mmio->window.base;
    return d->pci->func.bars[d->pci->common.bar].addr + d->pci->common.offset;
}

uint64_t config_get(struct device *d, unsigned offset, unsigned bytes)
{
    uint64_t value = 0;

    must(d->t, fe_ecam_read(&d->host, d->pci->func.sbdf, offset, bytes, &value),
         "reading PCI configuration");
    return value;
}

void config_set(struct device *d, unsigned offset, unsigned bytes, uint64_t value)
{
    must(d->t, fe_ecam_write(&d->host, d->pci->func.sbdf, offset, bytes, value),
         "writing PCI configuration");
}

uint64_t common_get(struct device *d, unsigned offset, unsigned bytes)
{
    uint64_t value = 0;

    must(d->t, fe_vpci_common_read(d->pci, offset, bytes, &value),
         "reading the common configuration");
    return value;
}

void common_set(struct device *d, unsigned offset, unsigned bytes, uint64_t value)
{
    must(d->t, fe_vpci_common_write(d->pci, offset, bytes, value),
         "writing the common configuration");
}

uint64_t device_get(struct device *d, unsigned offset, unsigned bytes)
{
    uint64_t value = 0;
    int rc = d->v->ops->config_read(d->v, offset, bytes, &value);

    if (rc == -ERANGE) {
        expect(d->t, MUST, rc == 0,
               "the device configuration ends at %u, before the field at %u of %u bytes",
               d->v->config_bytes, offset, bytes);
        stop_check(d->t);
    }
    must(d->t, rc, "reading the device configuration");
    return value;
}

/* ---- buffers ---- */

struct buffer *given_buffer(struct device *d, uint32_t bytes, uint32_t offset, enum fe_dma_dir dir)
{
    struct buffer *b = calloc(1, sizeof(*b));

    if (!b)
        error_out(d->t, "no memory");
    b->d = d;
    b->next = d->buffers;
    d->buffers = b;
    b->bytes = bytes;
    b->offset = offset;
    b->pages = (offset + bytes + XEN_PAGE_BYTES - 1) >> XEN_PAGE_SHIFT_BITS;
    must(d->t, fe_pages_alloc(&d->mem, b->pages, &b->base), "allocating pages");
    memset(b->base, CANARY, (size_t)b->pages * XEN_PAGE_BYTES);
    b->va = (uint8_t *)b->base + offset;
    memset(b->va, 0, bytes);
    buffer_map(b, dir);
    return b;
}

void buffer_move(struct buffer *b, uint32_t offset, uint32_t bytes)
{
    if (b->mapped || bytes > b->pages * XEN_PAGE_BYTES ||
        offset > b->pages * XEN_PAGE_BYTES - bytes)
        error_out(b->d->t, "a buffer of %u pages cannot be moved", b->pages);
    memset(b->base, CANARY, (size_t)b->pages * XEN_PAGE_BYTES);
    b->va = (uint8_t *)b->base + offset;
    b->offset = offset;
    b->bytes = bytes;
}

void buffer_map(struct buffer *b, enum fe_dma_dir dir)
{
    must(b->d->t, fe_dma_map(&b->d->mem, b->va, b->bytes, dir, &b->map), "giving a buffer");
    b->mapped = true;
    b->addr = b->map.addr;
}

void buffer_release(struct buffer *b)
{
    int rc;

    if (!b->mapped)
        return;
    rc = fe_dma_unmap(&b->d->mem, &b->map);
    if (rc == -EBUSY) {
        expect(b->d->t, MUST, rc != -EBUSY,
               "the backend still maps a buffer of %u bytes after it was used "
               "(xen.grant.release.1)",
               b->bytes);
        stop_check(b->d->t);
    }
    must(b->d->t, rc, "taking a buffer back");
    b->mapped = false;
}

static uint8_t pattern_byte(uint32_t seed, uint32_t at)
{
    /* A different sequence in each sector, so that swapped sectors are seen too. */
    uint32_t x = (at + 1) * 2654435761u ^ seed * 40503u ^ (at >> 9) * 97u;

    return (uint8_t)(x >> 13);
}

void buffer_fill(struct buffer *b, uint32_t seed)
{
    for (uint32_t i = 0; i < b->bytes; i++)
        b->va[i] = pattern_byte(seed, i);
}

bool buffer_matches(const struct buffer *b, uint32_t seed)
{
    for (uint32_t i = 0; i < b->bytes; i++)
        if (b->va[i] != pattern_byte(seed, i))
            return false;
    return true;
}

bool buffer_is(const struct buffer *b, uint8_t byte)
{
    for (uint32_t i = 0; i < b->bytes; i++)
        if (b->va[i] != byte)
            return false;
    return true;
}

void expect_canaries(struct check_ctx *t, const struct buffer *b, const char *what)
{
    const uint8_t *base = b->base;
    size_t total = (size_t)b->pages * XEN_PAGE_BYTES;

    for (size_t i = 0; i < total; i++) {
        if (i == b->offset)
            i += b->bytes;
        if (i >= total)
            break;
        if (base[i] != CANARY) {
            expect(t, MUST, base[i] == CANARY,
                   "%s: the byte %lld from the start of the buffer (%u bytes long) was written",
                   what, (long long)i - (long long)b->offset, b->bytes);
            return;
        }
    }
}
