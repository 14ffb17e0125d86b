/* SPDX-License-Identifier: MIT */
/* A device whose queues are another process's: back-ends that do as they should, and others. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/blk.h"
#include "device/vhost_message.h"
#include "device/vhost_user.h"
#include "unit/device_rig.h"
#include "util/bits.h"

#define WAIT_NS 5000000000ull
#define PROTOCOL                                                                                   \
    (BIT64(VHOST_USER_PROTOCOL_F_MQ) | BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                    \
     BIT64(VHOST_USER_PROTOCOL_F_CONFIG) | BIT64(VHOST_USER_PROTOCOL_F_RESET) |                    \
     BIT64(VHOST_USER_PROTOCOL_F_XEN_MMAP))
#define FEATURES                                                                                   \
    (VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_INDIRECT_DESC) |                             \
     VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES))

enum deviation { NONE, SHORT, LONG, NO_REPLY, OTHER, WITH_FD, REFUSES, HANGS_UP };

/* The other process, as a thread. */
static struct back {
    int fd;
    uint32_t request; /* at which it deviates */
    enum deviation how;
    uint64_t features, protocol, queues;
    pthread_t thread;
    /* What it has seen; read after it has ended, or atomically. */
    _Atomic unsigned enabled, stopped, reset;
    int kick, call;
} back;

static void answer(struct back *b, struct vhost_message *m)
{
    switch (m->h.request) {
    case VHOST_USER_GET_FEATURES:
        m->p.u64 = b->features;
        break;
    case VHOST_USER_GET_PROTOCOL_FEATURES:
        m->p.u64 = b->protocol;
        break;
    case VHOST_USER_GET_QUEUE_NUM:
        m->p.u64 = b->queues;
        break;
    case VHOST_USER_GET_CONFIG:
        memset(m->p.config.bytes, 0x11, m->p.config.size);
        return;
    case VHOST_USER_GET_VRING_BASE:
        atomic_fetch_add(&b->stopped, 1);
        return;
    case VHOST_USER_SET_VRING_KICK:
        b->kick = vhost_message_take_fd(m);
        m->p.u64 = 0;
        break;
    case VHOST_USER_SET_VRING_CALL:
        b->call = vhost_message_take_fd(m);
        m->p.u64 = 0;
        break;
    case VHOST_USER_SET_VRING_ENABLE:
        atomic_fetch_add(&b->enabled, 1);
        m->p.u64 = 0;
        break;
    case VHOST_USER_RESET_DEVICE:
        atomic_fetch_add(&b->reset, 1);
        m->p.u64 = 0;
        break;
    default:
        m->p.u64 = 0;
        break;
    }
    m->h.size = sizeof(m->p.u64);
}

static void *serve(void *arg)
{
    struct back *b = arg;
    struct vhost_message m;

    while (!vhost_message_recv(b->fd, &m, WAIT_NS)) {
        enum deviation how = m.h.request == b->request ? b->how : NONE;

        if (how == HANGS_UP) {
            vhost_message_close(&m);
            break;
        }
        answer(b, &m);
        vhost_message_close(&m);
        m.h.flags = how == NO_REPLY ? 0 : VHOST_USER_REPLY;
        m.h.request += how == OTHER;
        m.h.size -= how == SHORT ? 4 : 0;
        m.h.size += how == LONG ? 4 : 0;
        if (how == REFUSES)
            m.p.u64 = 1;
        if (how == WITH_FD) {
            m.fds[0] = b->fd;
            m.fd_count = 1;
        }
        if (vhost_message_send(b->fd, &m))
            break;
    }
    shutdown(b->fd, SHUT_RDWR);
    return NULL;
}

/* It is there; the front-end's end of the socket. */
static int back_begin(uint32_t request, enum deviation how)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    back = (struct back){.fd = pair[1],
                         .request = request,
                         .how = how,
                         .features = FEATURES,
                         .protocol = PROTOCOL,
                         .queues = 2,
                         .kick = -1,
                         .call = -1};
    return pair[0];
}

