/* SPDX-License-Identifier: MIT */
/*
 * Workloads in which all designs of bench/designs.yaml are compared, in the same rounds: their
 * variants are the designs. A round takes about 10 s.
 */
#include "suite/rows.h"
#include "util/bits.h"

#define DESIGNS(n, o)                                                                              \
    {                                                                                              \
        .family = SUITE_DESIGNS, .name = "designs " n, .unit = "ns/request",                       \
        .options = "run=fio " o, .testbed = SUITE_SIM, .loose = true                               \
    }

static const struct suite_work short_form[] = {
    DESIGNS("randread 4k depth=32", "rw=randread bs=4k depth=32"),
};

static const struct suite_work full_form[] = {
    DESIGNS("randread 4k depth=1", "rw=randread bs=4k depth=1"),
    DESIGNS("randread 4k depth=128", "rw=randread bs=4k depth=128"),
    DESIGNS("randread 4k depth=32 4 queues", "rw=randread bs=4k depth=32 jobs=4 queues=4"),
    DESIGNS("randwrite 4k depth=32", "rw=randwrite bs=4k depth=32"),
    DESIGNS("read 64k depth=32", "rw=read bs=64k depth=32"),
    DESIGNS("write 64k depth=32", "rw=write bs=64k depth=32"),
    DESIGNS("randread 4k depth=32 file", "rw=randread bs=4k depth=32 backing=image"),
};

struct suite_rows_of suite_rows_designs(void)
{
    return (struct suite_rows_of){short_form, full_form, ARRAY_LENGTH(short_form),
                                  ARRAY_LENGTH(full_form)};
}
