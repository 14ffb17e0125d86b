/* SPDX-License-Identifier: MIT */
/*
 * A trapped access, as Xen 4.17 carries it out.
 *
 * An access is split at page boundaries, and each part into powers of two
 * (hvmemul_phys_mmio_access); within a page 1, 2, 4 and 8 bytes go as one request, aligned or not.
 * On Arm an unaligned access to device memory faults before it reaches Xen.
 *
 * A part goes to the first taker: RAM; an ECAM bridge in the hypervisor, which asks the owner of
 * the function that the address names; the IOREQ server, newest id first, that is enabled and has
 * the whole part in its ranges; a background region; nobody.
 */
#define __XEN_TOOLS__ 1 /* HVM_IOREQSRV_* */
#include "simxen/guest/guest.h"
#include "util/mutant.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xen/hvm/hvm_op.h>
#include <xen/sched.h>

/* Reads of x86's legacy VGA window are answered by Xen's device model, writes go through the
 * buffered ring of the server that claims them: the one kind of MMIO that does. */
#define VGA_BASE  0xa0000u
#define VGA_BYTES 0x20000u

#define ALL_ONES UINT64_MAX

#define STOP_LOOK_NS 200000

_Static_assert(sizeof(ioreq_t) == 32, "one slot");
/* state is bits 3-0, data_is_ptr 4, dir 5, df 6 of the byte before `type`. */
#define SLOT_STATE offsetof(ioreq_t, type) - 1
#define STATE_MASK 0x0fu
#define STATE_DIR  0x20u

/* What the vCPU has to know of a server while its request is there. */
struct server {
    unsigned id;
    uint32_t gen;
    uint8_t bufioreq;
    uint64_t sync_frame, buf_frame;
    uint32_t port, buf_port;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t mask_of(unsigned bytes)
{
    return bytes >= 8 ? ALL_ONES : (1ull << 8 * bytes) - 1;
}

/* ---- routing ---- */

/* Whether the ranges cover first to last; neighbouring ranges count as one. */
static bool covered(const struct sim_ioserver *s, enum sim_range_type type, uint64_t first,
                    uint64_t last)
{
    uint32_t nr = s->nr_ranges[type];
    bool moved = true;

    if (nr > SIM_IORANGES_MAX)
        return false;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < nr; i++) {
            const struct sim_range *r = &s->ranges[type][i];

            if (first < r->start || first > r->end)
                continue;
            if (last <= r->end || MUTANT(sim_mmio_first_byte_decides))
                return true;
            first = r->end + 1;
            moved = true;
        }
    }
    return false;
}

static void snapshot(const struct sim_ioserver *s, unsigned id, unsigned vcpu, struct server *out)
{
    *out = (struct server){.id = id,
                           .gen = s->gen,
                           .bufioreq = s->bufioreq,
                           .sync_frame = s->sync_frame,
                           .buf_frame = s->buf_frame,
                           .port = s->vcpu_port[vcpu],
                           .buf_port = s->bufioreq_port};
}

static uint32_t seq_begin(struct guest *g)
{
    uint32_t seq;

    while ((seq = atomic_load_explicit(&g->dom->dom->ioserver_seq, memory_order_acquire)) & 1) {
        if (guest_over(g))
            break;
        sched_yield();
    }
    return seq;
}

static bool seq_retry(struct guest *g, uint32_t seq)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&g->dom->dom->ioserver_seq, memory_order_relaxed) != seq;
}

static void sending(struct guest *g, unsigned vcpu, bool is)
{
    atomic_store(&g->dom->dom->vcpus[vcpu].sending, is);
}

