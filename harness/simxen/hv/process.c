/* SPDX-License-Identifier: MIT */
/*
 * A client process and what it holds. Its track lies in memory that it writes itself: every value
 * read from there is bounded before use, and what it says can harm nobody but the simulation's
 * own figures about that process.
 */
#include "simxen/hv/hv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/sched.h>

#include "util/mutant.h"

uint32_t track_high(const struct sim_track *t)
{
    uint32_t high = atomic_load((_Atomic uint32_t *)(uintptr_t)&t->high);

    return high > SIM_TRACK_ENTRIES ? SIM_TRACK_ENTRIES : high;
}

static uint32_t entry_kind(const struct sim_track_entry *e)
{
    return atomic_load((_Atomic uint32_t *)(uintptr_t)&e->kind);
}

int process_hello(struct hv *hv, struct hv_proc *p, uint16_t domid)
{
    const struct hv_dom *d = domain_find(hv, domid);
    void *va;

    if (p->hello)
        return -EALREADY;
    if (!d || d->flags & SIM_DOM_DYING)
        return -ESRCH;
    p->track_fd = memfd_create("simxen-track", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (p->track_fd < 0)
        return -errno;
    if (ftruncate(p->track_fd, sizeof(*p->track)) ||
        fcntl(p->track_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        return -errno;
    va = mmap(NULL, sizeof(*p->track), PROT_READ | PROT_WRITE, MAP_SHARED, p->track_fd, 0);
    if (va == MAP_FAILED)
        return -errno;
    p->track = va;
    p->track->magic = SIM_LAYOUT_MAGIC;
    p->track->pid = p->pid;
    p->track->domid = domid;
    p->domid = domid;
    p->hello = true;
    return 0;
}

static void notify_unmapped(struct hv *hv, struct hv_proc *p, const struct sim_track_entry *e)
{
    struct hv_dom *self = domain_find(hv, p->domid);
    struct hv_dom *d = domain_find(hv, e->domid);
    uint16_t what = e->notify, offset = e->notify_offset;
    uint64_t frame;

    if (what & SIM_NOTIFY_BYTE && d && offset < SIM_PAGE && !domain_gfn_to_frame(d, e->gfn, &frame))
        d->mem[frame * SIM_PAGE + offset] = 0;
    if (what & SIM_NOTIFY_EVENT && self)
        evtchn_send(hv, self, e->notify_port);
}

static void share_keep(struct hv *hv, struct hv_proc *p, const struct sim_track_entry *e)
{
    struct hv_dom *d = domain_find(hv, p->domid);
    struct hv_share *s = d ? malloc(sizeof(*s)) : NULL;

    if (!s)
        return;
    s->ref = e->ref;
    s->gfn = e->gfn;
    if (gnttab_end_share(d, s)) {
        free(s);
        return;
    }
    s->next = d->shares;
    d->shares = s;
    hv_tick_later(hv);
}

/* What does not need a lock: at once, in the order in which a kernel closes files. */
static void release_at_once(struct hv *hv, struct hv_proc *p)
{
    uint32_t i, high = p->track ? track_high(p->track) : 0;
    struct hv_handle *h, *next;
    struct hv_dom *d;

    for (i = 0; i < high; i++) {
        const struct sim_track_entry *e = &p->track->entries[i];
        uint32_t kind = entry_kind(e);

        if ((kind == SIM_TRACK_GRANT || kind == SIM_TRACK_SHARE) && e->notify)
            notify_unmapped(hv, p, e);
        if (kind == SIM_TRACK_SHARE)
            share_keep(hv, p, e);
    }
    for (h = hv->handles; h; h = next) {
        next = h->next;
        if (h->proc == p)
            evtchn_close_handle(hv, h);
    }
    for (d = hv->doms; d; d = d->next) {
        if (d->guest != p)
            continue;
        d->guest = NULL;
        if (d->domid) /* a driver in dom0 is a process beside others, and not its kernel */
            domain_shutdown(hv, d, SHUTDOWN_crash);
    }
}

/*
 * Its pins: the tables that its track names are made right without it. Entries are struck out as
 * their table is done; false when one is locked by somebody else now.
 */
static bool release_pins(struct hv *hv, struct hv_proc *p)
{
    uint32_t i, j, high = p->track ? track_high(p->track) : 0, given = 0;
    struct hv_dom *self = domain_find(hv, p->domid);
    bool done = true;

    if (MUTANT(sim_dead_process_keeps_its_grants))
        return true;
    for (i = 0; i < high; i++) {
        struct sim_track_entry *e = &p->track->entries[i];
        uint16_t domid = e->domid;
        struct hv_dom *d;

        if (entry_kind(e) != SIM_TRACK_GRANT)
            continue;
        d = domain_find(hv, domid);
        if (d && gnttab_try_rebuild(hv, d)) {
            done = false;
            break;
        }
        for (j = i; j < high; j++) {
            struct sim_track_entry *f = &p->track->entries[j];

            if (entry_kind(f) != SIM_TRACK_GRANT || f->domid != domid)
                continue;
            atomic_store(&f->kind, SIM_TRACK_FREE);
            given++;
        }
    }
    if (self && given) {
        uint32_t have = atomic_load(&self->c->maptrack_used);

        while (!atomic_compare_exchange_weak(&self->c->maptrack_used, &have,
                                             have > given ? have - given : 0))
            ;
    }
    return done;
}

void process_free(struct hv *hv, struct hv_proc *p)
{
    struct hv_proc **at;
    struct hv_handle *h, *next;

    for (h = hv->handles; h; h = next) {
        next = h->next;
        if (h->proc == p)
            evtchn_close_handle(hv, h);
    }
    for (at = &hv->procs; *at && *at != p; at = &(*at)->next)
        ;
    if (*at)
        *at = p->next;
    if (p->fd >= 0) {
        evloop_del(hv->loop, &p->fd_watch);
        close(p->fd);
    }
    if (p->pidfd >= 0) {
        evloop_del(hv->loop, &p->pid_watch);
        close(p->pidfd);
    }
    if (p->track)
        munmap(p->track, sizeof(*p->track));
    if (p->track_fd >= 0 && !(MUTANT(sim_dead_process_keeps_a_descriptor) && p->dead))
        close(p->track_fd);
    free(p);
}

/* Of a process that died, as a mutant has it. */
static bool stays(void)
{
    return MUTANT(sim_dead_process_is_counted) || MUTANT(sim_dead_process_keeps_its_frames);
}

bool process_release_pending(struct hv *hv)
{
    struct hv_proc *p, *next;
    bool left = false;

    for (p = hv->procs; p; p = next) {
        next = p->next;
        if (!p->dead)
            continue;
        if (!release_pins(hv, p))
            left = true;
        else if (!stays())
            process_free(hv, p);
    }
    return left;
}

void process_died(struct hv *hv, struct hv_proc *p)
{
    if (p->dead)
        return;
    p->dead = true;
    if (p->fd >= 0) {
        evloop_del(hv->loop, &p->fd_watch);
        close(p->fd);
        p->fd = -1;
    }
    if (p->pidfd >= 0) {
        evloop_del(hv->loop, &p->pid_watch);
        close(p->pidfd);
        p->pidfd = -1;
    }
    release_at_once(hv, p);
    if (process_release_pending(hv))
        hv_tick_later(hv);
    domain_reap(hv);
}

void process_count_refs(struct hv *hv, uint16_t domid, uint64_t *grants, uint64_t *others)
{
    struct hv_proc *p;
    uint32_t i;

    *grants = *others = 0;
    for (p = hv->procs; p; p = p->next) {
        uint32_t high = p->track && p->domid != domid ? track_high(p->track) : 0;

        for (i = 0; i < high; i++) {
            const struct sim_track_entry *e = &p->track->entries[i];

            if (e->domid != domid)
                continue;
            switch (entry_kind(e)) {
            case SIM_TRACK_GRANT:
                ++*grants;
                break;
            case SIM_TRACK_FOREIGN:
            case SIM_TRACK_RESOURCE:
                /* A dead process's mappings went with it; only its pins take a lock. */
                if (!p->dead)
                    *others += e->nr;
                break;
            default:
                break;
            }
        }
    }
}

static void audit_track(const struct sim_track *t, struct sim_audit *a)
{
    uint32_t i, high = track_high(t);

    for (i = 0; i < high; i++) {
        const struct sim_track_entry *e = &t->entries[i];

        switch (entry_kind(e)) {
        case SIM_TRACK_GRANT:
            a->grants_mapped++;
            break;
        case SIM_TRACK_FOREIGN:
            a->foreign_frames += e->nr;
            break;
        case SIM_TRACK_RESOURCE:
            a->resource_frames += e->nr;
            break;
        case SIM_TRACK_SHARE:
            a->pages_shared++;
            break;
        default:
            break;
        }
    }
}

void process_audit(struct hv *hv, pid_t pid, struct sim_audit *a)
{
    const struct hv_handle *h;
    const struct hv_proc *p;
    struct hv_dom *d;
    uint32_t i;

    memset(a, 0, sizeof(*a));
    for (p = hv->procs; p; p = p->next) {
        if (!p->hello || (p->dead && !stays()) || (pid && p->pid != pid))
            continue;
        a->processes += !p->dead || MUTANT(sim_dead_process_is_counted);
        if (!p->dead || MUTANT(sim_dead_process_keeps_its_frames))
            audit_track(p->track, a);
    }
    for (h = hv->handles; h; h = h->next) {
        if (pid && h->proc->pid != pid)
            continue;
        a->handles++;
        d = domain_find(hv, h->proc->domid);
        for (i = 1; d && i < SIM_PORTS_MAX; i++)
            if (d->ports[i].state != SIM_PORT_FREE && !d->ports[i].xen_consumer &&
                d->ports[i].handle == h->id)
                a->ports++;
    }
    for (d = hv->doms; d; d = d->next)
        for (i = 0; i < SIM_IOSERVERS_MAX; i++)
            if (d->servers[i].used && (!pid || d->servers[i].creator == pid))
                a->ioservers++;
}
