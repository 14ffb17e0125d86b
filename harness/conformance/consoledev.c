/* SPDX-License-Identifier: MIT */
#include "conformance/consoledev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/virtio.h"

#define QUEUE_SIZE 16u

/* ---- the device ---- */

static void console_start(struct console *k)
{
    struct device *d = k->d;
    bool multiport = (d->v->features & VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT)) != 0;

    k->ports_max = 1;
    if (multiport) {
        uint64_t max = device_get(d, offsetof(struct virtio_console_config, max_nr_ports), 4);

        expect(d->t, MUST, max >= 1, "max_nr_ports is 0");
        /* More are not driven here. */
        k->ports_max = max < CONSOLE_PORTS_MAX ? (unsigned)max : CONSOLE_PORTS_MAX;
        if (!k->ports_max)
            stop_check(d->t);
    }
    memset(k->port, 0, sizeof(k->port));
    for (unsigned i = 0; i < k->ports_max; i++) {
        k->rx[i] = given_queue_polled(d, VIRTIO_CONSOLE_PORT_RX(i), QUEUE_SIZE);
        k->tx[i] = given_queue_polled(d, VIRTIO_CONSOLE_PORT_TX(i), QUEUE_SIZE);
    }
    k->control_rx = multiport ? given_queue_polled(d, VIRTIO_CONSOLE_CONTROL_RX, QUEUE_SIZE) : NULL;
    k->control_tx = multiport ? given_queue_polled(d, VIRTIO_CONSOLE_CONTROL_TX, QUEUE_SIZE) : NULL;
    device_driver_ok(d);
}

struct console *given_console(struct check_ctx *t, uint64_t features)
{
    struct console *k = calloc(1, sizeof(*k));

    if (!k)
        error_out(t, "no memory");
    check_defer(t, free, k);
    k->d = given_negotiated(t, features);
    console_start(k);
    return k;
}

void console_restart(struct console *k, uint64_t features)
{
    device_negotiate(k->d, features);
    console_start(k);
}

unsigned console_ports(struct console *k)
{
    unsigned ports;

    if (!k->d->subject->ask)
        return 0;
    ports = (unsigned)given_ask_number(k->d->t, "device.info", NULL, "ports");
    return ports < k->ports_max ? ports : k->ports_max;
}

/* ---- control messages ---- */

void console_give_control_buffers(struct console *k)
{
    for (unsigned i = 0; i < CONSOLE_BUFFERS; i++) {
        struct piece p;

        if (!k->control_in[i])
            k->control_in[i] = given_buffer(k->d, CONSOLE_CONTROL_LEN, 0x200, FE_DMA_FROM_DEVICE);
        p = piece_of(k->control_in[i], true);
        ring_offer(k->control_rx, ring_chain(k->control_rx, i, &p, 1));
    }
    ring_kick(k->control_rx);
}

