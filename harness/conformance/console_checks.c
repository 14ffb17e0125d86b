/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.3: the console device. */
#define CHECK_FAMILY "console"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/consoledev.h"
#include "frontend/console.h"
#include "spec/virtio.h"
#include "util/bits.h"

#define CONSOLE   (NEED_DEVICE | NEED_CONSOLE)
#define PORTS     (CONSOLE | NEED_MULTIPORT)
#define MULTIPORT VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT)
#define CONFIG(f) offsetof(struct virtio_console_config, f)
#define READ_MS   2000u
#define TEXT_MAX  8000u

/* ---- configuration ---- */

static void config_write(struct device *d, unsigned offset, unsigned bytes, uint64_t value)
{
    must(d->t, d->v->ops->config_write(d->v, offset, bytes, value),
         "writing the device configuration");
}

/* Without a host end there is nothing to see but that it does no harm. */
CHECK(emergency_write_is_allowed_always, .judges = DEVICE,
      .proves = "console.device-initialization.device.1", .needs = CONSOLE | NEED_EMERGENCY,
      .title = "emerg_wr can be written before anything else, and in every state")
{
    struct device *d = given_device(t);

    for (unsigned width = 1; width <= 4; width *= 2)
        config_write(d, CONFIG(emerg_wr), width, 'e');
    expect_eq(t, MUST, device_status(d), 0, "the status of an unconfigured device afterwards");
    device_negotiate(d, 0);
    config_write(d, CONFIG(emerg_wr), 4, 'f');
    expect_eq(t, MUST, device_status(d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET, 0,
              "DEVICE_NEEDS_RESET after an emergency write with the feature declined");
}

CHECK(emergency_write_is_seen, .judges = DEVICE, .proves = "console.device-initialization.device.2",
      .needs = CONSOLE | NEED_EMERGENCY | NEED_HOST_END,
      .title = "The lower byte comes out: unconfigured, running and broken")
{
    struct console *k = given_console(t, 0);
    char text[8];

    host_open(t, 0);
    device_reset(k->d);
    config_write(k->d, CONFIG(emerg_wr), 4, 0x41424300u | 'u');
    expect(t, SHOULD, host_read(t, 0, text, 1, READ_MS) == 1 && text[0] == 'u',
           "an emergency write to an unconfigured device is not seen");
    console_restart(k, 0);
    config_write(k->d, CONFIG(emerg_wr), 4, 'r');
    expect(t, SHOULD, host_read(t, 0, text, 1, READ_MS) == 1 && text[0] == 'r',
           "an emergency write to a running device is not seen");
    ring_break(k->tx[0]);
    ring_kick(k->tx[0]);
    (void)device_status(k->d);
    config_write(k->d, CONFIG(emerg_wr), 4, 'b');
    expect(t, SHOULD, host_read(t, 0, text, 1, READ_MS) == 1 && text[0] == 'b',
           "an emergency write after a broken ring is not seen");
}

CHECK(size_is_what_it_is, .judges = DEVICE, .proves = "xen.console.size.1",
      .needs = CONSOLE | NEED_SIZE | NEED_TESTBED,
      .title = "cols and rows in the configuration, columns first")
{
    struct device *d = given_negotiated(t, VIRTIO_F(VIRTIO_CONSOLE_F_SIZE));

    expect_eq(t, MUST, device_get(d, CONFIG(cols), 2),
              given_ask_number(t, "device.info", NULL, "cols"), "cols");
    expect_eq(t, MUST, device_get(d, CONFIG(rows), 2),
              given_ask_number(t, "device.info", NULL, "rows"), "rows");
}

CHECK(resize_is_announced, .judges = DEVICE, .proves = "xen.console.size.2",
      .needs = CONSOLE | NEED_SIZE | NEED_HOST_END | NEED_MSIX | NEED_IRQ,
      .title = "A new size is in the configuration, with a change notification")
{
    struct console *k = given_console(t, VIRTIO_F(VIRTIO_CONSOLE_F_SIZE));
    struct device *d = k->d;
    struct fe_platform *p = d->subject->platform;
    uint64_t cols = device_get(d, CONFIG(cols), 2), rows = device_get(d, CONFIG(rows), 2);
    char command[64];
    uint16_t vector;
    fe_irq_t irq;

    must(t, d->v->ops->irq_get(d->v, 0, &vector, &irq), "getting a vector");
    must(t, d->v->ops->config_vector(d->v, vector), "setting the configuration vector");
    host_manage(t, "resize 133 51");
    expect(t, MUST, p->ops->irq_wait(p, irq, LIMIT_REPLY_NS) == 1,
           "no configuration change notification came with a new size");
    expect_eq(t, MUST, device_get(d, CONFIG(cols), 2), 133, "cols after the change");
    expect_eq(t, MUST, device_get(d, CONFIG(rows), 2), 51, "rows after the change");
    d->v->ops->irq_put(d->v, vector, irq);
    snprintf(command, sizeof(command), "resize %u %u", (unsigned)cols, (unsigned)rows);
    host_manage(t, command);
}

CHECK(queues_for_all_ports, .judges = DEVICE, .proves = "xen.console.ports.1", .needs = PORTS,
      .title = "max_nr_ports is at least 1, and each port below it has its queues")
{
    struct device *d = given_negotiated(t, MULTIPORT);
    uint64_t max = device_get(d, CONFIG(max_nr_ports), 4);

    expect(t, MUST, max >= 1, "max_nr_ports is 0");
    for (unsigned i = 0; i < max && i < CONSOLE_PORTS_MAX; i++)
        expect(t, MUST,
               queue_max(d, VIRTIO_CONSOLE_PORT_RX(i)) && queue_max(d, VIRTIO_CONSOLE_PORT_TX(i)),
               "port %u has no queues", i);
    expect(t, MUST,
           queue_max(d, VIRTIO_CONSOLE_CONTROL_RX) && queue_max(d, VIRTIO_CONSOLE_CONTROL_TX),
           "there are no control queues");
}

/* ---- control messages ---- */

CHECK(nothing_is_told_before_ready, .judges = DEVICE, .proves = "xen.console.control.1",
      .needs = PORTS, .title = "No message before DEVICE_READY, none after one with 0")
{
    struct console *k = given_console(t, MULTIPORT);

    console_give_control_buffers(k);
    console_listen_on(k);
    expect(t, MUST, !k->port[0].adds, "port 0 was added before DEVICE_READY");
    console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
    console_listen_on(k);
    expect(t, MUST, !k->port[0].adds, "port 0 was added for a driver that failed");
    console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    expect(t, MUST, console_hears(k, 0, told_added), "port 0 is not added after DEVICE_READY");
}

CHECK(ports_are_added_once, .judges = DEVICE,
      .proves = "console.multiport-device-operation.device.1", .needs = PORTS,
      .title = "Each port once and below max_nr_ports, also for a second DEVICE_READY")
{
    struct console *k = given_console(t, MULTIPORT);

    console_give_control_buffers(k);
    for (unsigned i = 0; i < 3; i++) {
        console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
        console_listen_on(k);
    }
    for (unsigned i = 0; i < k->ports_max; i++)
        expect(t, MUST, k->port[i].adds <= 1, "port %u was added %u times", i, k->port[i].adds);
}

CHECK(only_added_ports_are_removed, .judges = DEVICE,
      .proves = "console.multiport-device-operation.device.2", .needs = PORTS | NEED_HOST_END,
      .title = "A port that goes is removed once, and added again when it comes back")
{
    struct console *k = given_ports(t, 2);

    console_listen_on(k);
    for (unsigned round = 1; round <= 3; round++) {
        host_manage(t, "remove 1");
        expect(t, MUST, console_hears(k, 1, told_removed), "port 1 is gone, and not removed");
        host_manage(t, "add 1");
        expect(t, MUST, console_hears(k, 1, told_added), "port 1 is back, and not added");
        console_listen_on(k);
        expect_eq(t, MUST, k->port[1].removals, round, "messages that remove port 1");
        expect_eq(t, MUST, k->port[1].adds, round + 1, "messages that add port 1");
    }
}

CHECK(port_is_described_when_ready, .judges = DEVICE, .proves = "xen.console.control.2",
      .needs = PORTS | NEED_TESTBED,
      .title = "After PORT_READY: which port is a console, and what the others are called")
{
    struct console *k = given_ports(t, 1);
    unsigned ports = console_ports(k);

    expect(t, MUST, console_hears(k, 0, told_console), "port 0 is not said to be a console");
    for (unsigned i = 1; i < ports; i++) {
        char member[16], name[CONSOLE_NAME_BYTES];

        expect(t, MUST, console_hears(k, i, told_added), "port %u is not added", i);
        console_say(k, i, VIRTIO_CONSOLE_PORT_READY, 1);
        snprintf(member, sizeof(member), "name%u", i);
        given_ask_text(t, "device.info", NULL, member, name, sizeof(name));
        expect(t, MUST, console_hears(k, i, told_name) && !strcmp(k->port[i].name, name),
               "port %u is called '%s', not '%s'", i, k->port[i].name, name);
    }
}

CHECK(host_side_opens_and_closes, .judges = DEVICE, .proves = "xen.console.control.3",
      .needs = PORTS | NEED_HOST_END, .title = "PORT_OPEN follows who is at the host end")
{
    struct console *k = given_ports(t, 2);

    for (unsigned i = 0; i < 3; i++) {
        host_open(t, 1);
        expect(t, MUST, console_hears(k, 1, told_open), "the host end of port 1 is open, untold");
        host_close(t, 1);
        expect(t, MUST, console_hears(k, 1, told_closed),
               "the host end of port 1 is closed, untold");
    }
}

CHECK(size_of_a_port_is_told, .judges = DEVICE, .proves = "xen.console.size.3",
      .needs = PORTS | NEED_SIZE | NEED_HOST_END,
      .title = "RESIZE for console ports, columns first")
{
    struct console *k = given_ports(t, 1);
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    uint64_t cols = device_get(k->d, CONFIG(cols), 2), rows = device_get(k->d, CONFIG(rows), 2);
    char command[64];

    host_manage(t, "resize 133 51");
    while (k->port[0].cols != 133 && given_now_ns() < deadline)
        if (!console_listen(k))
            given_pause();
    expect_eq(t, MUST, k->port[0].cols, 133, "cols in a RESIZE message");
    expect_eq(t, MUST, k->port[0].rows, 51, "rows in a RESIZE message");
    snprintf(command, sizeof(command), "resize %u %u", (unsigned)cols, (unsigned)rows);
    host_manage(t, command);
}

/* One buffer for control messages, and what is used of it; 0 when it is not. */
static uint32_t give_one_control_buffer(struct console *k, struct buffer *b)
{
    struct piece p = piece_of(b, true);
    struct virtq_raw_used u;

    ring_offer(k->control_rx, ring_chain(k->control_rx, k->control_rx->avail, &p, 1));
    ring_kick(k->control_rx);
    return ring_used(k->control_rx, &u, LIMIT_QUIET_NS) ? u.len : 0;
}

/* Every port that there is at first, in buffers that come one at a time. Returns how many. */
static unsigned hear_additions(struct console *k, struct buffer *b)
{
    unsigned ports = console_ports(k), added = 0;

    while (added < ports &&
           give_one_control_buffer(k, b) == sizeof(struct virtio_console_control)) {
        struct virtio_console_control m;

        memcpy(&m, b->va, sizeof(m));
        added += le16_get(m.event) == VIRTIO_CONSOLE_DEVICE_ADD;
    }
    expect_eq(k->d->t, MUST, added, ports, "ports that were added in buffers that came late");
    return added;
}

CHECK(messages_wait_for_buffers, .judges = DEVICE, .proves = "xen.console.control.4",
      .needs = PORTS | NEED_TESTBED,
      .title = "A driver that gives buffers late, one at a time, hears of every port")
{
    struct console *k = given_console(t, MULTIPORT);
    struct buffer *b = given_buffer(k->d, CONSOLE_CONTROL_LEN, 0, FE_DMA_FROM_DEVICE);
    uint64_t quiet = given_now_ns() + LIMIT_QUIET_NS;

    console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    while (given_now_ns() < quiet)
        given_pause();
    hear_additions(k, b);
}

CHECK(unseen_removal_is_told, .judges = DEVICE,
      .proves = "console.multiport-device-operation.device.1", .needs = PORTS | NEED_HOST_END,
      .title = "A port that went and came back while the driver had no buffers is removed first")
{
    static const uint16_t expected[] = {VIRTIO_CONSOLE_DEVICE_REMOVE, VIRTIO_CONSOLE_DEVICE_ADD};
    struct console *k = given_console(t, MULTIPORT);
    struct buffer *b = given_buffer(k->d, CONSOLE_CONTROL_LEN, 0, FE_DMA_FROM_DEVICE);

    console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    if (hear_additions(k, b) < 2)
        skip_check(t, "the device has only one port");
    host_manage(t, "remove 1");
    host_manage(t, "add 1");
    for (unsigned i = 0; i < ARRAY_LENGTH(expected); i++) {
        struct virtio_console_control m = {.event = le16_make(0xffff)};

        expect_eq(t, MUST, give_one_control_buffer(k, b), sizeof(m), "the length of a message");
        memcpy(&m, b->va, sizeof(m));
        expect_eq(t, MUST, le16_get(m.event), expected[i], "the kind of the message");
        expect_eq(t, MUST, le32_get(m.id), 1, "the port that it is about");
    }
}

CHECK(small_control_buffers, .judges = DEVICE, .proves = "xen.console.control.5", .needs = PORTS,
      .title = "Control buffers that no message fits: none is written in part, none is lost")
{
    struct console *k = given_console(t, MULTIPORT);
    struct buffer *b = given_buffer(k->d, CONSOLE_CONTROL_LEN, 0, FE_DMA_FROM_DEVICE);
    struct virtio_console_control m = {.event = le16_make(0xffff)};

    console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (uint32_t bytes = 1; bytes < sizeof(m); bytes += 3) {
        struct buffer *small = given_buffer(k->d, bytes, 0x55, FE_DMA_FROM_DEVICE);

        memset(small->va, 0xa5, bytes);
        expect_eq(t, SHOULD, give_one_control_buffer(k, small), 0,
                  "the used length of a buffer that is too small for a message");
        expect_canaries(t, small, "a small control buffer");
    }
    expect(t, MUST, !(device_status(k->d) & VIRTIO_STATUS_FAILED), "the device failed");
    if (device_status(k->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET) {
        console_restart(k, MULTIPORT);
        console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    }
    expect_eq(t, MUST, give_one_control_buffer(k, b), sizeof(m), "the length of the next message");
    memcpy(&m, b->va, sizeof(m));
    expect_eq(t, MUST, le16_get(m.event), VIRTIO_CONSOLE_DEVICE_ADD,
              "the kind of the first message");
}

CHECK(reset_forgets_the_ports, .judges = DEVICE, .proves = "xen.console.control.6", .needs = PORTS,
      .title = "After a reset the driver is told everything anew")
{
    struct console *k = given_console(t, MULTIPORT);

    for (unsigned i = 0; i < 3; i++) {
        if (i)
            console_restart(k, MULTIPORT);
        console_give_control_buffers(k);
        console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
        expect(t, MUST, console_hears(k, 0, told_added), "port 0 is not added in round %u", i);
    }
}

/* ---- hostile control messages ---- */

/* The device goes on, or asks for a reset and then works. */
static void expect_control_works(struct console *k, const char *after)
{
    struct check_ctx *t = k->d->t;

    if (device_status(k->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET)
        console_restart(k, MULTIPORT);
    console_give_control_buffers(k);
    console_say(k, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    expect(t, MUST, console_hears(k, 0, told_added), "after %s no port is added", after);
}

CHECK(control_messages_of_any_length, .judges = DEVICE, .proves = "xen.console.hostile.1",
      .needs = PORTS, .title = "Control messages that are too short, too long or empty")
{
    static const uint32_t lengths[] = {0, 1, 4, 7, 9, 64, 4096, 70000};
    static uint8_t message[70000];
    struct console *k = given_console(t, MULTIPORT);

    memset(message, 0xff, sizeof(message));
    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++)
        console_say_raw(k, message, lengths[i]);
    expect_control_works(k, "messages of wrong lengths");
}

CHECK(control_messages_about_nothing, .judges = DEVICE, .proves = "xen.console.hostile.2",
      .needs = PORTS, .title = "Ports that are not there, events that are none of the driver's")
{
    static const uint32_t ports[] = {0, 1, 15, 16, 31, 0x7fffffff, 0x80000000, 0xffffffff};
    static const uint16_t events[] = {1, 2, 3, 4, 5, 6, 7, 8, 0x7fff, 0xffff};
    struct console *k = given_console(t, MULTIPORT);

    for (unsigned p = 0; p < ARRAY_LENGTH(ports); p++)
        for (unsigned e = 0; e < ARRAY_LENGTH(events); e++)
            console_say(k, ports[p], events[e], (uint16_t)(p * 0x1111));
    expect_control_works(k, "messages about nothing");
}

CHECK(receive_buffers_that_are_readable, .judges = DEVICE, .proves = "xen.console.hostile.3",
      .needs = CONSOLE | NEED_HOST_END,
      .title = "A receive queue with buffers that cannot be written")
{
    struct console *k = given_console(t, 0);
    struct buffer *b = given_buffer(k->d, 64, 0, FE_DMA_BOTH);
    struct piece p = piece_of(b, false);
    struct virtq_raw_used u;

    buffer_fill(b, 9);
    ring_offer(k->rx[0], ring_chain(k->rx[0], 0, &p, 1));
    ring_kick(k->rx[0]);
    host_open(t, 0);
    host_write(t, 0, "nowhere to go");
    (void)ring_used(k->rx[0], &u, LIMIT_QUIET_NS);
    expect(t, MUST, buffer_matches(b, 9), "a buffer that the device may only read was written");
    console_restart(k, 0);
    buffer_release(b);
    console_send(k, 0, "still here", 10);
}

CHECK(transmit_buffers_that_are_writable, .judges = DEVICE, .proves = "xen.console.hostile.4",
      .needs = CONSOLE, .title = "A transmit queue with buffers that the device could write")
{
    struct console *k = given_console(t, 0);
    struct buffer *b = given_buffer(k->d, 64, 0x40, FE_DMA_BOTH);
    struct piece p[2] = {piece_part(b, 0, 32, false), piece_part(b, 32, 32, true)};
    struct virtq_raw_used u = {0};

    buffer_fill(b, 10);
    ring_offer(k->tx[0], ring_chain(k->tx[0], 0, p, 2));
    ring_kick(k->tx[0]);
    (void)ring_used(k->tx[0], &u, LIMIT_QUIET_NS);
    expect(t, MUST, buffer_matches(b, 10), "a transmit buffer was written");
    expect_eq(t, MUST, u.len, 0, "the used length of a transmit buffer");
    console_restart(k, 0);
    buffer_release(b);
    console_send(k, 0, "still here", 10);
}

/* ---- bytes ---- */

CHECK(output_arrives, .judges = DEVICE, .proves = "xen.console.data.1",
      .needs = CONSOLE | NEED_HOST_END,
      .title = "What the driver sends comes out, in order and whole")
{
    static const uint32_t sizes[] = {1, 2, 3, 80, 1000, 4096, TEXT_MAX};
    struct console *k = given_console(t, 0);
    char sent[TEXT_MAX + 1], got[TEXT_MAX + 1];

    host_open(t, 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        console_text(sent, sizes[i], i);
        console_send(k, 0, sent, sizes[i]);
        expect_eq(t, MUST, host_read(t, 0, got, sizes[i], READ_MS), sizes[i],
                  "bytes that came out of the host end");
        expect(t, MUST, !strcmp(sent, got), "of %u bytes others came out than were sent", sizes[i]);
    }
}

/* Take what comes into buffers of `bytes`, until there is all of `want`. */
static void expect_input(struct console *k, unsigned port, const char *want, uint32_t bytes)
{
    struct check_ctx *t = k->d->t;
    size_t at = 0, all = strlen(want);

    while (at < all) {
        struct buffer *b = console_give(k, port, bytes);
        uint32_t len = console_received(k, port, b, LIMIT_REPLY_NS);
        bool same = len && len <= all - at && !memcmp(want + at, b->va, len);

        expect(t, MUST, len, "of %zu bytes that were sent to port %u, %zu came", all, port, at);
        expect(t, MUST, !len || same, "behind %zu bytes, %u others than were sent came to port %u",
               at, len, port);
        if (!same)
            stop_check(t);
        buffer_release(b);
        at += len;
    }
}

CHECK(input_arrives, .judges = DEVICE, .proves = "xen.console.data.2",
      .needs = CONSOLE | NEED_HOST_END, .title = "What is sent to the host end comes to the driver")
{
    static const uint32_t sizes[] = {1, 2, 80, 1000, 4096, TEXT_MAX};
    struct console *k = given_console(t, 0);
    char text[TEXT_MAX + 1];

    host_open(t, 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        console_text(text, sizes[i], 20 + i);
        host_write(t, 0, text);
        expect_input(k, 0, text, 300 + 700 * i);
    }
}

CHECK(input_waits_for_buffers, .judges = DEVICE, .proves = "xen.console.data.3",
      .needs = CONSOLE | NEED_HOST_END, .title = "Bytes for a driver without buffers are not lost")
{
    struct console *k = given_console(t, 0);
    char text[TEXT_MAX + 1];
    uint64_t quiet;

    host_open(t, 0);
    console_text(text, TEXT_MAX, 40);
    host_write(t, 0, text);
    quiet = given_now_ns() + LIMIT_QUIET_NS;
    while (given_now_ns() < quiet)
        given_pause();
    expect_input(k, 0, text, 123);
}

CHECK(output_waits_for_the_reader, .judges = DEVICE, .proves = "xen.console.data.4",
      .needs = CONSOLE | NEED_HOST_END, .timeout_ms = 30000,
      .title = "What nobody reads yet waits, and is not lost")
{
    enum { BUFFERS = 8, BYTES = 65536, CHUNK = 16384 };
    struct console *k = given_console(t, 0);
    struct ring *q = k->tx[0];
    struct buffer *b[BUFFERS];
    char *sent = malloc(BYTES + 1), *got = malloc(CHUNK + 1);
    unsigned used = 0;
    struct virtq_raw_used u;

    check_defer(t, free, sent);
    check_defer(t, free, got);
    if (!sent || !got)
        error_out(t, "no memory");
    host_open(t, 0);
    for (unsigned i = 0; i < BUFFERS; i++) {
        struct piece p;

        b[i] = given_buffer(k->d, BYTES, 0, FE_DMA_TO_DEVICE);
        p = piece_of(b[i], false);
        console_text(sent, BYTES, 50 + i);
        memcpy(b[i]->va, sent, BYTES);
        ring_offer(q, ring_chain(q, i, &p, 1));
    }
    ring_kick(q);
    for (unsigned i = 0; i < BUFFERS; i++) {
        console_text(sent, BYTES, 50 + i);
        for (uint32_t at = 0; at < BYTES; at += CHUNK) {
            uint32_t n = host_read(t, 0, got, CHUNK, READ_MS);

            expect_eq(t, MUST, n, CHUNK, "bytes that came out of the host end");
            expect(t, MUST, !memcmp(sent + at, got, n), "of buffer %u, byte %u on, others came out",
                   i, at);
            if (n != CHUNK || memcmp(sent + at, got, n))
                stop_check(t);
        }
    }
    while (used < BUFFERS && ring_used(q, &u, LIMIT_REPLY_NS))
        used++;
    expect_eq(t, MUST, used, BUFFERS, "transmit buffers that were used");
    for (unsigned i = 0; i < BUFFERS; i++)
        buffer_release(b[i]);
}

CHECK(output_without_a_reader_is_used, .judges = DEVICE, .proves = "xen.console.data.5",
      .needs = CONSOLE | NEED_HOST_END,
      .title = "A driver is not held up by a host end that nobody has open")
{
    struct console *k = given_console(t, 0);
    struct buffer *b = given_buffer(k->d, TEXT_MAX, 0, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(b, false);
    unsigned used = 0;

    for (unsigned i = 0; i < 64; i++) {
        struct virtq_raw_used u;

        ring_offer(k->tx[0], ring_chain(k->tx[0], 0, &p, 1));
        ring_kick(k->tx[0]);
        if (!ring_used(k->tx[0], &u, LIMIT_REPLY_NS))
            break;
        used++;
    }
    expect_eq(t, SHOULD, used, 64, "buffers that were used with nobody at the host end");
}

CHECK(ports_do_not_mix, .judges = DEVICE, .proves = "xen.console.data.6",
      .needs = PORTS | NEED_HOST_END, .title = "Bytes of one port come out of that port")
{
    struct console *k = given_ports(t, 2);
    char text[64], got[64];

    for (unsigned i = 0; i < 2; i++)
        host_open(t, i);
    for (unsigned i = 0; i < 2; i++) {
        expect(t, MUST, console_hears(k, i, told_open), "the host end of port %u is open, untold",
               i);
        console_text(text, 40, 70 + i);
        console_send(k, i, text, 40);
        expect(t, MUST, host_read(t, i, got, 40, READ_MS) == 40 && !strcmp(text, got),
               "what was sent by port %u does not come out of it", i);
        host_write(t, i, text);
        expect_input(k, i, text, 64);
    }
}

CHECK(closed_port_gets_nothing, .judges = DEVICE, .proves = "xen.console.data.7",
      .needs = PORTS | NEED_HOST_END, .title = "Bytes wait until the driver has opened the port")
{
    struct console *k = given_ports(t, 2);
    struct buffer *b;

    console_say(k, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    b = console_give(k, 1, 64);
    host_open(t, 1);
    host_write(t, 1, "for later");
    expect(t, SHOULD, console_received(k, 1, b, LIMIT_QUIET_NS) == 0,
           "bytes came to a port that the driver has closed");
    console_say(k, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    expect(t, MUST,
           console_received(k, 1, b, LIMIT_REPLY_NS) == 9 && !memcmp(b->va, "for later", 9),
           "bytes that waited for the driver did not come when it opened the port");
    buffer_release(b);
}

/* ---- the driver library ---- */

struct library_run {
    struct fe_console *console;
    struct check_ctx *t;
};

static void library_end(void *arg)
{
    struct library_run *r = arg;
    int rc = fe_console_destroy(r->console);

    if (rc)
        expect(r->t, MUST, rc == 0, "stopping the driver: %s", strerror(-rc));
    free(r);
}

static bool library_hears(struct library_run *r, unsigned port,
                          bool (*told)(const struct fe_console_port *p))
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;

    while (!told(fe_console_port(r->console, port)) && given_now_ns() < deadline) {
        int rc = fe_console_poll(r->console, MS(100));

        if (rc < 0)
            must(r->t, rc, "taking in control messages");
    }
    return told(fe_console_port(r->console, port));
}

static bool is_console(const struct fe_console_port *p)
{
    return p->exists && p->console && p->open;
}
static bool host_is_open(const struct fe_console_port *p)
{
    return p->exists && p->host_open;
}

CHECK(driver_library_talks, .judges = DEVICE, .proves = "xen.console.data.1 xen.console.data.2",
      .needs = PORTS | NEED_HOST_END | NEED_IRQ, .timeout_ms = 30000,
      .title = "An ordinary driver with interrupts opens its ports and moves text")
{
    const struct subject *s = check_subject(t);
    struct device *d = given_device(t);
    struct library_run *r = calloc(1, sizeof(*r));
    struct fe_console_config cfg = {.interrupts = true, .features_need = given_ring_features(s)};
    char sent[TEXT_MAX + 1], got[TEXT_MAX + 1];
    int rc;

    if (!r)
        error_out(t, "no memory");
    r->t = t;
    check_defer(t, library_end, r);
    cfg.memory = &d->mem;
    must(t, fe_console_create(d->v, &cfg, &r->console), "starting the device");
    expect(t, MUST, library_hears(r, 0, is_console), "port 0 is not said to be a console");
    host_open(t, 0);
    expect(t, MUST, library_hears(r, 0, host_is_open), "the host end of port 0 is open, untold");
    for (unsigned i = 0; i < 4; i++) {
        size_t at = 0;

        console_text(sent, TEXT_MAX, 90 + i);
        rc = fe_console_write(r->console, 0, sent, TEXT_MAX, LIMIT_REPLY_NS);
        expect(t, MUST, rc == 0, "writing %u bytes: %s", TEXT_MAX, strerror(-rc));
        expect(t, MUST, host_read(t, 0, got, TEXT_MAX, READ_MS) == TEXT_MAX && !strcmp(sent, got),
               "other text came out than was written");
        host_write(t, 0, sent);
        while (at < TEXT_MAX) {
            rc = fe_console_read(r->console, 0, got + at, TEXT_MAX - at, LIMIT_REPLY_NS);
            if (rc <= 0)
                break;
            at += (size_t)rc;
        }
        expect(t, MUST, at == TEXT_MAX && !memcmp(sent, got, TEXT_MAX),
               "other text came in than was sent, or less: %zu of %u bytes", at, TEXT_MAX);
    }
}
