/* SPDX-License-Identifier: MIT */
/* What the agent hands to a check of family "linux" (check_subject). */
#ifndef RP_STOCK_SUBJECT_H
#define RP_STOCK_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* Where Linux finds a virtio device: the bus in sysfs, and its name there. */
enum stock_bus {
    STOCK_PCI,  /* "0000:00:01.0" */
    STOCK_MMIO, /* "2000000.virtio": the address, and the name of the node in the device tree */
    STOCK_BUSES
};

struct stock_subject {
    void *ctx;
    /* Ask the testbed and wait, as in abi/subject.h. `args` is taken over and may be NULL. */
    int (*ask)(void *ctx, const char *what, json_t *args, json_t **value, char *why,
               size_t why_bytes);
    enum stock_bus bus;
    const char *place; /* of the device under test on its bus; NULL: there is none */
    bool grants;       /* the kernel gives virtio devices grants, not guest-physical addresses */
    uint64_t seed;
    uint32_t limit_ms; /* of the running check */
};

#endif
