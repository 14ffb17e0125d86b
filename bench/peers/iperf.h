/* SPDX-License-Identifier: MIT */
/* What iperf3 says in its JSON of a transfer that is over. */
#ifndef RP_PEERS_IPERF_H
#define RP_PEERS_IPERF_H

struct iperf_sum {
    double bytes, seconds; /* as the receiver has them */
};

/* Of the file that its --json was written to. 0; -EPROTO: it is no result, or one of nothing; -EIO:
 * iperf3 says what went wrong, up to 200 characters of which are in why. */
int iperf_read(const char *path, struct iperf_sum *sum, char why[201]);

#endif
