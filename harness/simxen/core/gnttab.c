/* SPDX-License-Identifier: MIT */
#include "simxen/core/gnttab.h"
#include "util/mutant.h"

#include <errno.h>
#include <stddef.h>

_Static_assert(sizeof(grant_entry_v1_t) == 8, "grant table version 1");
_Static_assert(offsetof(grant_entry_v1_t, flags) == 0 && offsetof(grant_entry_v1_t, domid) == 2,
               "flags and domid are one word");

/* Each of Xen's pin counters has 8 bits, and its top bit set refuses the next one. */
#define PIN_MAX 128u

/* As many times as Xen retries when the guest changes an entry meanwhile. */
#define RETRIES 4

/* References taken under one hold of the lock. */
#define BATCH 64u

int sim_gnt_table(const struct sim_dom_ref *d, grant_entry_v1_t **table)
{
    void *base;
    int rc = sim_dom_memory(d, &base);

    if (rc)
        return rc;
    *table = (grant_entry_v1_t *)((char *)base + d->dom->gnt_frame0 * SIM_PAGE);
    return 0;
}

static bool pinned(const struct sim_active *act)
{
    return act->pin_ro || act->pin_rw;
}

/* How many mappings of one kind fit. On x86 dom0 is a PV domain, whose gntdev maps each reference
 * twice: for the kernel and for the process (drivers/xen/gntdev.c, use_ptemod). */
static uint32_t pin_limit(const struct sim_dom *owner, uint16_t by)
{
    if (MUTANT(sim_grant_pins_without_end))
        return UINT16_MAX;
    return owner->arch == SIM_ARCH_X86 && by == 0 ? PIN_MAX / 2 : PIN_MAX;
}

static bool dying(const struct sim_dom *d)
{
    return atomic_load_explicit(&d->flags, memory_order_acquire) & SIM_DOM_DYING;
}

/* Check what the guest granted and set the in-use bits, in one compare-and-exchange. */
static int set_status(grant_entry_v1_t *entry, const struct sim_active *act, uint16_t by,
                      bool readonly, enum sim_gnt_use use)
{
    _Atomic uint32_t *word = sim_gnt_word(entry);
    uint16_t mask = GTF_type_mask | (use == SIM_GNT_MAP ? GTF_sub_page : 0);
    uint32_t seen = atomic_load(word);

    for (unsigned tries = 0;; tries++) {
        uint16_t flags = (uint16_t)seen;
        uint32_t want = MUTANT(sim_grant_sets_no_in_use_bits) ? seen : seen | GTF_reading;

        if (!pinned(act) && (flags & mask) != GTF_permit_access &&
            !(MUTANT(sim_grant_needs_no_permission) && !(flags & mask)))
            return GNTST_general_error;
        const struct sim_dom_ref *granted_to;

        if (!pinned(act) && seen >> 16 != by && !MUTANT(sim_grant_is_for_any_domain) &&
            !(MUTANT(sim_grant_for_nobody_is_anybodys) &&
              sim_dom_get((uint16_t)(seen >> 16), &granted_to)))
            return GNTST_general_error;
        if (readonly && MUTANT(sim_grant_readonly_pin_sets_writing))
            want |= GTF_writing;
        if (!readonly) {
            if (flags & GTF_readonly && !MUTANT(sim_grant_readonly_is_ignored))
                return GNTST_general_error;
            want |= MUTANT(sim_grant_sets_no_in_use_bits) ? 0 : GTF_writing;
        }
        if (atomic_compare_exchange_strong(word, &seen, want))
            return GNTST_okay;
        if (tries == RETRIES)
            return GNTST_general_error;
    }
}

/* Take back the bits that no remaining pin needs. */
static void reduce_status(grant_entry_v1_t *entry, const struct sim_active *act)
{
    uint32_t clear = 0;

    if (!pinned(act) || MUTANT(sim_grant_first_unmap_clears_bits))
        clear |= GTF_reading | (MUTANT(sim_grant_first_unmap_clears_bits) ? GTF_writing : 0);
    if (!act->pin_rw && !(MUTANT(sim_grant_writing_stays_to_the_end) && pinned(act)))
        clear |= GTF_writing;
    if (clear)
        atomic_fetch_and(sim_gnt_word(entry), ~clear);
}

/*
 * The track's entry and the domain's count of them go together as closely as two words can: hv
 * subtracts what it finds in the track of a process that died.
 */
static int take(struct sim_dom *ld, enum sim_gnt_use use, const struct sim_track_entry *e,
                uint32_t *track)
{
    uint32_t used = atomic_fetch_add(&ld->maptrack_used, 1);

    if ((use == SIM_GNT_COPY || used < ld->maptrack_max) &&
        sim_track_take(SIM_TRACK_GRANT, e, track) == 0)
        return GNTST_okay;
    atomic_fetch_sub(&ld->maptrack_used, 1);
    return GNTST_no_space;
}

