/* SPDX-License-Identifier: MIT */
/*
 * What the driver library needs from the machine it runs on: trapped MMIO, pages, grants,
 * interrupts. A platform is the "guest kernel" of the frontend. Two kinds exist: simxen's
 * (harness/simxen/guest, a plugin) and Linux user space in a real domU.
 *
 * A plugin is a shared object that exports `fe_platform_plugin` of type
 * `const struct fe_platform_plugin`.
 *
 * Threads: mmio_* and irq_* may be called from several threads as long as each uses its own
 * vcpu; the rest is serialised by the platform.
 *
 * All functions return 0 or a negative errno unless said otherwise. -ESHUTDOWN means that the
 * domain is gone (destroyed or shut down); nothing works after it but close.
 */
#ifndef RP_FRONTEND_PLATFORM_H
#define RP_FRONTEND_PLATFORM_H

#include "util/types.h"

#define FE_PLATFORM_ABI 2

struct fe_platform;

/* One ECAM host bridge as firmware (MCFG, device tree, dom0less) describes it to the guest. */
struct fe_host_bridge {
    uint16_t segment;
    uint8_t bus_first, bus_last;
    uint64_t ecam_base, ecam_bytes; /* guest-physical; bus_first is at ecam_base */
    uint64_t mem_base, mem_bytes;   /* window for BARs, all of it free for the driver to assign */
};

/* A message-signalled interrupt, to be written into an MSI-X table entry. */
struct fe_msi {
    uint64_t addr;
    uint32_t data;
};

/* An interrupt that this platform can wait for. Opaque, 0 is "none". */
typedef uint32_t fe_irq_t;

enum fe_page_flags {
    FE_PAGES_CONTIGUOUS = 1, /* physically contiguous, so one descriptor may span them */
};

enum fe_grant_flags {
    FE_GRANT_READONLY = 1,
};

struct fe_platform_ops {
    void (*close)(struct fe_platform *p);

    /*
     * One trapped access of 1, 2, 4 or 8 bytes by `vcpu`, a single instruction on hardware.
     * -EFAULT: the access aborted (Arm without a background region). An unclaimed read
     * elsewhere gives all ones and 0. -ETIMEDOUT: no answer within the platform's limit; the
     * vCPU is hung, as it would be on Xen, and may only be closed.
     */
    int (*mmio_read)(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                     uint64_t *value);
    int (*mmio_write)(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                      uint64_t value);

    /* `n` zeroed 4 KiB pages, mapped contiguously at *va. Owned by the caller until freed. */
    int (*pages_alloc)(struct fe_platform *p, unsigned n, unsigned flags, void **va);
    void (*pages_free)(struct fe_platform *p, void *va, unsigned n);
    /* Guest frame number of the page that contains va. */
    int (*gfn)(struct fe_platform *p, const void *va, uint64_t *gfn);

    /*
     * Grant n pages from va (page aligned) to domain `peer` through n consecutive references.
     * The same page may be granted more than once. -EOPNOTSUPP where the kernel cannot.
     */
    int (*grant)(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                 gref_t *first);
    /* The same with the first reference chosen by the caller; -EEXIST when one is taken. */
    int (*grant_at)(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                    gref_t first);
    /* End access. -EBUSY when the peer still maps one of them: then none was revoked. */
    int (*revoke)(struct fe_platform *p, gref_t first, unsigned n);
    /* *in_use: bit 0 the peer has it mapped for reading, bit 1 for writing. */
    int (*grant_in_use)(struct fe_platform *p, gref_t ref, unsigned *in_use);

    /* An MSI vector on `vcpu`, freed by irq_free. */
    int (*irq_msi)(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq);
    /* The line that INTx pin 1..4 of a function is wired to; level-triggered. */
    int (*irq_intx)(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq);
    /* An interrupt line by its number: a GSI of x86, an SPI of Arm by its interrupt id (32 or
     * more); level-triggered. -EINVAL: the machine has no such line. */
    int (*irq_line)(struct fe_platform *p, unsigned line, fe_irq_t *irq);
    void (*irq_free)(struct fe_platform *p, fe_irq_t irq);
    /*
     * Wait until the interrupt fires. 1: it fired (an MSI is consumed; a level is still high),
     * 0: timeout_ns passed. timeout_ns 0 polls.
     */
    int (*irq_wait)(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns);

    /* A node below the domain's home in Xenstore, "data/...": *value is malloc'd. -ENOENT: there
     * is none. From any thread. */
    int (*store_read)(struct fe_platform *p, const char *path, char **value);
};

struct fe_platform {
    const struct fe_platform_ops *ops;
    const char *name; /* "simxen", "linux" */
    uint16_t domid;
    unsigned nr_vcpus;
    bool arm; /* unclaimed accesses may abort; lines are SPIs */
    /* vCPUs that Xen knows of, when the platform keeps some for itself; 0: nr_vcpus. */
    unsigned domain_vcpus;
};

struct fe_platform_plugin {
    uint32_t abi; /* FE_PLATFORM_ABI */
    const char *name;
    /* `arg` is the text after the colon of --platform NAME:ARG. */
    int (*open)(const char *arg, struct fe_platform **out);
};

/*
 * Load and open a platform by its specification, "NAME[:ARG]" or "/path/to/plugin.so[:ARG]".
 * A bare NAME is looked up as platform-NAME.so beside the library directory given at build time
 * and in $RINGPROOF_LIBDIR. Errors are explained on stderr.
 */
int fe_platform_open(const char *spec, struct fe_platform **out);
void fe_platform_close(struct fe_platform *p); /* NULL is allowed */

#endif
