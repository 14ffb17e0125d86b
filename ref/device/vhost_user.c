/* SPDX-License-Identifier: MIT */
#include "device/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device/vdev_impl.h"
#include "device/vhost_ask.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define PROTOCOL_FEATURES                                                                          \
    (BIT64(VHOST_USER_PROTOCOL_F_MQ) | BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                    \
     BIT64(VHOST_USER_PROTOCOL_F_CONFIG) | BIT64(VHOST_USER_PROTOCOL_F_RESET) |                    \
     BIT64(VHOST_USER_PROTOCOL_F_XEN_MMAP))
/* Between the driver and this process. */
#define OWN_FEATURES                                                                               \
    (VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM) |                           \
     VIRTIO_F(VIRTIO_F_RING_RESET))

/* Every reference, by its DMA address, and every frame that a guest can have. */
#define GRANTS_BYTES (UINT64_C(1) << 44)
#define FRAMES_BYTES (UINT64_C(1) << 52)

struct vhost_user;

struct vhost_queue {
    struct vhost_user *front;
    bool started;
    int kick, call; /* eventfds */
    struct evloop_fd call_watch;
};

/* What a back-end says when it comes. */
struct peer {
    uint64_t features;
    unsigned queues;
    uint8_t config[VHOST_USER_CONFIG_MAX];
};

struct vhost_user {
    struct vdev vdev;      /* first: the core hands us this */
    struct vdev_type type; /* the one that it is to the driver, with our functions */
    uint16_t domid;
    int fd; /* -1: there is no back-end */
    struct evloop_fd watch;
    int err; /* eventfd: a queue of the back-end's is broken */
    struct evloop_fd err_watch;
    struct peer peer;
    uint64_t offered;
    bool touched;    /* the back-end has heard of this negotiation */
    bool has_memory; /* and of the memory */
    struct vhost_queue queues[VDEV_QUEUES_MAX];
    struct vhost_user_stats stats;
};

static struct vhost_user *to_front(struct vdev *d)
{
    return (struct vhost_user *)(void *)d;
}

/* ---- a back-end comes ---- */

static void explain(char *error, size_t error_bytes, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void explain(char *error, size_t error_bytes, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(error, error_bytes, fmt, ap);
    va_end(ap);
}

static int shake_hands(int fd, const struct vdev_type *as, struct peer *p, char *error,
                       size_t error_bytes)
{
    uint64_t protocol = 0, queues = 0;
    int rc = vhost_ask_number(fd, VHOST_USER_GET_FEATURES, &p->features);

    if (!rc && p->features & VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES))
        rc = vhost_ask_number(fd, VHOST_USER_GET_PROTOCOL_FEATURES, &protocol);
    if (!rc && (protocol & PROTOCOL_FEATURES) != PROTOCOL_FEATURES) {
        explain(error, error_bytes,
                "a back-end with the protocol features %#llx: MQ, REPLY_ACK, CONFIG, RESET_DEVICE "
                "and XEN_MMAP are needed",
                (unsigned long long)protocol);
        return -EINVAL;
    }
    if (!rc)
        rc = vhost_tell_number(fd, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL_FEATURES);
    if (!rc)
        rc = vhost_ask_number(fd, VHOST_USER_GET_QUEUE_NUM, &queues);
    if (!rc && (!queues || queues > VDEV_QUEUES_MAX)) {
        explain(error, error_bytes, "a back-end with %llu queues", (unsigned long long)queues);
        return -EINVAL;
    }
    p->queues = (unsigned)queues;
    if (!rc)
        rc = vhost_get_config(fd, as->config_bytes, p->config);
    if (rc)
        explain(error, error_bytes, "a back-end that does not speak vhost-user: %s", strerror(-rc));
    return rc;
}

static void queue_forget(struct vhost_user *v, unsigned queue)
{
    struct vhost_queue *q = &v->queues[queue];

    if (!q->started)
        return;
    q->started = false;
    evloop_del(v->vdev.loop, &q->call_watch);
    close(q->kick);
    close(q->call);
}

/* Nothing that it had is in use any more: the kernel has taken it from a process that has ended,
 * and one that has not is none of ours. */
static void lose(struct vhost_user *v, const char *why)
{
    if (v->fd < 0)
        return;
    evloop_del(v->vdev.loop, &v->watch);
    close(v->fd);
    v->fd = -1;
    v->touched = v->has_memory = false;
    for (unsigned i = 0; i < v->peer.queues; i++)
        queue_forget(v, i);
    log_warn("%s: the back-end has gone: %s", v->vdev.label, why);
    if (vdev_status(&v->vdev) & VIRTIO_STATUS_DRIVER_OK && !v->vdev.resetting &&
        !MUTANT(vhost_loss_is_silent))
        vdev_fault(&v->vdev, "back-end-gone", "%s", why);
}

