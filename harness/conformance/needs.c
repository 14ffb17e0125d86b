/* SPDX-License-Identifier: MIT */
/* Which needs of a check are met, as one table. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "conformance/service.h"
#include "spec/virtio.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_console.h"
#include "util/bits.h"

/* What is known about the subject without running a check. */
struct facts {
    const struct subject *s;
    bool answers; /* the device could be opened */
    uint32_t device_id;
    uint64_t offered;
    unsigned queues;
    bool msix, intx, pci_cfg;
    bool line; /* it can signal on one: its pin's or its own */
    uint8_t irq_pin;
};

bool subject_param(const struct subject *s, const char *name)
{
    json_t *params = s->params_json ? json_loads(s->params_json, 0, NULL) : NULL;
    bool set = json_is_true(json_object_get(params, name));

    json_decref(params);
    return set;
}

static void facts_read_device(struct facts *f)
{
    const struct fe_place *place = &f->s->place;
    struct fe_pci_host host;
    struct fe_virtio_pci *p;
    struct fe_virtio *v;

    if (place->transport == FE_TRANSPORT_PCI && subject_host_init(f->s, &host))
        return;
    if (fe_place_open(place, f->s->platform, &host, &v))
        return;
    f->answers =
        fe_virtio_device_features(v, &f->offered) == 0 && v->ops->num_queues(v, &f->queues) == 0;
    f->device_id = v->device_id;
    p = fe_virtio_pci_of(v);
    if (p) {
        f->msix = p->func.msix.cap_offset != 0;
        f->intx = p->func.irq_pin != 0 && subject_param(f->s, "intx");
        f->irq_pin = p->func.irq_pin;
        f->pci_cfg = p->pci_cfg.present;
    }
    f->line = !p || f->intx;
    fe_virtio_destroy(v);
}

static bool facts_feature(const struct facts *f, unsigned bit)
{
    return (f->offered & VIRTIO_F(bit)) != 0;
}

static bool platform_takes_msi(const struct subject *s)
{
    struct fe_platform *p = s->platform;
    struct fe_msi msi;
    fe_irq_t irq;

    if (p->ops->irq_msi(p, 0, &msi, &irq))
        return false;
    p->ops->irq_free(p, irq);
    return true;
}

/* The line of a window, or that of a function's pin: whether it has one is another question. */
static bool platform_takes_line(const struct facts *f)
{
    const struct fe_place *place = &f->s->place;
    struct fe_platform *p = f->s->platform;
    fe_irq_t irq;
    int rc;

    if (place->transport == FE_TRANSPORT_MMIO)
        rc = p->ops->irq_line(p, place->window.line, &irq);
    else
        rc = p->ops->irq_intx(p, place->sbdf, f->irq_pin ? f->irq_pin : 1, &irq);
    if (rc)
        return false;
    p->ops->irq_free(p, irq);
    return true;
}

#define NEED_OF_DEVICE                                                                             \
    (NEED_BLK | NEED_WRITABLE | NEED_READONLY | NEED_MSIX | NEED_INTX | NEED_INDIRECT |            \
     NEED_EVENT_IDX | NEED_MQ | NEED_FLUSH | NEED_DISCARD | NEED_WRITE_ZEROES | NEED_SEG_MAX |     \
     NEED_SIZE_MAX | NEED_BLK_SIZE | NEED_TOPOLOGY | NEED_RING_RESET | NEED_PCI_CFG |              \
     NEED_CONFIG_WCE | NEED_IRQ | NEED_RNG | NEED_SERVICE | NEED_CONSOLE | NEED_MULTIPORT |        \
     NEED_SIZE | NEED_EMERGENCY | NEED_NET | NEED_IN_ORDER | NEED_NOTIFICATION_DATA |              \
     NEED_NOTIF_CONFIG_DATA | NEED_ZONED | NEED_SUSPEND | NEED_LIFETIME | NEED_IOMMU)

