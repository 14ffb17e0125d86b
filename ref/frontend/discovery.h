/* SPDX-License-Identifier: MIT */
/*
 * How a driver learns that a device's addresses are grants, and for which domain.
 *
 * A *mechanism* is a place where the toolstack or the backend says so. Each is asked by the
 * device's place on PCI, and answers for this device alone: a device of which nobody speaks comes
 * from elsewhere (it was passed through, or Xen itself runs in a virtual machine that has it), and
 * grants that are made for domain 0 then would be given to one that never asked for them.
 *
 * Two mechanisms are *defaults*: the type of the machine, and the feature bit
 * VIRTIO_F_ACCESS_PLATFORM. They say that there is a reason for grants, and not for whom; domain 0
 * is assumed. Both are as true of a device from elsewhere, so that they are not believed in the
 * initial domain, and only where no other mechanism answers.
 *
 * What firmware left (tree, table, command line) is borrowed memory that may hold anything: every
 * offset and length in it is compared with its end before it is used.
 */
#ifndef RP_FRONTEND_DISCOVERY_H
#define RP_FRONTEND_DISCOVERY_H

#include "frontend/pci.h"
#include "frontend/virtio.h"

enum fe_mechanism {
    FE_MECHANISM_DEVICE_TREE,
    FE_MECHANISM_XENSTORE,
    FE_MECHANISM_BOOT_PARAMETER,
    FE_MECHANISM_VENDOR_CAPABILITY,
    FE_MECHANISM_ACPI,
    FE_MECHANISM_DEVICE_REGISTER,
    FE_MECHANISM_DUMMY_FUNCTION,
    FE_MECHANISM_ROOT_COMPLEX,
    /* Defaults: they speak of no device, and name no domain. */
    FE_MECHANISM_MACHINE_TYPE,
    FE_MECHANISM_FEATURE_BIT,
    FE_MECHANISMS
};

/* "device-tree", ... */
const char *fe_mechanism_name(enum fe_mechanism m);
int fe_mechanism_parse(const char *name, enum fe_mechanism *m); /* -EINVAL */

/* What follows from its form, for people: nothing of this is measured. */
struct fe_mechanism_form {
    const char *guests;  /* that can read it */
    const char *hotplug; /* does it speak of a device that comes later? */
    const char *mmio;    /* can it speak of a virtio-mmio device? */
    const char *needs;
    const char *virtio; /* what VIRTIO would have to change */
};
const struct fe_mechanism_form *fe_mechanism_form(enum fe_mechanism m);

/* It speaks of all devices alike. */
bool fe_mechanism_is_default(enum fe_mechanism m);

/* What there is to look at; a source that is missing (NULL) says nothing. All borrowed. */
struct fe_discovery_sources {
    struct fe_platform *platform; /* its store */
    struct fe_pci_host *host;     /* of the device */
    struct fe_pci_func *function; /* of the device, opened */
    struct fe_virtio *device;     /* the same */
    const uint64_t *window;       /* where a virtio-mmio device is; NULL: it is on PCI */
    uint16_t own_domid;           /* of the domain that the driver is in */
    const uint8_t *tree, *acpi;   /* a flattened device tree, an ACPI table */
    size_t tree_bytes, acpi_bytes;
    const char *command_line;
};

/* What an answer took. */
struct fe_discovery {
    uint16_t domid;
    unsigned accesses;    /* trapped ones */
    unsigned round_trips; /* to the store */
    size_t bytes;         /* that were looked at */
};

/*
 * Ask one mechanism about the device at `sbdf`, or in the window of the sources. 0: its addresses
 * are grants for out->domid. -ENOENT: it says nothing of this device. -EPROTO: what is there is
 * malformed. Errors of the platform.
 */
int fe_discovery_ask(enum fe_mechanism m, const struct fe_discovery_sources *s, sbdf_t sbdf,
                     struct fe_discovery *out);

/* Ask them all; costs are added up. As above, and -EEXIST: two name different domains, so that the
 * driver has nobody to grant to. */
int fe_discovery_ask_all(const struct fe_discovery_sources *s, sbdf_t sbdf,
                         struct fe_discovery *out);

/* Is it the tree of a Xen guest? 0, -ENOENT, -EPROTO. */
int fe_discovery_tree_machine(const uint8_t *tree, size_t bytes);
/* A device tree's answer, by itself (discovery_tree.c): of a function, and of the virtio-mmio
 * device whose registers begin at `base`. */
int fe_discovery_tree(const uint8_t *tree, size_t bytes, sbdf_t sbdf, uint16_t *domid);
int fe_discovery_tree_window(const uint8_t *tree, size_t bytes, uint64_t base, uint16_t *domid);

#endif
