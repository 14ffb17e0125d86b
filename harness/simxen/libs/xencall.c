/* SPDX-License-Identifier: MIT */
/*
 * libxencall over simxen. The libraries that would use it (libxenctrl, libxendevicemodel) are
 * simxen's own and do not; a program that issues a hypercall itself gets the few that have a
 * meaning here, and ENOSYS for the others, as an old Xen would say.
 */
#pragma GCC visibility push(default)
#include <xencall.h>
#pragma GCC visibility pop

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/version.h>

#include "simxen/core/core.h"

struct xencall_handle {
    struct sim_active_handle active; /* first */
    int fd;                          /* stands for /dev/xen/privcmd; nothing comes from it */
    bool restricted;
};

static int restrict_cb(struct sim_active_handle *h, domid_t domid)
{
    xencall_handle *xcall = (xencall_handle *)h;

    xcall->restricted = true;
    return 0;
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    xencall_handle *xcall = calloc(1, sizeof(*xcall));
    int rc;

    if (!xcall)
        return NULL;
    xcall->active.restrict_callback = restrict_cb;
    sim_restrict_register(&xcall->active);
    xcall->fd = -1;
    rc = sim_session();
    if (!rc) {
        xcall->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        rc = xcall->fd < 0 ? -errno : 0;
    }
    if (rc) {
        xencall_close(xcall);
        errno = -rc;
        return NULL;
    }
    return xcall;
}

int xencall_close(xencall_handle *xcall)
{
    if (!xcall)
        return 0;
    sim_restrict_deregister(&xcall->active);
    if (xcall->fd >= 0)
        close(xcall->fd);
    free(xcall);
    return 0;
}

int xencall_fd(xencall_handle *xcall)
{
    return xcall->fd;
}

int xencall_buffers_never_fault(xencall_handle *xcall)
{
    return 1;
}

/* Pages of their own, so that a child never shares one by copy-on-write. */
void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages)
{
    size_t bytes = nr_pages * SIM_PAGE;
    void *p;

    if (nr_pages == 0 || bytes / SIM_PAGE != nr_pages) {
        errno = EINVAL;
        return NULL;
    }
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, bytes, MADV_DONTFORK);
    return p;
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages)
{
    if (p)
        munmap(p, nr_pages * SIM_PAGE);
}

/* The number of pages stands before the buffer. */
#define BUFFER_HEADER 64u

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    size_t pages = (size + BUFFER_HEADER + SIM_PAGE - 1) / SIM_PAGE;
    char *p;

    if (size > SIZE_MAX - BUFFER_HEADER - SIM_PAGE) {
        errno = ENOMEM;
        return NULL;
    }
    p = xencall_alloc_buffer_pages(xcall, pages);
    if (!p)
        return NULL;
    memcpy(p, &pages, sizeof(pages));
    return p + BUFFER_HEADER;
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    size_t pages;
    char *start;

    if (!p)
        return;
    start = (char *)p - BUFFER_HEADER;
    memcpy(&pages, start, sizeof(pages));
    xencall_free_buffer_pages(xcall, start, pages);
}

static void *user(uint64_t arg)
{
    return (void *)(uintptr_t)arg;
}

static long do_version(uint64_t cmd, void *arg)
{
    static const char extra[] = ".5-simxen";
    static const char capabilities[] = "xen-3.0-x86_64 hvm-3.0-x86_64 ";

    switch (cmd) {
    case XENVER_version:
        return 4 << 16 | 17;
    case XENVER_extraversion:
        memcpy(arg, extra, sizeof(extra));
        return 0;
    case XENVER_capabilities:
        memcpy(arg, capabilities, sizeof(capabilities));
        return 0;
    case XENVER_pagesize:
        return SIM_PAGE;
    default:
        return -ENOSYS;
    }
}

static long do_hvm_op(uint64_t cmd, void *arg)
{
    struct xen_hvm_param *p = arg;
    struct sim_msg msg = {.a = {p->domid, p->index, p->value}};
    int rc;

    switch (cmd) {
    case HVMOP_set_param:
        msg.op = SIM_OP_PARAM_SET;
        return sim_call(&msg, NULL, NULL);
    case HVMOP_get_param:
        msg.op = SIM_OP_PARAM_GET;
        rc = sim_call(&msg, NULL, NULL);
        if (!rc)
            p->value = msg.a[0];
        return rc;
    default:
        return -ENOSYS;
    }
}

static long do_sched_op(uint64_t cmd, void *arg)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_SHUTDOWN};

    switch (cmd) {
    case SCHEDOP_shutdown:
        msg.a[0] = DOMID_SELF;
        msg.a[1] = ((struct sched_shutdown *)arg)->reason;
        return sim_call(&msg, NULL, NULL);
    case SCHEDOP_remote_shutdown:
        msg.a[0] = ((struct sched_remote_shutdown *)arg)->domain_id;
        msg.a[1] = ((struct sched_remote_shutdown *)arg)->reason;
        return sim_call(&msg, NULL, NULL);
    default:
        return -ENOSYS;
    }
}

static long do_memory_op(uint64_t cmd, void *arg)
{
    const struct sim_dom_ref *d;
    uint64_t top = 0;
    uint32_t i;
    int rc;

    if (cmd != XENMEM_maximum_gpfn)
        return -ENOSYS;
    rc = sim_dom_get(*(domid_t *)arg, &d);
    if (rc)
        return rc;
    for (i = 0; i < d->dom->nr_regions && i < SIM_REGIONS_MAX; i++)
        if (d->dom->regions[i].gfn + d->dom->regions[i].nr > top)
            top = d->dom->regions[i].gfn + d->dom->regions[i].nr;
    return top ? (long)(top - 1) : 0;
}

static long hypercall(xencall_handle *xcall, unsigned op, uint64_t arg1, uint64_t arg2)
{
    long rc;

    if (xcall->restricted) {
        errno = ENOTTY;
        return -1;
    }
    switch (op) {
    case __HYPERVISOR_xen_version:
        rc = do_version(arg1, user(arg2));
        break;
    case __HYPERVISOR_hvm_op:
        rc = do_hvm_op(arg1, user(arg2));
        break;
    case __HYPERVISOR_sched_op:
        rc = do_sched_op(arg1, user(arg2));
        break;
    case __HYPERVISOR_memory_op:
        rc = do_memory_op(arg1, user(arg2));
        break;
    default:
        rc = -ENOSYS;
    }
    if (rc < 0) {
        errno = (int)-rc;
        return -1;
    }
    return rc;
}

int xencall0(xencall_handle *xcall, unsigned int op)
{
    return (int)hypercall(xcall, op, 0, 0);
}

/* One argument: no operation known here has its meaning in the first one alone. */
int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
    return (int)hypercall(xcall, op, UINT64_MAX, arg1);
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    return (int)hypercall(xcall, op, arg1, arg2);
}

int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    return (int)hypercall(xcall, op, arg1, arg2);
}

int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    return (int)hypercall(xcall, op, arg1, arg2);
}

int xencall5(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4, uint64_t arg5)
{
    return (int)hypercall(xcall, op, arg1, arg2);
}

long xencall2L(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    return hypercall(xcall, op, arg1, arg2);
}
