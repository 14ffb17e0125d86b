/* SPDX-License-Identifier: MIT */
#include "frontend/discovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/discovery.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_pci.h"
#include "util/bits.h"
#include "util/mutant.h"
#include "util/parse.h"

#define CAPABILITIES_MAX 64u     /* more are a loop */
#define DOMID_LAST       0x7fefu /* the ids behind it have a meaning of their own in Xen */

static int by_tree(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    if (!s->tree)
        return -ENOENT;
    out->bytes += s->tree_bytes;
    if (s->window)
        return fe_discovery_tree_window(s->tree, s->tree_bytes, *s->window, &out->domid);
    return fe_discovery_tree(s->tree, s->tree_bytes, sbdf, &out->domid);
}

static int by_store(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    char path[64], *value = NULL;
    int rc;

    if (MUTANT(discovery_store_for_any_device))
        sbdf = SBDF(0, 0, 1, 0);
    snprintf(path, sizeof(path), DISCOVERY_STORE_KEY, sbdf_segment(sbdf), sbdf_bus(sbdf),
             sbdf_device(sbdf), sbdf_function(sbdf));
    rc = s->platform->ops->store_read(s->platform, path, &value);
    out->round_trips++;
    if (rc)
        return rc;
    out->bytes += strlen(value);
    rc = parse_u16(value, 0, DOMID_LAST, &out->domid) ? -EPROTO : 0;
    free(value);
    if (MUTANT(discovery_store_keeps_to_dom0))
        out->domid = 0;
    return rc;
}

/* One "SBDF/DOMID" of the parameter. 0, -ENOENT for another device's, -EPROTO. */
static int parse_pair(char *pair, sbdf_t sbdf, uint16_t *domid)
{
    char *slash = strchr(pair, '/');
    sbdf_t of;
    uint16_t id;

    if (!slash)
        return -EPROTO;
    *slash = 0;
    if (parse_sbdf(pair, &of) || parse_u16(slash + 1, 0, DOMID_LAST, &id))
        return -EPROTO;
    if (of.raw != sbdf.raw && !MUTANT(discovery_parameter_for_any_device))
        return -ENOENT;
    *domid = id;
    return 0;
}

static int by_parameter(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    const size_t prefix = strlen(DISCOVERY_PARAMETER);
    char *copy, *words = NULL, *pairs = NULL;
    int rc = -ENOENT;

    if (!s->command_line)
        return -ENOENT;
    out->bytes += strlen(s->command_line);
    copy = strdup(s->command_line);
    if (!copy)
        return -ENOMEM;
    for (char *w = strtok_r(copy, " \n", &words); w && rc == -ENOENT;
         w = strtok_r(NULL, " \n", &words)) {
        if (strncmp(w, DISCOVERY_PARAMETER, prefix))
            continue;
        for (char *p = strtok_r(w + prefix, ",", &pairs); p && rc == -ENOENT;
             p = strtok_r(NULL, ",", &pairs))
            rc = parse_pair(p, sbdf, &out->domid);
    }
    free(copy);
    return rc;
}

static int read_dword(struct fe_pci_host *h, sbdf_t sbdf, unsigned at, uint32_t *value,
                      struct fe_discovery *out)
{
    uint64_t v = 0;
    int rc = fe_ecam_read(h, sbdf, at, 4, &v);

    out->accesses++;
    out->bytes += 4;
    *value = (uint32_t)v;
    return rc;
}

static int by_capability(const struct fe_discovery_sources *s, sbdf_t sbdf,
                         struct fe_discovery *out)
{
    const struct fe_pci_func *f = s->function;

    if (!f || f->sbdf.raw != sbdf.raw)
        return -ENOENT;
    for (unsigned i = 0; i < f->nr_caps; i++) {
        uint32_t head, vendor, domid;
        int rc;

        if (f->caps[i].id != PCI_CAP_VENDOR)
            continue;
        if (f->caps[i].offset + sizeof(struct discovery_vendor_data) > 256)
            return -EPROTO;
        rc = read_dword(f->host, sbdf, f->caps[i].offset, &head, out);
        if (rc)
            return rc;
        if (head >> 24 != VIRTIO_PCI_CAP_VENDOR_CFG)
            continue;
        rc = read_dword(f->host, sbdf, f->caps[i].offset + 4u, &vendor, out);
        if (rc)
            return rc;
        if ((vendor & 0xffff) != DISCOVERY_VENDOR_ID)
            continue;
        if ((head >> 16 & 0xff) < sizeof(struct discovery_vendor_data) ||
            vendor >> 16 != DISCOVERY_VERSION)
            return -EPROTO;
        rc = read_dword(f->host, sbdf, f->caps[i].offset + 8u, &domid, out);
        if (rc)
            return rc;
        if ((domid & 0xffff) > DOMID_LAST)
            return -EPROTO;
        out->domid = (uint16_t)domid;
        return 0;
    }
    return -ENOENT;
}