void console_say_raw(struct console *k, const void *message, uint32_t bytes)
{
    struct buffer *b = given_buffer(k->d, bytes ? bytes : 1, 0x123, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(b, false);
    uint16_t head;

    memcpy(b->va, message, bytes);
    p.len = bytes;
    head = ring_chain(k->control_tx, 0, &p, 1);
    ring_offer(k->control_tx, head);
    ring_kick(k->control_tx);
    expect_used(k->control_tx, head);
    buffer_release(b);
}

void console_say(struct console *k, uint32_t port, uint16_t event, uint16_t value)
{
    const struct virtio_console_control m = {le32_make(port), le16_make(event), le16_make(value)};

    console_say_raw(k, &m, sizeof(m));
}

/* Does a message have the length that its kind has? `more` bytes are behind its head. */
static bool length_fits(unsigned event, uint32_t more)
{
    if (event == VIRTIO_CONSOLE_RESIZE)
        return more == sizeof(struct virtio_console_resize);
    if (event == VIRTIO_CONSOLE_PORT_NAME)
        return more > 0;
    return more == 0;
}

static void view_take(struct console *k, uint32_t id, unsigned event, unsigned value,
                      const uint8_t *more, uint32_t more_bytes)
{
    struct check_ctx *t = k->d->t;
    struct port_view *v = id < k->ports_max ? &k->port[id] : NULL;
    struct virtio_console_resize size;

    switch (event) {
    case VIRTIO_CONSOLE_DEVICE_ADD:
        expect(t, MUST, v, "port %u is added, max_nr_ports is %u", id, k->ports_max);
        if (!v)
            return;
        expect(t, MUST, !v->added, "port %u is added, and exists", id);
        v->added = true;
        v->adds++;
        return;
    case VIRTIO_CONSOLE_DEVICE_REMOVE:
        expect(t, MUST, v && v->added, "port %u is removed, and was not added", id);
        if (v)
            *v = (struct port_view){.adds = v->adds, .removals = v->removals + 1};
        return;
    default:
        break;
    }
    expect(t, MUST, v && v->added, "message %u is about port %u, which was not added", event, id);
    if (!v)
        return;
    switch (event) {
    case VIRTIO_CONSOLE_CONSOLE_PORT:
        v->console = true;
        return;
    case VIRTIO_CONSOLE_PORT_OPEN:
        expect(t, MUST, value <= 1, "PORT_OPEN of port %u has the value %u", id, value);
        v->open = value != 0;
        return;
    case VIRTIO_CONSOLE_PORT_NAME:
        expect(t, MUST, !memchr(more, 0, more_bytes), "the name of port %u has a NUL in it", id);
        snprintf(v->name, sizeof(v->name), "%.*s", (int)more_bytes, (const char *)more);
        return;
    case VIRTIO_CONSOLE_RESIZE:
        memcpy(&size, more, sizeof(size));
        v->cols = le16_get(size.cols);
        v->rows = le16_get(size.rows);
        return;
    default:
        expect(t, MUST,
               event != VIRTIO_CONSOLE_DEVICE_READY && event != VIRTIO_CONSOLE_PORT_READY &&
                   event <= VIRTIO_CONSOLE_PORT_NAME,
               "event %u is none that a device sends", event);
    }
}

unsigned console_listen(struct console *k)
{
    struct check_ctx *t = k->d->t;
    struct virtq_raw_used u;
    unsigned n = 0;

    while (ring_used(k->control_rx, &u, 0)) {
        struct virtio_console_control m;
        struct buffer *b;
        struct piece p;

        expect(t, MUST, u.id < CONSOLE_BUFFERS, "used id %u is no buffer that was given", u.id);
        if (u.id >= CONSOLE_BUFFERS)
            stop_check(t);
        b = k->control_in[u.id];
        expect_canaries(t, b, "a control message");
        expect(t, MUST, u.len >= sizeof(m) && u.len <= b->bytes,
               "a control message of %u bytes in a buffer of %u", u.len, b->bytes);
        if (u.len < sizeof(m) || u.len > b->bytes)
            stop_check(t);
        memcpy(&m, b->va, sizeof(m));
        expect(t, MUST, length_fits(le16_get(m.event), u.len - (uint32_t)sizeof(m)),
               "a message with event %u has %u bytes", le16_get(m.event), u.len);
        if (!length_fits(le16_get(m.event), u.len - (uint32_t)sizeof(m)))
            stop_check(t);
        view_take(k, le32_get(m.id), le16_get(m.event), le16_get(m.value), b->va + sizeof(m),
                  u.len - (uint32_t)sizeof(m));
        memset(b->va, 0, b->bytes);
        p = piece_of(b, true);
        ring_offer(k->control_rx, ring_chain(k->control_rx, u.id, &p, 1));
        ring_kick(k->control_rx);
        n++;
    }
    return n;
}

void console_listen_on(struct console *k)
{
    uint64_t quiet = given_now_ns();

    while (given_now_ns() - quiet < LIMIT_QUIET_NS) {
        if (console_listen(k))
            quiet = given_now_ns();
        else
            given_pause();
    }
}

bool console_hears(struct console *k, unsigned port, bool (*told)(const struct port_view *v))
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;

    for (;;) {
        console_listen(k);
        if (told(&k->port[port]))
            return true;
        if (given_now_ns() >= deadline)
            return false;
        given_pause();
    }
}

bool told_added(const struct port_view *v)
{
    return v->added;
}
bool told_removed(const struct port_view *v)
{
    return v->removals > 0;
}
bool told_console(const struct port_view *v)
{
    return v->console;
}
bool told_name(const struct port_view *v)
{
    return v->name[0];
}
bool told_open(const struct port_view *v)
{
    return v->open;
}
bool told_closed(const struct port_view *v)
{
    return !v->open;
}

struct console *given_ports(struct check_ctx *t, unsigned ports)
{
    struct console *k = given_console(t, VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT));

    if (console_ports(k) < ports)
        skip_check(t, "the device has only %u ports", console_ports(k));
    console_give_control_buffers(k);
    console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (unsigned i = 0; i < ports; i++) {
        bool added = console_hears(k, i, told_added);

        expect(t, MUST, added, "port %u is not added after DEVICE_READY", i);
        if (!added)
            stop_check(t);
        console_say(k, i, VIRTIO_CONSOLE_PORT_READY, 1);
        console_say(k, i, VIRTIO_CONSOLE_PORT_OPEN, 1);
    }
    return k;
}

/* ---- bytes ---- */

void console_text(char *text, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes; i++)
        text[i] = (char)('!' + ((i + 1) * 2654435761u ^ seed * 40503u) / 65536u % 90u);
    text[bytes] = '\0';
}

