/* SPDX-License-Identifier: MIT */
#include "transport/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/vhost_message.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/unix_socket.h"

#define PROTOCOL_FEATURES                                                                          \
    (BIT64(VHOST_USER_PROTOCOL_F_MQ) | BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                    \
     BIT64(VHOST_USER_PROTOCOL_F_CONFIG) | BIT64(VHOST_USER_PROTOCOL_F_RESET))
/* Not of queues, but between a driver and its transport. */
#define TRANSPORT_OWN                                                                              \
    (VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_F(VIRTIO_F_RING_RESET) |                          \
     VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA) | VIRTIO_F(VIRTIO_F_NOTIF_CONFIG_DATA) |                 \
     VIRTIO_F(VIRTIO_F_SUSPEND))

struct back_queue {
    struct vhost_back_end *back;
    bool running;
    uint32_t base;
    int kick, call; /* -1: not told yet */
    struct evloop_fd kick_watch;
};

struct vhost_back_end {
    struct vhost_back_end_config config;
    int fd;
    struct evloop_fd watch;
    bool watching;
    bool owned;
    bool has_memory;
    /* Where the front-end has its memory, which is what it calls a ring's areas by. */
    struct vhost_user_plain_memory shared;
    uint64_t protocol; /* features of it that the front-end has taken */
    int err;           /* -1: not told yet */
    struct back_queue queues[VDEV_QUEUES_MAX];
};

/* ---- queues ---- */

static void kicked(struct evloop_fd *w, uint32_t events)
{
    struct back_queue *q = w->user;
    struct vhost_back_end *b = q->back;
    uint64_t count;
    ssize_t n = read(q->kick, &count, sizeof(count));

    if (n == (ssize_t)sizeof(count))
        vdev_queue_notify(b->config.vdev, (unsigned)(q - b->queues));
    else if (n >= 0 || (errno != EAGAIN && errno != EINTR))
        evloop_del(b->config.loop, &q->kick_watch); /* whatever it is, it is no eventfd */
}

static void signal_fd(int fd)
{
    const uint64_t one = 1;

    if (fd >= 0 && write(fd, &one, sizeof(one)) != sizeof(one))
        log_warn_limited("vhost-user: an event is lost: %s", strerror(errno));
}

static void back_interrupt(void *ctx, unsigned queue)
{
    struct vhost_back_end *b = ctx;

    signal_fd(b->queues[queue].call);
}

/* The configuration of a device behind this changes by its driver's hand alone. */
static void back_config_interrupt(void *ctx)
{
    struct vhost_back_end *b = ctx;

    if (vdev_status(b->config.vdev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET)
        signal_fd(b->err);
}

static const struct vdev_transport_ops transport_ops = {.queue_interrupt = back_interrupt,
                                                        .config_interrupt = back_config_interrupt};

/* Of a message. Whatever it is, nobody waits for it: a full pipe must not stop this process. */
static int take_event(struct vhost_message *m)
{
    int fd = vhost_message_take_fd(m);
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return fd;
}

static void replace(int *fd, int other)
{
    if (*fd >= 0)
        close(*fd);
    *fd = other;
}

static void stop_queue(struct vhost_back_end *b, unsigned queue)
{
    struct back_queue *q = &b->queues[queue];

    if (q->running) {
        evloop_del(b->config.loop, &q->kick_watch);
        vdev_queue_disable(b->config.vdev, queue);
    }
    q->running = false;
    q->base = 0;
    replace(&q->kick, -1);
    replace(&q->call, -1);
}

/* ---- what the front-end says. 0; -EREMOTEIO: no; -EPROTO: that is no message ---- */

static int get_features(struct vhost_back_end *b, struct vhost_message *m)
{
    m->h.size = sizeof(m->p.u64);
    m->p.u64 = (vdev_device_features(b->config.vdev) & ~TRANSPORT_OWN) |
               VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES);
    return 0;
}

static bool any_runs(const struct vhost_back_end *b)
{
    for (unsigned i = 0; i < vdev_num_queues(b->config.vdev); i++)
        if (b->queues[i].running)
            return true;
    return false;
}