/* The designated vendor-specific capability `id` of a function: its offset, or 0. */
static int find_dvsec(struct fe_pci_host *h, sbdf_t sbdf, uint16_t id, unsigned *at,
                      struct fe_discovery *out)
{
    unsigned next = 256;

    *at = 0;
    for (unsigned i = 0; i < CAPABILITIES_MAX && next; i++) {
        uint32_t head, vendor, which;
        unsigned here = next;
        int rc = read_dword(h, sbdf, here, &head, out);
        if (rc)
            return rc;
        next = head >> 20;
        if (next && (next < 256 || next % 4 || next > FE_PCI_CONFIG_BYTES - DISCOVERY_DVSEC_BYTES))
            return -EPROTO;
        if ((head & 0xffff) != DISCOVERY_DVSEC_ID)
            continue;
        rc = read_dword(h, sbdf, here + 4, &vendor, out);
        if (!rc)
            rc = read_dword(h, sbdf, here + 8, &which, out);
        if (rc)
            return rc;
        if ((vendor & 0xffff) != DISCOVERY_VENDOR_ID || (which & 0xffff) != id)
            continue;
        *at = here;
        return vendor >> 20 < DISCOVERY_DVSEC_BYTES ||
                       here + (vendor >> 20) > FE_PCI_CONFIG_BYTES ||
                       (vendor >> 16 & 0xf) != DISCOVERY_VERSION
                   ? -EPROTO
                   : 0;
    }
    return -ENOENT;
}

static int take_domid(uint32_t domid, struct fe_discovery *out)
{
    if (domid > DOMID_LAST)
        return -EPROTO;
    out->domid = (uint16_t)domid;
    return 0;
}

static int by_register(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    uint32_t value;
    unsigned at;

    if (!s->function || s->function->sbdf.raw != sbdf.raw)
        return -ENOENT;
    int rc = find_dvsec(s->function->host, sbdf, DISCOVERY_DVSEC_DEVICE, &at, out);
    if (!rc)
        rc = read_dword(s->function->host, sbdf, at + 8, &value, out);
    return rc ? rc : take_domid(value >> 16, out);
}

/* The function that speaks for others, in a slot of the device's bus: is it there, and where? */
static int find_teller(const struct fe_discovery_sources *s, sbdf_t of, unsigned slot,
                       uint16_t device, uint16_t id, sbdf_t *sbdf, unsigned *at,
                       struct fe_discovery *out)
{
    uint32_t ids;
    int rc;

    *sbdf = SBDF(sbdf_segment(of), sbdf_bus(of), slot, 0);
    if (!s->host || of.raw == sbdf->raw)
        return -ENOENT;
    rc = read_dword(s->host, *sbdf, PCI_REG_VENDOR_ID, &ids, out);
    if (rc == -EFAULT || (!rc && ids != (DISCOVERY_VENDOR_ID | (uint32_t)device << 16)))
        return -ENOENT; /* nobody there, or somebody else */
    return rc ? rc : find_dvsec(s->host, *sbdf, id, at, out);
}

static int by_function(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    uint32_t value;
    sbdf_t list;
    unsigned at;
    int rc = find_teller(s, sbdf, DISCOVERY_LIST_SLOT, DISCOVERY_LIST_DEVICE, DISCOVERY_DVSEC_LIST,
                         &list, &at, out);

    if (!rc)
        rc = read_dword(s->host, list, at + 8, &value, out);
    if (rc)
        return rc;
    unsigned count = value >> 16;
    if (count > DISCOVERY_LIST_MAX || at + DISCOVERY_DVSEC_BYTES + 4 * count > FE_PCI_CONFIG_BYTES)
        return -EPROTO;
    for (unsigned i = 0; i < count; i++) {
        rc = read_dword(s->host, list, at + DISCOVERY_DVSEC_BYTES + 4 * i, &value, out);
        if (rc)
            return rc;
        if ((value & 0xffff) == (sbdf.raw & 0xffff) || MUTANT(discovery_list_for_any_device))
            return take_domid(value >> 16, out);
    }
    return -ENOENT;
}

