/* SPDX-License-Identifier: MIT */
/* VIRTIO 1.4, 5.3: console device. */
#ifndef RP_SPEC_VIRTIO_CONSOLE_H
#define RP_SPEC_VIRTIO_CONSOLE_H

#include "util/types.h"

/* 5.3.3: feature bits, as numbers. */
#define VIRTIO_CONSOLE_F_SIZE        0
#define VIRTIO_CONSOLE_F_MULTIPORT   1
#define VIRTIO_CONSOLE_F_EMERG_WRITE 2

/* 5.3.2: queues. Port 0 has the first pair, the control queues the second one. */
#define VIRTIO_CONSOLE_CONTROL_RX 2u
#define VIRTIO_CONSOLE_CONTROL_TX 3u
#define VIRTIO_CONSOLE_PORT_RX(n) ((n) ? 2u * (n) + 2u : 0u)
#define VIRTIO_CONSOLE_PORT_TX(n) (VIRTIO_CONSOLE_PORT_RX(n) + 1u)

/* 5.3.4: device configuration. */
struct virtio_console_config {
    le16_t cols;
    le16_t rows;
    le32_t max_nr_ports;
    le32_t emerg_wr;
};
_Static_assert(sizeof(struct virtio_console_config) == 12, "5.3.4");

/* 5.3.6.2: control messages; RESIZE and PORT_NAME have more behind. */
struct virtio_console_control {
    le32_t id;
    le16_t event;
    le16_t value;
};
_Static_assert(sizeof(struct virtio_console_control) == 8, "5.3.6.2");

struct virtio_console_resize {
    le16_t cols;
    le16_t rows;
};
_Static_assert(sizeof(struct virtio_console_resize) == 4, "5.3.6.2");

#define VIRTIO_CONSOLE_DEVICE_READY  0u
#define VIRTIO_CONSOLE_DEVICE_ADD    1u /* PORT_ADD elsewhere in the text */
#define VIRTIO_CONSOLE_DEVICE_REMOVE 2u
#define VIRTIO_CONSOLE_PORT_READY    3u
#define VIRTIO_CONSOLE_CONSOLE_PORT  4u
#define VIRTIO_CONSOLE_RESIZE        5u
#define VIRTIO_CONSOLE_PORT_OPEN     6u
#define VIRTIO_CONSOLE_PORT_NAME     7u

#endif
