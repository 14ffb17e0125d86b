/* SPDX-License-Identifier: MIT */
/* The tables of rows, one for each family: rows_FAMILY.c. */
#ifndef RP_SUITE_ROWS_H
#define RP_SUITE_ROWS_H

#include "suite/suite.h"

/* The short form, and what the full form has beside it. */
struct suite_rows_of {
    const struct suite_work *works, *more;
    unsigned count, more_count;
};

/* Our rings between two processes. */
struct suite_rows_of suite_rows_ring(void);
/* A stock fio over our driver and backend, on simxen. */
struct suite_rows_of suite_rows_fio(void);
/* A stock iperf3 over our network frontend and backend, on simxen. */
struct suite_rows_of suite_rows_iperf3(void);
/* All designs, in the same rounds. */
struct suite_rows_of suite_rows_designs(void);
/* Our rings beside Linux's ringtest. */
struct suite_rows_of suite_rows_ringtest(void);
/* The same beside DPDK's testpmd. */
struct suite_rows_of suite_rows_testpmd(void);
/* Our block device beside QEMU's storage daemon, and beside memcpy. */
struct suite_rows_of suite_rows_blk(void);
/* Our ring under iperf3 beside two TAPs, and beside veth. */
struct suite_rows_of suite_rows_wire(void);

#endif
