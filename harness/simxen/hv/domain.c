/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <xen/hvm/params.h>
#include <xen/sched.h>

#include "simxen/hv/hv.h"

#define RAM_MAX (UINT64_C(1) << 40)

/*
 * Guest-physical layout. x86: where libxc puts an HVM guest's special pages, below 0xff000000,
 * with RAM split around the hole that ECAM, BARs and interrupts need. Arm: public/arch-arm.h.
 */
#define X86_HOLE_START    UINT64_C(0xe0000000)
#define X86_HIGH_START    UINT64_C(0x100000000)
#define X86_SPECIAL_GFN   UINT64_C(0xfeff0)
#define X86_XENSTORE_PAGE (HV_IOREQ_GFNS + 4)
#define X86_CONSOLE_PAGE  (HV_IOREQ_GFNS + 7)
#define X86_GNTTAB_GFN    UINT64_C(0xfd000)
#define ARM_RAM_START     UINT64_C(0x40000000)
#define ARM_MAGIC_GFN     UINT64_C(0x39000)
#define ARM_CONSOLE_PAGE  0u
#define ARM_XENSTORE_PAGE 1u
#define ARM_GNTTAB_GFN    UINT64_C(0x38000)

struct hv_dom *domain_find(struct hv *hv, uint16_t domid)
{
    struct hv_dom *d;

    for (d = hv->doms; d && d->domid != domid; d = d->next)
        ;
    return d;
}

bool domain_controls(const struct hv_dom *self, const struct hv_dom *target)
{
    return self->privileged || self->target == target->domid;
}

static void flags_set(struct hv_dom *d, uint32_t flags)
{
    d->flags = flags;
    atomic_store(&d->c->flags, flags);
    syscall(SYS_futex, &d->c->flags, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* A file that clients can write but not resize: hv reads it without fear of SIGBUS. */
static int shared_file(const char *name, size_t bytes, int *fd, void **va)
{
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd >= 0 && ftruncate(*fd, (off_t)bytes) == 0 &&
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        *va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
        if (*va != MAP_FAILED)
            return 0;
    }
    return -errno;
}

static int mutex_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;
    int rc = pthread_mutexattr_init(&a);

    if (rc)
        return -rc;
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    rc = pthread_mutex_init(m, &a);
    pthread_mutexattr_destroy(&a);
    return -rc;
}

static void region_add(struct hv_dom *d, uint32_t type, uint64_t gfn, uint64_t nr, uint64_t frame)
{
    d->regions[d->nr_regions++] =
        (struct sim_region){.gfn = gfn, .nr = nr, .frame = frame, .type = type};
}

/* Frames: RAM, the special pages, the grant table, the pages of IOREQ servers. */
static uint64_t layout_init(struct hv_dom *d)
{
    uint64_t ram = d->ram_bytes / SIM_PAGE, low = ram, frame = ram;

    if (d->arch == SIM_ARCH_X86) {
        if (low > X86_HOLE_START / SIM_PAGE)
            low = X86_HOLE_START / SIM_PAGE;
        region_add(d, SIM_REGION_RAM, 0, low, 0);
        if (ram > low)
            region_add(d, SIM_REGION_RAM, X86_HIGH_START / SIM_PAGE, ram - low, low);
    } else {
        region_add(d, SIM_REGION_RAM, ARM_RAM_START / SIM_PAGE, ram, 0);
    }
    region_add(d, SIM_REGION_SPECIAL, d->arch == SIM_ARCH_X86 ? X86_SPECIAL_GFN : ARM_MAGIC_GFN,
               HV_SPECIAL_FRAMES, frame);
    frame += HV_SPECIAL_FRAMES;
    d->gnt_frame0 = frame;
    region_add(d, SIM_REGION_GNTTAB, d->arch == SIM_ARCH_X86 ? X86_GNTTAB_GFN : ARM_GNTTAB_GFN,
               SIM_GNT_FRAMES_MAX, frame);
    frame += SIM_GNT_FRAMES_MAX;
    d->io_frame0 = frame;
    return frame + UINT64_C(2) * HV_IO_SLOTS;
}

