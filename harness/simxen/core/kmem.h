/* SPDX-License-Identifier: MIT */
/*
 * The guest kernel's half of memory and grants, for the domain that a process runs in: which RAM
 * pages are in use, and the entries of the domain's own grant table. Several processes of one
 * domain share both (the platform plugin is its kernel, libxengnttab's gntshr half its gntalloc
 * driver), so the state is in the control block, under the robust alloc_lock.
 *
 * An entry of the grant table is free when its flags are 0. The first
 * GNTTAB_NR_RESERVED_ENTRIES are the toolstack's.
 */
#ifndef SIMXEN_CORE_KMEM_H
#define SIMXEN_CORE_KMEM_H

#include "simxen/core/core.h"

#pragma GCC visibility push(default)

/*
 * `n` free pages of RAM, as memory-file frames. Each is zero. With `contiguous` they follow each
 * other, without it they need not. 0, -ENOMEM, or -EINVAL for n == 0.
 */
int sim_kmem_alloc(const struct sim_dom_ref *self, unsigned n, bool contiguous, uint64_t *frames);
void sim_kmem_free(const struct sim_dom_ref *self, unsigned n, const uint64_t *frames);

/* gfn of a frame in any region of the domain, or -EINVAL. */
int sim_kmem_gfn(const struct sim_dom *d, uint64_t frame, uint64_t *gfn);

/*
 * Grant n frames (given by gfn) to `peer` through n consecutive references. `first` is the
 * reference to begin with, or SIM_GREF_ANY; *got is set to it. The table grows as needed.
 * -ENOSPC: no such run is left; -EEXIST: one of the chosen references is taken; -EINVAL: one is
 * reserved or beyond what the table can ever be, or a gfn needs more than the entry's 32 bits.
 */
#define SIM_GREF_ANY UINT32_MAX
int sim_kmem_grant(const struct sim_dom_ref *self, unsigned n, const uint64_t *gfns, uint16_t peer,
                   bool readonly, uint32_t first, uint32_t *got);

/*
 * End access through one reference, as Linux does: by compare-and-exchange, so that a peer that
 * maps at this moment either wins or finds nothing. -EBUSY: it is mapped, and stays granted.
 */
int sim_kmem_end(const struct sim_dom_ref *self, uint32_t ref);
/* GTF_reading | GTF_writing as they stand; 0 beyond the table. */
unsigned sim_kmem_in_use(const struct sim_dom_ref *self, uint32_t ref);

/*
 * gntalloc's page: allocate one, grant it to `peer`, and note both in the track so that they are
 * given back when the process dies. The caller sees the result in the entry's ref and gfn.
 * -ENOMEM, -ENOSPC as above.
 */
int sim_kmem_share(const struct sim_dom_ref *self, uint16_t peer, bool readonly, uint32_t *track);
/*
 * Give a shared page back. -EBUSY: the peer still maps it; nothing was done. -ENOENT: the entry is
 * no share (any more) that carries all of `flags`, which tells threads apart that sweep at once.
 */
int sim_kmem_unshare(const struct sim_dom_ref *self, uint32_t track, uint16_t flags);

#pragma GCC visibility pop

#endif
