/* SPDX-License-Identifier: MIT */
/*
 * Requests to a block device, as many outstanding as there may be: of the next sectors each time,
 * round and round. Both sides poll as long as there is something to do; a back-end that has nothing
 * to do is woken.
 */
#ifndef RP_BLKBENCH_LOAD_H
#define RP_BLKBENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "blkbench/front.h"
#include "ringbench/shared.h"

struct load_config {
    unsigned depth, bytes; /* requests outstanding, and what each moves */
    uint64_t blocks;       /* of so many bytes that the device has */
};

struct load;

/* Memory that a load needs in front_config.data_bytes. */
uint64_t load_data_bytes(const struct load_config *c);

/* The front is borrowed, and negotiated; its queue runs afterwards. 0 or -errno. */
int load_create(struct front *f, const struct load_config *config, struct load **out);
void load_destroy(struct load *l); /* NULL is allowed */

struct load_result {
    uint64_t requests, wall_ns, cpu_ns;
};

/*
 * 0; -ETIMEDOUT: nothing comes back any more; -EIO: a request failed; -EPROTO: the device broke the
 * ring's rules.
 */
int load_read(struct load *l, uint64_t duration_ns, struct load_result *result);
/* Writes each block's number all over it, or looks whether it is there: -EBADMSG. */
int load_fill(struct load *l);
int load_verify(struct load *l);

/* What the reads of a store in memory would be without all of it: one block after the other is
 * copied into the same buffers. */
void load_memcpy(struct load_config *c, uint64_t duration_ns, struct load_result *result);

#endif
