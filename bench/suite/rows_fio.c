/* SPDX-License-Identifier: MIT */
/*
 * A stock fio over our driver and backend, on simxen, with nothing behind the disk unless a variant
 * says so. A round takes about 0.8 s a variant.
 */
#include "suite/rows.h"
#include "util/bits.h"

#define FIO(n, o)                                                                                  \
    .family = "fio", .name = "fio " n, .unit = "ns/request", .options = "run=fio " o,              \
    .testbed = SUITE_SIM, .loose = true
#define CELL(n, o)                                                                                 \
    {                                                                                              \
        n, NULL, o, false                                                                          \
    }
#define RINGS                                                                                      \
    .variants = {CELL("split", "ring=split"), CELL("packed", "ring=packed")}, .variant_count = 2

#define QUEUES                                                                                     \
    .variants = {CELL("1 queue", "jobs=1 queues=1"), CELL("2 queues", "jobs=2 queues=2"),          \
                 CELL("4 queues", "jobs=4 queues=4")},                                             \
    .variant_count = 3
#define STORES                                                                                     \
    .variants = {CELL("null", "backing=null"), CELL("file", "backing=image")}, .variant_count = 2

static const struct suite_work short_form[] = {
    {FIO("randread 4k depth=1", "rw=randread bs=4k depth=1"), RINGS},
    {FIO("randread 4k depth=32", "rw=randread bs=4k depth=32"), RINGS},
    {FIO("randread 4k depth=32 by queues", "rw=randread bs=4k depth=32"), QUEUES},
    {FIO("randread 4k depth=32 by store", "rw=randread bs=4k depth=32"), STORES},
};

#define DEPTH(n)                                                                                   \
    {                                                                                              \
        FIO("randread 4k depth=" #n, "rw=randread bs=4k depth=" #n), RINGS                         \
    }
#define KIND(n, o)                                                                                 \
    {                                                                                              \
        FIO(n " depth=32", o " depth=32"), RINGS                                                   \
    }

static const struct suite_work full_form[] = {
    DEPTH(2),
    DEPTH(4),
    DEPTH(8),
    DEPTH(16),
    DEPTH(64),
    DEPTH(128),
    KIND("randwrite 4k", "rw=randwrite bs=4k"),
    KIND("read 64k", "rw=read bs=64k"),
    KIND("write 64k", "rw=write bs=64k"),
    {FIO("randwrite 4k depth=32 by store", "rw=randwrite bs=4k depth=32"), STORES},
    {FIO("read 64k depth=32 by store", "rw=read bs=64k depth=32"), STORES},
    {FIO("write 64k depth=32 by store", "rw=write bs=64k depth=32"), STORES},
    {FIO("read 64k depth=32 by queues", "rw=read bs=64k depth=32"), QUEUES},
};

struct suite_rows_of suite_rows_fio(void)
{
    return (struct suite_rows_of){short_form, full_form, ARRAY_LENGTH(short_form),
                                  ARRAY_LENGTH(full_form)};
}