int domain_gfn_to_frame(const struct hv_dom *d, uint64_t gfn, uint64_t *frame)
{
    unsigned i;

    for (i = 0; i < d->nr_regions; i++) {
        const struct sim_region *r = &d->regions[i];

        if (gfn < r->gfn || gfn - r->gfn >= r->nr)
            continue;
        *frame = r->frame + (gfn - r->gfn);
        return 0;
    }
    return -EINVAL;
}

static void grant_to_dom0(struct hv_dom *d, uint32_t ref, uint64_t gfn)
{
    grant_entry_v1_t *table = (grant_entry_v1_t *)(void *)(d->mem + d->gnt_frame0 * SIM_PAGE);

    table[ref].domid = 0;
    table[ref].frame = (uint32_t)gfn;
    table[ref].flags = GTF_permit_access;
}

/* What the domain builder leaves: two rings granted to dom0, a port for each, and the parameters
 * through which the guest finds them. */
static int builder_finish(struct hv_dom *d)
{
    bool x86 = d->arch == SIM_ARCH_X86;
    uint64_t special = x86 ? X86_SPECIAL_GFN : ARM_MAGIC_GFN;
    uint64_t store = special + (x86 ? X86_XENSTORE_PAGE : ARM_XENSTORE_PAGE);
    uint64_t console = special + (x86 ? X86_CONSOLE_PAGE : ARM_CONSOLE_PAGE);
    uint64_t *params = d->c->hvm_params;
    uint32_t store_port = 0, console_port = 0;
    int rc;

    rc = evtchn_alloc_unbound(d, 0, 0, &store_port);
    if (!rc)
        rc = evtchn_alloc_unbound(d, 0, 0, &console_port);
    if (rc)
        return rc;
    grant_to_dom0(d, GNTTAB_RESERVED_XENSTORE, store);
    grant_to_dom0(d, GNTTAB_RESERVED_CONSOLE, console);
    params[HVM_PARAM_STORE_PFN] = store;
    params[HVM_PARAM_STORE_EVTCHN] = store_port;
    params[HVM_PARAM_CONSOLE_PFN] = console;
    params[HVM_PARAM_CONSOLE_EVTCHN] = console_port;
    if (x86) {
        params[HVM_PARAM_IOREQ_SERVER_PFN] = special;
        params[HVM_PARAM_NR_IOREQ_SERVER_PAGES] = HV_IOREQ_GFNS;
    }
    return 0;
}

static int config_check(const struct sim_dom_config *cfg)
{
    unsigned i;

    if (cfg->arch > SIM_ARCH_ARM || cfg->unclaimed > SIM_UNCLAIMED_ABORT || cfg->nr_vcpus == 0 ||
        cfg->nr_vcpus > HV_VCPUS_MAX || cfg->gnt_frames_max > SIM_GNT_FRAMES_MAX ||
        cfg->domid >= DOMID_FIRST_RESERVED)
        return -EINVAL;
    if (cfg->ram_bytes < SIM_PAGE || cfg->ram_bytes > RAM_MAX || cfg->ram_bytes % SIM_PAGE)
        return -EINVAL;
    for (i = 0; i < 4; i++)
        if (cfg->ecam[i].base + cfg->ecam[i].bytes < cfg->ecam[i].base ||
            cfg->background[i].base + cfg->background[i].bytes < cfg->background[i].base ||
            cfg->ecam[i].segment > 0xffff || cfg->ecam[i].bus_first > 0xff)
            return -EINVAL;
    return 0;
}