bool conformance_needs(const struct subject *s, uint64_t needs, char *why, size_t why_bytes)
{
    struct facts f = {.s = s};

    if ((needs & (NEED_DEVICE | NEED_OF_DEVICE)) && s->has_device)
        facts_read_device(&f);

    const struct {
        uint64_t need;
        bool met;
        const char *why;
    } table[] = {
        {NEED_DEVICE, s->has_device, "no device is bound"},
        {NEED_PCI, s->has_device && s->place.transport == FE_TRANSPORT_PCI,
         "no PCI function is bound"},
        {NEED_MMIO, s->has_device && s->place.transport == FE_TRANSPORT_MMIO,
         "no virtio-mmio device is bound"},
        {NEED_BLK, f.device_id == VIRTIO_ID_BLOCK, "the device is no block device"},
        {NEED_RNG, f.device_id == VIRTIO_ID_ENTROPY, "the device is no entropy device"},
        {NEED_CONSOLE, f.device_id == VIRTIO_ID_CONSOLE, "the device is no console"},
        {NEED_MULTIPORT, facts_feature(&f, VIRTIO_CONSOLE_F_MULTIPORT),
         "VIRTIO_CONSOLE_F_MULTIPORT is not offered"},
        {NEED_SIZE, facts_feature(&f, VIRTIO_CONSOLE_F_SIZE),
         "VIRTIO_CONSOLE_F_SIZE is not offered"},
        {NEED_EMERGENCY, facts_feature(&f, VIRTIO_CONSOLE_F_EMERG_WRITE),
         "VIRTIO_CONSOLE_F_EMERG_WRITE is not offered"},
        {NEED_HOST_END, subject_param(s, "host_ends"),
         "the testbed does not reach the host ends of the ports"},
        {NEED_SERVICE, service_of_device(f.device_id),
         "no request is known that this type of device completes by itself"},
        {NEED_NET, f.device_id == VIRTIO_ID_NET, "the device is no network device"},
        {NEED_IOMMU, f.device_id == VIRTIO_ID_IOMMU, "the device is no IOMMU"},
        {NEED_BEHIND, s->has_iommu, "the device is behind no IOMMU (key endpoint)"},
        {NEED_WIRE, subject_param(s, "wire"), "nobody has the other end of the device's wire"},
        {NEED_WRITABLE, !facts_feature(&f, VIRTIO_BLK_F_RO), "the device is read-only"},
        {NEED_READONLY, facts_feature(&f, VIRTIO_BLK_F_RO), "the device is not read-only"},
        {NEED_SPLIT, !s->packed, "the frontend uses packed rings"},
        {NEED_PACKED, s->packed, "the frontend uses split rings"},
        {NEED_DEVICE, !s->packed || !f.answers || facts_feature(&f, VIRTIO_F_RING_PACKED),
         "VIRTIO_F_RING_PACKED is not offered"},
        {NEED_IN_ORDER, facts_feature(&f, VIRTIO_F_IN_ORDER), "VIRTIO_F_IN_ORDER is not offered"},
        {NEED_NOTIFICATION_DATA, facts_feature(&f, VIRTIO_F_NOTIFICATION_DATA),
         "VIRTIO_F_NOTIFICATION_DATA is not offered"},
        {NEED_NOTIF_CONFIG_DATA, facts_feature(&f, VIRTIO_F_NOTIF_CONFIG_DATA),
         "VIRTIO_F_NOTIF_CONFIG_DATA is not offered"},
        {NEED_GRANTS, s->addressing == FE_ADDRESSING_GRANTS, "the frontend uses no grants"},
        {NEED_FOREIGN, s->addressing == FE_ADDRESSING_FOREIGN, "the frontend uses grants"},
        {NEED_MSIX, f.msix, "the device has no MSI-X"},
        {NEED_INTX, f.intx, "the device has no interrupt pin"},
        {NEED_IRQ,
         !(needs & NEED_IRQ) || (f.msix && platform_takes_msi(s)) ||
             (!(needs & NEED_MSIX) && f.line && platform_takes_line(&f)),
         "the platform takes no interrupts of this kind"},
        {NEED_INTX, !(needs & NEED_INTX) || platform_takes_line(&f), "the platform takes no INTx"},
        {NEED_INDIRECT, facts_feature(&f, VIRTIO_F_INDIRECT_DESC),
         "VIRTIO_F_INDIRECT_DESC is not offered"},
        {NEED_EVENT_IDX, facts_feature(&f, VIRTIO_F_EVENT_IDX),
         "VIRTIO_F_EVENT_IDX is not offered"},
        {NEED_MQ,
         f.queues > 1 && (f.device_id != VIRTIO_ID_BLOCK || facts_feature(&f, VIRTIO_BLK_F_MQ)),
         "the device has a single queue"},
        {NEED_FLUSH, facts_feature(&f, VIRTIO_BLK_F_FLUSH), "VIRTIO_BLK_F_FLUSH is not offered"},
        {NEED_DISCARD, facts_feature(&f, VIRTIO_BLK_F_DISCARD),
         "VIRTIO_BLK_F_DISCARD is not offered"},
        {NEED_SUSPEND, facts_feature(&f, VIRTIO_F_SUSPEND), "VIRTIO_F_SUSPEND is not offered"},
        {NEED_LIFETIME, facts_feature(&f, VIRTIO_BLK_F_LIFETIME),
         "VIRTIO_BLK_F_LIFETIME is not offered"},
        {NEED_ZONED, facts_feature(&f, VIRTIO_BLK_F_ZONED), "VIRTIO_BLK_F_ZONED is not offered"},
        {NEED_WRITE_ZEROES, facts_feature(&f, VIRTIO_BLK_F_WRITE_ZEROES),
         "VIRTIO_BLK_F_WRITE_ZEROES is not offered"},
        {NEED_SEG_MAX, facts_feature(&f, VIRTIO_BLK_F_SEG_MAX),
         "VIRTIO_BLK_F_SEG_MAX is not offered"},
        {NEED_SIZE_MAX, facts_feature(&f, VIRTIO_BLK_F_SIZE_MAX),
         "VIRTIO_BLK_F_SIZE_MAX is not offered"},
        {NEED_BLK_SIZE, facts_feature(&f, VIRTIO_BLK_F_BLK_SIZE),
         "VIRTIO_BLK_F_BLK_SIZE is not offered"},
        {NEED_TOPOLOGY, facts_feature(&f, VIRTIO_BLK_F_TOPOLOGY),
         "VIRTIO_BLK_F_TOPOLOGY is not offered"},
        {NEED_CONFIG_WCE, facts_feature(&f, VIRTIO_BLK_F_CONFIG_WCE),
         "VIRTIO_BLK_F_CONFIG_WCE is not offered"},
        {NEED_RING_RESET, facts_feature(&f, VIRTIO_F_RING_RESET),
         "VIRTIO_F_RING_RESET is not offered"},
        {NEED_PCI_CFG, f.pci_cfg, "there is no PCI configuration access capability"},
        {NEED_SLOT, s->place.has_port, "the device is in no hot-plug slot (axis announce)"},
        {NEED_DISCOVERY, s->has_mechanism, "the driver is told its backend (axis discovery)"},
        {NEED_UNSERVED, subject_param(s, "unserved"),
         "the backend is there before the domain runs (start: dom0less has it come later)"},
        {NEED_BRIDGES, s->nr_bridges > 1, "there is one host bridge"},
        {NEED_LARGE_PAGES, subject_param(s, "large_pages"),
         "the backend's host has pages of 4 KiB"},
        {NEED_COSTS, subject_param(s, "costs"), "nobody counts here what is asked of Xen"},
        {NEED_VHOST_USER, subject_param(s, "vhost_user"), "no process has queues alone"},
        {NEED_BACKENDS, subject_param(s, "backends"),
         "one process has all functions (key backends, axis topology)"},
        {NEED_TIMELINE, subject_param(s, "timeline"), "the scenario has no timeline"},
        {NEED_FOREIGN_REFUSED, subject_param(s, "foreign_refused"),
         "frames of the domain may be mapped (refuse-foreign)"},
        {NEED_STORE_HALT, subject_param(s, "store_halts"),
         "the testbed does not keep the store from answering"},
        {NEED_QUOTA, subject_param(s, "mappings_limited"),
         "the backend's domain may map as much as it likes (max-mappings)"},
        {NEED_TESTBED, s->ask != NULL, "no testbed answers"},
        {NEED_SUCCESSOR, subject_param(s, "restarts"),
         "the backend's profile does not claim that it can be restarted"},
        {NEED_STREAMING,
         s->addressing == FE_ADDRESSING_GRANTS && s->buffers == FE_BUFFERS_STREAMING,
         "the frontend does not grant with each request"},
        {NEED_POOL, s->addressing == FE_ADDRESSING_GRANTS && s->buffers == FE_BUFFERS_POOL,
         "the frontend has no pool of granted memory (axis buffers)"},
        {NEED_MIXED, subject_param(s, "mixed"),
         "the scenario does not say that addresses may be mixed"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        if (!(needs & table[i].need) || table[i].met)
            continue;
        /* A device that is bound and does not answer: not a reason to skip, but to fail. */
        if ((table[i].need & NEED_OF_DEVICE) && s->has_device && !f.answers)
            continue;
        snprintf(why, why_bytes, "%s", table[i].why);
        return false;
    }
    return true;
}
