/* SPDX-License-Identifier: MIT */
/*
 * Private to ref/xen: a piece of guest-physical memory that is mapped, with the frames in it that
 * could not be (*holes*), which nobody may touch.
 */
#ifndef RP_XEN_GMEM_WINDOW_H
#define RP_XEN_GMEM_WINDOW_H

#include "xen/gmem_permap.h"
#include "xen/gmem_strategy.h"

struct window {
    struct window *next;
    uint64_t first; /* frame */
    uint32_t pages, mapped;
    char *base;
    unsigned users;   /* iovecs of leases */
    uint64_t holes[]; /* a bit a page */
};

/* Map `pages` frames from `first` for reading and writing. 0; -ENOMEM; -EFAULT: not one of them
 * could be. Counts in `stats`. */
int window_map(const struct gmem_strategy_args *args, uint64_t first, uint32_t pages,
               struct gmem_stats *stats, struct window **out);
void window_unmap(const struct gmem_strategy_args *args, struct window *w,
                  struct gmem_stats *stats);

/* Does it have all frames from `first` to `last`? */
bool window_has(const struct window *w, uint64_t first, uint64_t last);

/* One for each bank of `args`, in a list. -EINVAL: none, or a bank that is not of whole pages. */
int windows_map_banks(const struct gmem_strategy_args *args, struct gmem_stats *stats,
                      struct window **out);
void windows_unmap(const struct gmem_strategy_args *args, struct window *list,
                   struct gmem_stats *stats);

#endif
