/* SPDX-License-Identifier: MIT */
#include "agent/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/given.h"

/* The words by which the runner and its reports know the needs of conformance/given.h. */
static const struct {
    uint64_t bit;
    const char *name;
} needs[] = {
    {NEED_DEVICE, "device"},
    {NEED_BLK, "blk"},
    {NEED_WRITABLE, "writable"},
    {NEED_READONLY, "readonly"},
    {NEED_GRANTS, "grants"},
    {NEED_FOREIGN, "foreign"},
    {NEED_MSIX, "msix"},
    {NEED_INTX, "intx"},
    {NEED_INDIRECT, "indirect"},
    {NEED_EVENT_IDX, "event-idx"},
    {NEED_MQ, "mq"},
    {NEED_FLUSH, "flush"},
    {NEED_DISCARD, "discard"},
    {NEED_WRITE_ZEROES, "write-zeroes"},
    {NEED_SEG_MAX, "seg-max"},
    {NEED_SIZE_MAX, "size-max"},
    {NEED_BLK_SIZE, "blk-size"},
    {NEED_TOPOLOGY, "topology"},
    {NEED_RING_RESET, "ring-reset"},
    {NEED_TESTBED, "testbed"},
    {NEED_PCI_CFG, "pci-cfg"},
    {NEED_MIXED, "mixed"},
    {NEED_STREAMING, "streaming"},
    {NEED_POOL, "pool"},
    {NEED_SUCCESSOR, "successor"},
    {NEED_ZONED, "zoned"},
    {NEED_SLOT, "slot"},
    {NEED_LIFETIME, "lifetime"},
    {NEED_SUSPEND, "suspend"},
    {NEED_PCI, "pci"},
    {NEED_MMIO, "mmio"},
    {NEED_CONFIG_WCE, "config-wce"},
    {NEED_IRQ, "irq"},
    {NEED_RNG, "rng"},
    {NEED_SERVICE, "service"},
    {NEED_CONSOLE, "console"},
    {NEED_MULTIPORT, "multiport"},
    {NEED_SIZE, "size"},
    {NEED_EMERGENCY, "emergency"},
    {NEED_HOST_END, "host-end"},
    {NEED_NET, "net"},
    {NEED_WIRE, "wire"},
    {NEED_IOMMU, "iommu"},
    {NEED_BEHIND, "behind"},
    {NEED_UNSERVED, "unserved"},
    {NEED_BACKENDS, "backends"},
    {NEED_BRIDGES, "bridges"},
    {NEED_VHOST_USER, "vhost-user"},
    {NEED_COSTS, "costs"},
    {NEED_LARGE_PAGES, "large-pages"},
    {NEED_TIMELINE, "timeline"},
    {NEED_FOREIGN_REFUSED, "foreign-refused"},
    {NEED_DISCOVERY, "discovery"},
};

/* The families of a role; the domU's are those of no other. */
static const struct {
    const char *family;
    enum wire_role role;
} role_families[] = {
    {"abi", WIRE_DOM0}, {"primitive", WIRE_DOM0}, {"linux", WIRE_LINUX}, {"request", WIRE_LINUX}};

bool list_in_role(const struct check *c, enum wire_role role)
{
    enum wire_role of = WIRE_DOMU;

    for (size_t i = 0; i < sizeof(role_families) / sizeof(role_families[0]); i++)
        if (!strcmp(role_families[i].family, c->family))
            of = role_families[i].role;
    return of == role;
}

uint32_t list_count(enum wire_role role)
{
    size_t n;
    const struct check *const *all = check_all(&n);
    uint32_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += list_in_role(all[i], role);
    return count;
}

static void needs_text(uint64_t bits, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        if (!(bits & needs[i].bit))
            continue;
        bits &= ~needs[i].bit;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", needs[i].name);
    }
    /* A bit without a name: the number, so that nothing is hidden. */
    if (bits)
        snprintf(out + used, size - used, "%s0x%llx", used ? " " : "", (unsigned long long)bits);
}

int list_send(struct link *l, enum wire_role role)
{
    size_t n;
    const struct check *const *all = check_all(&n);
    struct wire_event *e = calloc(1, sizeof(*e));
    int err = e ? 0 : -ENOMEM;

    for (size_t i = 0; i < n && !err; i++) {
        const struct check *c = all[i];

        if (!list_in_role(c, role))
            continue;
        memset(e, 0, sizeof(*e));
        e->ev = WIRE_CHECK;
        snprintf(e->check.name, sizeof(e->check.name), "%s", c->name);
        snprintf(e->check.family, sizeof(e->check.family), "%s", c->family);
        e->check.judges = c->judges;
        snprintf(e->check.proves, sizeof(e->check.proves), "%s", c->proves ? c->proves : "");
        needs_text(c->needs, e->check.needs, sizeof(e->check.needs));
        snprintf(e->check.title, sizeof(e->check.title), "%s", c->title ? c->title : "");
        snprintf(e->check.file, sizeof(e->check.file), "%s", c->file);
        e->check.line = (uint32_t)c->line;
        e->check.timeout_ms = c->timeout_ms;
        err = link_send(l, e);
    }
    if (!err) {
        memset(e, 0, sizeof(*e));
        e->ev = WIRE_END;
        err = link_send(l, e);
    }
    free(e);
    return err;
}

void list_print(FILE *f)
{
    size_t n;
    const struct check *const *all = check_all(&n);

    for (size_t i = 0; i < n; i++) {
        const struct check *c = all[i];

        fprintf(f, "%s.%s\t%s\t%s\t%s:%d\t%s\n", c->family, c->name, wire_judges_name(c->judges),
                c->proves ? c->proves : "", c->file, c->line, c->title ? c->title : "");
    }
}
