/* SPDX-License-Identifier: MIT */
#include "conformance/netdev.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

#define ACK_UNWRITTEN  0xee
#define COMMAND_OFFSET 0x7f0
#define ACK_OFFSET     0x3f5
#define FRAME_OFFSET   0x15a /* of buffers in their pages, so that canaries are on both sides */
#define COMMAND_MAX    4096u
#define CUTS_MAX       64u
#define QUEUE_WANTED   64u
#define TYPE_AT        12u
#define MARKER_BYTES   200u /* and more: no other frame of a check that has markers is so long */

const uint8_t net_broadcast[VIRTIO_NET_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
const uint8_t net_group[VIRTIO_NET_MAC_BYTES] = {0x01, 0x00, 0x5e, 0x01, 0x02, 0x03};
const uint8_t net_stranger[VIRTIO_NET_MAC_BYTES] = {0x06, 0x11, 0x22, 0x33, 0x44, 0x55};

/* ---- the device ---- */

bool nic_has(const struct nic *k, unsigned bit)
{
    return (k->d->v->features & VIRTIO_F(bit)) != 0;
}

static void nic_queue(struct nic *k, struct nic_queue *q, unsigned index)
{
    memset(q, 0, sizeof(*q));
    q->ring = given_queue(k->d, index, QUEUE_WANTED);
}

static void nic_start(struct nic *k, unsigned pairs)
{
    k->pairs_max = nic_has(k, VIRTIO_NET_F_MQ)
                       ? nic_config16(k, offsetof(struct virtio_net_config, max_virtqueue_pairs))
                       : 1;
    k->pairs = pairs < k->pairs_max ? pairs : k->pairs_max;
    for (unsigned i = 0; i < k->pairs; i++) {
        nic_queue(k, &k->rx[i], VIRTIO_NET_RX_QUEUE(i));
        nic_queue(k, &k->tx[i], VIRTIO_NET_TX_QUEUE(i));
    }
    if (nic_has(k, VIRTIO_NET_F_CTRL_VQ))
        nic_queue(k, &k->ctrl, VIRTIO_NET_CTRL_QUEUE(k->pairs_max));
    memset(k->mac, 0, sizeof(k->mac));
    if (nic_has(k, VIRTIO_NET_F_MAC))
        nic_config_mac(k, k->mac);
    device_driver_ok(k->d);
}

static void wire_drain(struct check_ctx *t)
{
    struct wire_frame w;

    while (wire_recv(t, &w, 0))
        continue;
}

struct nic *given_nic(struct check_ctx *t, uint64_t need, uint64_t want, unsigned pairs)
{
    struct nic *k = calloc(1, sizeof(*k));

    if (!k)
        error_out(t, "no memory");
    check_defer(t, free, k);
    k->d = given_device(t);
    for (unsigned bit = 0; bit < 64; bit++)
        if ((need & ~k->d->offered) & VIRTIO_F(bit))
            skip_check(t, "feature bit %u of the network device is not offered", bit);
    device_negotiate(k->d, need | want | NET(MAC));
    nic_start(k, pairs);
    if (k->ctrl.ring) {
        k->command = given_buffer(k->d, COMMAND_MAX, COMMAND_OFFSET, FE_DMA_TO_DEVICE);
        k->ack = given_buffer(k->d, 1, ACK_OFFSET, FE_DMA_FROM_DEVICE);
        buffer_release(k->command);
        buffer_release(k->ack);
    }
    wire_drain(t);
    return k;
}

void nic_restart(struct nic *k, uint64_t features, unsigned pairs)
{
    device_negotiate(k->d, features | NET(MAC));
    nic_start(k, pairs);
    /* What the device held when it was reset is the driver's again. */
    for (struct buffer *b = k->d->buffers; b; b = b->next)
        buffer_release(b);
    wire_drain(k->d->t);
}

uint16_t nic_config16(struct nic *k, unsigned offset)
{
    return (uint16_t)device_get(k->d, offset, 2);
}

void nic_config_mac(struct nic *k, uint8_t mac[VIRTIO_NET_MAC_BYTES])
{
    for (unsigned i = 0; i < VIRTIO_NET_MAC_BYTES; i++)
        mac[i] = (uint8_t)device_get(k->d, i, 1);
}

bool nic_status_wait(struct nic *k, uint16_t mask, uint16_t want)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;

    for (;;) {
        uint16_t is = nic_config16(k, offsetof(struct virtio_net_config, status));

        if ((is & mask) == want)
            return true;
        if (given_now_ns() >= deadline)
            return false;
        given_pause();
    }
}

