/* SPDX-License-Identifier: MIT */
/*
 * The host end of a console port; not for others than the console device.
 *
 * An end is *open* while somebody is there. Its readiness is edge-triggered: `can_read` and
 * `can_write` are set when the kernel says so, and cleared when a call finds nothing more to do,
 * so that an end that nobody serves now costs nothing.
 */
#ifndef RP_DEVICE_CONSOLE_END_H
#define RP_DEVICE_CONSOLE_END_H

#include <sys/uio.h>

#include "device/console.h"

#define CONSOLE_PATH_BYTES 108u /* of a socket, sockaddr_un(7) */

struct console_end {
    struct evloop *loop; /* borrowed */
    enum console_end_kind kind;
    /* Something about the end has changed; the fields below say what. */
    void (*changed)(struct console_end *e);
    bool open, can_read, can_write;

    int fd;     /* of the bytes; -1: nobody is there */
    int arrive; /* UNIX: the listening socket; PTY: tells of openings and closings; -1 */
    struct evloop_fd fd_watch, arrive_watch;
    bool watching;
    char path[CONSOLE_PATH_BYTES]; /* to be removed at the end: socket or link; "" for none */
    char terminal[32];
};

/* `e` is caller storage; on an error nothing is held, and `error` says why. */
int console_end_init(struct console_end *e, struct evloop *loop,
                     const struct console_port_options *o, void (*changed)(struct console_end *e),
                     char *error, size_t error_bytes);
/* Zeroed storage is allowed. */
void console_end_fini(struct console_end *e);

/* Is somebody there? Who came before this call counts, though the loop has not said so yet; its
 * `changed` follows. */
bool console_end_look(struct console_end *e);

/* How many bytes, or 0: none now (can_read or can_write is cleared, or the end closed, which
 * `open` says and `changed` does not repeat). */
size_t console_end_read(struct console_end *e, const struct iovec *iov, unsigned count);
size_t console_end_write(struct console_end *e, const struct iovec *iov, unsigned count);

/* Send away who is there. */
void console_end_disconnect(struct console_end *e);

#endif
