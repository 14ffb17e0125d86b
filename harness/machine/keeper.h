/* SPDX-License-Identifier: MIT */
/*
 * The keeper of machines: a process that boots a machine when somebody wants it, keeps it for the
 * next one, and carries the frames of all who run programs in its dom0 (machine/frame.h). One
 * machine runs at a time.
 *
 * A boot ends well with the line "@rp-boot dom0 ready" on the control channel. It is tried
 * again when it never got there, and whoever waits is told so. A machine that panics, that
 * says nothing for long while it boots, or whose channel breaks is ended, and everybody who uses
 * it is told why, with the end of its console. The consoles stay in the keeper's folder.
 */
#ifndef RP_MACHINE_KEEPER_H
#define RP_MACHINE_KEEPER_H

#define KEEPER_MACHINES_MAX 8u

/* What can be booted: `command` is run with --dir FOLDER and --add ARCHIVE. */
struct keeper_machine {
    const char *name;
    const char *command;
    const char *archive;
};

struct keeper_options {
    const char *socket;
    const char *dir; /* each boot gets a folder of its own in it */
    struct keeper_machine machines[KEEPER_MACHINES_MAX];
    unsigned machine_count;
    unsigned boot_limit_s, quiet_limit_s;
    unsigned boots_max; /* until one gets to dom0 */
};

/* Until its standard input ends or a signal comes. An exit status. */
int keeper_main(const struct keeper_options *o);

#endif
