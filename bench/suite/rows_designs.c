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

struct suite_rows_of suite_rows_designs(void)
{
    return (struct suite_rows_of){short_form, ARRAY_LENGTH(short_form)};
}
