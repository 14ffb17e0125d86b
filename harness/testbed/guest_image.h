/* SPDX-License-Identifier: MIT */
/* Where that is what ci/images makes: images of the real Xen, and an emulator to boot them in. */
#ifndef RP_TESTBED_GUEST_IMAGE_H
#define RP_TESTBED_GUEST_IMAGE_H

#include "scenario/scenario.h"

/* As images and machines are named: "x86", "arm64". */
const char *guest_image_arch(enum scenario_arch arch);
/* A file of the current image: in $RINGPROOF_IMAGES, or in the cache. malloc'd, NULL without
 * memory; it need not exist. */
char *guest_image_path(enum scenario_arch arch, const char *name);
/* The QEMU that counts instructions: a name to look for, or a path beside the images. As above. */
char *guest_emulator(enum scenario_arch arch);

#endif