/* True: the vCPU is sending until its request is in the slot. */
static bool server_select(struct guest *g, unsigned vcpu, enum sim_range_type type, uint64_t first,
                          uint64_t last, struct server *out)
{
    const struct sim_dom *d = g->dom->dom;
    uint32_t seq;
    bool found;

    sending(g, vcpu, true);
    do {
        seq = seq_begin(g);
        found = false;
        for (unsigned n = SIM_IOSERVERS_MAX; n-- > 0 && !found;) {
            unsigned id = MUTANT(sim_mmio_lowest_id_wins) ? SIM_IOSERVERS_MAX - 1 - n : n;
            const struct sim_ioserver *s = &d->ioservers[id];

            if (s->gen && (s->enabled || MUTANT(sim_mmio_disabled_server_is_asked)) &&
                covered(s, type, first, last)) {
                snapshot(s, id, vcpu, out);
                found = true;
            }
        }
    } while (seq_retry(g, seq));
    /* A frame outside the memory file would be hv's mistake, and our crash. */
    found = found && (out->sync_frame + 1) * SIM_PAGE <= d->memfile_bytes &&
            (out->buf_frame + 1) * SIM_PAGE <= d->memfile_bytes;
    if (!found)
        sending(g, vcpu, false);
    return found;
}

/* ---- the synchronous request ---- */

static _Atomic uint8_t *slot_state(ioreq_t *slot)
{
    return (_Atomic uint8_t *)((char *)slot + SLOT_STATE);
}

static bool server_gone(const struct guest *g, const struct server *s)
{
    return __atomic_load_n(&g->dom->dom->ioservers[s->id].gen, __ATOMIC_ACQUIRE) != s->gen;
}

/* A server younger than the one that was lost. Numbers only grow, with wrap-around. */
static bool server_after(struct guest *g, uint32_t gen)
{
    for (unsigned id = 0; id < SIM_IOSERVERS_MAX; id++) {
        uint32_t other = __atomic_load_n(&g->dom->dom->ioservers[id].gen, __ATOMIC_ACQUIRE);

        if (other && (int32_t)(other - gen) > 0)
            return true;
    }
    return false;
}

static bool take_tokens(int fd)
{
    uint64_t n;

    return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

/* The device model broke the protocol: Xen crashes the domain. */
static int domain_crash(struct guest *g)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_SHUTDOWN, .a = {g->dom->domid, SHUTDOWN_crash}};

    sim_call(&msg, NULL, NULL);
    return -ESHUTDOWN;
}

enum progress { WAITING, ANSWERED, BROKEN };

/* One look at the slot, in the order of Xen's wait_for_io. */
static enum progress slot_look(ioreq_t *slot, unsigned *seen, uint64_t *data)
{
    unsigned state = atomic_load_explicit(slot_state(slot), memory_order_acquire) & STATE_MASK;

    switch (state) {
    case STATE_IOREQ_NONE:
        /* An emulator that ends may clear its page. */
        *data = ALL_ONES;
        return ANSWERED;
    case STATE_IORESP_READY:
        *data = *(volatile uint64_t *)&slot->data;
        if (!MUTANT(sim_mmio_slot_keeps_its_state))
            atomic_store_explicit(slot_state(slot), STATE_IOREQ_NONE, memory_order_release);
        return ANSWERED;
    case STATE_IOREQ_READY:
    case STATE_IOREQ_INPROCESS:
        if (state < *seen)
            return BROKEN;
        *seen = state;
        return WAITING;
    default:
        return BROKEN;
    }
}

/* Sleep until an event of the vCPU, the end of the domain, or `until`. True: an event. */
static bool sleep_for_event(struct guest *g, const struct guest_vcpu *v, uint64_t until)
{
    struct pollfd fds[] = {{.fd = v->io_fd, .events = POLLIN},
                           {.fd = g->death_fd, .events = POLLIN},
                           {.fd = sim_session_fd(), .events = 0}};
    uint64_t now = guest_now_ns();
    uint64_t ns = until > now ? until - now : 0;
    struct timespec ts;

    if (ns > GUEST_LOOK_NS)
        ns = GUEST_LOOK_NS;
    ts = (struct timespec){.tv_nsec = (long)ns};
    return ppoll(fds, 3, &ts, NULL) > 0 && (fds[0].revents & POLLIN) && take_tokens(v->io_fd);
}