static int set_features(struct vhost_back_end *b, struct vhost_message *m)
{
    struct vdev *d = b->config.vdev;
    uint64_t features = (m->p.u64 & ~VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES)) |
                        (vdev_device_features(d) & VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM));
    uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

    /* Protocol features are in use whether or not it says so again (RESET_OWNER apart). */
    if (any_runs(b))
        return -EPROTO;
    vdev_set_status(d, 0);
    vdev_set_status(d, VIRTIO_STATUS_ACKNOWLEDGE);
    vdev_set_status(d, status);
    vdev_set_driver_features(d, 0, (uint32_t)features);
    vdev_set_driver_features(d, 1, (uint32_t)(features >> 32));
    vdev_set_status(d, status | VIRTIO_STATUS_FEATURES_OK);
    return vdev_status(d) & VIRTIO_STATUS_FEATURES_OK ? 0 : -EREMOTEIO;
}

static uint64_t protocol_features(const struct vhost_back_end *b)
{
    return PROTOCOL_FEATURES | (b->config.shared ? 0 : BIT64(VHOST_USER_PROTOCOL_F_XEN_MMAP));
}

static int get_protocol_features(struct vhost_back_end *b, struct vhost_message *m)
{
    m->h.size = sizeof(m->p.u64);
    m->p.u64 = protocol_features(b);
    return 0;
}

static int set_protocol_features(struct vhost_back_end *b, struct vhost_message *m)
{
    if (m->p.u64 & ~protocol_features(b))
        return -EPROTO;
    b->protocol = m->p.u64;
    return 0;
}

static int set_owner(struct vhost_back_end *b, struct vhost_message *m)
{
    b->owned = true;
    return 0;
}

static int get_queue_num(struct vhost_back_end *b, struct vhost_message *m)
{
    m->h.size = sizeof(m->p.u64);
    m->p.u64 = vdev_num_queues(b->config.vdev);
    return 0;
}

/* Of a front-end that shares its memory by descriptors. */
static int set_shared_memory(struct vhost_back_end *b, struct vhost_message *m)
{
    const struct vhost_user_plain_memory *t = &m->p.plain_memory;
    struct gmem_shared_region regions[VHOST_USER_REGIONS_MAX];
    int rc;

    if (m->h.size < VHOST_USER_MEMORY_HEAD || t->count > VHOST_USER_REGIONS_MAX ||
        m->h.size != VHOST_USER_MEMORY_HEAD + t->count * sizeof(t->regions[0]) ||
        m->fd_count != t->count || any_runs(b))
        return -EPROTO;
    for (unsigned i = 0; i < t->count; i++) {
        const struct vhost_user_plain_region *r = &t->regions[i];

        if (range_wraps(r->guest_addr, r->size) || range_wraps(r->user_addr, r->size))
            return -EPROTO;
        regions[i] = (struct gmem_shared_region){
            .base = r->guest_addr, .bytes = r->size, .fd = m->fds[i], .offset = r->mmap_offset};
    }
    rc = gmem_regions_set(b->config.shared, regions, t->count);
    if (rc) {
        log_warn("vhost-user: memory that cannot be mapped: %s", strerror(-rc));
        return -EREMOTEIO;
    }
    b->shared = *t;
    b->has_memory = t->count != 0;
    return 0;
}

/* The address of a ring's area by which the driver's descriptors would call it. */
static int guest_addr_of(const struct vhost_back_end *b, uint64_t user, gpa_t *addr)
{
    const struct vhost_user_plain_memory *t = &b->shared;

    *addr = gpa_make(user);
    if (!b->config.shared)
        return 0;
    for (unsigned i = 0; i < t->count; i++) {
        const struct vhost_user_plain_region *r = &t->regions[i];

        if (user < r->user_addr || user - r->user_addr >= r->size)
            continue;
        *addr = gpa_make(r->guest_addr + (user - r->user_addr));
        return 0;
    }
    return -EREMOTEIO;
}