static int by_root(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    uint32_t answer;
    sbdf_t root;
    unsigned at;
    int rc = find_teller(s, sbdf, DISCOVERY_ROOT_SLOT, DISCOVERY_ROOT_DEVICE, DISCOVERY_DVSEC_ROOT,
                         &root, &at, out);

    if (rc)
        return rc;
    if (at + DISCOVERY_DVSEC_BYTES + 4 > FE_PCI_CONFIG_BYTES)
        return -EPROTO;
    rc = fe_ecam_write(s->host, root, at + DISCOVERY_DVSEC_DATA, 2, sbdf.raw & 0xffff);
    out->accesses++;
    if (!rc)
        rc = read_dword(s->host, root, at + DISCOVERY_DVSEC_BYTES, &answer, out);
    if (rc)
        return rc;
    if (!(answer & DISCOVERY_ANSWER_VALID))
        return -ENOENT;
    return take_domid(answer & ~DISCOVERY_ANSWER_VALID, out);
}

static int by_acpi(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    static const uint8_t uuid[] = DISCOVERY_ACPI_UUID;
    struct discovery_acpi_header h;
    uint8_t sum = 0;

    if (!s->acpi)
        return -ENOENT;
    if (s->acpi_bytes < sizeof(h))
        return -EPROTO;
    memcpy(&h, s->acpi, sizeof(h));
    size_t bytes = le32_get(h.length), first = le16_get(h.data_offset);
    if (memcmp(h.signature, DISCOVERY_ACPI_SIGNATURE, 4) || memcmp(h.uuid, uuid, sizeof(uuid)))
        return -ENOENT;
    if (bytes < sizeof(h) || bytes > s->acpi_bytes || first < sizeof(h) || first > bytes ||
        (bytes - first) % sizeof(struct discovery_acpi_entry))
        return -EPROTO;
    for (size_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + s->acpi[i]);
    out->bytes += bytes;
    if (sum && !MUTANT(discovery_checksum_ignored))
        return -EPROTO;
    for (size_t i = first; i < bytes; i += sizeof(struct discovery_acpi_entry)) {
        struct discovery_acpi_entry e;
        memcpy(&e, s->acpi + i, sizeof(e));
        if ((le16_get(e.segment) != sbdf_segment(sbdf) || le16_get(e.rid) != (sbdf.raw & 0xffff)) &&
            !MUTANT(discovery_acpi_for_any_device))
            continue;
        if (le16_get(e.domid) > DOMID_LAST)
            return -EPROTO;
        out->domid = le16_get(e.domid);
        return 0;
    }
    return -ENOENT;
}

static int by_machine(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    (void)sbdf;
    if (!s->tree)
        return -ENOENT;
    out->bytes += s->tree_bytes;
    return fe_discovery_tree_machine(s->tree, s->tree_bytes);
}

/* A bit is offered to whoever looks, and says "not by physical address", no more (VIRTIO 6). */
static int by_feature(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out)
{
    uint64_t offered;

    (void)sbdf;
    if (!s->device)
        return -ENOENT;
    int rc = fe_virtio_device_features(s->device, &offered);
    out->accesses += 4; /* two words, each selected and read */
    out->bytes += sizeof(offered);
    if (rc)
        return rc;
    return offered & BIT64(VIRTIO_F_ACCESS_PLATFORM) ? 0 : -ENOENT;
}

#define NAMED_AT_BOOT "at places named at boot"
#define TOLD_BEFORE   "told before it appears"