static int wait_for_io(struct guest *g, unsigned vcpu, const struct server *s, ioreq_t *slot,
                       uint64_t *data)
{
    struct guest_vcpu *v = &g->vcpus[vcpu];
    uint64_t start = guest_now_ns(), deadline = guest_deadline(g->timeout_ns);
    unsigned seen = STATE_IOREQ_READY;
    bool event = false;

    for (unsigned spins = 0;; spins++) {
        uint64_t now;

        switch (slot_look(slot, &seen, data)) {
        case ANSWERED:
            if (MUTANT(sim_mmio_disabled_server_answers_ones) &&
                !g->dom->dom->ioservers[s->id].enabled)
                *data = ALL_ONES;
            return 0;
        case BROKEN:
            return domain_crash(g);
        case WAITING:
            break;
        }
        /*
         * Destroyed with the request pending: Xen has forgotten the request, but the vCPU still
         * waits for its event. The first one of a later server sets it going, and the instruction
         * completes with the data that it was sent with: nothing, for a read.
         */
        if (event && server_gone(g, s) && server_after(g, s->gen)) {
            *data = MUTANT(sim_mmio_freed_vcpu_reads_ones) ? ALL_ONES : 0;
            return 0;
        }
        event = false;
        if (spins % 64 != 0) {
            relax();
            continue;
        }
        now = guest_now_ns();
        if (now - start < g->spin_ns) {
            relax();
            continue;
        }
        if (guest_over(g))
            return -ESHUTDOWN;
        if (now >= deadline) {
            if (!(atomic_load(&g->dom->dom->flags) & SIM_DOM_PAUSED)) {
                v->hung = true;
                atomic_store(&g->dom->dom->vcpus[vcpu].hung, 1);
                return -ETIMEDOUT;
            }
            /* A paused guest has all the time of the world. */
            deadline = guest_deadline(g->timeout_ns);
        }
        event = sleep_for_event(g, v, deadline);
        spins = UINT32_MAX; /* look at once, then here again */
    }
}

static int send_and_wait(struct guest *g, unsigned vcpu, const struct server *s, uint8_t type,
                         uint64_t addr, unsigned bytes, bool write, uint64_t *value)
{
    ioreq_t *slot = (ioreq_t *)(void *)(g->memory + s->sync_frame * SIM_PAGE) + vcpu;
    uint8_t dir = write ? 0 : STATE_DIR;
    uint64_t data = 0;
    int rc;

    /* Where the device model wrote nonsense into an idle slot, Xen cannot send, and the
     * instruction has no result. */
    if ((atomic_load_explicit(slot_state(slot), memory_order_acquire) & STATE_MASK) !=
            STATE_IOREQ_NONE ||
        *(volatile uint32_t *)&slot->vp_eport != s->port) {
        sending(g, vcpu, false);
        return -EFAULT;
    }
    take_tokens(g->vcpus[vcpu].io_fd);
    slot->addr = addr;
    if (MUTANT(sim_mmio_address_lands_in_slot_0))
        (slot - vcpu)->addr = addr;
    slot->data = write && !MUTANT(sim_mmio_write_carries_no_data) ? *value : 0;
    slot->count = 1;
    slot->size = MUTANT(sim_mmio_size_is_always_8) && !write ? 8 : bytes;
    slot->vp_eport = s->port;
    slot->type = type;
    atomic_store_explicit(slot_state(slot), (uint8_t)(STATE_IOREQ_READY | dir),
                          memory_order_release);
    sending(g, vcpu, false);
    rc = sim_evtchn_send(s->port);
    if (rc == -ECONNREFUSED)
        return -ESHUTDOWN;
    rc = wait_for_io(g, vcpu, s, slot, &data);
    /* Xen on Arm writes the answer into the register as it is (handle_ioserv). */
    if (rc == 0 && !write)
        *value = g->platform.arm ? data : data & mask_of(bytes);
    return rc;
}

