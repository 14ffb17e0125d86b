/* SPDX-License-Identifier: MIT */
/*
 * ringproof-target BACKEND FRONTEND: lets a driver domain be the device model of another domain
 * (XEN_DOMCTL_set_target), once for the life of both. xl does so for stub domains alone.
 *
 * A program of its own, since libxenctrl goes with one release of Xen.
 */
/* xenctrl.h is written in GNU C and refuses ISO mode. */
#undef __STRICT_ANSI__
#include <xenctrl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMID_LAST 0x7fefu

static int parse_domid(const char *text, uint32_t *domid)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    *domid = (uint32_t)v;
    return *text && !*end && v && v <= DOMID_LAST ? 0 : -1;
}

int main(int argc, char **argv)
{
    uint32_t backend, frontend;
    xc_interface *xc;
    int rc;

    if (argc != 3 || parse_domid(argv[1], &backend) || parse_domid(argv[2], &frontend)) {
        fputs("usage: ringproof-target BACKEND FRONTEND\n", stderr);
        return 2;
    }
    xc = xc_interface_open(NULL, NULL, 0);
    rc = xc ? xc_domain_set_target(xc, backend, frontend) : -1;
    if (rc)
        fprintf(stderr, "ringproof-target: domain %u for domain %u: %s\n", backend, frontend,
                strerror(errno));
    if (xc)
        xc_interface_close(xc);
    return rc ? 1 : 0;
}