static void back_run(void)
{
    ck_assert_int_eq(pthread_create(&back.thread, NULL, serve, &back), 0);
}

static void back_end(void)
{
    shutdown(back.fd, SHUT_RDWR);
    pthread_join(back.thread, NULL);
    close(back.fd);
    if (back.kick >= 0)
        close(back.kick);
    if (back.call >= 0)
        close(back.call);
}

static struct rig g;
static char error[256];
static const struct vhost_user_options options = {.as = &blk_type, .domid = 7};

static int make(int fd)
{
    struct vdev_config config = rig_setup(&g);
    struct vdev *d = NULL;
    int rc = vhost_user_create(&config, &options, fd, &d, error, sizeof(error));

    if (!rc)
        rig_attach(&g, d);
    return rc;
}

static void run_queue(void)
{
    rig_features(&g, VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM));
    rig_queue(&g, 0, 8);
    rig_driver_ok(&g);
}

static bool needs_reset(void)
{
    uint64_t deadline = evloop_now_ns() + WAIT_NS;

    while (!(vdev_status(g.dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET) && evloop_now_ns() < deadline)
        ck_assert_int_ge(evloop_once(g.loop, 10000000), 0);
    return vdev_status(g.dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
}

START_TEST(queue_is_the_others)
{
    const uint64_t one = 1;
    uint64_t deadline = evloop_now_ns() + WAIT_NS, count = 0;
    uint8_t byte = 0;
    int fd = back_begin(0, NONE);

    back_run();
    ck_assert_int_eq(make(fd), 0);
    vhost_user_own(g.dev);
    ck_assert_uint_eq(vdev_device_features(g.dev),
                      VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM) |
                          VIRTIO_F(VIRTIO_F_INDIRECT_DESC) | VIRTIO_F(VIRTIO_F_RING_RESET));
    ck_assert_uint_eq(vdev_num_queues(g.dev), 2);
    vdev_config_read(g.dev, 3, 1, &byte);
    ck_assert_uint_eq(byte, 0x11);
    run_queue();
    ck_assert_uint_eq(vdev_status(g.dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET, 0);
    ck_assert_uint_eq(back.enabled, 1);
    ck_assert_int_eq(read(back.kick, &count, sizeof(count)), sizeof(count));
    ck_assert_uint_ge(count, 1);
    ck_assert_int_eq(write(back.call, &one, sizeof(one)), sizeof(one));
    while (!g.interrupts[0] && evloop_now_ns() < deadline)
        ck_assert_int_ge(evloop_once(g.loop, 10000000), 0);
    ck_assert_uint_eq(g.interrupts[0], 1);
    vdev_set_status(g.dev, 0);
    ck_assert_uint_eq(back.stopped, 1);
    ck_assert_uint_eq(back.reset, 1);
    rig_teardown(&g);
    back_end();
}
END_TEST

/* What it says when it comes: nothing is made of a back-end that says it wrongly. */
START_TEST(hands_are_shaken_rightly)
{
    static const uint32_t requests[] = {VHOST_USER_GET_FEATURES, VHOST_USER_GET_PROTOCOL_FEATURES,
                                        VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_GET_QUEUE_NUM,
                                        VHOST_USER_GET_CONFIG};
    static const enum deviation ways[] = {SHORT, LONG, NO_REPLY, OTHER, WITH_FD, HANGS_UP};

    for (size_t r = 0; r < ARRAY_LENGTH(requests); r++) {
        for (size_t w = 0; w < ARRAY_LENGTH(ways); w++) {
            int fd = back_begin(requests[r], ways[w]);

            back_run();
            ck_assert_msg(make(fd) < 0, "request %u, way %u", requests[r], ways[w]);
            rig_teardown(&g);
            back_end();
        }
    }
}
END_TEST

START_TEST(what_it_lacks_is_said)
{
    static const struct {
        uint64_t features, protocol, queues;
    } rows[] = {
        {FEATURES & ~VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES), PROTOCOL, 1},
        {FEATURES, PROTOCOL & ~BIT64(VHOST_USER_PROTOCOL_F_XEN_MMAP), 1},
        {FEATURES, PROTOCOL, 0},
        {FEATURES, PROTOCOL, VDEV_QUEUES_MAX + 1},
        {FEATURES, PROTOCOL, UINT64_MAX},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        int fd = back_begin(0, NONE);

        back.features = rows[i].features;
        back.protocol = rows[i].protocol;
        back.queues = rows[i].queues;
        back_run();
        ck_assert_int_eq(make(fd), -EINVAL);
        rig_teardown(&g);
        back_end();
    }
}
END_TEST

/* A queue that cannot be started is the device's end until its reset; a liar is lost as well. */
START_TEST(queues_start_rightly)
{
    static const uint32_t requests[] = {VHOST_USER_SET_MEM_TABLE,  VHOST_USER_SET_VRING_NUM,
                                        VHOST_USER_SET_VRING_BASE, VHOST_USER_SET_VRING_ADDR,
                                        VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
                                        VHOST_USER_SET_VRING_ERR,  VHOST_USER_SET_VRING_ENABLE};
    static const enum deviation ways[] = {SHORT, NO_REPLY, OTHER, WITH_FD, REFUSES, HANGS_UP};

    for (size_t r = 0; r < ARRAY_LENGTH(requests); r++) {
        for (size_t w = 0; w < ARRAY_LENGTH(ways); w++) {
            int fd = back_begin(requests[r], ways[w]);

            back_run();
            ck_assert_int_eq(make(fd), 0);
            run_queue();
            ck_assert_msg(needs_reset(), "request %u, way %u", requests[r], ways[w]);
            vdev_set_status(g.dev, 0);
            ck_assert_uint_eq(vdev_status(g.dev), 0);
            rig_features(&g, VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM));
            ck_assert_int_eq((vdev_status(g.dev) & VIRTIO_STATUS_FEATURES_OK) != 0,
                             ways[w] == REFUSES);
            rig_teardown(&g);
            back_end();
        }
    }
}
END_TEST

