/* SPDX-License-Identifier: MIT */
/* virtio-net over flat memory, with a socket pair for the wire: frames both ways, the control
 * queue, pressure from both sides, and headers and buffers made to break it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "device/net.h"
#include "spec/virtio_net.h"
#include "unit/device_rig.h"

#define F(name)     VIRTIO_F(VIRTIO_NET_F_##name)
#define HDR         12u
#define BUFFER(i)   (RIG_DATA + (uint32_t)(i)*0x4000u)
#define TX_AT       (RIG_DATA + 0x180000u)
#define CTRL_AT     (RIG_DATA + 0x1c0000u)
#define FRAME_BYTES 64u
#define RX(pair)    VIRTIO_NET_RX_QUEUE(pair)
#define TX(pair)    VIRTIO_NET_TX_QUEUE(pair)

static const uint8_t own_mac[6] = {0x02, 0, 0, 0, 0, 1};
static const uint8_t other_mac[6] = {0x02, 0, 0, 0, 0, 2};
static const uint8_t group_mac[6] = {0x01, 0, 0x5e, 0, 0, 9};
static const uint8_t all_macs[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct nic {
    struct rig g;
    int wire;
    char error[256];
    unsigned ctrl;
    uint16_t used[RIG_QUEUES];
};

struct packet {
    struct virtio_net_hdr h;
    uint8_t frame[70000];
};

static const struct net_options plain = {
    .fd = -1, .has_mac = true, .mac = {0x02, 0, 0, 0, 0, 1}, .mtu = 1500};

static void setup(struct nic *k, const struct net_options *options, uint64_t features)
{
    struct net_options o = *options;
    struct vdev_config config;
    struct vdev *d;
    int ends[2];

    memset(k, 0, sizeof(*k));
    config = rig_setup(&k->g);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    o.fd = ends[0];
    k->wire = ends[1];
    ck_assert_int_eq(net_create(&config, &o, &d, k->error, sizeof(k->error)), 0);
    rig_attach(&k->g, d);
    if (!features)
        return;
    rig_features(&k->g, RIG_MIN | features);
    ck_assert_uint_ne(vdev_status(d) & VIRTIO_STATUS_FEATURES_OK, 0);
    k->ctrl = features & F(MQ) ? 2 * o.pairs : 2;
    for (unsigned q = 0; q < (features & F(CTRL_VQ) ? k->ctrl + 1 : 2); q++)
        rig_queue(&k->g, q, RIG_QUEUE_SIZE);
    rig_driver_ok(&k->g);
}

static void teardown(struct nic *k)
{
    close(k->wire);
    rig_teardown(&k->g);
}

static struct net_stats stats(struct nic *k)
{
    struct net_stats s;

    net_get_stats(k->g.dev, &s);
    return s;
}

static void frame_make(struct packet *p, const uint8_t *to, uint32_t bytes, uint8_t seed)
{
    memset(p, 0, sizeof(*p));
    memcpy(p->frame, to, 6);
    memcpy(p->frame + 6, other_mac, 6);
    p->frame[12] = 0x88; /* an experimental type */
    p->frame[13] = 0xb5;
    for (uint32_t i = 14; i < bytes; i++)
        p->frame[i] = (uint8_t)(seed + i);
}

static void wire_send(struct nic *k, const struct packet *p, uint32_t bytes)
{
    ck_assert_int_eq(send(k->wire, p, HDR + bytes, 0), (ssize_t)(HDR + bytes));
}

/* The next packet on the wire; the loop runs meanwhile. Its length without the header. */
static uint32_t wire_take(struct nic *k, struct packet *p)
{
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;
    ssize_t got;

    while ((got = recv(k->wire, p, sizeof(*p), 0)) < 0 && evloop_now_ns() < end)
        ck_assert_int_eq(evloop_once(k->g.loop, 1000000), 0);
    ck_assert_int_ge(got, (ssize_t)HDR);
    return (uint32_t)got - HDR;
}

static void wire_is_empty(struct nic *k)
{
    struct packet p;

    for (unsigned i = 0; i < 4; i++)
        rig_turn(&k->g);
    ck_assert_int_lt(recv(k->wire, &p, sizeof(p), 0), 0);
}

static void rx_post(struct nic *k, unsigned pair, unsigned index, uint32_t bytes)
{
    rig_add(&k->g, RX(pair), &(struct rig_seg){RIG_BASE + BUFFER(index), bytes, true}, 1);
    vdev_queue_notify(k->g.dev, RX(pair));
}

static uint32_t rx_used(struct nic *k, unsigned pair)
{
    unsigned q = RX(pair);
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;

    /* Several may have been used at once. */
    while (virtq_raw_used_idx_get(&k->g.rings[q]) == k->used[q] && evloop_now_ns() < end)
        ck_assert_int_eq(evloop_once(k->g.loop, 1000000), 0);
    ck_assert_uint_ne(virtq_raw_used_idx_get(&k->g.rings[q]), k->used[q]);
    k->used[q]++;
    return virtq_raw_used_get(&k->g.rings[q], (k->used[q] - 1u) % RIG_QUEUE_SIZE).len;
}

static void rx_nothing(struct nic *k, unsigned pair)
{
    for (unsigned i = 0; i < 4; i++)
        rig_turn(&k->g);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&k->g.rings[RX(pair)]), k->used[RX(pair)]);
}

