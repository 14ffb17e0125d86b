/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's half of grant table version 1: taking and releasing access to a page that
 * another domain granted.
 *
 * A *pin* is one such access, by a mapping or for the duration of a copy. While an entry has
 * pins, GTF_reading (and GTF_writing when one of them may write) stands in the granting domain's
 * own table, and the frame that the first pin found stays the frame of all. Each pin has an
 * entry in the track of the process that took it, so that it is given back when the process
 * dies; pins, bits and tracks change together under the granting domain's gnt_lock, whose
 * recovery (SIM_OP_GNT_RECOVER) rebuilds the first two from the third.
 *
 * No message goes to the hypervisor process here, apart from the first touch of a domain and
 * the last release of one that is being destroyed.
 */
#ifndef SIMXEN_CORE_GNTTAB_H
#define SIMXEN_CORE_GNTTAB_H

#include "simxen/core/core.h"

#pragma GCC visibility push(default)

/* struct sim_track_entry.flags of a SIM_TRACK_GRANT */
#define SIM_GNT_WRITABLE 1u

/* What a pin is for. GTF_sub_page entries can be copied, not mapped (as in Xen); only mappings
 * are limited by the domain's maptrack_max. */
enum sim_gnt_use { SIM_GNT_MAP, SIM_GNT_COPY };

struct sim_gnt_pin {
    uint32_t track; /* index in this process's track */
    uint64_t frame; /* of the granter's memory file */
};

/*
 * Pin `n` references of domain `rd` for the calling process's domain. All or nothing.
 * Returns GNTST_okay, or the status that Xen gives for the first one it refuses:
 *   GNTST_bad_gntref     beyond the table
 *   GNTST_general_error  not granted, not to this domain, read-only and to be written, pinned by
 *                        another domain, too many pins, or changing too fast to be taken
 *   GNTST_bad_page       the entry names no page of the domain, or the domain is dying
 *   GNTST_bad_domain     the domain is dying (a copy from a page that is pinned)
 *   GNTST_no_space       maptrack_max mappings of this domain exist
 */
int sim_gnt_pin(const struct sim_dom_ref *rd, unsigned n, const uint32_t *refs, bool readonly,
                enum sim_gnt_use use, struct sim_gnt_pin *pins);

/* Release `n` pins, all of domain `rd`. */
void sim_gnt_unpin(const struct sim_dom_ref *rd, unsigned n, const struct sim_gnt_pin *pins);

/* The entries of a domain's table; gnt_frames * SIM_GREFS_PER_FRAME of them are in use.
 * 0 or -errno. */
int sim_gnt_table(const struct sim_dom_ref *d, grant_entry_v1_t **table);

/* flags and domid of an entry as the one 32-bit word that both sides compare and exchange:
 * flags in the low half. */
static inline _Atomic uint32_t *sim_gnt_word(grant_entry_v1_t *e)
{
    return (_Atomic uint32_t *)(void *)e;
}

static inline uint32_t sim_gnt_word_make(uint16_t flags, uint16_t domid)
{
    return flags | (uint32_t)domid << 16;
}

#pragma GCC visibility pop

#endif