/* With XEN_MMAP the regions' descriptors are not for us: libxen opens its own. */
static int set_mem_table(struct vhost_back_end *b, struct vhost_message *m)
{
    const struct vhost_user_memory *t = &m->p.memory;

    if (b->config.shared)
        return set_shared_memory(b, m);
    if (m->h.size < VHOST_USER_MEMORY_HEAD || t->count > VHOST_USER_REGIONS_MAX ||
        m->h.size != VHOST_USER_MEMORY_HEAD + t->count * sizeof(t->regions[0]) ||
        m->fd_count != t->count || !(b->protocol & BIT64(VHOST_USER_PROTOCOL_F_XEN_MMAP)))
        return -EPROTO;
    for (unsigned i = 0; i < t->count; i++) {
        const struct vhost_user_region *r = &t->regions[i];

        if (range_wraps(r->guest_addr, r->size) || r->guest_addr != r->user_addr)
            return -EPROTO;
        if (r->xen_domid != b->config.domid ||
            !(r->xen_flags & (VHOST_USER_XEN_GRANT | VHOST_USER_XEN_FOREIGN)))
            return -EREMOTEIO;
    }
    b->has_memory = t->count != 0;
    return 0;
}

static struct back_queue *idle_queue(struct vhost_back_end *b, unsigned index)
{
    return index < vdev_num_queues(b->config.vdev) && !b->queues[index].running ? &b->queues[index]
                                                                                : NULL;
}

static int set_vring_num(struct vhost_back_end *b, struct vhost_message *m)
{
    struct vdev_queue_regs regs;

    if (!idle_queue(b, m->p.state.index) || m->p.state.num > UINT16_MAX)
        return -EPROTO;
    vdev_queue_set_size(b->config.vdev, m->p.state.index, (uint16_t)m->p.state.num);
    vdev_queue_get(b->config.vdev, m->p.state.index, &regs);
    return regs.size == m->p.state.num ? 0 : -EREMOTEIO;
}

static int set_vring_base(struct vhost_back_end *b, struct vhost_message *m)
{
    struct back_queue *q = idle_queue(b, m->p.state.index);

    if (!q)
        return -EPROTO;
    q->base = m->p.state.num;
    return 0;
}

static int set_vring_addr(struct vhost_back_end *b, struct vhost_message *m)
{
    const struct vhost_user_vring_addr *a = &m->p.addr;
    gpa_t desc, avail, used;
    int rc;

    if (!idle_queue(b, a->index))
        return -EPROTO;
    rc = guest_addr_of(b, a->desc, &desc);
    if (!rc)
        rc = guest_addr_of(b, a->avail, &avail);
    if (!rc)
        rc = guest_addr_of(b, a->used, &used);
    if (!rc)
        vdev_queue_set_addr(b->config.vdev, a->index, desc, avail, used);
    return rc;
}

static int get_vring_base(struct vhost_back_end *b, struct vhost_message *m)
{
    unsigned index = m->p.state.index;

    if (index >= vdev_num_queues(b->config.vdev))
        return -EPROTO;
    m->h.size = sizeof(m->p.state);
    m->p.state.num = vdev_queue_base(b->config.vdev, index);
    stop_queue(b, index);
    return 0;
}

/* The index of a message about a descriptor. */
static struct back_queue *told_queue(struct vhost_back_end *b, const struct vhost_message *m)
{
    if (m->p.u64 & ~(uint64_t)VHOST_USER_VRING_INDEX_MASK || m->fd_count != 1)
        return NULL;
    return idle_queue(b, (unsigned)m->p.u64);
}

static int set_vring_kick(struct vhost_back_end *b, struct vhost_message *m)
{
    struct back_queue *q = told_queue(b, m);

    if (!q)
        return -EPROTO;
    replace(&q->kick, take_event(m));
    return 0;
}

static int set_vring_call(struct vhost_back_end *b, struct vhost_message *m)
{
    struct back_queue *q = told_queue(b, m);

    if (!q)
        return -EPROTO;
    replace(&q->call, take_event(m));
    return 0;
}

static int set_vring_err(struct vhost_back_end *b, struct vhost_message *m)
{
    if (!told_queue(b, m))
        return -EPROTO;
    replace(&b->err, take_event(m));
    return 0;
}

