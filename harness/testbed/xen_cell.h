/* SPDX-License-Identifier: MIT */
/*
 * A cell on a real dom0: what the testbeds `qemu` (a booted machine's) and `xen` (the one that the
 * harness runs in) share. They differ in how a program is started in that dom0, and in where
 * things are there: struct xen_place.
 *
 * Each cell has a fresh domU. It is created paused, the backend is started, then the agent: with
 * its first line the domU is unpaused. The domU's console carries the agent's lines. What runs in
 * dom0 has a process here, which ends as it ends: so nothing above knows where the backend is.
 *
 * The functions without a comment are those of struct testbed_ops.
 */
#ifndef RP_TESTBED_XEN_CELL_H
#define RP_TESTBED_XEN_CELL_H

#include "testbed/testbed.h"

/* Paths are those of that dom0. */
struct xen_place {
    /* Words in front of "[NAME=VALUE]... PROGRAM [WORD]...", which run it in dom0; NULL-ended. */
    const char *const *prefix;
    const char *loop;      /* ringproof-dom0-loop: its tools */
    const char *backend;   /* the subject */
    const char *costs;     /* the library that counts what it asks (xen_costs.h); NULL: none */
    const char *libraries; /* folder of those that a subject of others brings; NULL: none */
    const char *agent;     /* for AGENT_DOM0 */
    const char *create;    /* rp-domu-create */
    const char *target;    /* ringproof-target */
    const char *guest;     /* the folder with kernels and device trees for a domU */
    /* The same, seen from where the harness is; NULL: the architecture's image. */
    const char *guest_here;
    const char *initrd; /* of a domU, with the agent in it */
};

struct xen_cell {
    struct testbed_cell cell;      /* first */
    const struct xen_place *place; /* borrowed */
    /* The machine is of no use any more; NULL where there is no other. */
    void (*discard)(struct testbed_cell *c);
    /* A machine whose domain that Xen started (start: dom0less) is as new; NULL where Xen's domains
     * are not ours. */
    int (*renew)(struct testbed_cell *c);
    uint16_t domid;    /* 0: no domain */
    bool console_used; /* the domain has been started */
    /* Of a driver domain (testbed/xen_driver.h), to and from its console; 0: none. */
    int to_driver, from_driver;
    bool driver_booted;
};

/* As xl calls a cell's domains. */
#define XEN_DOMAIN        "ringproof"
#define XEN_DRIVER_DOMAIN "ringproof-driver"

/* Starts a program in dom0. Descriptors of -1: it has none. */
int xen_cell_spawn(struct testbed_cell *c, const struct words *argv, const char *log, int stdin_fd,
                   int stdout_fd, struct process *p);

/*
 * Runs a command in dom0 and waits for its end. *out (may be NULL): its output, malloc'd, without
 * the last newline. -EREMOTEIO with a message when it failed, -ETIMEDOUT.
 */
int xen_cell_command(struct testbed_cell *c, char **out, const char *const *command);
/* The devices' images, in c->image_dir. */
int xen_cell_make_images(struct testbed_cell *c);
/* Ends what runs in the domain, and the domain. */
int xen_cell_domain_end(struct testbed_cell *c);
/* The domain alone, and one that an earlier harness left behind. Nothing to do without one. */
int xen_cell_domain_destroy(struct testbed_cell *c);

bool xen_cell_supports(const struct scenario_cell *plan, char *why, size_t why_size);
int xen_cell_domain_create(struct testbed_cell *c);
int xen_cell_domain_pause(struct testbed_cell *c, bool paused);
uint16_t xen_cell_domid(const struct testbed_cell *c);
int xen_cell_domain_accesses(struct testbed_cell *c, uint64_t *count);
int xen_cell_domain_hung(struct testbed_cell *c, bool *hung);
int xen_cell_backend_start(struct testbed_cell *c);
int xen_cell_backend_audit(struct testbed_cell *c, struct testbed_audit *a);
int xen_cell_agent_start(struct testbed_cell *c, enum testbed_role role);
int xen_cell_guest_spawn(struct testbed_cell *c, const struct words *argv,
                         const struct words *extra, int stdout_fd, struct process *p);
int xen_cell_socket_connect(struct testbed_cell *c, const char *path);
int xen_cell_store_wait(struct testbed_cell *c, const char *path, const char *value,
                        struct process *p, uint64_t deadline_ns);
int xen_cell_store_read(struct testbed_cell *c, const char *path, char **value);
int xen_cell_store_write(struct testbed_cell *c, const char *path, const char *value);

/* struct testbed_ops, its part that every testbed with a struct xen_cell has. */
#define XEN_CELL_OPS                                                                               \
    .domain_create = xen_cell_domain_create, .domain_pause = xen_cell_domain_pause,                \
    .domid = xen_cell_domid, .domain_accesses = xen_cell_domain_accesses,                          \
    .domain_costs = xen_costs_read, .domain_is_counted = xen_costs_counted,                        \
    .domain_hung = xen_cell_domain_hung, .backend_start = xen_cell_backend_start,                  \
    .backend_audit = xen_cell_backend_audit, .agent_start = xen_cell_agent_start,                  \
    .guest_spawn = xen_cell_guest_spawn, .store_wait = xen_cell_store_wait,                        \
    .store_read = xen_cell_store_read, .store_write = xen_cell_store_write,                        \
    .socket_connect = xen_cell_socket_connect

#endif