static void back_end_says(struct evloop_fd *w, uint32_t events)
{
    /* It speaks when it is asked. */
    lose(w->user, events & (EPOLLHUP | EPOLLERR) ? "its connection has ended"
                                                 : "it speaks without being asked");
}

static int adopt(struct vhost_user *v, int fd)
{
    int rc;

    v->watch = (struct evloop_fd){.fd = fd, .ready = back_end_says, .user = v};
    rc = evloop_add(v->vdev.loop, &v->watch, EPOLLIN);
    if (rc)
        return rc;
    v->fd = fd;
    v->stats.back_ends++;
    return 0;
}

int vhost_user_connect(struct vdev *d, int fd, char *error, size_t error_bytes)
{
    struct vhost_user *v = to_front(d);
    struct peer p = {0};
    int rc = -EBUSY;

    if (v->fd >= 0) {
        explain(error, error_bytes, "a second back-end");
        goto out;
    }
    rc = shake_hands(fd, &v->type, &p, error, error_bytes);
    if (rc)
        goto out;
    if (p.queues != v->peer.queues) {
        explain(error, error_bytes, "a back-end with %u queues after one with %u", p.queues,
                v->peer.queues);
        rc = -EINVAL;
        goto out;
    }
    rc = adopt(v, fd);
    if (rc)
        explain(error, error_bytes, "%s", strerror(-rc));
    else
        v->peer = p;
out:
    if (rc)
        close(fd);
    return rc;
}

void vhost_user_own(struct vdev *d)
{
    struct vhost_user *v = to_front(d);
    struct vhost_message m = {.h = {.request = VHOST_USER_SET_OWNER}};

    if (v->fd >= 0 && vhost_tell(v->fd, &m))
        lose(v, "it does not want to be owned");
}

/* ---- queues ---- */

static void called(struct evloop_fd *w, uint32_t events)
{
    struct vhost_queue *q = w->user;
    struct vhost_user *v = q->front;
    uint64_t count;

    if (read(q->call, &count, sizeof(count)) != sizeof(count))
        return;
    v->stats.calls++;
    vdev_queue_interrupt(&v->vdev, (unsigned)(q - v->queues));
}

static void queue_is_broken(struct evloop_fd *w, uint32_t events)
{
    struct vhost_user *v = w->user;
    uint64_t count;

    if (read(v->err, &count, sizeof(count)) == sizeof(count))
        vdev_fault(&v->vdev, "back-end-error", "a queue is broken");
}

/* Once for each negotiation. */
static int tell_memory(struct vhost_user *v)
{
    struct vhost_message m = {
        .h = {.request = VHOST_USER_SET_MEM_TABLE,
              .size = VHOST_USER_MEMORY_HEAD + 2 * sizeof(struct vhost_user_region)},
        .p.memory = {.count = 2,
                     .regions = {{.guest_addr = UINT64_C(1) << 63,
                                  .size = GRANTS_BYTES,
                                  .user_addr = UINT64_C(1) << 63,
                                  .xen_flags = VHOST_USER_XEN_GRANT | VHOST_USER_XEN_NO_ADVANCE,
                                  .xen_domid = v->domid},
                                 {.size = FRAMES_BYTES,
                                  .xen_flags = VHOST_USER_XEN_FOREIGN | VHOST_USER_XEN_NO_ADVANCE,
                                  .xen_domid = v->domid}}}};
    /* Each region has a descriptor to be mapped. Whoever maps through libxen opens its own. */
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);
    int rc;

    if (none < 0)
        return -errno;
    m.fds[0] = m.fds[1] = none;
    m.fd_count = 2;
    rc = vhost_tell(v->fd, &m);
    close(none);
    v->has_memory = rc == 0;
    return rc;
}

static int tell_addresses(struct vhost_user *v, unsigned queue)
{
    struct vdev_queue_regs regs;
    bool packed = vdev_has(&v->vdev, VIRTIO_F_RING_PACKED);

    vdev_queue_get(&v->vdev, queue, &regs);
    struct vhost_message m = {.h = {.request = VHOST_USER_SET_VRING_ADDR, .size = sizeof(m.p.addr)},
                              .p.addr = {.index = queue,
                                         .desc = regs.desc.raw,
                                         .used = regs.device.raw,
                                         .avail = regs.driver.raw}};
    int rc = vhost_tell_vring(v->fd, VHOST_USER_SET_VRING_NUM, queue, regs.size);

    if (!rc)
        rc = vhost_tell_vring(v->fd, VHOST_USER_SET_VRING_BASE, queue,
                              packed ? VHOST_USER_PACKED_BASE : 0);
    return rc ? rc : vhost_tell(v->fd, &m);
}

