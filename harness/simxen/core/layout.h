/* SPDX-License-Identifier: MIT */
/*
 * What simxen's processes share.
 *
 * The hypervisor process (hv) owns one *control block* per domain (struct sim_dom, a memfd) and
 * one *memory file* per domain (a sparse memfd: RAM first, then special frames). Every process
 * that deals with a domain maps the control block; the fast paths (notify, grant map and copy,
 * foreign map, an MMIO round trip) work on it and on eventfds without a message to hv. All that
 * changes structure (creation, binding, ranges, death) is a message (core/proto.h), and only hv
 * writes the structural fields.
 *
 *      backend process                 hv                     guest process
 *   libxen*.so (drop-in) ---RPC--->  domains, ports  <---RPC--- guest library (vCPUs)
 *        |                               |                         |
 *        +------ control block ----------+------ control block ----+
 *        +------ memory file (mmap of single frames) --------------+
 *        +------ eventfds ------------------------------------------+
 *
 * Who writes what is said at each field: [hv] hv only, [any] any process with atomics,
 * [lock] under gnt_lock.
 *
 * A process can die at any instruction. What it holds is found in its *track* (struct
 * sim_track), and a robust mutex guards the grant table: when its owner died, hv rebuilds the pin
 * counts from the tracks before anybody goes on (SIM_OP_GNT_RECOVER).
 */
#ifndef SIMXEN_CORE_LAYOUT_H
#define SIMXEN_CORE_LAYOUT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <xen/grant_table.h>
#include <xen/hvm/ioreq.h>
#include <xen/xen.h>

#define SIM_LAYOUT_MAGIC   0x53584e31u
#define SIM_LAYOUT_VERSION 3

#define SIM_PAGE            4096u
#define SIM_PAGE_SHIFT      12
#define SIM_DOMS_MAX        256  /* domains alive at once, zombies included */
#define SIM_PORTS_MAX       4096 /* the 2-level ABI of a 64-bit guest */
#define SIM_VCPUS_MAX       512
#define SIM_REGIONS_MAX     8
#define SIM_IOSERVERS_MAX   8   /* MAX_NR_IOREQ_SERVERS */
#define SIM_IORANGES_MAX    256 /* MAX_NR_IO_RANGES, a server and type */
#define SIM_GNT_FRAMES_MAX  64  /* Xen's default gnttab_max_frames */
#define SIM_GREFS_PER_FRAME (SIM_PAGE / sizeof(grant_entry_v1_t))
#define SIM_GREFS_MAX       (SIM_GNT_FRAMES_MAX * SIM_GREFS_PER_FRAME)
#define SIM_MSI_VECTORS     256
#define SIM_LINES_MAX       1024 /* GSIs on x86, interrupt ids on Arm */
#define SIM_X86_GSIS        48u
#define SIM_ARM_LOCAL_IRQS  32u /* SGIs and PPIs, below the SPIs */

enum sim_arch { SIM_ARCH_X86 = 0, SIM_ARCH_ARM = 1 };

/* What an access that nobody claims does (outside every background region). */
enum sim_unclaimed { SIM_UNCLAIMED_ONES = 0, SIM_UNCLAIMED_ABORT = 1 };

/* ---- memory ---- */
enum sim_region_type {
    SIM_REGION_RAM = 1,
    SIM_REGION_SPECIAL = 2, /* xenstore and console rings, ioreq gfns */
    SIM_REGION_GNTTAB = 3,
};

struct sim_region {
    uint64_t gfn;   /* first */
    uint64_t nr;    /* frames */
    uint64_t frame; /* first frame in the memory file */
    uint32_t type;
    uint32_t pad;
};

/* A range of guest-physical space that Xen itself answers when no server claims it. */
struct sim_background {
    uint64_t base, bytes; /* bytes == 0: unused */
    uint64_t value;       /* read result, truncated to the access */
};

/* ---- event channels ---- */
enum sim_port_state {
    SIM_PORT_FREE = 0,
    SIM_PORT_RESERVED = 1, /* port 0 */
    SIM_PORT_UNBOUND = 2,
    SIM_PORT_INTERDOMAIN = 3,
    SIM_PORT_VIRQ = 6,
};

#define SIM_PORT_PENDING 1u
#define SIM_PORT_MASKED  2u /* delivered to the handle, waiting for unmask */

