/* SPDX-License-Identifier: MIT */
#include "simxen/core/frames.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "simxen/core/layout.h"
#include "util/mutant.h"

/* Length of the run that begins at frames[0]: consecutive frames, or holes. */
static size_t run_length(const uint64_t *frames, size_t n)
{
    size_t i = 1;

    while (i < n && (frames[0] == SIM_FRAME_HOLE
                         ? frames[i] == SIM_FRAME_HOLE
                         : frames[i] != SIM_FRAME_HOLE && frames[i] == frames[0] + i))
        i++;
    return i;
}

int sim_frames_map(int mem_fd, void *addr, int prot, int flags, size_t n, const uint64_t *frames,
                   void **va)
{
    int extra = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE);
    int hole_fd = -1, rc = 0;
    char *base;
    size_t run;

    if (n == 0 || n > SIZE_MAX / SIM_PAGE)
        return -EINVAL;
    run = run_length(frames, n);
    if (run == n && frames[0] != SIM_FRAME_HOLE) {
        base = mmap(addr, n * SIM_PAGE, prot,
                    (MUTANT(sim_mapping_is_private) ? MAP_PRIVATE : MAP_SHARED) | extra, mem_fd,
                    (off_t)(frames[0] * SIM_PAGE));
        if (base == MAP_FAILED)
            return -errno;
        *va = base;
        return 0;
    }

    /* Several runs: reserve the whole first, so that no other thread gets in between. */
    base = mmap(addr, n * SIM_PAGE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (extra & ~MAP_POPULATE), -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    for (size_t i = 0; i < n; i += run) {
        int fd = mem_fd;
        off_t offset = 0;

        run = run_length(frames + i, n - i);
        if (frames[i] == SIM_FRAME_HOLE) {
            /* Beyond the end of an empty file: every access faults with SIGBUS. */
            if (hole_fd < 0)
                hole_fd = memfd_create("simxen-hole", MFD_CLOEXEC);
            if (hole_fd < 0) {
                rc = -errno;
                break;
            }
            fd = hole_fd;
        } else {
            offset = (off_t)(frames[i] * SIM_PAGE);
        }
        if (mmap(base + i * SIM_PAGE, run * SIM_PAGE, prot,
                 (MUTANT(sim_mapping_is_private) ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED |
                     (fd == mem_fd ? extra & MAP_POPULATE : 0),
                 fd, offset) == MAP_FAILED) {
            rc = -errno;
            break;
        }
    }
    if (hole_fd >= 0)
        close(hole_fd);
    if (rc) {
        munmap(base, n * SIM_PAGE);
        return rc;
    }
    *va = base;
    return 0;
}
