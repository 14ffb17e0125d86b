/* SPDX-License-Identifier: MIT */
/*
 * Exact counts of everything the backend did, as one line of JSON.
 *
 *   {"domid":1,"ioreq_server":0,"adopted":false,
 *    "ioreq":{"events":..,"requests":..,"reads":..,...},
 *    "interrupts":{"msi":..,"msi_failed":..,"intx":..,"intx_failed":..,"line":..,"line_failed":..},
 *    "unclaimed":..,
 *    "devices":[{"device":"blk 0000:00:01.0","interrupts":..,"memory":{..},"blk":{..}},...]}
 */
#ifndef RP_BACKEND_STATS_H
#define RP_BACKEND_STATS_H

#include <stdio.h>

#include "backend/device.h"

struct stats_source {
    uint16_t domid;
    bool adopted;
    const struct ioreq_server *server; /* NULL before there is one */
    struct machine *machine;
    struct device *const *devices;
    unsigned device_count;
};

void stats_write(const struct stats_source *from, FILE *out);

#endif