static const struct virtio_net_hdr *header_at(struct nic *k, unsigned index)
{
    return (const struct virtio_net_hdr *)(const void *)(k->g.mem + BUFFER(index));
}

/* Header and frame in one descriptor; returns when it was used. */
static void tx_send(struct nic *k, unsigned pair, const struct packet *p, uint32_t bytes)
{
    unsigned q = TX(pair);

    memcpy(k->g.mem + TX_AT, p, HDR + bytes);
    rig_add(&k->g, q, &(struct rig_seg){RIG_BASE + TX_AT, HDR + bytes, false}, 1);
    vdev_queue_notify(k->g.dev, q);
    rig_wait_used(&k->g, q, ++k->used[q]);
    ck_assert_uint_eq(virtq_raw_used_get(&k->g.rings[q], (k->used[q] - 1u) % RIG_QUEUE_SIZE).len,
                      0);
}

static uint8_t command(struct nic *k, uint8_t class_, uint8_t cmd, const void *data, uint32_t bytes)
{
    struct rig_seg segs[3] = {
        {RIG_BASE + CTRL_AT, 2, false},
        {RIG_BASE + CTRL_AT + 2, bytes, false},
        {RIG_BASE + CTRL_AT + 0x10000, 1, true},
    };
    uint8_t *at = k->g.mem + CTRL_AT;

    at[0] = class_;
    at[1] = cmd;
    if (bytes)
        memcpy(at + 2, data, bytes);
    else
        segs[1] = segs[2];
    at[0x10000] = 0x5a;
    rig_add(&k->g, k->ctrl, segs, bytes ? 3 : 2);
    vdev_queue_notify(k->g.dev, k->ctrl);
    rig_wait_used(&k->g, k->ctrl, ++k->used[k->ctrl]);
    return at[0x10000];
}

static uint8_t mode(struct nic *k, uint8_t cmd, uint8_t on)
{
    return command(k, VIRTIO_NET_CTRL_RX, cmd, &on, 1);
}

static uint16_t config16(struct nic *k, unsigned offset)
{
    le16_t v;

    vdev_config_read(k->g.dev, offset, sizeof(v), &v);
    return le16_get(v);
}

/* ---- what is offered ---- */

START_TEST(configuration)
{
    struct net_options o = plain;
    struct nic k;
    uint8_t mac[6];

    o.pairs = 3;
    setup(&k, &o, 0);
    vdev_config_read(k.g.dev, 0, 6, mac);
    ck_assert_mem_eq(mac, own_mac, 6);
    ck_assert_uint_eq(config16(&k, 6), VIRTIO_NET_S_LINK_UP);
    ck_assert_uint_eq(config16(&k, 8), 3);
    ck_assert_uint_eq(config16(&k, 10), 1500);
    ck_assert_uint_eq(vdev_num_queues(k.g.dev), 7);
    teardown(&k);
}
END_TEST

START_TEST(what_is_left_out_takes_its_dependents_along)
{
    struct net_options o = plain;
    struct nic k;
    uint64_t offered;

    o.features_off = F(CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(CTRL_VQ);
    o.pairs = 2;
    setup(&k, &o, 0);
    offered = vdev_device_features(k.g.dev);
    ck_assert_uint_eq(offered & (F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN) | F(HOST_USO)), 0);
    ck_assert_uint_eq(offered & (F(GUEST_ECN) | F(MQ) | F(CTRL_RX) | F(CTRL_GUEST_OFFLOADS)), 0);
    ck_assert_uint_ne(offered & F(GUEST_CSUM), 0);
    ck_assert_uint_eq(vdev_num_queues(k.g.dev), 4);
    rig_features(&k.g, RIG_MIN | F(GUEST_USO4));
    ck_assert_uint_eq(vdev_status(k.g.dev) & VIRTIO_STATUS_FEATURES_OK, 0);
    teardown(&k);
}
END_TEST

START_TEST(options_are_checked)
{
    struct rig g;
    struct vdev_config config = rig_setup(&g);
    struct net_options o = plain;
    char error[256];
    struct vdev *d;
    uint8_t mac[6];
    int plain_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(net_create(&config, &o, &d, error, sizeof(error)), -EINVAL);
    o.fd = plain_fd;
    ck_assert_int_eq(net_create(&config, &o, &d, error, sizeof(error)), -EINVAL);
    o.listen = "/tmp/x";
    ck_assert_int_eq(net_create(&config, &o, &d, error, sizeof(error)), -EINVAL);
    o = plain;
    o.tap = "a-name-that-is-too-long-for-an-interface";
    ck_assert_int_eq(net_create(&config, &o, &d, error, sizeof(error)), -EINVAL);
    o = plain;
    o.listen = "/nonexistent/x";
    ck_assert_int_eq(net_create(&config, &o, &d, error, sizeof(error)), -ENOENT);
    o = plain;
    o.mtu = 67;
    ck_assert_int_eq(net_create(&config, &o, &d, error, sizeof(error)), -EINVAL);
    ck_assert_int_eq(net_parse_mac("02:00:00:00:00:01", mac), 0);
    ck_assert_mem_eq(mac, own_mac, 6);
    ck_assert_int_eq(net_parse_mac("03:00:00:00:00:01", mac), -EINVAL);
    ck_assert_int_eq(net_parse_mac("02:00:00:00:00:1", mac), -EINVAL);
    ck_assert_int_eq(net_parse_mac("02:00:00:00:00:0x", mac), -EINVAL);
    close(plain_fd);
    gmem_destroy(g.gmem);
    evloop_destroy(g.loop);
    free(g.mem);
    free(g.ro);
}
END_TEST