static int start_queue(struct vhost_user *v, unsigned queue)
{
    struct vhost_queue *q = &v->queues[queue];
    int rc = v->has_memory ? 0 : tell_memory(v);

    if (!rc)
        rc = tell_addresses(v, queue);
    if (rc)
        return rc;
    q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->call_watch = (struct evloop_fd){.fd = q->call, .ready = called, .user = q};
    rc = q->kick < 0 || q->call < 0 ? -EMFILE : evloop_add(v->vdev.loop, &q->call_watch, EPOLLIN);
    if (rc) {
        if (q->kick >= 0)
            close(q->kick);
        if (q->call >= 0)
            close(q->call);
        return rc;
    }
    q->started = true;
    rc = vhost_tell_descriptor(v->fd, VHOST_USER_SET_VRING_KICK, queue, q->kick);
    if (!rc)
        rc = vhost_tell_descriptor(v->fd, VHOST_USER_SET_VRING_CALL, queue, q->call);
    if (!rc)
        rc = vhost_tell_descriptor(v->fd, VHOST_USER_SET_VRING_ERR, queue, v->err);
    if (!rc)
        rc = vhost_tell_vring(v->fd, VHOST_USER_SET_VRING_ENABLE, queue, 1);
    return rc;
}

static void front_kick(struct vdev *d, unsigned queue)
{
    struct vhost_user *v = to_front(d);
    struct vhost_queue *q = &v->queues[queue];
    const uint64_t one = 1;
    int rc;

    if (v->fd < 0) {
        vdev_fault(d, "back-end-gone", "queue %u", queue);
        return;
    }
    rc = q->started ? 0 : start_queue(v, queue);
    if (rc == -EREMOTEIO) {
        vdev_fault(d, "back-end-refuses", "queue %u", queue);
        return;
    }
    if (rc) {
        lose(v, strerror(-rc));
        return;
    }
    v->stats.kicks++;
    if (write(q->kick, &one, sizeof(one)) != sizeof(one))
        log_warn_limited("%s: queue %u: a doorbell is lost: %s", d->label, queue, strerror(errno));
}

static void stop_queue(struct vhost_user *v, unsigned queue)
{
    struct vhost_message m = {
        .h = {.request = VHOST_USER_GET_VRING_BASE, .size = sizeof(m.p.state)},
        .p.state = {.index = queue}};
    int rc;

    if (!v->queues[queue].started)
        return;
    rc = MUTANT(vhost_reset_tells_nobody) ? 0 : vhost_ask(v->fd, &m);
    if (!rc && !MUTANT(vhost_reset_tells_nobody) &&
        (m.h.size != sizeof(m.p.state) || m.p.state.index != queue))
        rc = -EPROTO;
    queue_forget(v, queue);
    if (rc)
        lose(v, strerror(-rc));
}

static const struct vdev_remote_ops remote_ops = {.kick = front_kick};

/* ---- as a type of device ---- */

static uint64_t front_features(struct vdev *d)
{
    return to_front(d)->offered;
}

static unsigned front_num_queues(struct vdev *d)
{
    return to_front(d)->peer.queues;
}

static unsigned front_queue_size_max(struct vdev *d, unsigned queue)
{
    return 0;
}

static void front_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value)
{
    memcpy(value, to_front(d)->peer.config + offset, bytes);
}

static void front_config_write(struct vdev *d, unsigned offset, unsigned bytes, const void *value)
{
    struct vhost_user *v = to_front(d);
    struct vhost_message m = {
        .h = {.request = VHOST_USER_SET_CONFIG, .size = VHOST_USER_CONFIG_HEAD + bytes},
        .p.config = {.offset = offset, .size = bytes}};
    int rc;

    if (v->fd < 0)
        return;
    memcpy(m.p.config.bytes, value, bytes);
    rc = vhost_tell(v->fd, &m);
    if (!rc || rc == -EREMOTEIO)
        rc = vhost_get_config(v->fd, v->type.config_bytes, v->peer.config);
    if (rc)
        lose(v, strerror(-rc));
}

