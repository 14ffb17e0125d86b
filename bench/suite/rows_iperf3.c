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
#define RINGS                                                                                      \
    .variants = {{"split", NULL, "ring=split", false}, {"packed", NULL, "ring=packed", false}},    \
    .variant_count = 2

static const struct suite_work short_form[] = {
    {IPERF3("tcp to-backend", "protocol=tcp direction=to-backend", "ns/KiB"), OFFLOADS},
    {IPERF3("tcp to-frontend", "protocol=tcp direction=to-frontend", "ns/KiB"), OFFLOADS},
    {IPERF3("udp 1400 to-backend", "protocol=udp direction=to-backend length=1400", "ns/packet"),
     RINGS},
};

#define TCP(n, o)                                                                                  \
    {                                                                                              \
        IPERF3("tcp " n, "protocol=tcp " o, "ns/KiB"), OFFLOADS                                    \
    }
#define UDP(bytes, direction)                                                                      \
    {                                                                                              \
        IPERF3("udp " #bytes " " direction, "protocol=udp length=" #bytes " direction=" direction, \
               "ns/packet"),                                                                       \
            RINGS                                                                                  \
    }

static const struct suite_work full_form[] = {
    TCP("both ways", "direction=both"),
    TCP("4 streams to-backend", "streams=4 direction=to-backend"),
    TCP("4 streams to-frontend", "streams=4 direction=to-frontend"),
    TCP("4 streams both ways", "streams=4 direction=both"),
    TCP("4 streams 2 pairs of queues both ways", "streams=4 queues=2 direction=both"),
    UDP(64, "to-backend"),
    UDP(64, "to-frontend"),
    UDP(1400, "to-frontend"),
    UDP(8192, "to-backend"),
    UDP(8192, "to-frontend"),
};

struct suite_rows_of suite_rows_iperf3(void)
{
    return (struct suite_rows_of){short_form, full_form, ARRAY_LENGTH(short_form),
                                  ARRAY_LENGTH(full_form)};
}