/* ---- the buffered ring ---- */

/* True when the write is on its way; otherwise it takes the synchronous way. */
static bool send_buffered(struct guest *g, const struct server *s, uint8_t type, uint64_t addr,
                          unsigned bytes, uint64_t value)
{
    buffered_iopage_t *page;
    _Atomic uint64_t *pointers;
    buf_ioreq_t slot = {.type = type, .dir = IOREQ_WRITE, .addr = addr & 0xfffff};
    uint32_t read, write;
    unsigned extra = bytes == 8;

    if (s->bufioreq == HVM_IOREQSRV_BUFIOREQ_OFF || !s->buf_frame || addr > 0xfffff)
        return false;
    page = (buffered_iopage_t *)(void *)(g->memory + s->buf_frame * SIM_PAGE);
    pointers = (_Atomic uint64_t *)(void *)&page->read_pointer;
    slot.size = bytes == 8 ? 3 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0;
    slot.data = (uint32_t)value;

    pthread_mutex_lock(&g->buffered_lock);
    read = (uint32_t)atomic_load(pointers);
    write = (uint32_t)(atomic_load(pointers) >> 32);
    if (write - read >= IOREQ_BUFFER_SLOT_NUM - extra) {
        pthread_mutex_unlock(&g->buffered_lock);
        return false;
    }
    page->buf_ioreq[write % IOREQ_BUFFER_SLOT_NUM] = slot;
    if (extra) {
        slot.data = (uint32_t)(value >> 32);
        page->buf_ioreq[(write + 1) % IOREQ_BUFFER_SLOT_NUM] = slot;
    }
    atomic_fetch_add((_Atomic uint32_t *)(void *)&page->write_pointer, 1 + extra);
    /* In this mode the reader moves its pointer by compare-and-exchange, so both can be kept small.
     */
    for (unsigned i = 0; s->bufioreq == HVM_IOREQSRV_BUFIOREQ_ATOMIC && i < IOREQ_BUFFER_SLOT_NUM;
         i++) {
        uint64_t old = atomic_load(pointers);
        uint32_t n = (uint32_t)old / IOREQ_BUFFER_SLOT_NUM * IOREQ_BUFFER_SLOT_NUM;
        uint64_t new = (uint64_t)((uint32_t)(old >> 32) - n) << 32 | ((uint32_t)old - n);

        if (n == 0 || atomic_compare_exchange_strong(pointers, &old, new))
            break;
    }
    sim_evtchn_send(s->buf_port);
    pthread_mutex_unlock(&g->buffered_lock);
    return true;
}

/* ---- one part of an access ---- */

static bool within(uint64_t addr, unsigned bytes, uint64_t base, uint64_t size)
{
    return size && addr >= base && addr - base < size && bytes <= size - (addr - base);
}

static int unclaimed(const struct sim_dom *d, uint64_t addr, unsigned bytes, bool write,
                     uint64_t *value)
{
    for (unsigned i = 0; i < sizeof(d->background) / sizeof(d->background[0]); i++) {
        const struct sim_background *b = &d->background[i];

        if (!within(addr, bytes, b->base, b->bytes))
            continue;
        if (!write)
            *value = b->value & mask_of(bytes);
        return 0;
    }
    if (d->unclaimed == SIM_UNCLAIMED_ABORT)
        return -EFAULT;
    if (!write)
        *value = MUTANT(sim_mmio_unclaimed_reads_zero) ? 0 : mask_of(bytes);
    return 0;
}