/* What the configuration says may depend on it. */
static int front_negotiated(struct vdev *d, uint64_t features)
{
    struct vhost_user *v = to_front(d);
    int rc;

    if (v->fd < 0 || features & ~(v->peer.features | OWN_FEATURES))
        return -EINVAL;
    v->touched = true;
    rc = vhost_tell_number(v->fd, VHOST_USER_SET_FEATURES,
                           (features & ~OWN_FEATURES) | VIRTIO_F(VIRTIO_F_VERSION_1) |
                               VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES));
    if (!rc)
        rc = vhost_get_config(v->fd, v->type.config_bytes, v->peer.config);
    if (rc && rc != -EREMOTEIO)
        lose(v, strerror(-rc));
    return rc ? -EINVAL : 0;
}

static void front_reset(struct vdev *d)
{
    struct vhost_user *v = to_front(d);
    struct vhost_message m = {.h = {.request = VHOST_USER_RESET_DEVICE}};
    int rc;

    for (unsigned i = 0; i < v->peer.queues; i++)
        stop_queue(v, i);
    if (v->fd < 0 || !v->touched || MUTANT(vhost_reset_tells_nobody))
        return;
    v->touched = v->has_memory = false;
    rc = vhost_tell(v->fd, &m);
    if (!rc)
        rc = vhost_get_config(v->fd, v->type.config_bytes, v->peer.config);
    if (rc)
        lose(v, strerror(-rc));
}

static void front_queue_reset(struct vdev *d, unsigned queue)
{
    stop_queue(to_front(d), queue);
}

static void front_destroy(struct vdev *d)
{
    struct vhost_user *v = to_front(d);

    if (v->fd >= 0) {
        evloop_del(d->loop, &v->watch);
        close(v->fd);
    }
    evloop_del(d->loop, &v->err_watch);
    close(v->err);
    vdev_fini(d);
    free(v);
}

int vhost_user_create(const struct vdev_config *config, const struct vhost_user_options *options,
                      int fd, struct vdev **out, char *error, size_t error_bytes)
{
    const struct vdev_init_params params = {.chain_max = 1};
    struct vhost_user *v = calloc(1, sizeof(*v));
    int rc;

    if (!v) {
        close(fd);
        explain(error, error_bytes, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    v->fd = v->err = -1;
    v->domid = options->domid;
    v->type = (struct vdev_type){
        .name = options->as->name,
        .device_id = options->as->device_id,
        .class_code = options->as->class_code,
        .config_bytes = options->as->config_bytes,
        .feature_names = options->as->feature_names,
        .features = front_features,
        .num_queues = front_num_queues,
        .queue_size_max = front_queue_size_max,
        .config_read = front_config_read,
        .config_write = options->as->config_write ? front_config_write : NULL,
        .negotiated = front_negotiated,
        .reset = front_reset,
        .queue_reset = front_queue_reset,
        .remote = &remote_ops,
        .destroy = front_destroy,
    };
    if (v->type.config_bytes > VHOST_USER_CONFIG_MAX) {
        explain(error, error_bytes, "a configuration of %u bytes", v->type.config_bytes);
        rc = -EINVAL;
        goto out;
    }
    rc = shake_hands(fd, &v->type, &v->peer, error, error_bytes);
    if (rc)
        goto out;
    /* Of what queues do, as much as both processes know; of the type's own, what the back-end has.
     */
    for (unsigned bit = 0; bit < 64; bit++)
        if (v->peer.features & BIT64(bit) &&
            (!VIRTIO_F_IS_TRANSPORT(bit) || config->features & BIT64(bit)))
            v->offered |= BIT64(bit);
    v->offered |= config->features & OWN_FEATURES;
    for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
        v->queues[i].front = v;
    rc = vdev_init(&v->vdev, &v->type, config, &params);
    if (rc) {
        explain(error, error_bytes, "device: %s", strerror(-rc));
        goto out;
    }
    v->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    v->err_watch = (struct evloop_fd){.fd = v->err, .ready = queue_is_broken, .user = v};
    rc = v->err < 0 ? -errno : evloop_add(config->loop, &v->err_watch, EPOLLIN);
    if (!rc) {
        rc = adopt(v, fd);
        if (rc)
            evloop_del(config->loop, &v->err_watch);
    }
    if (rc) {
        explain(error, error_bytes, "%s", strerror(-rc));
        vdev_fini(&v->vdev);
    } else {
        *out = &v->vdev;
    }
out:
    if (rc) {
        close(fd);
        if (v->err >= 0)
            close(v->err);
        free(v);
    }
    return rc;
}

void vhost_user_get_stats(const struct vdev *d, struct vhost_user_stats *stats)
{
    *stats = ((const struct vhost_user *)(const void *)d)->stats;
}
