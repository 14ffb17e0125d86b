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
    ROW("split one outstanding in one line",
        "--ring split --size 1 --compact --depth 1 --latency-ms 30"),
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

/* The full form: every size with every batch that fits, every set of features, every payload. */
#define GRID(n, ring, size, batch)                                                                 \
    ROW(n " ring=" #size " batch=" #batch, ring " --size " #size " --batch " #batch)
#define GRID_32(n, ring, size)                                                                     \
    GRID(n, ring, size, 2), GRID(n, ring, size, 4), GRID(n, ring, size, 8),                        \
        GRID(n, ring, size, 16), GRID(n, ring, size, 32)
#define GRID_64(n, ring, size)  GRID_32(n, ring, size), GRID(n, ring, size, 64)
#define GRID_128(n, ring, size) GRID_64(n, ring, size), GRID(n, ring, size, 128)
#define GRID_256(n, ring, size) GRID_128(n, ring, size), GRID(n, ring, size, 256)
/* That of one buffer in a ring of 256 is in the short form. */
#define SIZES(n, ring)                                                                             \
    GRID(n, ring, 32, 1), GRID_32(n, ring, 32), GRID(n, ring, 64, 1), GRID_64(n, ring, 64),        \
        GRID(n, ring, 128, 1), GRID_128(n, ring, 128), GRID_256(n, ring, 256),                     \
        GRID(n, ring, 512, 1), GRID_256(n, ring, 512), GRID(n, ring, 1024, 1),                     \
        GRID_256(n, ring, 1024), GRID(n, ring, 2048, 1), GRID_256(n, ring, 2048),                  \
        GRID(n, ring, 4096, 1), GRID_256(n, ring, 4096), GRID(n, ring, 8192, 1),                   \
        GRID_256(n, ring, 8192), GRID(n, ring, 16384, 1), GRID_256(n, ring, 16384),                \
        GRID(n, ring, 32768, 1), GRID_256(n, ring, 32768)
#define FEATURES(n, ring)                                                                          \
    ROW(n " features batch=1", ring " --batch 1"), ROW(n " features batch=32", ring " --batch 32")
#define ALL_FEATURES(n, ring)                                                                      \
    FEATURES(n " in_order", ring " --in-order"), FEATURES(n " indirect", ring " --indirect"),      \
        FEATURES(n " event_idx", ring " --event-idx"),                                             \
        FEATURES(n " in_order indirect", ring " --in-order --indirect"),                           \
        FEATURES(n " in_order event_idx", ring " --in-order --event-idx"),                         \
        FEATURES(n " indirect event_idx", ring " --indirect --event-idx"),                         \
        FEATURES(n " in_order indirect event_idx", ring " --in-order --indirect --event-idx")
#define PAYLOAD(n, ring, bytes)                                                                    \
    ROW(n " payload=" #bytes " touched", ring " --batch 32 --payload " #bytes),                    \
        ROW(n " payload=" #bytes " copied", ring " --batch 32 --payload " #bytes " --copy")
#define MORE_PAYLOADS(n, ring)                                                                     \
    PAYLOAD(n, ring, 8), PAYLOAD(n, ring, 256), PAYLOAD(n, ring, 16384), PAYLOAD(n, ring, 65536)

static const struct suite_work full_form[] = {
    SIZES("split", "--ring split"),         SIZES("packed", "--ring packed"),
    ALL_FEATURES("split", "--ring split"),  ALL_FEATURES("packed", "--ring packed"),
    MORE_PAYLOADS("split", "--ring split"), MORE_PAYLOADS("packed", "--ring packed"),
};

struct suite_rows_of suite_rows_ring(void)
{
    return (struct suite_rows_of){short_form, full_form, ARRAY_LENGTH(short_form),
                                  ARRAY_LENGTH(full_form)};
}