static int set_vring_enable(struct vhost_back_end *b, struct vhost_message *m)
{
    unsigned index = m->p.state.index;
    struct back_queue *q = idle_queue(b, index);
    struct vdev *d = b->config.vdev;
    struct vdev_queue_regs regs;
    uint8_t status = vdev_status(d);

    /* Neither a ring that stands still nor one that goes on where it stood. */
    if (!q || m->p.state.num != 1 || q->kick < 0 || q->call < 0 || !b->has_memory ||
        (q->base != 0 && q->base != VHOST_USER_PACKED_BASE))
        return -EREMOTEIO;
    vdev_queue_enable(d, index);
    vdev_queue_get(d, index, &regs);
    if (!regs.enabled)
        return -EREMOTEIO;
    q->kick_watch = (struct evloop_fd){.fd = q->kick, .ready = kicked, .user = q};
    if (evloop_add(b->config.loop, &q->kick_watch, EPOLLIN)) {
        vdev_queue_disable(d, index);
        return -EREMOTEIO;
    }
    q->running = true;
    if (!(status & VIRTIO_STATUS_DRIVER_OK))
        vdev_set_status(d, status | VIRTIO_STATUS_DRIVER_OK);
    return 0;
}

static bool config_is_whole(const struct vhost_back_end *b, const struct vhost_message *m)
{
    const struct vhost_user_config *c = &m->p.config;

    return m->h.size >= VHOST_USER_CONFIG_HEAD && c->size <= VHOST_USER_CONFIG_MAX &&
           m->h.size == VHOST_USER_CONFIG_HEAD + c->size &&
           b->protocol & BIT64(VHOST_USER_PROTOCOL_F_CONFIG) &&
           range_within(c->offset, c->size, VHOST_USER_CONFIG_MAX);
}

static int get_config(struct vhost_back_end *b, struct vhost_message *m)
{
    struct vhost_user_config *c = &m->p.config;

    if (!config_is_whole(b, m))
        return -EPROTO;
    vdev_config_read(b->config.vdev, c->offset, c->size, c->bytes);
    return 0;
}

static int set_config(struct vhost_back_end *b, struct vhost_message *m)
{
    const struct vhost_user_config *c = &m->p.config;

    if (!config_is_whole(b, m))
        return -EPROTO;
    vdev_config_write(b->config.vdev, c->offset, c->size, c->bytes);
    return 0;
}

static int reset_device(struct vhost_back_end *b, struct vhost_message *m)
{
    for (unsigned i = 0; i < vdev_num_queues(b->config.vdev); i++)
        stop_queue(b, i);
    vdev_set_status(b->config.vdev, 0);
    b->has_memory = false;
    b->shared.count = 0;
    return b->config.shared ? gmem_regions_set(b->config.shared, NULL, 0) : 0;
}

#define ANY_SIZE UINT32_MAX

static const struct {
    int (*handle)(struct vhost_back_end *b, struct vhost_message *m);
    uint32_t size; /* of the payload */
    bool replies;  /* with the message that `handle` leaves */
} requests[] = {
    [VHOST_USER_GET_FEATURES] = {get_features, 0, true},
    [VHOST_USER_SET_FEATURES] = {set_features, 8, false},
    [VHOST_USER_SET_OWNER] = {set_owner, 0, false},
    [VHOST_USER_SET_MEM_TABLE] = {set_mem_table, ANY_SIZE, false},
    [VHOST_USER_SET_VRING_NUM] = {set_vring_num, 8, false},
    [VHOST_USER_SET_VRING_ADDR] = {set_vring_addr, 40, false},
    [VHOST_USER_SET_VRING_BASE] = {set_vring_base, 8, false},
    [VHOST_USER_GET_VRING_BASE] = {get_vring_base, 8, true},
    [VHOST_USER_SET_VRING_KICK] = {set_vring_kick, 8, false},
    [VHOST_USER_SET_VRING_CALL] = {set_vring_call, 8, false},
    [VHOST_USER_SET_VRING_ERR] = {set_vring_err, 8, false},
    [VHOST_USER_GET_PROTOCOL_FEATURES] = {get_protocol_features, 0, true},
    [VHOST_USER_SET_PROTOCOL_FEATURES] = {set_protocol_features, 8, false},
    [VHOST_USER_GET_QUEUE_NUM] = {get_queue_num, 0, true},
    [VHOST_USER_SET_VRING_ENABLE] = {set_vring_enable, 8, false},
    [VHOST_USER_GET_CONFIG] = {get_config, ANY_SIZE, true},
    [VHOST_USER_SET_CONFIG] = {set_config, ANY_SIZE, false},
    [VHOST_USER_RESET_DEVICE] = {reset_device, 0, false},
};