static int config_access(struct guest *g, unsigned vcpu, uint32_t sbdf, unsigned reg,
                         unsigned bytes, bool write, uint64_t *value)
{
    struct server s;
    uint64_t addr = (uint64_t)sbdf << 32 | reg;
    uint64_t low, high;
    int rc;

    if (bytes == 8) {
        low = *value & UINT32_MAX;
        high = *value >> 32;
        rc = config_access(g, vcpu, sbdf, reg, 4, write, &low);
        if (rc == 0)
            rc = config_access(g, vcpu, sbdf, reg + 4, 4, write, &high);
        if (rc == 0)
            *value = high << 32 | low;
        return rc;
    }
    /* Configuration space has no unaligned cycles, and no aborts: nobody there reads as ones. */
    if (reg & (bytes - 1) || !server_select(g, vcpu, SIM_RANGE_PCI, sbdf, sbdf, &s)) {
        if (!write)
            *value = mask_of(bytes);
        return 0;
    }
    return send_and_wait(g, vcpu, &s, IOREQ_TYPE_PCI_CONFIG, addr, bytes, write, value);
}

static int mmio_part(struct guest *g, unsigned vcpu, uint64_t addr, unsigned bytes, bool write,
                     uint64_t *value)
{
    const struct sim_dom *d = g->dom->dom;
    bool vga = d->arch == SIM_ARCH_X86 && within(addr, bytes, VGA_BASE, VGA_BYTES);
    struct server s;
    uint64_t frame;

    if (!vga &&
        sim_gfn_to_frame(d, addr / SIM_PAGE,
                         1u << SIM_REGION_RAM | 1u << SIM_REGION_SPECIAL | 1u << SIM_REGION_GNTTAB,
                         &frame) == 0) {
        char *at = g->memory + frame * SIM_PAGE + addr % SIM_PAGE;

        if (write) {
            memcpy(at, value, bytes);
        } else {
            *value = 0;
            memcpy(value, at, bytes);
        }
        return 0;
    }
    for (unsigned i = 0; i < sizeof(d->ecam) / sizeof(d->ecam[0]); i++) {
        uint64_t offset = addr - d->ecam[i].base;
        uint32_t rid = (d->ecam[i].bus_first << 8) + (uint32_t)(offset >> 12);

        if (within(addr, bytes, d->ecam[i].base, d->ecam[i].bytes))
            return config_access(g, vcpu, d->ecam[i].segment << 16 | (rid & 0xffff), offset & 0xfff,
                                 bytes, write, value);
    }
    if (!server_select(g, vcpu, SIM_RANGE_MMIO, addr, addr + bytes - 1, &s))
        return unclaimed(d, addr, bytes, write, value);
    if (vga && write && send_buffered(g, &s, IOREQ_TYPE_COPY, addr, bytes, *value)) {
        sending(g, vcpu, false);
        return 0;
    }
    return send_and_wait(g, vcpu, &s, IOREQ_TYPE_COPY, addr, bytes, write, value);
}

/* x86 ports. Configuration mechanism 1 becomes PCI_CONFIG requests, as Xen decodes it. */
static int pio_part(struct guest *g, unsigned vcpu, uint64_t port, unsigned bytes, bool write,
                    uint64_t *value)
{
    struct guest_vcpu *v = &g->vcpus[vcpu];
    struct server s;

    if (port == 0xcf8 && bytes == 4 && write)
        v->cf8 = (uint32_t)*value;
    if ((port & ~3ull) == 0xcfc && v->cf8 & 0x80000000u) {
        uint32_t sbdf = v->cf8 >> 8 & 0xffff;
        unsigned reg = (v->cf8 & 0xfc) | (port & 3);

        if (server_select(g, vcpu, SIM_RANGE_PCI, sbdf, sbdf, &s))
            return send_and_wait(g, vcpu, &s, IOREQ_TYPE_PCI_CONFIG, (uint64_t)sbdf << 32 | reg,
                                 bytes, write, value);
    } else if (server_select(g, vcpu, SIM_RANGE_PORT, port, port + bytes - 1, &s)) {
        return send_and_wait(g, vcpu, &s, IOREQ_TYPE_PIO, port, bytes, write, value);
    }
    if (!write)
        *value = mask_of(bytes);
    return 0;
}

