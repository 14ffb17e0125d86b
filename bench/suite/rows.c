/* SPDX-License-Identifier: MIT */
/* Which rows there are. A round of one takes about 0.11 s a variant, of a peer 0.15 s. */
#include <stdlib.h>
#include <string.h>

#include "suite/suite.h"
#include "util/bits.h"

#define RING      "ringproof-ring"
#define UNCHECKED "ringproof-ring-unchecked"
#define RINGTEST  "ringproof-ringtest"

#define ROW(n, o)                                                                                  \
    {                                                                                              \
        .name = n, .options = o,                                                                   \
        .variants = {{"checked", RING, "", false}, {"unchecked", UNCHECKED, "", false}},           \
        .variant_count = 2                                                                         \
    }
#define ROW_FLOOR(n, o, floor)                                                                     \
    {                                                                                              \
        .name = n, .options = o,                                                                   \
        .variants = {{"checked", RING, "", false},                                                 \
                     {"unchecked", UNCHECKED, "", false},                                          \
                     {"floor", RING, floor, false}},                                               \
        .variant_count = 3                                                                         \
    }
#define ROW_SLEEPS(n, o)                                                                           \
    {                                                                                              \
        .name = n, .options = o " --sleep --event-idx", .sleeps = true,                            \
        .variants = {{"checked", RING, "", false}, {"unchecked", UNCHECKED, "", false}},           \
        .variant_count = 2                                                                         \
    }
#define BATCHES(name, ring)                                                                        \
    ROW(name " batch=1", ring " --size 512 --batch 1"),                                            \
        ROW(name " batch=4", ring " --size 512 --batch 4"),                                        \
        ROW(name " batch=16", ring " --size 512 --batch 16"),                                      \
        ROW(name " batch=64", ring " --size 512 --batch 64"),                                      \
        ROW(name " batch=256", ring " --size 512 --batch 256")
#define PAYLOADS(name, ring)                                                                       \
    ROW(name " payload=64 touched", ring " --batch 32 --payload 64"),                              \
        ROW(name " payload=1500 touched", ring " --batch 32 --payload 1500"),                      \
        ROW(name " payload=4096 touched", ring " --batch 32 --payload 4096"),                      \
        ROW(name " payload=64 copied", ring " --batch 32 --payload 64 --copy"),                    \
        ROW(name " payload=1500 copied", ring " --batch 32 --payload 1500 --copy"),                \
        ROW(name " payload=4096 copied", ring " --batch 32 --payload 4096 --copy")

static const struct suite_row short_form[] = {
    BATCHES("split", "--ring split"),
    BATCHES("split in_order", "--ring split --in-order"),
    BATCHES("packed", "--ring packed"),
    BATCHES("packed in_order", "--ring packed --in-order"),
    PAYLOADS("split", "--ring split"),
    PAYLOADS("packed", "--ring packed"),
    ROW("split one outstanding", "--ring split --depth 1 --latency-ms 30"),
    ROW("packed one outstanding", "--ring packed --depth 1 --latency-ms 30"),
    ROW_SLEEPS("split one outstanding sleeping", "--ring split --depth 1 --latency-ms 30"),
    ROW_SLEEPS("packed one outstanding sleeping", "--ring packed --depth 1 --latency-ms 30"),
    ROW_SLEEPS("split batch=1 sleeping", "--ring split --batch 1"),
    ROW_SLEEPS("split batch=32 sleeping", "--ring split --batch 32"),
    ROW_SLEEPS("packed batch=1 sleeping", "--ring packed --batch 1"),
    ROW_SLEEPS("packed batch=32 sleeping", "--ring packed --batch 32"),
    /* The later --ring counts. */
    ROW_FLOOR("packed ring=256 batch=1", "--ring packed", "--ring floor"),
    ROW_FLOOR("split ring=256 batch=1", "--ring split", "--ring floor"),
};

/*
 * Linux's ringtest: its three rings are ours of the same kind. It publishes each buffer by itself,
 * in either direction, and so do we with a batch of one; it has no payload; what both do when there
 * is nothing to do is to look again.
 */
#define ROW_BESIDE(n, o, ring, peer)                                                               \
    {                                                                                              \
        .name = n " beside ringtest", .options = "--size 256 " o,                                  \
        .variants = {{"checked", RING, ring, false},                                               \
                     {"ringtest", RINGTEST, "--peer " peer, true},                                 \
                     {"floor", RING, "--ring floor", false}},                                      \
        .variant_count = 3                                                                         \
    }

static const struct suite_row beside_peers[] = {
    ROW_BESIDE("split batch=1", "--depth 256", "--ring split", "virtio_ring_0_9"),
    ROW_BESIDE("split in_order batch=1", "--depth 256", "--ring split --in-order",
               "virtio_ring_inorder"),
    ROW_BESIDE("packed batch=1", "--depth 256", "--ring packed", "ring"),
    ROW_BESIDE("split one outstanding", "--depth 1", "--ring split", "virtio_ring_0_9"),
    ROW_BESIDE("split in_order one outstanding", "--depth 1", "--ring split --in-order",
               "virtio_ring_inorder"),
    ROW_BESIDE("packed one outstanding", "--depth 1", "--ring packed", "ring"),
};

void suite_rows_free(struct suite_row *rows, unsigned count)
{
    for (unsigned i = 0; rows && i < count; i++)
        for (unsigned k = 0; k < SUITE_ATTEMPTS; k++)
            for (unsigned v = 0; v < SUITE_VARIANTS; v++)
                json_decref(rows[i].rounds[k].values[v].latency);
    free(rows);
}

struct suite_row *suite_rows(bool peers, unsigned *count)
{
    const unsigned more = peers ? ARRAY_LENGTH(beside_peers) : 0;
    struct suite_row *rows = calloc(ARRAY_LENGTH(short_form) + more, sizeof(*rows));

    *count = ARRAY_LENGTH(short_form) + more;
    if (!rows)
        return NULL;
    memcpy(rows, short_form, sizeof(short_form));
    memcpy(rows + ARRAY_LENGTH(short_form), beside_peers, more * sizeof(*rows));
    return rows;
}