/* 0, or why the connection has to end. */
static int serve(struct vhost_back_end *b, struct vhost_message *m)
{
    uint32_t request = m->h.request;
    bool acknowledge = m->h.flags & VHOST_USER_NEED_REPLY;
    int rc = -EREMOTEIO;

    if (m->h.flags & VHOST_USER_REPLY)
        return -EPROTO;
    if (request < ARRAY_LENGTH(requests) && requests[request].handle) {
        if (requests[request].size != ANY_SIZE && requests[request].size != m->h.size)
            return -EPROTO;
        rc = requests[request].handle(b, m);
        if (rc == -EPROTO)
            return rc;
        if (requests[request].replies) {
            m->h.flags = VHOST_USER_REPLY;
            return vhost_message_send(b->fd, m);
        }
    }
    if (!acknowledge)
        return 0;
    struct vhost_message answer = {
        .h = {.request = request, .flags = VHOST_USER_REPLY, .size = sizeof(answer.p.u64)},
        .p.u64 = rc != 0};
    return vhost_message_send(b->fd, &answer);
}

static int serve_next(struct vhost_back_end *b, uint64_t wait_ns)
{
    struct vhost_message m;
    int rc = vhost_message_recv(b->fd, &m, wait_ns);

    if (rc)
        return rc;
    rc = serve(b, &m);
    if (rc == -EPROTO)
        log_warn("vhost-user: request %u of %u bytes is malformed, or out of place", m.h.request,
                 m.h.size);
    vhost_message_close(&m);
    return rc;
}

static void end(struct vhost_back_end *b)
{
    if (b->watching)
        evloop_del(b->config.loop, &b->watch);
    b->watching = false;
    for (unsigned i = 0; i < vdev_num_queues(b->config.vdev); i++)
        stop_queue(b, i);
}

static void front_end_says(struct evloop_fd *w, uint32_t events)
{
    struct vhost_back_end *b = w->user;

    if (!serve_next(b, VHOST_PIECE_NS))
        return;
    end(b);
    b->config.gone(b->config.ctx);
}

int vhost_back_end_create(const struct vhost_back_end_config *config, struct vhost_back_end **out)
{
    uint64_t deadline = evloop_now_ns() + (uint64_t)config->wait_ms * 1000000u;
    struct vhost_back_end *b = calloc(1, sizeof(*b));
    int rc;

    if (!b)
        return -ENOMEM;
    b->config = *config;
    b->fd = b->err = -1;
    for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++) {
        b->queues[i].back = b;
        b->queues[i].kick = b->queues[i].call = -1;
    }
    vdev_attach_transport(config->vdev, &transport_ops, b);
    rc = unix_connect(config->path, SOCK_STREAM, config->wait_ms, &b->fd);
    while (!rc && !b->owned) {
        uint64_t now = evloop_now_ns();
        rc = now < deadline ? serve_next(b, deadline - now) : -ETIMEDOUT;
    }
    b->watch = (struct evloop_fd){.fd = b->fd, .ready = front_end_says, .user = b};
    if (!rc)
        rc = evloop_add(config->loop, &b->watch, EPOLLIN);
    if (rc) {
        vhost_back_end_destroy(b);
        return rc;
    }
    b->watching = true;
    *out = b;
    return 0;
}

void vhost_back_end_destroy(struct vhost_back_end *b)
{
    if (!b)
        return;
    end(b);
    if (b->fd >= 0)
        close(b->fd);
    if (b->err >= 0)
        close(b->err);
    free(b);
}