void console_send(struct console *k, unsigned port, const char *text, uint32_t bytes)
{
    struct buffer *b = given_buffer(k->d, bytes, 0x321, FE_DMA_TO_DEVICE);
    struct piece p[3];
    unsigned n = bytes < 3 ? 1 : 3;
    uint32_t part = bytes / n, used_len;
    uint16_t head;

    memcpy(b->va, text, bytes);
    for (unsigned i = 0; i < n; i++)
        p[i] = piece_part(b, i * part, i + 1 < n ? part : bytes - i * part, false);
    head = ring_chain(k->tx[port], 0, p, n);
    ring_offer(k->tx[port], head);
    ring_kick(k->tx[port]);
    used_len = expect_used(k->tx[port], head);
    expect_eq(k->d->t, MUST, used_len, 0, "the used length of a buffer that nothing is written to");
    buffer_release(b);
}

struct buffer *console_give(struct console *k, unsigned port, uint32_t bytes)
{
    struct buffer *b = given_buffer(k->d, bytes, 0x7f, FE_DMA_FROM_DEVICE);
    struct ring *q = k->rx[port];
    struct piece p = piece_of(b, true);

    ring_offer(q, ring_chain(q, q->avail, &p, 1));
    ring_kick(q);
    return b;
}

uint32_t console_received(struct console *k, unsigned port, const struct buffer *b,
                          uint64_t timeout_ns)
{
    struct check_ctx *t = k->d->t;
    struct virtq_raw_used u;

    if (!ring_used(k->rx[port], &u, timeout_ns))
        return 0;
    expect(t, MUST, u.len >= 1 && u.len <= b->bytes,
           "a receive buffer of %u bytes was used with %u in it", b->bytes, u.len);
    if (u.len < 1 || u.len > b->bytes)
        stop_check(t);
    expect_canaries(t, b, "a receive buffer");
    return u.len;
}

/* ---- the host end ---- */

static void host_ask(struct check_ctx *t, const char *what, unsigned port)
{
    char args[32];

    snprintf(args, sizeof(args), "{\"port\": %u}", port);
    given_ask(t, what, args);
}

void host_open(struct check_ctx *t, unsigned port)
{
    host_ask(t, "console.open", port);
}

void host_close(struct check_ctx *t, unsigned port)
{
    host_ask(t, "console.close", port);
}

/* What console_text makes, with what JSON has to have quoted. */
static char *quoted(struct check_ctx *t, const char *text)
{
    char *out = malloc(2 * strlen(text) + 1), *to = out;

    if (!out)
        error_out(t, "no memory");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *to++ = '\\';
        *to++ = *text;
    }
    *to = '\0';
    return out;
}

void host_write(struct check_ctx *t, unsigned port, const char *text)
{
    char *data = quoted(t, text), *args = NULL;
    int n = asprintf(&args, "{\"port\": %u, \"data\": \"%s\"}", port, data);

    free(data);
    if (n < 0)
        error_out(t, "no memory");
    check_defer(t, free, args);
    given_ask(t, "console.write", args);
}

uint32_t host_read(struct check_ctx *t, unsigned port, char *text, uint32_t bytes, unsigned ms)
{
    char args[96];

    snprintf(args, sizeof(args), "{\"port\": %u, \"bytes\": %u, \"ms\": %u}", port, bytes, ms);
    given_ask_text(t, "console.read", args, "data", text, bytes + 1);
    return (uint32_t)strlen(text);
}

void host_manage(struct check_ctx *t, const char *command)
{
    char args[96];

    snprintf(args, sizeof(args), "{\"command\": \"%s\"}", command);
    given_ask(t, "console.manage", args);
}

static uint32_t generation_get(struct device *d)
{
    uint32_t generation = 0;

    must(d->t, d->v->ops->config_generation(d->v, &generation), "reading the generation");
    return generation;
}

void expect_generation_moves(struct check_ctx *t)
{
    struct console *k = given_console(t, VIRTIO_F(VIRTIO_CONSOLE_F_SIZE));
    const unsigned at = offsetof(struct virtio_console_config, cols);
    uint32_t cols = (uint32_t)device_get(k->d, at, 2);
    uint32_t rows = (uint32_t)device_get(k->d, at + 2, 2);
    char command[64];

    for (unsigned round = 0; round < 4; round++) {
        const uint32_t want = round % 2 ? cols : cols + 1;
        uint32_t before = generation_get(k->d);

        snprintf(command, sizeof(command), "resize %u %u", want, rows);
        host_manage(t, command);
        expect_eq(t, MUST, device_get(k->d, at, 2), want, "cols after a change");
        expect(t, MUST, generation_get(k->d) != before,
               "the generation is still %u after a change and a read of the configuration", before);
    }
}
