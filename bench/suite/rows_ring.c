/* SPDX-License-Identifier: MIT */
/* Our rings between two processes. A round of one takes about 0.11 s a variant. */
#include "suite/rows.h"
#include "util/bits.h"

#define RING      "ringproof-ring"
#define UNCHECKED "ringproof-ring-unchecked"

#define ROW(n, o)                                                                                  \
    {                                                                                              \
        .family = "ring", .name = n, .unit = "ns/buffer", .options = o,                            \
        .variants = {{"checked", RING, "", false}, {"unchecked", UNCHECKED, "", false}},           \
        .variant_count = 2                                                                         \
    }
#define ROW_FLOOR(n, o, floor)                                                                     \
    {                                                                                              \
        .family = "ring", .name = n, .unit = "ns/buffer", .options = o,                            \
        .variants = {{"checked", RING, "", false},                                                 \
                     {"unchecked", UNCHECKED, "", false},                                          \
                     {"floor", RING, floor, false}},                                               \
        .variant_count = 3                                                                         \
    }
#define ROW_SLEEPS(n, o)                                                                           \
    {                                                                                              \
        .family = "ring", .name = n, .unit = "ns/buffer", .options = o " --sleep --event-idx",     \
        .sleeps = true,                                                                            \
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

static const struct suite_work short_form[] = {
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

struct suite_rows_of suite_rows_ring(void)
{
    return (struct suite_rows_of){short_form, ARRAY_LENGTH(short_form)};
}