/* ---- frames ---- */

START_TEST(frames_go_both_ways)
{
    struct packet p, got;
    struct nic k;
    uint32_t at;

    setup(&k, &plain, F(MAC));
    for (uint32_t bytes = 14; bytes <= 1514; bytes += 100) {
        frame_make(&p, own_mac, bytes, (uint8_t)bytes);
        wire_send(&k, &p, bytes);
        rx_post(&k, 0, 0, 2048);
        ck_assert_uint_eq(rx_used(&k, 0), HDR + bytes);
        ck_assert_mem_eq(k.g.mem + BUFFER(0) + HDR, p.frame, bytes);
        ck_assert_uint_eq(le16_get(header_at(&k, 0)->num_buffers), 1);
        ck_assert_uint_eq(header_at(&k, 0)->flags | header_at(&k, 0)->gso_type, 0);
        tx_send(&k, 0, &p, bytes);
        ck_assert_uint_eq(wire_take(&k, &got), bytes);
        ck_assert_mem_eq(got.frame, p.frame, bytes);
    }
    /* Cut into pieces of one byte each, the header as well. */
    frame_make(&p, own_mac, 40, 7);
    memcpy(k.g.mem + TX_AT, &p, HDR + 40);
    {
        struct rig_seg segs[HDR + 40];

        for (at = 0; at < HDR + 40; at++)
            segs[at] = (struct rig_seg){RIG_BASE + TX_AT + at, 1, false};
        rig_add(&k.g, TX(0), segs, HDR + 40);
        vdev_queue_notify(k.g.dev, TX(0));
    }
    ck_assert_uint_eq(wire_take(&k, &got), 40);
    ck_assert_mem_eq(got.frame, p.frame, 40);
    teardown(&k);
}
END_TEST

START_TEST(a_frame_over_several_buffers)
{
    struct packet p;
    struct nic k;

    setup(&k, &plain, F(MAC) | F(MRG_RXBUF));
    frame_make(&p, own_mac, 1500, 3);
    wire_send(&k, &p, 1500);
    rx_post(&k, 0, 0, 500);
    rx_post(&k, 0, 1, 500);
    rx_nothing(&k, 0); /* not before all of it can be there */
    rx_post(&k, 0, 2, 1000);
    ck_assert_uint_eq(rx_used(&k, 0), 500);
    ck_assert_uint_eq(rx_used(&k, 0), 500);
    ck_assert_uint_eq(rx_used(&k, 0), 512);
    ck_assert_uint_eq(le16_get(header_at(&k, 0)->num_buffers), 3);
    ck_assert_mem_eq(k.g.mem + BUFFER(0) + HDR, p.frame, 488);
    ck_assert_mem_eq(k.g.mem + BUFFER(1), p.frame + 488, 500);
    ck_assert_mem_eq(k.g.mem + BUFFER(2), p.frame + 988, 512);
    ck_assert_uint_eq(k.g.mem[BUFFER(2) + 512], 0);
    ck_assert_uint_eq(stats(&k).rx_waits, 2);
    teardown(&k);
}
END_TEST

START_TEST(frames_wait_for_buffers_in_order)
{
    struct packet p;
    struct nic k;

    setup(&k, &plain, F(MAC));
    for (unsigned i = 0; i < 8; i++) {
        frame_make(&p, own_mac, FRAME_BYTES, (uint8_t)(i * 16));
        wire_send(&k, &p, FRAME_BYTES);
    }
    rx_nothing(&k, 0);
    for (unsigned i = 0; i < 8; i++) {
        rx_post(&k, 0, i, 2048);
        ck_assert_uint_eq(rx_used(&k, 0), HDR + FRAME_BYTES);
        ck_assert_uint_eq(k.g.mem[BUFFER(i) + HDR + 14], i * 16 + 14);
    }
    ck_assert_uint_eq(stats(&k).rx_frames, 8);
    teardown(&k);
}
END_TEST

START_TEST(a_waiting_device_sleeps)
{
    struct packet p;
    struct nic k;
    uint64_t before;

    setup(&k, &plain, F(MAC));
    frame_make(&p, own_mac, FRAME_BYTES, 1);
    wire_send(&k, &p, FRAME_BYTES);
    wire_send(&k, &p, FRAME_BYTES);
    rx_nothing(&k, 0);
    /* No buffers and a wire that has more: nothing is due for as long as that is so. */
    before = evloop_now_ns();
    ck_assert_int_eq(evloop_once(k.g.loop, 20000000), 0);
    ck_assert_uint_ge(evloop_now_ns() - before, 20000000);
    teardown(&k);
}
END_TEST

