/* SPDX-License-Identifier: MIT */
/* What the testbeds `qemu` and `xen` need to have done in dom0, beside Xen's own tools. */
#ifndef RP_MACHINE_TOOLS_H
#define RP_MACHINE_TOOLS_H

/* argv[0] is the tool's name: audit, console, driver, channel, socket, image. An exit status. */
int tools_main(int argc, char **argv);

#endif
