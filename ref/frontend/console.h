/* SPDX-License-Identifier: MIT */
/*
 * A console driver (VIRTIO 5.3) for tests and examples: its side of the control messages, and
 * bytes in and out of ports.
 *
 * With MULTIPORT the driver says DEVICE_READY, answers each port that is added with PORT_READY and
 * each one that is named a console with PORT_OPEN, as it has to (5.3.6.2.2); other ports are
 * opened by fe_console_open. What the device says is taken in by fe_console_poll alone.
 *
 * The device is not trusted: ports and lengths are checked, and one that breaks the rules makes
 * every call fail with -EPROTO until the driver is made anew. One thread uses a console at a time.
 */
#ifndef RP_FRONTEND_CONSOLE_H
#define RP_FRONTEND_CONSOLE_H

#include "frontend/memory.h"
#include "frontend/virtio.h"

#define FE_CONSOLE_PORTS_MAX      16u /* more of a device are not driven */
#define FE_CONSOLE_NAME_BYTES_MAX 63u /* a longer name is cut */

struct fe_console;

struct fe_console_config {
    struct fe_memory *memory; /* borrowed */
    bool interrupts;          /* of receiving queues, for waiting; the others are polled */
    unsigned vcpu;
    uint64_t features_need; /* beside what the addressing needs; -ENOTSUP without */
    uint64_t features_off;  /* not to be negotiated: SIZE and MULTIPORT are, if offered */
    uint64_t timeout_ns;    /* of reset and of control messages; 0: 10 s */
};

/* What the driver knows of a port. */
struct fe_console_port {
    bool exists;
    bool console;        /* the device named it one; without MULTIPORT port 0 is */
    bool open;           /* on our side */
    bool host_open;      /* on the other side; without MULTIPORT nobody knows, and it is true */
    uint16_t cols, rows; /* 0: unknown */
    char name[FE_CONSOLE_NAME_BYTES_MAX + 1];
};

/* Reset, negotiate and start the device behind `v` (borrowed). -ENODEV: no console; -EPROTO:
 * configuration that cannot be; other errors as in virtio.h and memory.h. */
int fe_console_create(struct fe_virtio *v, const struct fe_console_config *cfg,
                      struct fe_console **out);

/* Stop the device and free all. -EBUSY: it was reset and memory is still mapped by the backend;
 * all is freed but that. NULL is allowed. */
int fe_console_destroy(struct fe_console *c);

/* Ports that there may be, and one of them (below that number). */
unsigned fe_console_ports(const struct fe_console *c);
const struct fe_console_port *fe_console_port(const struct fe_console *c, unsigned port);

/* Take in what the device has said. Waits for at least one message up to timeout_ns; 0 when none
 * came, or how many. Without MULTIPORT: 0 at once. */
int fe_console_poll(struct fe_console *c, uint64_t timeout_ns);

/* Open or close our side of a port. -ENOENT: it is not there; -ENOTSUP without MULTIPORT. */
int fe_console_open(struct fe_console *c, unsigned port, bool open);

/*
 * Send. Returns when the device has used all of it, or -ETIME: the rest of what was given is still
 * on its way, and the next write waits for it first. -ENOENT: the port is not there.
 */
int fe_console_write(struct fe_console *c, unsigned port, const void *from, size_t bytes,
                     uint64_t timeout_ns);

/* Receive what is there, at most `bytes`: how many, 0 when nothing came in time. */
int fe_console_read(struct fe_console *c, unsigned port, void *to, size_t bytes,
                    uint64_t timeout_ns);

/* The emergency way (5.3.4): one character, whatever the state of the device behind `v`. -ENOTSUP:
 * not offered. */
int fe_console_emergency(struct fe_virtio *v, uint8_t character);

#endif
