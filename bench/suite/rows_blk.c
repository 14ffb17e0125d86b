/* SPDX-License-Identifier: MIT */
/*
 * A block device behind vhost-user, driven by one that polls (bench/peers/README.md). A back-end
 * that has nothing to do sleeps, but what it loses to others is known. A round of each takes 0.3 s.
 */
#include "suite/rows.h"
#include "util/bits.h"

#define BLK "ringproof-blk"

static const struct suite_work works[] = {
    {.family = "blk beside others",
     .name = "blk 4 KiB reads, 32 outstanding, no data",
     .unit = "ns/request",
     .options = "--depth 32 --bytes 4096",
     .variants = {{"split", BLK, "", false},
                  {"packed", BLK, "--packed", false},
                  {"qemu-storage-daemon", BLK, "--back-end qemu", false}},
     .variant_count = 3},
    {.family = "blk beside others",
     .name = "blk 4 KiB reads, 32 outstanding, copied",
     .unit = "ns/request",
     .options = "--depth 32 --bytes 4096 --copied",
     .variants = {{"split", BLK, "", false},
                  {"packed", BLK, "--packed", false},
                  {"memcpy", BLK, "--back-end memcpy", false}},
     .variant_count = 3},
};

struct suite_rows_of suite_rows_blk(void)
{
    return (struct suite_rows_of){.works = works, .count = ARRAY_LENGTH(works)};
}