START_TEST(end_of_a_back_end)
{
    int fd = back_begin(0, NONE);

    back_run();
    ck_assert_int_eq(make(fd), 0);
    run_queue();
    back_end();
    ck_assert(needs_reset());
    ck_assert_uint_ge(g.config_interrupts, 1);
    vdev_set_status(g.dev, 0);
    rig_features(&g, VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM));
    ck_assert_uint_eq(vdev_status(g.dev) & VIRTIO_STATUS_FEATURES_OK, 0);

    /* A successor; and no third one beside it. */
    vdev_set_status(g.dev, 0);
    fd = back_begin(0, NONE);
    back_run();
    ck_assert_int_eq(vhost_user_connect(g.dev, fd, error, sizeof(error)), 0);
    int second[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second), 0);
    ck_assert_int_eq(vhost_user_connect(g.dev, second[0], error, sizeof(error)), -EBUSY);
    close(second[1]);
    run_queue();
    ck_assert_uint_eq(vdev_status(g.dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET, 0);
    ck_assert_uint_eq(back.enabled, 1);
    rig_teardown(&g);
    back_end();
}
END_TEST

START_TEST(nobody_asked)
{
    struct vhost_message m = {.h = {.request = VHOST_USER_GET_FEATURES}};
    int fd = back_begin(0, NONE);

    back_run();
    ck_assert_int_eq(make(fd), 0);
    run_queue();
    ck_assert_int_eq(vhost_message_send(back.fd, &m), 0);
    ck_assert(needs_reset());
    rig_teardown(&g);
    back_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost_user");
    TCase *tc = tcase_create("front-end");

    log_set_level(LOG_LEVEL_ERROR);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, queue_is_the_others);
    tcase_add_test(tc, hands_are_shaken_rightly);
    tcase_add_test(tc, what_it_lacks_is_said);
    tcase_add_test(tc, queues_start_rightly);
    tcase_add_test(tc, end_of_a_back_end);
    tcase_add_test(tc, nobody_asked);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
