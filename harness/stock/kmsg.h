/* SPDX-License-Identifier: MIT */
/* What the kernel has said. */
#ifndef RP_STOCK_KMSG_H
#define RP_STOCK_KMSG_H

#include <stddef.h>

struct kmsg {
    unsigned messages;   /* that were there to be read */
    unsigned complaints; /* of them */
    char first[256];     /* the first complaint */
};

/* All messages since boot that the kernel still has. 0 or -errno. */
int kmsg_read(struct kmsg *k);

#endif
