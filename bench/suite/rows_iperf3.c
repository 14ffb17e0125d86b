/* SPDX-License-Identifier: MIT */
/*
 * A stock iperf3 over our network frontend and backend, on simxen: an interface in each of two
 * network namespaces, with the rings between them. A round takes about 1.7 s a variant.
 */
#include "suite/rows.h"
#include "util/bits.h"

#define IPERF3(n, o, u)                                                                            \
    .family = "iperf3", .name = "iperf3 " n, .unit = u, .options = "run=iperf3 " o,                \
    .testbed = SUITE_SIM, .loose = true
/* Without checksums there are no large segments, either. */
#define NO_OFFLOADS "features=-csum:-guest-csum"
#define OFFLOADS                                                                                   \
    .variants = {{"offloads", NULL, "", false}, {"no offloads", NULL, NO_OFFLOADS, false}},        \
    .variant_count = 2

static const struct suite_work short_form[] = {
    {IPERF3("tcp to-backend", "protocol=tcp direction=to-backend", "ns/KiB"), OFFLOADS},
    {IPERF3("tcp to-frontend", "protocol=tcp direction=to-frontend", "ns/KiB"), OFFLOADS},
    {IPERF3("udp 1400 to-backend", "protocol=udp direction=to-backend length=1400", "ns/packet"),
     .variants = {{"split", NULL, "ring=split", false}, {"packed", NULL, "ring=packed", false}},
     .variant_count = 2},
};

struct suite_rows_of suite_rows_iperf3(void)
{
    return (struct suite_rows_of){short_form, ARRAY_LENGTH(short_form)};
}