/* ---- frames ---- */

static void frame_fill(struct frame *f)
{
    for (uint32_t i = f->given; i < f->bytes; i++)
        f->data[i] = (uint8_t)(31 * i + 7 * (i >> 8) + f->seed);
}

struct frame *given_frame(struct check_ctx *t, const uint8_t *to, uint32_t bytes, uint32_t seed)
{
    struct frame *f = calloc(1, sizeof(*f));

    if (!f)
        error_out(t, "no memory");
    check_defer(t, free, f);
    memcpy(f->data, to, VIRTIO_NET_MAC_BYTES);
    memcpy(f->data + VIRTIO_NET_MAC_BYTES, net_stranger, VIRTIO_NET_MAC_BYTES);
    f->data[11] ^= 1; /* the sender is nobody that a check sends to */
    f->data[TYPE_AT] = 0x88;
    f->data[TYPE_AT + 1] = 0xb5;
    f->given = ETHER_BYTES;
    f->bytes = bytes;
    f->seed = seed;
    frame_fill(f);
    return f;
}

void frame_tag(struct frame *f, uint16_t vlan)
{
    f->data[TYPE_AT] = 0x81;
    f->data[TYPE_AT + 1] = 0x00;
    f->data[TYPE_AT + 2] = (uint8_t)(vlan >> 8);
    f->data[TYPE_AT + 3] = (uint8_t)vlan;
    f->data[TYPE_AT + 4] = 0x88;
    f->data[TYPE_AT + 5] = 0xb5;
    f->given = ETHER_BYTES + 4;
    frame_fill(f);
}

static void put16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

/* IPv4 or IPv6 header for `payload` bytes of `protocol`. Returns where the transport begins. */
static uint32_t put_ip(struct frame *f, bool ipv6, uint8_t protocol, bool swap)
{
    uint8_t *ip = f->data + ETHER_BYTES;
    uint32_t payload = f->bytes - ETHER_BYTES - (ipv6 ? 40 : 20);
    uint8_t from = swap ? 2 : 1, to = swap ? 1 : 2;

    memset(ip, 0, ipv6 ? 40 : 20);
    put16(f->data + TYPE_AT, ipv6 ? 0x86dd : 0x0800);
    if (ipv6) {
        ip[0] = 0x60;
        put16(ip + 4, payload);
        ip[6] = protocol;
        ip[7] = 64;
        ip[8] = ip[24] = 0xfd;
        ip[23] = from;
        ip[39] = to;
        return ETHER_BYTES + 40;
    }
    ip[0] = 0x45;
    put16(ip + 2, payload + 20);
    ip[8] = 64;
    ip[9] = protocol;
    ip[12] = ip[16] = 10;
    ip[15] = from;
    ip[19] = to;
    return ETHER_BYTES + 20;
}

struct frame *given_tcp(struct check_ctx *t, const uint8_t *to, uint32_t bytes, bool ipv6)
{
    struct frame *f = given_frame(t, to, bytes, 5);
    uint32_t at = put_ip(f, ipv6, 6, false);
    uint8_t *tcp = f->data + at;

    memset(tcp, 0, 20);
    put16(tcp, 4000);
    put16(tcp + 2, 5000);
    tcp[12] = 0x50;
    put16(tcp + 16, 0x1234); /* stands for the pseudo header */
    f->given = at + 20;
    frame_fill(f);
    f->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    f->header.csum_start = le16_make((uint16_t)at);
    f->header.csum_offset = le16_make(16);
    return f;
}

struct frame *given_udp(struct check_ctx *t, const uint8_t *to, uint16_t port, bool swap)
{
    struct frame *f = given_frame(t, to, FRAME_SHORT, 6);
    uint32_t at = put_ip(f, false, 17, swap);
    uint8_t *udp = f->data + at;

    put16(udp, swap ? 7000 : port);
    put16(udp + 2, swap ? port : 7000);
    put16(udp + 4, f->bytes - at);
    put16(udp + 6, 0);
    f->given = at + 8;
    frame_fill(f);
    return f;
}

uint64_t frame_sum(const uint8_t *data, uint32_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (uint32_t i = 0; i < bytes; i++)
        hash = (hash ^ data[i]) * 0x100000001b3u;
    return hash;
}

