/* SPDX-License-Identifier: MIT */
/*
 * A console driver by hand: its queues, its side of the control messages, and what it was told.
 *
 * Every control message that comes is judged as it comes (console_listen): no port is added twice
 * or beyond max_nr_ports, nothing is said of a port that is not there, and every message has the
 * length that its kind has. A check waits for what it wants to be told, not for an order of
 * messages that VIRTIO does not lay down.
 */
#ifndef RP_CONFORMANCE_CONSOLEDEV_H
#define RP_CONFORMANCE_CONSOLEDEV_H

#include "conformance/ring.h"
#include "spec/virtio_console.h"

#define CONSOLE_PORTS_MAX   16
#define CONSOLE_NAME_BYTES  96
#define CONSOLE_BUFFERS     8
#define CONSOLE_CONTROL_LEN 128u

/* What the driver was told of a port. */
struct port_view {
    bool added, console, open;
    unsigned adds, removals; /* messages */
    char name[CONSOLE_NAME_BYTES];
    uint16_t cols, rows; /* 0: no RESIZE came */
};

struct console {
    struct device *d;
    unsigned ports_max; /* 1 without MULTIPORT */
    struct ring *rx[CONSOLE_PORTS_MAX], *tx[CONSOLE_PORTS_MAX];
    struct ring *control_rx, *control_tx; /* NULL without MULTIPORT */
    struct buffer *control_in[CONSOLE_BUFFERS];
    struct buffer *control_out;
    struct port_view port[CONSOLE_PORTS_MAX];
};

/* A running console with these features and no buffers in any queue. */
struct console *given_console(struct check_ctx *t, uint64_t features);
void console_restart(struct console *k, uint64_t features);

/* ---- control messages ---- */

/* Buffers for messages; from now on console_listen gives each one back that it took out. */
void console_give_control_buffers(struct console *k);
/* Send a message of `bytes` bytes; the device has to use it. */
void console_say_raw(struct console *k, const void *message, uint32_t bytes);
void console_say(struct console *k, uint32_t port, uint16_t event, uint16_t value);
/* Take all messages that are there, judge them and keep what they say. Returns how many. */
unsigned console_listen(struct console *k);
/* Listen until nothing came for a while. */
void console_listen_on(struct console *k);
/* Listen until `told` says so of a port: true, or false after LIMIT_REPLY_NS. */
bool console_hears(struct console *k, unsigned port, bool (*told)(const struct port_view *v));
bool told_added(const struct port_view *v);
bool told_removed(const struct port_view *v);
bool told_console(const struct port_view *v);
bool told_name(const struct port_view *v);
bool told_open(const struct port_view *v);
bool told_closed(const struct port_view *v);

/* A multiport console whose ports below `ports` were all added, are ready and open. */
struct console *given_ports(struct check_ctx *t, unsigned ports);
/* How many ports there are at first, as the testbed says; 0 when it does not. */
unsigned console_ports(struct console *k);

/* ---- bytes ---- */

/* Text of `bytes` bytes that differs for each seed, in `text` with a NUL behind it. */
void console_text(char *text, uint32_t bytes, uint32_t seed);
/* Send it by a port, in pieces; the device has to use the buffer. */
void console_send(struct console *k, unsigned port, const char *text, uint32_t bytes);
/* Put an empty buffer into a port's receive queue. */
struct buffer *console_give(struct console *k, unsigned port, uint32_t bytes);
/* The next buffer of the receive queue is used with so many bytes; 0 after timeout_ns. */
uint32_t console_received(struct console *k, unsigned port, const struct buffer *b,
                          uint64_t timeout_ns);

/* The host end of a port (NEED_HOST_END). */
void host_open(struct check_ctx *t, unsigned port);
void host_close(struct check_ctx *t, unsigned port);
void host_write(struct check_ctx *t, unsigned port, const char *text);
/* Up to `bytes` bytes that come within `ms`; returns how many, with a NUL behind. */
uint32_t host_read(struct check_ctx *t, unsigned port, char *text, uint32_t bytes, unsigned ms);
void host_manage(struct check_ctx *t, const char *command);

/*
 * The size of a console is what the host can change in a configuration. After a change and a read
 * of it the generation is another one, so that a driver in the midst of reading sees it.
 */
void expect_generation_moves(struct check_ctx *t);
#define NEED_CONFIG_CHANGE (NEED_CONSOLE | NEED_SIZE | NEED_HOST_END)

#endif
