/* SPDX-License-Identifier: MIT */
/*
 * ringproof-dom0-loop: see machine/loop.h. As a tool of that dom0 it has more uses:
 *     ringproof-dom0-loop audit PIDFILE       what a process holds of a domain, counted in its maps
 *     ringproof-dom0-loop console DOMID       a domain's console, raw, on standard input and output
 *     ringproof-dom0-loop channel DOMID NODE WORD...
 *         the same for a domain that Xen started: the words go to its end of a vchan as the first
 * line ringproof-dom0-loop socket PATH         a Unix socket's bytes, after a line that it is
 * connected ringproof-dom0-loop image FILE BYTES empty|filled      a disk image
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/loop.h"
#include "machine/tools.h"

int main(int argc, char **argv)
{
    int rc;

    if (argc > 1)
        return tools_main(argc - 1, argv + 1);
    rc = loop_serve();
    fprintf(stderr, "ringproof-dom0-loop: the control channel ended: %s\n", strerror(-rc));
    return rc == -EPIPE ? 0 : 1;
}
