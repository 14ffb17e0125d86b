/* SPDX-License-Identifier: MIT */
/*
 * DPDK's testpmd: a packet of 64 bytes is written by one side and copied by the other, 32 at once
 * (bench/peers/README.md says why that is our row). A round of the peer takes about 1.5 s.
 */
#include "suite/rows.h"
#include "util/bits.h"

#define ROW_BESIDE(n, ours, theirs)                                                                \
    {                                                                                              \
        .family = "ring beside testpmd", .name = n " beside testpmd", .unit = "ns/packet",         \
        .options = "--size 256 --batch 32 --payload 64",                                           \
        .variants = {{"checked", "ringproof-ring", "--copy " ours, false},                         \
                     {"testpmd", "ringproof-testpmd", theirs, false}},                             \
        .variant_count = 2                                                                         \
    }

static const struct suite_work beside[] = {
    ROW_BESIDE("split payload=64 copied", "--ring split", ""),
    ROW_BESIDE("packed in_order payload=64 copied", "--ring packed --in-order",
               "--packed --in-order --vectorized"),
};

struct suite_rows_of suite_rows_testpmd(void)
{
    return (struct suite_rows_of){.works = beside, .count = ARRAY_LENGTH(beside)};
}
