/* SPDX-License-Identifier: MIT */
/* libxentoolcore: the handle list is libsimxen's, so that all drop-in libraries share it. */
#pragma GCC visibility push(default)
#include <xentoolcore.h>

#include "simxen/core/core.h"

/* The internal interface, which libxenstore uses, has no header in Debian. */
void xentoolcore__register_active_handle(struct sim_active_handle *h);
void xentoolcore__deregister_active_handle(struct sim_active_handle *h);
int xentoolcore__restrict_by_dup2_null(int fd);
#pragma GCC visibility pop

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void xentoolcore__register_active_handle(struct sim_active_handle *h)
{
    sim_restrict_register(h);
}

void xentoolcore__deregister_active_handle(struct sim_active_handle *h)
{
    sim_restrict_deregister(h);
}

int xentoolcore_restrict_all(domid_t domid)
{
    return sim_restrict_all(domid);
}

int xentoolcore__restrict_by_dup2_null(int fd)
{
    int null, rc;

    if (fd < 0)
        return 0;
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -1;
    rc = dup2(null, fd);
    if (rc >= 0)
        rc = 0;
    close(null);
    return rc;
}