/* Under gnt_lock. */
static int pin_one(const struct sim_dom_ref *rd, struct sim_dom *ld, grant_entry_v1_t *table,
                   uint32_t ref, bool readonly, enum sim_gnt_use use, struct sim_gnt_pin *pin)
{
    struct sim_dom *d = rd->dom;
    uint16_t by = ld->domid;
    struct sim_active *act;
    struct sim_track_entry e = {
        .domid = rd->domid,
        .flags = readonly ? 0 : SIM_GNT_WRITABLE,
        .ref = ref,
        .nr = 1,
    };
    int status;

    if (MUTANT(sim_grant_beyond_table_is_ref_1) && ref >= SIM_GREFS_MAX)
        e.ref = ref = GNTTAB_RESERVED_XENSTORE;
    if (ref < GNTTAB_NR_RESERVED_ENTRIES && MUTANT(sim_grant_reserved_are_all_refused))
        return GNTST_general_error;
    if (ref >= d->gnt_frames * SIM_GREFS_PER_FRAME || ref >= SIM_GREFS_MAX)
        return GNTST_bad_gntref;
    act = &d->active[ref];
    if (pinned(act) &&
        (act->domid != by || (readonly ? act->pin_ro : act->pin_rw) >= pin_limit(d, by)))
        return GNTST_general_error;
    if (dying(d))
        return pinned(act) && use == SIM_GNT_COPY ? GNTST_bad_domain : GNTST_bad_page;
    if (!pinned(act) || (!readonly && !act->pin_rw)) {
        status = set_status(&table[ref], act, by, readonly, use);
        if (status != GNTST_okay)
            return status;
    }
    if (!pinned(act)) {
        uint64_t gfn = *(volatile uint32_t *)&table[ref].frame;

        if (sim_gfn_to_frame(
                d, gfn, 1u << SIM_REGION_RAM | 1u << SIM_REGION_SPECIAL | 1u << SIM_REGION_GNTTAB,
                &pin->frame)) {
            reduce_status(&table[ref], act);
            return GNTST_bad_page;
        }
        act->domid = by;
        act->gfn = gfn;
    } else if (sim_gfn_to_frame(d, act->gfn,
                                1u << SIM_REGION_RAM | 1u << SIM_REGION_SPECIAL |
                                    1u << SIM_REGION_GNTTAB,
                                &pin->frame)) {
        return GNTST_bad_page;
    }
    if (readonly)
        act->pin_ro++;
    else
        act->pin_rw++;
    e.gfn = act->gfn;
    if (take(ld, use, &e, &pin->track) != GNTST_okay) {
        if (readonly)
            act->pin_ro--;
        else
            act->pin_rw--;
        reduce_status(&table[ref], act);
        return GNTST_no_space;
    }
    return GNTST_okay;
}

/* Under gnt_lock. */
static void unpin_one(const struct sim_dom_ref *rd, struct sim_dom *ld, grant_entry_v1_t *table,
                      uint32_t track)
{
    const struct sim_track_entry *e = &sim_self_track()->entries[track];
    struct sim_active *act = &rd->dom->active[e->ref];

    if (e->flags & SIM_GNT_WRITABLE)
        act->pin_rw--;
    else
        act->pin_ro--;
    reduce_status(&table[e->ref], act);
    sim_track_drop(track);
    atomic_fetch_sub(&ld->maptrack_used, 1);
}

int sim_gnt_pin(const struct sim_dom_ref *rd, unsigned n, const uint32_t *refs, bool readonly,
                enum sim_gnt_use use, struct sim_gnt_pin *pins)
{
    const struct sim_dom_ref *ld;
    grant_entry_v1_t *table;
    unsigned done = 0;
    int status = GNTST_okay;

    if (sim_dom_get(sim_self_domid(), &ld) || sim_gnt_table(rd, &table))
        return GNTST_general_error;

    while (done < n && status == GNTST_okay) {
        unsigned end = n - done > BATCH ? done + BATCH : n;

        sim_lock_gnt(rd);
        while (done < end) {
            status = pin_one(rd, ld->dom, table, refs[done], readonly, use, &pins[done]);
            if (status == GNTST_bad_gntref && done > 0 && MUTANT(sim_grant_bad_one_is_the_first))
                status = pin_one(rd, ld->dom, table, refs[0], readonly, use, &pins[done]);
            if (status != GNTST_okay)
                break;
            done++;
        }
        sim_unlock_gnt(rd);
    }
    if (status != GNTST_okay) {
        sim_gnt_unpin(rd, done, pins);
        return status;
    }
    if (use == SIM_GNT_MAP)
        atomic_fetch_add_explicit(&rd->dom->stats.gnt_map, n, memory_order_relaxed);
    return GNTST_okay;
}

void sim_gnt_unpin(const struct sim_dom_ref *rd, unsigned n, const struct sim_gnt_pin *pins)
{
    const struct sim_dom_ref *ld;
    grant_entry_v1_t *table;
    unsigned done = 0;

    /* Both were mapped when the pins were taken, for the life of the process. */
    if (n == 0 || sim_dom_get(sim_self_domid(), &ld) || sim_gnt_table(rd, &table))
        return;
    while (done < n) {
        unsigned end = n - done > BATCH ? done + BATCH : n;

        sim_lock_gnt(rd);
        for (; done < end; done++)
            unpin_one(rd, ld->dom, table, pins[done].track);
        sim_unlock_gnt(rd);
    }
    if (dying(rd->dom)) {
        struct sim_msg msg = {.op = SIM_OP_POKE, .a = {rd->domid}};

        sim_call(&msg, NULL, NULL);
    }
}