static const struct {
    const char *name;
    int (*ask)(const struct fe_discovery_sources *s, sbdf_t sbdf, struct fe_discovery *out);
    struct fe_mechanism_form form;
} mechanisms[FE_MECHANISMS] = {
    [FE_MECHANISM_DEVICE_TREE] = {"device-tree",
                                  by_tree,
                                  {"HVM of Arm", NAMED_AT_BOOT, "yes", "a device tree", "nothing"}},
    [FE_MECHANISM_XENSTORE] = {"xenstore",
                               by_store,
                               {"PV, HVM, PVH", TOLD_BEFORE, "no", "Xenstore", "nothing"}},
    [FE_MECHANISM_BOOT_PARAMETER] = {"boot-parameter",
                                     by_parameter,
                                     {"PV, HVM, PVH", NAMED_AT_BOOT, "no", "a command line",
                                      "nothing"}},
    [FE_MECHANISM_VENDOR_CAPABILITY] = {"vendor-capability",
                                        by_capability,
                                        {"HVM, PVH", "yes", "no", "ECAM",
                                         "deviates from 4.1.4.11"}},
    [FE_MECHANISM_DEVICE_REGISTER] = {"device-register",
                                      by_register,
                                      {"HVM, PVH", "yes", "no", "ECAM", "nothing"}},
    [FE_MECHANISM_DUMMY_FUNCTION] = {"dummy-function",
                                     by_function,
                                     {"HVM, PVH", "yes", "no", "ECAM", "nothing"}},
    [FE_MECHANISM_ROOT_COMPLEX] = {"root-complex",
                                   by_root,
                                   {"HVM, PVH", "yes", "no", "ECAM", "nothing"}},
    [FE_MECHANISM_MACHINE_TYPE] = {"machine-type",
                                   by_machine,
                                   {"HVM of Arm", "yes", "yes", "a device tree", "nothing"}},
    [FE_MECHANISM_FEATURE_BIT] = {"feature-bit",
                                  by_feature,
                                  {"PV, HVM, PVH", "yes", "yes", "nothing", "nothing"}},
    [FE_MECHANISM_ACPI] = {"acpi", by_acpi, {"HVM, PVH", NAMED_AT_BOOT, "no", "ACPI", "nothing"}},
};

const struct fe_mechanism_form *fe_mechanism_form(enum fe_mechanism m)
{
    return &mechanisms[m].form;
}

bool fe_mechanism_is_default(enum fe_mechanism m)
{
    return m >= FE_MECHANISM_MACHINE_TYPE;
}

const char *fe_mechanism_name(enum fe_mechanism m)
{
    return mechanisms[m].name;
}

int fe_mechanism_parse(const char *name, enum fe_mechanism *m)
{
    for (unsigned i = 0; i < FE_MECHANISMS; i++)
        if (!strcmp(mechanisms[i].name, name)) {
            *m = (enum fe_mechanism)i;
            return 0;
        }
    return -EINVAL;
}

int fe_discovery_ask(enum fe_mechanism m, const struct fe_discovery_sources *s, sbdf_t sbdf,
                     struct fe_discovery *out)
{
    *out = (struct fe_discovery){0};
    if (fe_mechanism_is_default(m) && s->own_domid == 0 && !MUTANT(discovery_default_in_dom0))
        return -ENOENT;
    /* The others speak of places on PCI. */
    if (s->window && m != FE_MECHANISM_DEVICE_TREE && !fe_mechanism_is_default(m))
        return -ENOENT;
    return mechanisms[m].ask(s, sbdf, out);
}

int fe_discovery_ask_all(const struct fe_discovery_sources *s, sbdf_t sbdf,
                         struct fe_discovery *out)
{
    bool found = false;

    *out = (struct fe_discovery){0};
    for (unsigned i = 0; i < FE_MECHANISMS; i++) {
        struct fe_discovery one;
        if (found && fe_mechanism_is_default((enum fe_mechanism)i) &&
            !MUTANT(discovery_default_contradicts))
            break;
        int rc = fe_discovery_ask((enum fe_mechanism)i, s, sbdf, &one);

        out->accesses += one.accesses;
        out->round_trips += one.round_trips;
        out->bytes += one.bytes;
        if (rc == -ENOENT)
            continue;
        if (rc)
            return rc;
        if (found && one.domid != out->domid && !MUTANT(discovery_first_answer_wins))
            return -EEXIST;
        if (!found)
            out->domid = one.domid;
        found = true;
    }
    if (!found && MUTANT(discovery_dom0_grants_to_itself)) {
        out->domid = 0;
        return 0;
    }
    return found ? 0 : -ENOENT;
}