struct sim_port {
    /*
     * [any] PENDING and MASKED. The handle's eventfd (EFD_SEMAPHORE) carries exactly one token
     * per port that is PENDING and not MASKED:
     *   notify   old = fetch_or(PENDING);   token if old had neither bit
     *   read     take a token, then CAS one owned port from PENDING to MASKED
     *   unmask   old = fetch_and(~MASKED);  token if old had MASKED and PENDING
     */
    _Atomic uint32_t word;
    _Atomic uint32_t gen;  /* [hv] odd while changing; bumped by every change below */
    uint8_t state;         /* [hv] enum sim_port_state */
    uint8_t xen_consumer;  /* [hv] a vCPU waiting for an ioreq is behind it: no masking */
    uint16_t remote_domid; /* [hv] */
    uint32_t remote_port;  /* [hv] INTERDOMAIN */
    uint32_t handle;       /* [hv] owner: handle id, 0 none; for xen_consumer the vCPU */
    uint32_t virq;         /* [hv] VIRQ */
};

/* ---- grants ---- */

/*
 * Xen's active entry. The guest's own table (grant_entry_v1_t, in the GNTTAB frames of the memory
 * file) carries GTF_reading and GTF_writing while a pin count is not zero.
 */
struct sim_active {
    uint16_t pin_ro, pin_rw; /* [lock] */
    uint16_t domid;          /* [lock] who maps it, while pinned */
    uint16_t pad;
    uint64_t gfn; /* [lock] the frame, fixed while pinned */
};

/* ---- ioreq servers ---- */
enum sim_range_type { SIM_RANGE_PORT = 0, SIM_RANGE_MMIO = 1, SIM_RANGE_PCI = 2, SIM_RANGE_TYPES };

struct sim_range {
    uint64_t start, end; /* inclusive */
};

struct sim_ioserver {
    /* [hv] all of it, under ioserver_seq. Readers: guest vCPUs and the device-model library. */
    uint32_t gen; /* 0: free; a new number at each creation */
    uint8_t enabled;
    uint8_t bufioreq; /* HVM_IOREQSRV_BUFIOREQ_* */
    uint16_t owner_domid;
    uint64_t sync_frame; /* memory-file frame of the synchronous page(s), contiguous */
    uint32_t sync_frames;
    uint32_t bufioreq_port;            /* in the target domain */
    uint64_t buf_frame;                /* memory-file frame, 0 when there is none */
    uint64_t sync_gfn, buf_gfn;        /* once asked for by gfn (x86), else 0 */
    uint32_t vcpu_port[SIM_VCPUS_MAX]; /* vp_eport: ports in the target domain */
    uint32_t nr_ranges[SIM_RANGE_TYPES];
    struct sim_range ranges[SIM_RANGE_TYPES][SIM_IORANGES_MAX];
    /* [any] set by whoever maps the pages as a resource: gfns are refused from then on (EPERM), as
     * the resource is once the server has gfns (sync_gfn != 0). */
    _Atomic uint32_t resource_used;
};

/* ---- vCPUs and interrupts ---- */
struct sim_vcpu {
    /* [any] MSI vectors that were injected and not taken yet; a token on the vCPU's irq eventfd
     * is written when a bit goes from 0 to 1. */
    _Atomic uint64_t msi_pending[SIM_MSI_VECTORS / 64];
    _Atomic uint32_t hung; /* [guest] waits for an answer longer than its limit: for the audit */
    /* [guest] It chooses a server, and writes into that one's slot: Xen pauses the domain before it
     * disables a server, so that no vCPU is in between. */
    _Atomic uint32_t sending;
};

/* ---- the control block ---- */
enum sim_stop { SIM_STOP_OFF, SIM_STOP_ARMED, SIM_STOP_HIT };

enum sim_dom_flags {
    SIM_DOM_PAUSED = 1,
    SIM_DOM_DYING = 2,
    SIM_DOM_SHUTDOWN = 4, /* reason in shutdown_reason */
    SIM_DOM_GONE = 8,     /* the last reference has gone: no such domain any more */
};

struct sim_dom {
    uint32_t magic, version;
    uint16_t domid;
    uint16_t arch; /* enum sim_arch */
    uint32_t nr_vcpus;
    uint32_t unclaimed;     /* enum sim_unclaimed */
    uint32_t privileged;    /* [hv] is a control domain */
    _Atomic uint32_t flags; /* [hv] enum sim_dom_flags; futex: woken at every change */
    _Atomic uint32_t shutdown_reason;
    _Atomic uint32_t target; /* [hv] XEN_DOMCTL_set_target: domid, DOMID_INVALID none */

