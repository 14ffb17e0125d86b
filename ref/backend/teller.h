/* SPDX-License-Identifier: MIT */
/*
 * Functions on the bus that are no devices: they tell a driver, outside of the devices themselves,
 * whom to grant its memory to (spec/discovery.h). A *dummy function* lists every device that there
 * is something to say of; a *root complex* is asked for one by its RID. Each appears with the first
 * device that is told of in this way, on that device's bus, and stays.
 */
#ifndef RP_BACKEND_TELLER_H
#define RP_BACKEND_TELLER_H

#include "backend/bridge.h"

enum told_in {
    TOLD_IN_VENDOR_DATA, /* of the device: virtio's own capability */
    TOLD_IN_REGISTER,    /* of the device: a designated vendor-specific capability */
    TOLD_IN_FUNCTION,
    TOLD_IN_ROOT_COMPLEX,
};

struct teller;

/* `b` is borrowed. -ENOMEM. */
int teller_create(struct bridges *b, struct teller **out);
void teller_destroy(struct teller *t); /* NULL is allowed */

/* Tell of one more device. -EINVAL: this is told in the device, or no bridge has its bus; -EXDEV:
 * another bus than the first device's; -ENOSPC: too many; -EEXIST: a device has that place. */
int teller_add(struct teller *t, enum told_in how, sbdf_t device, uint16_t domid);
/* The device goes. Nothing to do when it was not told of. */
void teller_remove(struct teller *t, sbdf_t device);

#endif