static int block_init(struct hv_dom *d, const struct sim_dom_config *cfg)
{
    uint64_t frames = layout_init(d);
    struct sim_dom *c;
    unsigned i;
    void *va = NULL;
    int rc;

    d->alloc_pages = d->ram_bytes / SIM_PAGE;
    d->alloc_offset = (sizeof(*c) + 63) & ~UINT64_C(63);
    d->c_bytes = d->alloc_offset + (d->alloc_pages + 63) / 64 * 8;
    rc = shared_file("simxen-domain", d->c_bytes, &d->c_fd, &va);
    if (rc || !va)
        return rc ? rc : -ENOMEM;
    d->c = c = va;
    d->mem_bytes = frames * SIM_PAGE;
    rc = shared_file("simxen-memory", d->mem_bytes, &d->mem_fd, &va);
    if (rc)
        return rc;
    d->mem = va;

    c->magic = SIM_LAYOUT_MAGIC;
    c->version = SIM_LAYOUT_VERSION;
    c->domid = d->domid;
    c->arch = (uint16_t)d->arch;
    c->nr_vcpus = d->nr_vcpus;
    c->unclaimed = cfg->unclaimed;
    c->privileged = d->privileged;
    c->msi_lost_every = cfg->msi_lost_every;
    c->no_foreign = cfg->no_foreign;
    atomic_store(&c->target, DOMID_INVALID);
    c->nr_regions = d->nr_regions;
    memcpy(c->regions, d->regions, sizeof(c->regions));
    c->memfile_bytes = d->mem_bytes;
    memcpy(c->background, cfg->background, sizeof(c->background));
    for (i = 0; i < 4; i++) {
        c->ecam[i].base = cfg->ecam[i].base;
        c->ecam[i].bytes = cfg->ecam[i].bytes;
        c->ecam[i].segment = cfg->ecam[i].segment;
        c->ecam[i].bus_first = cfg->ecam[i].bus_first;
    }
    c->alloc_pages = d->alloc_pages;
    c->alloc_bitmap_offset = d->alloc_offset;
    c->gnt_frames = 1;
    c->gnt_frames_max = d->gnt_frames_max;
    c->maptrack_max = cfg->maptrack_max ? cfg->maptrack_max : SIM_TRACK_ENTRIES;
    c->gnt_frame0 = d->gnt_frame0;
    rc = mutex_init(&c->alloc_lock);
    return rc ? rc : mutex_init(&c->gnt_lock);
}

static void list_insert(struct hv *hv, struct hv_dom *d)
{
    struct hv_dom **at;

    for (at = &hv->doms; *at && (*at)->domid < d->domid; at = &(*at)->next)
        ;
    d->next = *at;
    *at = d;
    hv->nr_doms++;
}

int domain_create(struct hv *hv, const struct sim_dom_config *cfg, bool dom0, uint16_t *domid)
{
    uint32_t id = dom0 ? 0 : cfg->domid ? cfg->domid : hv->last_domid + 1;
    struct hv_dom *d = NULL;
    uint32_t i;
    int rc;

    rc = config_check(cfg);
    if (rc)
        goto out;
    /* A domid is never used twice, so that what a client cached of a domain stays true. */
    if (!dom0 && id <= hv->last_domid) {
        rc = -EEXIST;
        goto out;
    }
    if (id >= DOMID_FIRST_RESERVED || hv->nr_doms == SIM_DOMS_MAX) {
        rc = -ENOMEM;
        goto out;
    }
    d = calloc(1, sizeof(*d));
    if (!d) {
        rc = -ENOMEM;
        goto out;
    }
    d->c_fd = d->mem_fd = d->death_fd = -1;
    d->domid = (uint16_t)id;
    d->privileged = cfg->privileged != 0;
    d->outside = cfg->outside != 0;
    d->arch = cfg->arch;
    d->nr_vcpus = cfg->nr_vcpus;
    d->gnt_frames_max = cfg->gnt_frames_max ? cfg->gnt_frames_max : SIM_GNT_FRAMES_MAX;
    d->target = DOMID_INVALID;
    d->ram_bytes = cfg->ram_bytes;
    d->vcpu_fds = malloc(d->nr_vcpus * sizeof(*d->vcpu_fds));
    if (!d->vcpu_fds) {
        rc = -ENOMEM;
        goto out;
    }
    for (i = 0; i < d->nr_vcpus; i++)
        d->vcpu_fds[i][0] = d->vcpu_fds[i][1] = -1;
    d->death_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->death_fd < 0) {
        rc = -errno;
        goto out;
    }
    rc = block_init(d, cfg);
    if (rc)
        goto out;
    evtchn_init(d);
    rc = builder_finish(d);
    if (rc)
        goto out;
    if (cfg->paused) {
        d->pauses = 1;
        flags_set(d, SIM_DOM_PAUSED);
    }
    list_insert(hv, d);
    if (id > hv->last_domid)
        hv->last_domid = id;
    *domid = d->domid;
    d = NULL;