uint16_t frame_csum(const struct frame *f)
{
    uint32_t start = le16_get(f->header.csum_start);
    uint64_t sum = 0;

    for (uint32_t i = start; i < f->bytes; i++)
        sum += (i - start) % 2 ? f->data[i] : (uint32_t)f->data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* ---- the wire ---- */

static void hex_put(char *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        sprintf(to + 2 * i, "%02x", ((const uint8_t *)from)[i]);
}

/* An answer of the testbed. The end of the wire is the subject's fault. */
static json_t *wire_ask(struct check_ctx *t, const char *what, const char *args)
{
    const struct subject *s = check_subject(t);
    char error[256] = "";
    char *text = NULL;
    json_t *value;
    int rc;

    if (!s->ask)
        error_out(t, "%s: no testbed answers", what);
    rc = s->ask(s->ask_ctx, what, args, &text, error, sizeof(error));
    value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    free(text);
    if (rc || !value) {
        json_decref(value);
        error_out(t, "the testbed could not do %s: %s", what, error[0] ? error : "no answer");
    }
    if (json_is_true(json_object_get(value, "cut"))) {
        json_decref(value);
        expect(t, MUST, false, "the device closed its end of the wire");
        stop_check(t);
    }
    return value;
}

unsigned wire_send_many(struct check_ctx *t, const struct frame *f, unsigned count)
{
    char args[512], head[2 * 128 + 1] = "", header[2 * HDR_BYTES + 1];
    unsigned sent;
    json_t *v;

    if (f->given > 128)
        error_out(t, "a frame with %u chosen bytes", f->given);
    hex_put(head, f->data, f->given < f->bytes ? f->given : f->bytes);
    hex_put(header, &f->header, HDR_BYTES);
    snprintf(args, sizeof(args),
             "{\"head\":\"%s\",\"header\":\"%s\",\"bytes\":%u,\"seed\":%u,\"count\":%u}", head,
             header, f->bytes, f->seed, count);
    v = wire_ask(t, "net.send", args);
    sent = (unsigned)json_integer_value(json_object_get(v, "sent"));
    json_decref(v);
    return sent;
}

void wire_send(struct check_ctx *t, const struct frame *f)
{
    if (wire_send_many(t, f, 1) != 1)
        error_out(t, "the wire takes no frame");
}

static void hex_get(const char *text, uint8_t *to, size_t bytes)
{
    for (size_t i = 0; text && i < bytes && text[2 * i]; i++) {
        unsigned v = 0;

        if (sscanf(text + 2 * i, "%2x", &v) == 1)
            to[i] = (uint8_t)v;
    }
}

bool wire_recv(struct check_ctx *t, struct wire_frame *w, uint64_t timeout_ns)
{
    char args[64];
    json_t *v;

    memset(w, 0, sizeof(*w));
    snprintf(args, sizeof(args), "{\"timeout_ms\":%u}", (unsigned)(timeout_ns / MS(1)));
    v = wire_ask(t, "net.recv", args);
    w->bytes = (uint32_t)json_integer_value(json_object_get(v, "bytes"));
    hex_get(json_string_value(json_object_get(v, "header")), (uint8_t *)&w->header, HDR_BYTES);
    hex_get(json_string_value(json_object_get(v, "head")), w->head, sizeof(w->head));
    w->sum = strtoull(json_string_value(json_object_get(v, "sum")), NULL, 16);
    json_decref(v);
    return w->bytes != 0;
}

void expect_on_wire(struct check_ctx *t, const struct frame *f, struct wire_frame *w)
{
    bool came = wire_recv(t, w, LIMIT_REPLY_NS);

    expect(t, MUST, came, "a frame of %u bytes did not reach the wire", f->bytes);
    if (!came)
        stop_check(t);
    expect(t, MUST, w->bytes == f->bytes, "a frame of %u bytes reached the wire with %u", f->bytes,
           w->bytes);
    expect(t, MUST, w->sum == frame_sum(f->data, f->bytes),
           "a frame of %u bytes reached the wire with other content", f->bytes);
}

void expect_wire_quiet(struct check_ctx *t, const char *why)
{
    struct wire_frame w;
    bool came = wire_recv(t, &w, LIMIT_QUIET_NS);

    expect(t, MUST, !came, "a frame of %u bytes reached the wire: %s", w.bytes, why);
}

void wire_link(struct check_ctx *t, bool up)
{
    given_ask(t, "net.link", up ? "{\"up\":true}" : "{\"up\":false}");
}

/* ---- reception ---- */

struct buffer *nic_post(struct nic *k, unsigned pair, uint32_t bytes)
{
    struct nic_queue *q = &k->rx[pair];
    struct buffer *b = given_buffer(k->d, bytes, FRAME_OFFSET, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(b, true);
    uint16_t head = ring_chain(q->ring, q->next++, &p, 1);

    q->posted[head % NIC_BUFFERS] = b;
    ring_offer(q->ring, head);
    ring_kick(q->ring);
    return b;
}

struct buffer *nic_used(struct nic *k, unsigned pair, uint32_t *len, uint64_t timeout_ns)
{
    struct check_ctx *t = k->d->t;
    struct nic_queue *q = &k->rx[pair];
    struct virtq_raw_used u;
    struct buffer *b = NULL;

    if (!ring_used(q->ring, &u, timeout_ns))
        return NULL;
    if (u.id < NIC_BUFFERS)
        b = q->posted[u.id];
    expect(t, MUST, b != NULL, "receive buffer %u was used, which was not available", u.id);
    if (!b)
        stop_check(t);
    q->posted[u.id] = NULL;
    expect(t, MUST, u.len <= b->bytes, "%u bytes were used of a receive buffer of %u", u.len,
           b->bytes);
    expect_canaries(t, b, "a receive buffer");
    buffer_release(b);
    *len = u.len <= b->bytes ? u.len : b->bytes;
    return b;
}

struct buffer *expect_received(struct nic *k, unsigned pair, uint32_t *len,
                               struct virtio_net_hdr *h)
{
    struct check_ctx *t = k->d->t;
    struct buffer *b = nic_used(k, pair, len, LIMIT_REPLY_NS);

    expect(t, MUST, b != NULL, "no frame came to receive queue %u; the device status is 0x%x", pair,
           device_status(k->d));
    if (!b)
        stop_check(t);
    expect(t, MUST, *len >= HDR_BYTES, "a receive buffer was used with %u bytes", *len);
    if (*len < HDR_BYTES)
        stop_check(t);
    memcpy(h, b->va, sizeof(*h));
    return b;
}

struct virtio_net_hdr expect_frame(struct nic *k, unsigned pair, const struct frame *f)
{
    struct check_ctx *t = k->d->t;
    struct virtio_net_hdr h;
    uint32_t len;
    struct buffer *b = expect_received(k, pair, &len, &h);

    expect(t, MUST, len == HDR_BYTES + f->bytes,
           "the used length of a frame of %u bytes and its header is %u", f->bytes, len);
    expect(t, MUST,
           len == HDR_BYTES + f->bytes && memcmp(b->va + HDR_BYTES, f->data, f->bytes) == 0,
           "a frame of %u bytes arrived with other content", f->bytes);
    return h;
}

void expect_no_frame(struct nic *k, unsigned pair, enum check_level level, const char *why)
{
    uint32_t len;

    expect(k->d->t, level, nic_used(k, pair, &len, LIMIT_QUIET_NS) == NULL,
           "a frame came to receive queue %u: %s", pair, why);
}

/*
 * Frames of one queue keep their order, so that markers behind the frame in question tell when it
 * would have come: however slow the machine, nothing is waited for in vain. A broadcast and one to
 * the device's own address, since a mode may suppress either.
 */
bool nic_receives(struct nic *k, const uint8_t *to, int vlan)
{
    struct check_ctx *t = k->d->t;
    struct frame *f = given_frame(t, to, FRAME_SHORT, 17);
    uint32_t marker = MARKER_BYTES + 2 * k->markers++;
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    bool came = false, marked = false;
    uint32_t len;

    if (vlan >= 0)
        frame_tag(f, (uint16_t)vlan);
    for (unsigned i = 0; i < 3; i++)
        nic_post(k, 0, BUFFER_PLAIN);
    wire_send(t, f);
    wire_send(t, given_frame(t, net_broadcast, marker, 18));
    wire_send(t, given_frame(t, k->mac, marker + 1, 19));
    while (!marked && given_now_ns() < deadline) {
        if (!nic_used(k, 0, &len, LIMIT_REPLY_NS))
            break;
        came |= len == HDR_BYTES + FRAME_SHORT;
        marked = len == HDR_BYTES + marker || len == HDR_BYTES + marker + 1;
    }
    expect(t, MUST, marked, "neither a broadcast nor a frame to the device's address came");
    if (!marked)
        stop_check(t);
    return came;
}

/* ---- transmission ---- */

void nic_send_cut(struct nic *k, unsigned pair, const struct frame *f, const uint32_t *lengths,
                  unsigned n)
{
    struct nic_queue *q = &k->tx[pair];
    struct check_ctx *t = k->d->t;
    uint32_t total = HDR_BYTES + f->bytes, at = 0;
    struct buffer *b = given_buffer(k->d, total, FRAME_OFFSET, FE_DMA_TO_DEVICE);
    struct piece pieces[CUTS_MAX];
    unsigned count = 0;
    uint16_t head;

    memcpy(b->va, &f->header, HDR_BYTES);
    memcpy(b->va + HDR_BYTES, f->data, f->bytes);
    while (at < total) {
        uint32_t len = lengths[count < n ? count : n - 1];

        if (count == CUTS_MAX || count == q->ring->size)
            error_out(t, "a frame of too many pieces");
        len = len < total - at ? len : total - at;
        pieces[count++] = piece_part(b, at, len, false);
        at += len;
    }
    head = ring_chain(q->ring, q->next, pieces, count);
    q->next += count;
    ring_offer(q->ring, head);
    ring_kick(q->ring);
    expect_eq(t, MUST, expect_used(q->ring, head), 0,
              "the used length of a transmitted frame, of which nothing is written");
    expect_canaries(t, b, "a transmitted frame");
    buffer_release(b);
}

void nic_send(struct nic *k, unsigned pair, const struct frame *f)
{
    static const uint32_t whole[] = {UINT32_MAX};

    nic_send_cut(k, pair, f, whole, 1);
}

/* ---- control ---- */

uint8_t nic_command(struct nic *k, uint8_t class_, uint8_t command, const void *data,
                    uint32_t bytes)
{
    struct check_ctx *t = k->d->t;
    struct nic_queue *q = &k->ctrl;
    struct piece p[2];
    uint16_t head;
    uint8_t ack;

    if (2 + bytes > COMMAND_MAX)
        error_out(t, "a command of %u bytes", bytes);
    if (!k->command->mapped)
        buffer_map(k->command, FE_DMA_TO_DEVICE);
    if (!k->ack->mapped)
        buffer_map(k->ack, FE_DMA_FROM_DEVICE);
    k->command->va[0] = class_;
    k->command->va[1] = command;
    if (bytes)
        memcpy(k->command->va + 2, data, bytes);
    k->ack->va[0] = ACK_UNWRITTEN;
    p[0] = piece_part(k->command, 0, 2 + bytes, false);
    p[1] = piece_of(k->ack, true);
    head = ring_chain(q->ring, q->next, p, 2);
    q->next += 2;
    ring_offer(q->ring, head);
    ring_kick(q->ring);
    (void)expect_used(q->ring, head);
    ack = k->ack->va[0];
    expect(t, MUST, ack != ACK_UNWRITTEN, "command %u.%u was used without an answer", class_,
           command);
    expect_canaries(t, k->ack, "the answer to a command");
    buffer_release(k->command);
    buffer_release(k->ack);
    return ack;
}

uint8_t nic_mode(struct nic *k, uint8_t command, bool on)
{
    uint8_t value = on;

    return nic_command(k, VIRTIO_NET_CTRL_RX, command, &value, 1);
}

void expect_command(struct nic *k, uint8_t class_, uint8_t command, const void *data,
                    uint32_t bytes, uint8_t answer, const char *what)
{
    uint8_t got = nic_command(k, class_, command, data, bytes);

    expect(k->d->t, MUST, got == answer, "%s: the answer is %u", what, got);
}

/* ---- afterwards ---- */

void expect_nic_recovers(struct nic *k, const char *after)
{
    struct check_ctx *t = k->d->t;
    struct frame *f;
    struct wire_frame w;

    note(t, "provoked", "%s", after);
    nic_restart(k, 0, 1);
    f = given_frame(t, k->mac, FRAME_SHORT, 99);
    nic_post(k, 0, BUFFER_PLAIN);
    wire_send(t, f);
    (void)expect_frame(k, 0, f);
    f = given_frame(t, net_stranger, FRAME_SHORT, 98);
    nic_send(k, 0, f);
    expect_on_wire(t, f, &w);
}
