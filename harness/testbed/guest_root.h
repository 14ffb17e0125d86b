/* SPDX-License-Identifier: MIT */
/*
 * The root of a domU, from the images of ci/images: what we put over it.
 */
#ifndef RP_TESTBED_GUEST_ROOT_H
#define RP_TESTBED_GUEST_ROOT_H

#include "machine/archive.h"

/* Where the agent is in every root. */
#define GUEST_AGENT "/opt/ringproof/bin/ringproof-agent"

/* In a domU that is a driver domain: the backend, the tools of ringproof-dom0-loop, and what its
 * command line says behind the "--". */
#define GUEST_BACKEND "/opt/ringproof/bin/ringproof-backend"
#define GUEST_LOOP    "/opt/ringproof/bin/ringproof-dom0-loop"
#define GUEST_DRIVER  "driver"

/* Of a domain that Xen starts, below its home in Xenstore: where its channel's two ends meet. */
#define GUEST_CHANNEL "data/ringproof-agent"

void guest_root_add_folders(struct archive *a);
/* <dir>/<file> under a name. */
int guest_root_add_program(struct archive *a, const char *name, const char *dir, const char *file);

/*
 * The archive that is put over a domU's root: the agent, its platform (from <programs>/lib), what a
 * driver domain needs, and the loop that gives the agent its arguments from behind the "--" of the
 * kernel's command line.
 */
int guest_root_make(const char *path, const char *programs, const char *agent, const char *backend);

/* An initial ramdisk from a folder with domu.cpio.gz (and acpi.cpio), and an archive over it. */
int guest_root_join(const char *out_path, const char *guest, const char *additions_dir,
                    const char *additions);

#endif