START_TEST(what_can_never_fit_is_dropped)
{
    struct packet p;
    struct nic k;

    setup(&k, &plain, F(MAC));
    rx_post(&k, 0, 0, 100);
    frame_make(&p, own_mac, 500, 1);
    wire_send(&k, &p, 500);
    frame_make(&p, own_mac, FRAME_BYTES, 2);
    wire_send(&k, &p, FRAME_BYTES);
    ck_assert_uint_eq(rx_used(&k, 0), HDR + FRAME_BYTES);
    ck_assert_uint_eq(stats(&k).rx_oversize, 1);
    teardown(&k);

    setup(&k, &plain, F(MAC) | F(MRG_RXBUF));
    for (unsigned i = 0; i < RIG_QUEUE_SIZE; i++)
        rx_post(&k, 0, i, 16);
    frame_make(&p, own_mac, 1400, 1); /* more than 64 times 16 */
    wire_send(&k, &p, 1400);
    frame_make(&p, own_mac, FRAME_BYTES, 2);
    wire_send(&k, &p, FRAME_BYTES);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(rx_used(&k, 0), i < 4 ? 16 : HDR + FRAME_BYTES - 64);
    ck_assert_uint_eq(stats(&k).rx_oversize, 1);
    teardown(&k);
}
END_TEST

START_TEST(the_wire_may_be_slow)
{
    struct packet p, got;
    struct nic k;
    unsigned sent = 0, done;

    setup(&k, &plain, F(MAC));
    /* As much as the socket takes and then some: the rest waits in the ring. */
    for (unsigned i = 0; i < RIG_QUEUE_SIZE; i++) {
        frame_make(&p, other_mac, 8000, 0);
        p.frame[14] = (uint8_t)i;
        memcpy(k.g.mem + BUFFER(i), &p, HDR + 8000);
        rig_add(&k.g, TX(0), &(struct rig_seg){RIG_BASE + BUFFER(i), HDR + 8000, false}, 1);
        sent++;
    }
    vdev_queue_notify(k.g.dev, TX(0));
    for (unsigned i = 0; i < 8; i++)
        rig_turn(&k.g);
    done = virtq_raw_used_idx_get(&k.g.rings[TX(0)]);
    ck_assert_uint_lt(done, sent);
    ck_assert_uint_eq(stats(&k).tx_waits, 1);
    for (unsigned i = 0; i < sent; i++) {
        ck_assert_uint_eq(wire_take(&k, &got), 8000);
        ck_assert_uint_eq(got.frame[14], i);
    }
    rig_wait_used(&k.g, TX(0), (uint16_t)sent);
    teardown(&k);
}
END_TEST

START_TEST(resets_take_everything_back)
{
    struct packet p;
    struct nic k;

    setup(&k, &plain, F(MAC) | F(MRG_RXBUF) | VIRTIO_F(VIRTIO_F_RING_RESET));
    frame_make(&p, own_mac, 1400, 1);
    wire_send(&k, &p, 1400);
    rx_post(&k, 0, 0, 512);
    rx_nothing(&k, 0);
    for (unsigned i = 0; i < RIG_QUEUE_SIZE; i++)
        rig_add(&k.g, TX(0), &(struct rig_seg){RIG_BASE + TX_AT, HDR + 8000, false}, 1);
    vdev_queue_notify(k.g.dev, TX(0));
    rig_turn(&k.g);
    vdev_queue_reset(k.g.dev, RX(0));
    vdev_queue_reset(k.g.dev, TX(0));
    ck_assert_uint_eq(k.g.gmem->leases_out, 0);
    /* With all receive queues gone, frames are dropped (5.1.6.5.6). */
    wire_send(&k, &p, 1400);
    for (unsigned i = 0; i < 4; i++)
        rig_turn(&k.g);
    vdev_set_status(k.g.dev, 0);
    /* What comes while nobody drives it is nobody's. */
    wire_send(&k, &p, 1400);
    rig_features(&k.g, RIG_MIN | F(MAC));
    memset(k.used, 0, sizeof(k.used));
    rig_queue(&k.g, 0, RIG_QUEUE_SIZE);
    rig_queue(&k.g, 1, RIG_QUEUE_SIZE);
    rig_driver_ok(&k.g);
    rx_post(&k, 0, 0, 2048);
    rx_nothing(&k, 0);
    frame_make(&p, own_mac, FRAME_BYTES, 9);
    wire_send(&k, &p, FRAME_BYTES);
    ck_assert_uint_eq(rx_used(&k, 0), HDR + FRAME_BYTES);
    teardown(&k);
}
END_TEST

/* ---- offloads ---- */

static uint16_t sum16(const uint8_t *at, uint32_t bytes)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < bytes; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

