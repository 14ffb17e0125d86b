/* SPDX-License-Identifier: MIT */
/*
 * virtio-console (VIRTIO 5.3), device side: ports that carry bytes between the driver and a
 * *host end* each.
 *
 * Nothing that was accepted is lost while both sides are there. Bytes for the driver are read
 * from the host end only into a buffer that the driver gave, so that a driver without buffers
 * (or one that has not opened the port) holds the sender up and not this program. Bytes of the
 * driver that the host end does not take yet stay in the driver's buffers, which are used when
 * all of it was taken. What the driver sends while nobody has the host end open is dropped, as a
 * serial line without a cable does: a guest must not hang because nobody watches its console.
 *
 * Control messages to the driver (MULTIPORT) are what it was not told yet of the state of the
 * ports, in the order add, console, name, open, size, remove. No queue of messages can grow:
 * states between two looks of the driver are not told one by one, but an end of a port is always
 * told before the port's next beginning.
 */
#ifndef RP_DEVICE_CONSOLE_H
#define RP_DEVICE_CONSOLE_H

#include "device/vdev.h"

#define CONSOLE_PORTS_MAX      16u
#define CONSOLE_NAME_BYTES_MAX 63u

extern const struct vdev_type console_type;

enum console_end_kind {
    CONSOLE_END_NONE, /* there is no such port */
    CONSOLE_END_NULL, /* takes everything, sends nothing */
    CONSOLE_END_FILE, /* appended to, sends nothing */
    CONSOLE_END_UNIX, /* a listening socket; open while a client is connected */
    CONSOLE_END_PTY,  /* open while somebody has the terminal open */
};

struct console_port_options {
    enum console_end_kind kind;
    const char *path; /* FILE, UNIX; PTY: a symbolic link to the terminal, or NULL */
    const char *name; /* told to the driver; NULL: none */
    bool console;     /* a console port, whether or not it has a name */
};

struct console_options {
    struct console_port_options ports[CONSOLE_PORTS_MAX];
    unsigned ports_max;  /* 1 to CONSOLE_PORTS_MAX; more than 1 needs MULTIPORT */
    bool multiport;      /* offered */
    uint16_t cols, rows; /* 0: SIZE is not offered */
    const char *manage;  /* path of a socket for device/console_manage.h, or NULL */
    uint64_t features_off;
};

/*
 * Create a device; *out is released with vdev_destroy. On an error `error` (of error_bytes, may
 * be NULL with 0) holds one line for the user:
 *   -EINVAL  an option out of range, port 0 missing without MULTIPORT, a path that is too long
 *   -EEXIST, -EACCES, ...  as the system said of a file, a socket or a link
 *   -ENOMEM, -EMFILE
 */
int console_create(const struct vdev_config *config, const struct console_options *options,
                   struct vdev **out, char *error, size_t error_bytes);

/* The size of every console port from now on. */
void console_resize(struct vdev *d, uint16_t cols, uint16_t rows);

/*
 * Take a port away from the driver, or give it (back) to it. The host end is kept; who has it
 * open is disconnected by a removal. -ENOENT: no such port is configured; -EALREADY.
 */
int console_port_remove(struct vdev *d, unsigned port);
int console_port_add(struct vdev *d, unsigned port);

/* The terminal of a port with CONSOLE_END_PTY, "/dev/pts/3"; NULL. Borrowed. */
const char *console_port_terminal(const struct vdev *d, unsigned port);

struct console_stats {
    uint64_t to_driver_bytes, from_driver_bytes;
    uint64_t dropped_bytes;   /* from the driver, with nobody at the host end */
    uint64_t control_sent;    /* control messages to the driver */
    uint64_t control_refused; /* from the driver, and not such as it may send */
};
void console_get_stats(const struct vdev *d, struct console_stats *stats);

#endif