out:
    if (d)
        domain_free(hv, d);
    return rc;
}

void domain_free(struct hv *hv, struct hv_dom *d)
{
    struct hv_dom **at;
    uint32_t i;

    for (at = &hv->doms; *at && *at != d; at = &(*at)->next)
        ;
    if (*at) {
        *at = d->next;
        hv->nr_doms--;
    }
    if (d->c)
        flags_set(d, d->flags | SIM_DOM_GONE);
    while (d->shares) {
        struct hv_share *s = d->shares;

        d->shares = s->next;
        free(s);
    }
    for (i = 0; d->vcpu_fds && i < d->nr_vcpus; i++) {
        if (d->vcpu_fds[i][0] >= 0)
            close(d->vcpu_fds[i][0]);
        if (d->vcpu_fds[i][1] >= 0)
            close(d->vcpu_fds[i][1]);
    }
    free(d->vcpu_fds);
    if (d->c)
        munmap(d->c, d->c_bytes);
    if (d->mem)
        munmap(d->mem, d->mem_bytes);
    if (d->c_fd >= 0)
        close(d->c_fd);
    if (d->mem_fd >= 0)
        close(d->mem_fd);
    if (d->death_fd >= 0)
        close(d->death_fd);
    free(d);
}

int domain_destroy(struct hv *hv, struct hv_dom *d)
{
    static const uint64_t one = 1;

    if (d->domid == 0)
        return -EINVAL;
    if (d->flags & SIM_DOM_DYING)
        return 0;
    flags_set(d, (d->flags | SIM_DOM_DYING) & ~(uint32_t)SIM_DOM_PAUSED);
    ioserver_destroy_all(hv, d);
    evtchn_close_all(hv, d);
    evtchn_wake_all(hv, d);
    if (write(d->death_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        hv_log("domain %u: its kernel was not told of the end", d->domid);
    evtchn_global_virq(hv, VIRQ_DOM_EXC);
    domain_reap(hv);
    return 0;
}

void domain_reap(struct hv *hv)
{
    struct hv_dom *d, *next;

    for (d = hv->doms; d; d = next) {
        uint64_t grants, others;

        next = d->next;
        if (!(d->flags & SIM_DOM_DYING))
            continue;
        process_count_refs(hv, d->domid, &grants, &others);
        if (grants || others)
            continue;
        domain_free(hv, d);
        evtchn_global_virq(hv, VIRQ_DOM_EXC);
    }
}

void domain_shutdown(struct hv *hv, struct hv_dom *d, uint32_t reason)
{
    if (d->flags & (SIM_DOM_SHUTDOWN | SIM_DOM_DYING))
        return;
    atomic_store(&d->c->shutdown_reason, reason);
    flags_set(d, d->flags | SIM_DOM_SHUTDOWN);
    evtchn_global_virq(hv, VIRQ_DOM_EXC);
}

int domain_pause(struct hv_dom *d)
{
    if (d->flags & SIM_DOM_DYING)
        return -EINVAL;
    d->pauses++;
    flags_set(d, d->flags | SIM_DOM_PAUSED);
    return 0;
}

int domain_unpause(struct hv_dom *d)
{
    if (d->pauses == 0)
        return -EINVAL;
    if (--d->pauses == 0)
        flags_set(d, d->flags & ~(uint32_t)SIM_DOM_PAUSED);
    return 0;
}

/* Once for ever, as XEN_DOMCTL_set_target. */
int domain_set_target(struct hv_dom *d, const struct hv_dom *target)
{
    if (d == target || d->target != DOMID_INVALID)
        return -EINVAL;
    d->target = target->domid;
    atomic_store(&d->c->target, target->domid);
    return 0;
}

void domain_info(struct hv *hv, struct hv_dom *d, struct sim_dom_info *info)
{
    *info = (struct sim_dom_info){
        .domid = d->domid,
        .flags = d->flags,
        .shutdown_reason = atomic_load(&d->c->shutdown_reason),
        .nr_vcpus = d->nr_vcpus,
        .arch = d->arch,
        .privileged = d->privileged,
        .ram_bytes = d->ram_bytes,
        .guest_pid = d->guest ? (uint32_t)d->guest->pid : 0,
        .xenstore_port = (uint32_t)d->c->hvm_params[HVM_PARAM_STORE_EVTCHN],
        .console_port = (uint32_t)d->c->hvm_params[HVM_PARAM_CONSOLE_EVTCHN],
        .xenstore_gfn = d->c->hvm_params[HVM_PARAM_STORE_PFN],
        .console_gfn = d->c->hvm_params[HVM_PARAM_CONSOLE_PFN],
    };
    process_count_refs(hv, d->domid, &info->refs_grants, &info->refs_foreign);
}

/* What a guest may read and write of its own: hvm_allow_{get,set}_param. */
static int param_allowed(const struct hv_dom *self, const struct hv_dom *d, uint64_t index,
                         bool set)
{
    if (self != d && !domain_controls(self, d))
        return -EPERM;
    switch (index) {
    case HVM_PARAM_CALLBACK_IRQ:
    case HVM_PARAM_VM86_TSS:
    case HVM_PARAM_VM86_TSS_SIZED:
    case HVM_PARAM_ACPI_IOPORTS_LOCATION:
    case HVM_PARAM_VM_GENERATION_ID_ADDR:
    case HVM_PARAM_STORE_EVTCHN:
    case HVM_PARAM_CONSOLE_EVTCHN:
    case HVM_PARAM_X87_FIP_WIDTH:
        return 0;
    case HVM_PARAM_STORE_PFN:
    case HVM_PARAM_CONSOLE_PFN:
    case HVM_PARAM_ALTP2M:
        return set && self == d ? -EPERM : 0;
    /* Withdrawn ones, of which the public header has no names any more. */
    case 4:
    case 13:
    case 20:
    case 21:
    case 22:
    case 23:
    case 24:
    case 25:
    case 26:
    case 30:
        return -EINVAL;
    default:
        return self == d ? -EPERM : 0;
    }
}

int domain_param(const struct hv_dom *self, struct hv_dom *d, uint64_t index, bool set,
                 uint64_t *value)
{
    uint64_t *params = d->c->hvm_params;
    int rc;

    if (index >= HVM_NR_PARAMS)
        return -EINVAL;
    rc = param_allowed(self, d, index, set);
    if (rc)
        return rc;
    if (!set) {
        *value = params[index];
        return 0;
    }
    switch (index) {
    /* Only changed once. */
    case HVM_PARAM_IOREQ_SERVER_PFN:
    case HVM_PARAM_NR_IOREQ_SERVER_PAGES:
    case HVM_PARAM_IOREQ_PFN:
    case HVM_PARAM_BUFIOREQ_PFN:
    case HVM_PARAM_VIRIDIAN:
        if (params[index] != 0 && params[index] != *value)
            return -EEXIST;
        break;
    default:
        break;
    }
    params[index] = *value;
    return 0;
}

int domain_guest_attach(struct hv_dom *d, struct hv_proc *p)
{
    if (p->domid != d->domid)
        return -EPERM;
    /*
     * A kernel that crashed or was shut down does not come back: what backends map of it stays as
     * it is, and the toolstack builds another domain.
     */
    if (d->flags & (SIM_DOM_DYING | SIM_DOM_SHUTDOWN))
        return -ESHUTDOWN;
    /* Closed and opened again by the same process, it is a new kernel in the same machine. */
    if (d->guest && d->guest != p)
        return -EBUSY;
    d->guest = p;
    /* What another process was about to send it never will. */
    for (uint32_t v = 0; v < d->nr_vcpus; v++)
        atomic_store(&d->c->vcpus[v].sending, 0);
    return 0;
}

int domain_vcpu_fd(struct hv_dom *d, uint32_t vcpu, int which)
{
    if (vcpu >= d->nr_vcpus)
        return -1;
    if (d->vcpu_fds[vcpu][which] < 0)
        d->vcpu_fds[vcpu][which] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return d->vcpu_fds[vcpu][which];
}