START_TEST(checksums_that_the_driver_cannot_finish)
{
    struct packet p;
    struct nic k;

    setup(&k, &plain, F(MAC));
    for (uint32_t bytes = 60; bytes < 62; bytes++) { /* even and odd */
        frame_make(&p, own_mac, bytes, 1);
        p.h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        p.h.csum_start = le16_make(34);
        p.h.csum_offset = le16_make(6);
        wire_send(&k, &p, bytes);
        rx_post(&k, 0, 0, 2048);
        ck_assert_uint_eq(rx_used(&k, 0), HDR + bytes);
        ck_assert_uint_eq(header_at(&k, 0)->flags, 0);
        /* The field held a part of the sum: what is there now makes up for the rest. */
        ck_assert_mem_eq(k.g.mem + BUFFER(0) + HDR, p.frame, 40);
        {
            uint8_t *f = k.g.mem + BUFFER(0) + HDR;
            uint16_t stored = (uint16_t)(f[40] << 8 | f[41]);

            memcpy(f + 40, p.frame + 40, 2);
            ck_assert_uint_eq((uint16_t)~sum16(f + 34, bytes - 34), stored);
        }
    }
    teardown(&k);

    setup(&k, &plain, F(MAC) | F(GUEST_CSUM));
    wire_send(&k, &p, 61);
    rx_post(&k, 0, 0, 2048);
    rx_used(&k, 0);
    ck_assert_uint_eq(header_at(&k, 0)->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    ck_assert_uint_eq(le16_get(header_at(&k, 0)->csum_start), 34);
    ck_assert_uint_eq(le16_get(header_at(&k, 0)->csum_offset), 6);
    ck_assert_mem_eq(k.g.mem + BUFFER(0) + HDR, p.frame, 61);
    teardown(&k);
}
END_TEST

static void gso_make(struct packet *p, uint32_t bytes)
{
    frame_make(p, own_mac, bytes, 1);
    p->frame[12] = 8; /* IPv4, TCP */
    p->frame[13] = 0;
    p->frame[14] = 0x45;
    p->frame[20] = p->frame[21] = 0;
    p->frame[23] = 6;
    p->frame[46] = 0x50;
    p->h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    p->h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    p->h.gso_size = le16_make(1448);
    p->h.csum_start = le16_make(34);
    p->h.csum_offset = le16_make(16);
}

START_TEST(large_frames_for_who_takes_them)
{
    struct packet p;
    struct nic k;
    uint64_t off = 0;
    le64_t none = le64_make(off);

    setup(&k, &plain,
          F(MAC) | F(GUEST_CSUM) | F(GUEST_TSO4) | F(MRG_RXBUF) | F(CTRL_VQ) |
              F(CTRL_GUEST_OFFLOADS));
    gso_make(&p, 30000);
    wire_send(&k, &p, 30000);
    rx_post(&k, 0, 0, 16384);
    rx_post(&k, 0, 1, 16384);
    ck_assert_uint_eq(rx_used(&k, 0), 16384);
    ck_assert_uint_eq(rx_used(&k, 0), HDR + 30000 - 16384);
    ck_assert_uint_eq(header_at(&k, 0)->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    ck_assert_uint_eq(le16_get(header_at(&k, 0)->gso_size), 1448);
    ck_assert_uint_eq(le16_get(header_at(&k, 0)->hdr_len), 54);
    /* Switched off. */
    ck_assert_uint_eq(command(&k, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, 8), VIRTIO_NET_OK);
    rx_post(&k, 0, 0, 16384);
    rx_post(&k, 0, 1, 16384);
    wire_send(&k, &p, 30000);
    rx_nothing(&k, 0);
    ck_assert_uint_eq(stats(&k).rx_oversize, 1);
    none = le64_make(F(GUEST_TSO4));
    ck_assert_uint_eq(command(&k, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, 8), VIRTIO_NET_ERR);
    none = le64_make(F(GUEST_CSUM) | F(GUEST_TSO6));
    ck_assert_uint_eq(command(&k, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, 8), VIRTIO_NET_ERR);
    teardown(&k);
}
END_TEST

START_TEST(headers_from_the_driver)
{
    struct packet p, got;
    struct nic k;
    uint64_t before;

    setup(&k, &plain, F(MAC) | F(CSUM) | F(HOST_TSO4));
    gso_make(&p, 20000);
    p.h.hdr_len = le16_make(0xffff);
    p.h.flags |= 0xf0;
    p.h.num_buffers = le16_make(77);
    tx_send(&k, 0, &p, 20000);
    ck_assert_uint_eq(wire_take(&k, &got), 20000);
    ck_assert_uint_eq(got.h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    ck_assert_uint_le(le16_get(got.h.hdr_len), 20000);
    ck_assert_uint_eq(le16_get(got.h.num_buffers), 0);

    before = stats(&k).tx_malformed;
    for (unsigned i = 0; i < 6; i++) {
        gso_make(&p, 20000);
        if (i == 0)
            p.h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6; /* not negotiated */
        else if (i == 1)
            p.h.gso_type = 2;
        else if (i == 2)
            p.h.gso_size = le16_make(0);
        else if (i == 3)
            p.h.flags = 0;
        else if (i == 4)
            p.h.csum_start = le16_make(20000);
        else
            p.h.csum_offset = le16_make(0xffff);
        tx_send(&k, 0, &p, 20000);
    }
    ck_assert_uint_eq(stats(&k).tx_malformed, before + 6);
    wire_is_empty(&k);
    /* Without the feature the flag means nothing. */
    vdev_set_status(k.g.dev, 0);
    rig_features(&k.g, RIG_MIN | F(MAC));
    memset(k.used, 0, sizeof(k.used));
    rig_queue(&k.g, 1, RIG_QUEUE_SIZE);
    rig_driver_ok(&k.g);
    frame_make(&p, other_mac, FRAME_BYTES, 1);
    p.h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    p.h.csum_start = le16_make(60000);
    tx_send(&k, 0, &p, FRAME_BYTES);
    ck_assert_uint_eq(wire_take(&k, &got), FRAME_BYTES);
    ck_assert_uint_eq(got.h.flags, 0);
    teardown(&k);
}
END_TEST

START_TEST(headers_from_the_wire)
{
    struct packet p;
    struct nic k;

    setup(&k, &plain, F(MAC) | F(GUEST_CSUM) | F(GUEST_TSO4) | F(MTU));
    rx_post(&k, 0, 0, 16384);
    frame_make(&p, own_mac, FRAME_BYTES, 1);
    p.h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    p.h.csum_start = le16_make(FRAME_BYTES - 2);
    p.h.csum_offset = le16_make(1);
    wire_send(&k, &p, FRAME_BYTES);
    p.h.flags = 0;
    p.h.gso_type = VIRTIO_NET_HDR_GSO_UDP;
    wire_send(&k, &p, FRAME_BYTES);
    ck_assert_int_eq(send(k.wire, &p, 20, 0), 20);
    rx_nothing(&k, 0);
    ck_assert_uint_eq(stats(&k).rx_malformed, 3);
    frame_make(&p, own_mac, 1515, 1);
    wire_send(&k, &p, 1515);
    rx_nothing(&k, 0);
    ck_assert_uint_eq(stats(&k).rx_oversize, 1);
    ck_assert_int_eq(send(k.wire, &p, sizeof(p), 0), (ssize_t)sizeof(p));
    rx_nothing(&k, 0);
    ck_assert_uint_eq(stats(&k).rx_oversize, 2);
    frame_make(&p, own_mac, 1514, 1);
    p.h.flags = 0xfe;
    wire_send(&k, &p, 1514);
    ck_assert_uint_eq(rx_used(&k, 0), HDR + 1514);
    ck_assert_uint_eq(header_at(&k, 0)->flags, VIRTIO_NET_HDR_F_DATA_VALID);
    teardown(&k);
}
END_TEST

/* ---- control queue ---- */

/* Does a frame to `mac` (tagged when vlan >= 0) come through? */
static bool comes(struct nic *k, const uint8_t *mac, int vlan)
{
    struct packet p;
    uint64_t before = stats(k).rx_frames;

    frame_make(&p, mac, FRAME_BYTES, 1);
    if (vlan >= 0) {
        p.frame[12] = 0x81;
        p.frame[13] = 0;
        p.frame[14] = (uint8_t)(vlan >> 8);
        p.frame[15] = (uint8_t)vlan;
    }
    rx_post(k, 0, 0, 2048);
    wire_send(k, &p, FRAME_BYTES);
    for (unsigned i = 0; i < 4; i++)
        rig_turn(&k->g);
    if (stats(k).rx_frames == before)
        return false;
    rx_used(k, 0);
    return true;
}

#define FILTERS (F(MAC) | F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_MAC_ADDR))

START_TEST(receive_modes)
{
    struct nic k;

    setup(&k, &plain, FILTERS);
    ck_assert(comes(&k, own_mac, -1) && comes(&k, all_macs, -1));
    ck_assert(!comes(&k, other_mac, -1) && !comes(&k, group_mac, -1));
    ck_assert_uint_eq(mode(&k, VIRTIO_NET_CTRL_RX_ALLMULTI, 1), VIRTIO_NET_OK);
    ck_assert(comes(&k, group_mac, -1) && !comes(&k, other_mac, -1));
    ck_assert_uint_eq(mode(&k, VIRTIO_NET_CTRL_RX_NOMULTI, 1), VIRTIO_NET_OK);
    ck_assert(!comes(&k, group_mac, -1) && comes(&k, all_macs, -1));
    ck_assert_uint_eq(mode(&k, VIRTIO_NET_CTRL_RX_ALLUNI, 1), VIRTIO_NET_OK);
    ck_assert(comes(&k, other_mac, -1));
    ck_assert_uint_eq(mode(&k, VIRTIO_NET_CTRL_RX_NOUNI, 1), VIRTIO_NET_OK);
    ck_assert(!comes(&k, other_mac, -1) && !comes(&k, own_mac, -1));
    ck_assert_uint_eq(mode(&k, VIRTIO_NET_CTRL_RX_NOBCAST, 1), VIRTIO_NET_OK);
    ck_assert(!comes(&k, all_macs, -1));
    ck_assert_uint_eq(mode(&k, VIRTIO_NET_CTRL_RX_PROMISC, 1), VIRTIO_NET_OK);
    ck_assert(comes(&k, other_mac, -1) && comes(&k, group_mac, -1) && comes(&k, all_macs, -1));
    ck_assert_uint_eq(mode(&k, 6, 1), VIRTIO_NET_ERR);
    ck_assert_uint_eq(mode(&k, VIRTIO_NET_CTRL_RX_PROMISC, 2), VIRTIO_NET_ERR);
    teardown(&k);
}
END_TEST

START_TEST(address_table)
{
    uint8_t table[8 + 6 * 200] = {1, 0, 0, 0};
    uint8_t mac[6];
    struct nic k;

    setup(&k, &plain, FILTERS);
    memcpy(table + 4, other_mac, 6);
    table[10] = 1;
    memcpy(table + 14, group_mac, 6);
    ck_assert_uint_eq(command(&k, 1, 0, table, 20), VIRTIO_NET_OK);
    ck_assert(comes(&k, own_mac, -1) && comes(&k, other_mac, -1) && comes(&k, group_mac, -1));
    /* Lengths that do not fit leave the table as it is. */
    ck_assert_uint_eq(command(&k, 1, 0, table, 19), VIRTIO_NET_ERR);
    ck_assert_uint_eq(command(&k, 1, 0, table, 21), VIRTIO_NET_ERR);
    ck_assert_uint_eq(command(&k, 1, 0, table, 3), VIRTIO_NET_ERR);
    memset(table, 0xff, 4);
    ck_assert_uint_eq(command(&k, 1, 0, table, 20), VIRTIO_NET_ERR);
    ck_assert(comes(&k, other_mac, -1));
    /* More than can be kept: all of that kind, rather than some of them. */
    memset(table, 0, sizeof(table));
    table[0] = 200;
    ck_assert_uint_eq(command(&k, 1, 0, table, 8 + 6 * 200), VIRTIO_NET_OK);
    ck_assert(comes(&k, other_mac, -1) && !comes(&k, group_mac, -1));
    ck_assert_uint_eq(command(&k, 1, 1, other_mac, 6), VIRTIO_NET_OK);
    vdev_config_read(k.g.dev, 0, 6, mac);
    ck_assert_mem_eq(mac, other_mac, 6);
    ck_assert_uint_eq(command(&k, 1, 1, group_mac, 6), VIRTIO_NET_ERR);
    ck_assert_uint_eq(command(&k, 1, 1, other_mac, 5), VIRTIO_NET_ERR);
    vdev_set_status(k.g.dev, 0);
    vdev_config_read(k.g.dev, 0, 6, mac);
    ck_assert_mem_eq(mac, own_mac, 6);
    teardown(&k);
}
END_TEST

START_TEST(vlans)
{
    le16_t id = le16_make(5);
    struct nic k;

    setup(&k, &plain, FILTERS);
    ck_assert(comes(&k, own_mac, 5));
    teardown(&k);
    setup(&k, &plain, FILTERS | F(CTRL_VLAN));
    ck_assert(!comes(&k, own_mac, 5) && comes(&k, own_mac, -1));
    ck_assert_uint_eq(command(&k, 2, 0, &id, 2), VIRTIO_NET_OK);
    ck_assert(comes(&k, own_mac, 5) && !comes(&k, own_mac, 6));
    ck_assert_uint_eq(command(&k, 2, 1, &id, 2), VIRTIO_NET_OK);
    ck_assert(!comes(&k, own_mac, 5));
    id = le16_make(4096);
    ck_assert_uint_eq(command(&k, 2, 0, &id, 2), VIRTIO_NET_ERR);
    teardown(&k);
}
END_TEST

START_TEST(several_pairs)
{
    struct net_options o = plain;
    struct packet p, got;
    le16_t pairs = le16_make(2);
    struct nic k;

    o.pairs = 3;
    setup(&k, &o, F(MAC) | F(CTRL_VQ) | F(MQ));
    ck_assert_uint_eq(k.ctrl, 6);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 8; j++)
            rx_post(&k, i, i, 2048);
    gso_make(&p, FRAME_BYTES);
    memset(&p.h, 0, sizeof(p.h));
    wire_send(&k, &p, FRAME_BYTES);
    rx_used(&k, 0);
    ck_assert_uint_eq(command(&k, 4, 0, &pairs, 2), VIRTIO_NET_OK);
    /* The answer to what went out on the second pair comes back there. */
    for (unsigned pair = 0; pair < 2; pair++) {
        tx_send(&k, pair, &p, FRAME_BYTES);
        wire_take(&k, &got);
        wire_send(&k, &p, FRAME_BYTES);
        rx_used(&k, pair);
    }
    pairs = le16_make(0);
    ck_assert_uint_eq(command(&k, 4, 0, &pairs, 2), VIRTIO_NET_ERR);
    pairs = le16_make(4);
    ck_assert_uint_eq(command(&k, 4, 0, &pairs, 2), VIRTIO_NET_ERR);
    pairs = le16_make(1);
    ck_assert_uint_eq(command(&k, 4, 0, &pairs, 2), VIRTIO_NET_OK);
    wire_send(&k, &p, FRAME_BYTES);
    rx_used(&k, 0);
    ck_assert_uint_eq(command(&k, 4, 1, &pairs, 2), VIRTIO_NET_ERR);
    ck_assert_uint_eq(command(&k, 9, 0, &pairs, 2), VIRTIO_NET_ERR);
    teardown(&k);
}
END_TEST

/* ---- the link ---- */

static int plug_in(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(at.sun_path, path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void wait_status(struct nic *k, uint16_t want)
{
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;

    while (config16(k, 6) != want && evloop_now_ns() < end)
        ck_assert_int_eq(evloop_once(k->g.loop, 1000000), 0);
    ck_assert_uint_eq(config16(k, 6), want);
}

START_TEST(link_follows_the_plug)
{
    struct net_options o = plain;
    struct vdev_config config;
    struct packet p;
    char path[64];
    struct vdev *d;
    struct nic k;

    memset(&k, 0, sizeof(k));
    config = rig_setup(&k.g);
    snprintf(path, sizeof(path), "/tmp/net-test-%d", (int)getpid());
    o.listen = path;
    ck_assert_int_eq(net_create(&config, &o, &d, k.error, sizeof(k.error)), 0);
    rig_attach(&k.g, d);
    ck_assert_uint_eq(config16(&k, 6), 0);
    rig_features(&k.g, RIG_MIN | F(MAC) | F(STATUS) | F(CTRL_VQ) | F(GUEST_ANNOUNCE));
    k.ctrl = 2;
    for (unsigned q = 0; q < 3; q++)
        rig_queue(&k.g, q, RIG_QUEUE_SIZE);
    rig_driver_ok(&k.g);
    frame_make(&p, other_mac, FRAME_BYTES, 1);
    tx_send(&k, 0, &p, FRAME_BYTES); /* into the void */
    ck_assert_uint_eq(stats(&k).tx_refused, 1);
    k.wire = plug_in(path);
    wait_status(&k, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    ck_assert_uint_eq(k.g.config_interrupts, 1);
    ck_assert_uint_eq(command(&k, VIRTIO_NET_CTRL_ANNOUNCE, 0, NULL, 0), VIRTIO_NET_OK);
    ck_assert_uint_eq(config16(&k, 6), VIRTIO_NET_S_LINK_UP);
    /* The end is seen also while frames wait for buffers. */
    frame_make(&p, own_mac, FRAME_BYTES, 1);
    wire_send(&k, &p, FRAME_BYTES);
    wire_send(&k, &p, FRAME_BYTES);
    rx_nothing(&k, 0);
    close(k.wire);
    wait_status(&k, 0);
    ck_assert_uint_eq(k.g.config_interrupts, 2);
    k.wire = plug_in(path);
    wait_status(&k, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    wire_send(&k, &p, FRAME_BYTES);
    rx_post(&k, 0, 0, 2048);
    ck_assert_uint_eq(rx_used(&k, 0), HDR + FRAME_BYTES);
    teardown(&k);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ---- faults ---- */

START_TEST(no_header_is_a_fault)
{
    struct nic k;

    setup(&k, &plain, F(MAC));
    rig_add(&k.g, TX(0), &(struct rig_seg){RIG_BASE + TX_AT, HDR - 1, false}, 1);
    vdev_queue_notify(k.g.dev, TX(0));
    rig_wait_fault(&k.g, "net-tx-header");
    teardown(&k);

    setup(&k, &plain, F(MAC));
    rig_add(&k.g, RX(0), &(struct rig_seg){RIG_BASE + BUFFER(0), HDR - 1, true}, 1);
    {
        struct packet p;

        frame_make(&p, own_mac, FRAME_BYTES, 1);
        wire_send(&k, &p, FRAME_BYTES);
        wire_send(&k, &p, FRAME_BYTES);
    }
    rig_wait_fault(&k.g, "net-rx-buffer");
    /* A device that waits for its reset leaves the wire alone. */
    {
        uint64_t before = evloop_now_ns();

        ck_assert_int_eq(evloop_once(k.g.loop, 20000000), 0);
        ck_assert_uint_ge(evloop_now_ns() - before, 20000000);
    }
    teardown(&k);

    setup(&k, &plain, F(MAC) | F(CTRL_VQ));
    rig_add(&k.g, 2, &(struct rig_seg){RIG_BASE + CTRL_AT, 3, false}, 1);
    vdev_queue_notify(k.g.dev, 2);
    rig_wait_fault(&k.g, "net-ctrl-no-ack");
    teardown(&k);
}
END_TEST

START_TEST(short_frames_are_dropped)
{
    struct packet p;
    struct nic k;

    setup(&k, &plain, F(MAC) | F(CTRL_VQ));
    frame_make(&p, other_mac, FRAME_BYTES, 1);
    for (uint32_t bytes = 0; bytes < 14; bytes++)
        tx_send(&k, 0, &p, bytes);
    ck_assert_uint_eq(stats(&k).tx_malformed, 14);
    tx_send(&k, 0, &p, 1518); /* the MTU, and a tag */
    ck_assert_uint_eq(stats(&k).tx_frames, 1);
    wire_take(&k, &p);
    wire_is_empty(&k);
    /* A command of no or one byte has an answer. */
    rig_add(&k.g, 2, &(struct rig_seg){RIG_BASE + CTRL_AT + 0x10000, 1, true}, 1);
    vdev_queue_notify(k.g.dev, 2);
    rig_wait_used(&k.g, 2, ++k.used[2]);
    ck_assert_uint_eq(k.g.mem[CTRL_AT + 0x10000], VIRTIO_NET_ERR);
    teardown(&k);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device_net");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, configuration);
    tcase_add_test(tc, what_is_left_out_takes_its_dependents_along);
    tcase_add_test(tc, options_are_checked);
    tcase_add_test(tc, frames_go_both_ways);
    tcase_add_test(tc, a_frame_over_several_buffers);
    tcase_add_test(tc, frames_wait_for_buffers_in_order);
    tcase_add_test(tc, a_waiting_device_sleeps);
    tcase_add_test(tc, what_can_never_fit_is_dropped);
    tcase_add_test(tc, the_wire_may_be_slow);
    tcase_add_test(tc, resets_take_everything_back);
    tcase_add_test(tc, checksums_that_the_driver_cannot_finish);
    tcase_add_test(tc, large_frames_for_who_takes_them);
    tcase_add_test(tc, headers_from_the_driver);
    tcase_add_test(tc, headers_from_the_wire);
    tcase_add_test(tc, receive_modes);
    tcase_add_test(tc, address_table);
    tcase_add_test(tc, vlans);
    tcase_add_test(tc, several_pairs);
    tcase_add_test(tc, link_follows_the_plug);
    tcase_add_test(tc, no_header_is_a_fault);
    tcase_add_test(tc, short_frames_are_dropped);
    suite_add_tcase(s, tc);
    return rig_main(s);
}
