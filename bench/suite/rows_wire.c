/* SPDX-License-Identifier: MIT */
/*
 * A stock iperf3, TCP in one stream, between two network namespaces: our ring between a TAP of the
 * guest's and one of the backend's, on simxen; two TAPs with a process that copies; and what the
 * kernel has by itself. A round takes about 12 s.
 */
#include "suite/rows.h"
#include "util/bits.h"

#define WIRE   "ringproof-wire"
#define STREAM "run=iperf3 streams=1 direction=to-backend "
/* Of what a mapping costs simxen says nothing: what is judged is without one. */
#define ADVANCE "addressing=foreign memory=foreign-whole "

static const struct suite_work works[] = {
    {.family = "iperf3 beside Linux",
     .name = "iperf3 one stream beside TAPs and veth",
     .unit = "ns/KiB",
     .options = "",
     .testbed = SUITE_SIM,
     .loose = true,
     .variants = {{"split", NULL, STREAM ADVANCE "ring=split", false},
                  {"packed", NULL, STREAM ADVANCE "ring=packed", false},
                  {"split, grants", NULL, STREAM "addressing=grants ring=split", false},
                  {"two TAPs, offloads", WIRE, "--wire tap --offloads", false},
                  {"two TAPs", WIRE, "--wire tap", false},
                  {"veth", WIRE, "--wire veth", false}},
     .variant_count = 6},
};

struct suite_rows_of suite_rows_wire(void)
{
    return (struct suite_rows_of){.works = works, .count = ARRAY_LENGTH(works)};
}
