/* SPDX-License-Identifier: MIT */
/*
 * Single frames of a domain's memory file as one run of virtual addresses: what the kernel's
 * gntdev and privcmd drivers do for a process, done with mmap of a memfd.
 */
#ifndef SIMXEN_CORE_FRAMES_H
#define SIMXEN_CORE_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)

/* A page that cannot be mapped: touching it raises SIGBUS, as behind privcmd. */
#define SIM_FRAME_HOLE UINT64_MAX

/*
 * Map `n` frames (indices into the memory file, or SIM_FRAME_HOLE) one after the other.
 * Neighbouring frames become one mapping. `addr` is a hint, or the place itself when `flags`
 * has MAP_FIXED (the only flags honoured are MAP_FIXED, MAP_FIXED_NOREPLACE and MAP_POPULATE).
 * 0 and *va, or -errno of mmap and nothing mapped.
 */
int sim_frames_map(int mem_fd, void *addr, int prot, int flags, size_t n, const uint64_t *frames,
                   void **va);

#pragma GCC visibility pop

#endif
