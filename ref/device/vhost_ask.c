/* SPDX-License-Identifier: MIT */
#include "device/vhost_ask.h"

#include <errno.h>
#include <string.h>

int vhost_ask(int fd, struct vhost_message *m)
{
    uint32_t request = m->h.request;
    int rc = vhost_message_send(fd, m);

    if (!rc)
        rc = vhost_message_recv(fd, m, VHOST_ANSWER_NS);
    if (rc)
        return rc;
    if (m->h.request == request && m->h.flags & VHOST_USER_REPLY && !m->fd_count)
        return 0;
    vhost_message_close(m);
    return -EPROTO;
}

int vhost_ask_number(int fd, uint32_t request, uint64_t *value)
{
    struct vhost_message m = {.h = {.request = request}};
    int rc = vhost_ask(fd, &m);

    if (!rc && m.h.size != sizeof(m.p.u64))
        rc = -EPROTO;
    *value = m.p.u64;
    return rc;
}

int vhost_tell(int fd, struct vhost_message *m)
{
    int rc;

    m->h.flags = VHOST_USER_NEED_REPLY;
    rc = vhost_ask(fd, m);
    if (!rc && m->h.size != sizeof(m->p.u64))
        rc = -EPROTO;
    return rc ? rc : m->p.u64 ? -EREMOTEIO : 0;
}

int vhost_tell_number(int fd, uint32_t request, uint64_t value)
{
    struct vhost_message m = {.h = {.request = request, .size = sizeof(value)}, .p.u64 = value};

    return vhost_tell(fd, &m);
}

int vhost_tell_vring(int fd, uint32_t request, unsigned queue, uint32_t num)
{
    struct vhost_message m = {.h = {.request = request, .size = sizeof(m.p.state)},
                              .p.state = {.index = queue, .num = num}};

    return vhost_tell(fd, &m);
}

int vhost_tell_descriptor(int fd, uint32_t request, unsigned queue, int descriptor)
{
    struct vhost_message m = {.h = {.request = request, .size = sizeof(m.p.u64)},
                              .p.u64 = queue,
                              .fds = {descriptor},
                              .fd_count = 1};

    return vhost_tell(fd, &m);
}

int vhost_get_config(int fd, unsigned bytes, uint8_t *config)
{
    struct vhost_message m = {
        .h = {.request = VHOST_USER_GET_CONFIG, .size = VHOST_USER_CONFIG_HEAD + bytes},
        .p.config = {.size = bytes}};
    int rc;

    if (!bytes)
        return 0;
    rc = vhost_ask(fd, &m);
    if (!rc && (m.h.size != VHOST_USER_CONFIG_HEAD + bytes || m.p.config.size != bytes))
        rc = -EPROTO;
    if (!rc)
        memcpy(config, m.p.config.bytes, bytes);
    return rc;
}
