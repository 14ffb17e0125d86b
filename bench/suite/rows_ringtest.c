/* SPDX-License-Identifier: MIT */
/*
 * Linux's ringtest: its three rings are ours of the same kind. It publishes each buffer by itself,
 * in either direction, and so do we with a batch of one; it has no payload; what both do when there
 * is nothing to do is to look again. A round of the peer takes about 0.15 s.
 */
#include "suite/rows.h"
#include "util/bits.h"

#define RING     "ringproof-ring"
#define RINGTEST "ringproof-ringtest"

#define ROW_BESIDE(n, o, ring, peer)                                                               \
    {                                                                                              \
        .family = "ring beside ringtest", .name = n " beside ringtest", .unit = "ns/buffer",       \
        .options = "--size 256 " o,                                                                \
        .variants = {{"checked", RING, ring, false},                                               \
                     {"ringtest", RINGTEST, "--peer " peer, true},                                 \
                     {"floor", RING, "--ring floor", false}},                                      \
        .variant_count = 3                                                                         \
    }

static const struct suite_work beside[] = {
    ROW_BESIDE("split batch=1", "--depth 256", "--ring split", "virtio_ring_0_9"),
    ROW_BESIDE("split in_order batch=1", "--depth 256", "--ring split --in-order",
               "virtio_ring_inorder"),
    ROW_BESIDE("packed batch=1", "--depth 256", "--ring packed", "ring"),
    ROW_BESIDE("split one outstanding", "--depth 1", "--ring split", "virtio_ring_0_9"),
    ROW_BESIDE("split in_order one outstanding", "--depth 1", "--ring split --in-order",
               "virtio_ring_inorder"),
    ROW_BESIDE("packed one outstanding", "--depth 1", "--ring packed", "ring"),
};

struct suite_rows_of suite_rows_ringtest(void)
{
    return (struct suite_rows_of){.works = beside, .count = ARRAY_LENGTH(beside)};
}