/* The request that tells device models to forget cached mappings: Xen sends it to all of them,
 * and the vCPU waits for each, when the guest has given pages away. */
static int invalidate_mapcaches(struct guest *g, unsigned vcpu)
{
    const struct sim_dom *d = g->dom->dom;

    for (unsigned id = SIM_IOSERVERS_MAX; id-- > 0;) {
        uint64_t all = ALL_ONES;
        struct server s = {0};
        uint32_t seq;
        int rc;

        sending(g, vcpu, true);
        do {
            seq = seq_begin(g);
            s.gen = 0;
            if (d->ioservers[id].enabled)
                snapshot(&d->ioservers[id], id, vcpu, &s);
        } while (seq_retry(g, seq));
        if (s.gen == 0) {
            sending(g, vcpu, false);
            continue;
        }
        rc = send_and_wait(g, vcpu, &s, IOREQ_TYPE_INVALIDATE, 0, 4, true, &all);
        if (rc && rc != -EFAULT)
            return rc;
    }
    return 0;
}

/* Until whoever armed it lets the guest go on. */
static void stop_here(struct guest *g, uint64_t addr)
{
    struct sim_dom *d = g->dom->dom;
    uint32_t armed = SIM_STOP_ARMED;

    if (atomic_load_explicit(&d->stop.state, memory_order_acquire) != SIM_STOP_ARMED ||
        addr < d->stop.first || addr > d->stop.last ||
        !atomic_compare_exchange_strong(&d->stop.state, &armed, SIM_STOP_HIT))
        return;
    while (atomic_load(&d->stop.state) == SIM_STOP_HIT && !guest_over(g)) {
        const struct timespec t = {.tv_nsec = STOP_LOOK_NS};

        nanosleep(&t, NULL);
    }
}

int guest_access(struct guest *g, unsigned vcpu, enum guest_space space, uint64_t addr,
                 unsigned bytes, bool write, uint64_t *value)
{
    uint64_t result = 0;
    int rc;

    if (vcpu >= g->platform.nr_vcpus || bytes == 0 || bytes > 8 || (bytes & (bytes - 1)) ||
        addr > UINT64_MAX - bytes || (space == GUEST_PIO && (bytes > 4 || addr + bytes > 0x10000)))
        return -EINVAL;
    if (space == GUEST_PIO && g->platform.arm)
        return -EOPNOTSUPP;
    if (g->vcpus[vcpu].hung)
        return -ETIMEDOUT;
    rc = guest_running(g);
    if (rc)
        return rc;
    atomic_fetch_add_explicit(&g->dom->dom->stats.mmio, 1, memory_order_relaxed);
    if (g->platform.arm && addr & (bytes - 1))
        return -EFAULT;
    if (g->invalidate && !g->vcpus[vcpu].invalidated) {
        g->vcpus[vcpu].invalidated = true;
        rc = invalidate_mapcaches(g, vcpu);
        if (rc)
            return rc;
    }
    if (!write && space != GUEST_PIO)
        stop_here(g, addr);
    for (unsigned done = 0, part; done < bytes; done += part) {
        uint64_t to_end = SIM_PAGE - (addr + done) % SIM_PAGE;
        uint64_t v = *value >> 8 * done;

        part = bytes - done;
        if (part > to_end)
            part = (unsigned)to_end;
        while (part & (part - 1))
            part &= part - 1;
        /* What lies beyond the width does not reach the device model. On Arm, where an access is
         * never split, Xen hands over the register. */
        if (!g->platform.arm)
            v &= mask_of(part);
        rc = space == GUEST_PIO ? pio_part(g, vcpu, addr + done, part, write, &v)
                                : mmio_part(g, vcpu, addr + done, part, write, &v);
        if (rc)
            return rc;
        result |= (g->platform.arm ? v : v & mask_of(part)) << 8 * done;
    }
    /* The answer may have come while the domain was paused. */
    rc = guest_running(g);
    if (rc == 0 && !write)
        *value = result;
    return rc;
}