    uint32_t nr_regions; /* [hv] */
    struct sim_region regions[SIM_REGIONS_MAX];
    uint64_t memfile_bytes;
    struct sim_background background[4];
    /* A bridge in the hypervisor: accesses in [base, base+bytes) become PCI_CONFIG requests for
     * the function that the ECAM offset names, on this segment, counted from bus_first. bytes == 0:
     * none. */
    struct {
        uint64_t base, bytes;
        uint32_t segment, bus_first;
    } ecam[4];

    uint64_t hvm_params[64]; /* [hv] */

    /* Guest page allocator for the "guest kernel" (gntshr, the guest library): bit = RAM page in
     * use. [lock] of alloc_lock (robust). Indexed by memory-file frame, in 64-bit words; RAM starts
     * at frame 0. */
    pthread_mutex_t alloc_lock;
    uint64_t alloc_pages;         /* RAM frames covered; bitmap is at alloc_bitmap_offset */
    uint64_t alloc_bitmap_offset; /* bytes from the start of the control block */
    uint64_t gref_next_hint;

    /* Grants. */
    pthread_mutex_t gnt_lock;       /* robust, process-shared */
    uint32_t gnt_frames;            /* [lock] frames of the table that exist now */
    uint32_t gnt_frames_max;        /* [hv] configured, at most SIM_GNT_FRAMES_MAX */
    uint32_t maptrack_max;          /* [hv] mappings this domain may hold in all */
    _Atomic uint32_t maptrack_used; /* [any] */
    uint64_t gnt_frame0;            /* memory-file frame of the table */
    struct sim_active active[SIM_GREFS_MAX];

    struct sim_port ports[SIM_PORTS_MAX];

    _Atomic uint32_t ioserver_seq; /* [hv] seqlock for ioservers[] */
    struct sim_ioserver ioservers[SIM_IOSERVERS_MAX];

    _Atomic uint8_t
        lines[SIM_LINES_MAX];  /* [any] level of each line; Arm: raised and not yet taken */
    _Atomic uint32_t line_seq; /* [any] futex: bumped when a line changes */
    struct sim_vcpu vcpus[SIM_VCPUS_MAX];

    /* Counters for reports (relaxed). */
    struct {
        _Atomic uint64_t mmio, notify, gnt_map, gnt_unmap, gnt_copy, gnt_copy_bytes, foreign_map,
            foreign_unmap, msi, line, msi_lost, store_requests;
    } stats;
    /* Whoever tests can stop the guest at an access: the first read of memory-mapped registers from
     * first to last that finds it ARMED makes it HIT and is not carried out before it is OFF again.
     */
    struct {
        _Atomic uint32_t state; /* enum sim_stop: [ctl] ARMED and OFF, [guest] HIT */
        uint32_t pad;
        uint64_t first, last; /* [ctl] while OFF */
    } stop;
    uint32_t msi_lost_every; /* a fault to test with: each N-th message is lost; 0: none */
    uint32_t no_foreign;     /* a policy of XSM: nobody maps frames of it by their number */
};

/* ---- what one process holds ---- */
enum sim_track_kind {
    SIM_TRACK_FREE = 0,
    SIM_TRACK_GRANT = 1,    /* domid, ref: one pin; flags bit 0: writable */
    SIM_TRACK_FOREIGN = 2,  /* domid, gfn, nr frames mapped */
    SIM_TRACK_RESOURCE = 3, /* domid, gfn = resource id, nr frames */
    SIM_TRACK_SHARE = 4,    /* own domain: ref granted by gntshr, gfn the page it allocated */
};

/* When a mapped grant page asked for an unmap notification. */
enum { SIM_NOTIFY_BYTE = 1, SIM_NOTIFY_EVENT = 2 };

struct sim_track_entry {
    _Atomic uint32_t kind; /* written last when taking, first when releasing */
    uint16_t domid;
    uint16_t flags;
    uint32_t ref;
    uint32_t nr;
    uint64_t gfn;
    uint16_t notify;        /* SIM_NOTIFY_* */
    uint16_t notify_offset; /* in the page: the byte that is cleared */
    uint32_t notify_port;   /* own domain's port */
};

#define SIM_TRACK_ENTRIES 65536u

struct sim_track {
    uint32_t magic;
    int32_t pid;
    uint16_t domid; /* the domain this process runs in */
    uint16_t pad;
    _Atomic uint32_t high; /* entries at or above were never used */
    struct sim_track_entry entries[SIM_TRACK_ENTRIES];
};

#endif
