/* SPDX-License-Identifier: MIT */
#include "device/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/console_manage.h"
#include "device/vdev_impl.h"
#include "spec/virtio.h"
#include "spec/virtio_console.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define CONSOLE_CLASS_CODE 0x078000 /* communication, other */
#define IOV_AT_ONCE        64u
/* Buffers of one port before the others have their turn. */
#define PORT_BUDGET   64u
#define MESSAGE_BYTES (sizeof(struct virtio_console_control) + CONSOLE_NAME_BYTES_MAX)

/* What the driver was told of a port, and what it said. */
struct port_told {
    uint32_t incarnation; /* 0: no port is there */
    bool console, name, open, size;
    bool ready;      /* PORT_READY with 1 */
    bool guest_open; /* PORT_OPEN with 1 */
};

struct console_port {
    struct console *c;
    unsigned id;
    struct console_end end;
    bool configured; /* it has a host end */
    bool console;
    char name[CONSOLE_NAME_BYTES_MAX + 1];

    /* How it is, for the driver to be told: it exists, and since when. */
    bool exists;
    uint32_t incarnation; /* counts additions */

    struct port_told told;

    /* Taken from the driver and not done yet. */
    struct vdev_request *in;  /* its host end had nothing after all */
    struct vdev_request *out; /* the host end takes no more */
    uint64_t out_done_bytes;
};

struct console {
    struct vdev vdev; /* first: the core hands us this */
    struct console_port ports[CONSOLE_PORTS_MAX];
    unsigned ports_max;
    uint16_t cols, rows;
    uint64_t features;
    struct console_manage manage;
    bool device_ready; /* DEVICE_READY with 1 */
    struct console_stats stats;
};

static struct console *to_console(struct vdev *d)
{
    return (struct console *)(void *)d;
}

/* ---- features and configuration ---- */

static const struct vdev_feature feature_names[] = {
    {"size", VIRTIO_CONSOLE_F_SIZE},
    {"multiport", VIRTIO_CONSOLE_F_MULTIPORT},
    {"emerg-write", VIRTIO_CONSOLE_F_EMERG_WRITE},
    {NULL, 0},
};

static uint64_t console_features(struct vdev *d)
{
    return to_console(d)->features;
}

static unsigned console_num_queues(struct vdev *d)
{
    const struct console *c = to_console(d);

    /* Other queues than port 0's exist with MULTIPORT only (5.3.2). */
    return c->features & VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT) ? 2 * (c->ports_max + 1) : 2;
}

static unsigned console_queue_size_max(struct vdev *d, unsigned queue)
{
    return 0; /* no limit but the program's */
}

static void console_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value)
{
    const struct console *c = to_console(d);
    struct virtio_console_config config = {.emerg_wr = le32_make(0)};

    if (c->features & VIRTIO_F(VIRTIO_CONSOLE_F_SIZE)) {
        config.cols = le16_make(c->cols);
        config.rows = le16_make(c->rows);
    }
    if (MUTANT(console_size_swapped)) {
        config.cols = le16_make(c->rows);
        config.rows = le16_make(c->cols);
    }
    if (c->features & VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT))
        config.max_nr_ports = le32_make(MUTANT(console_ports_max_zero) ? 0 : c->ports_max);
    memcpy(value, (const char *)&config + offset, bytes);
}

/* Nothing may come before the character, and a full host end is no reason to wait for it. */
static void emergency_write(struct console *c, uint8_t character)
{
    struct console_end *e = &c->ports[0].end;
    const struct iovec iov = {&character, 1};

    if (console_end_look(e) && console_end_write(e, &iov, 1) == 1)
        return;
    log_info("%s: emergency write of character 0x%02x, and nobody is there", c->vdev.label,
             character);
}

static void console_config_write(struct vdev *d, unsigned offset, unsigned bytes, const void *value)
{
    struct console *c = to_console(d);
    unsigned at = offsetof(struct virtio_console_config, emerg_wr);

    /* The one field that a driver may write, whatever the state of the device (5.3.5.1). */
    if (offset > at || offset + bytes <= at ||
        !(c->features & VIRTIO_F(VIRTIO_CONSOLE_F_EMERG_WRITE))) {
        log_debug_limited("%s: write to read-only configuration at %u ignored", d->label, offset);
        return;
    }
    if (MUTANT(console_emergency_only_running) && !(d->status & VIRTIO_STATUS_DRIVER_OK))
        vdev_fault(d, "emergency", "the device is not running");
    if (MUTANT(console_emergency_dropped))
        return;
    emergency_write(c, ((const uint8_t *)value)[at - offset]);
}

/* ---- queues and ports ---- */

static struct console_port *port_of_queue(struct console *c, unsigned queue)
{
    if (MUTANT(console_ports_mixed))
        return &c->ports[0];
    return &c->ports[queue < VIRTIO_CONSOLE_CONTROL_RX ? 0 : queue / 2 - 1];
}

static bool has_multiport(const struct console *c)
{
    return vdev_has(&c->vdev, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* May bytes go to the driver? */
static bool port_is_listened_to(const struct console_port *p)
{
    if (!has_multiport(p->c))
        return p->id == 0;
    return p->exists && (p->told.guest_open || MUTANT(console_sends_to_closed_port));
}

static void control_send(struct console *c);

/* A call to the host end may have found that nobody is there any more: the driver is to know. */
static void port_look_who_is_there(struct console_port *p)
{
    if (p->end.open != p->told.open)
        control_send(p->c);
}

/* ---- bytes for the driver ---- */

/* One buffer of the driver. False when there is nothing to do it with, or nothing to do. */
static bool port_receive_one(struct console_port *p)
{
    struct console *c = p->c;
    struct vdev_request *r = p->in;
    size_t n;

    if (!r && vdev_queue_take(&c->vdev, VIRTIO_CONSOLE_PORT_RX(p->id), &r) != 1) {
        char lost[64] = "";
        const struct iovec iov = {lost, sizeof(lost)};

        return MUTANT(console_input_lost) && console_end_read(&p->end, &iov, 1);
    }
    p->in = NULL;
    if (r->in_bytes == 0) {
        if (MUTANT(console_room_asserted))
            abort();
        vdev_fault(&c->vdev, "console-no-room", "port %u: a receive buffer that cannot be written",
                   p->id);
        vdev_request_done(r, 0);
        return false;
    }
    n = console_end_read(&p->end, r->in, (unsigned)min_u64(r->in_count, IOV_AT_ONCE));
    if (n == 0) {
        p->in = r;
        port_look_who_is_there(p);
        return false;
    }
    c->stats.to_driver_bytes += n;
    if (MUTANT(console_input_changed))
        vdev_iov_fill(r->in, r->in_count, n - 1, '#', 1);
    if (MUTANT(console_input_length_whole))
        n = r->in_bytes;
    vdev_request_done(r, (uint32_t)n);
    return true;
}

static void port_receive(struct console_port *p)
{
    for (unsigned turn = 0; p->end.can_read && port_is_listened_to(p); turn++) {
        if (turn == PORT_BUDGET) {
            vdev_queue_again(&p->c->vdev, VIRTIO_CONSOLE_PORT_RX(p->id));
            break;
        }
        if (!port_receive_one(p))
            break;
    }
}

/* ---- bytes of the driver ---- */

/* Give what is left of p->out to the host end. False: it takes no more now. */
static bool port_transmit_rest(struct console_port *p)
{
    struct console *c = p->c;
    struct vdev_request *r = p->out;
    bool nobody = !p->exists || (p->id && !has_multiport(c));
    struct iovec iov[IOV_AT_ONCE];

    while (p->out_done_bytes < r->out_bytes) {
        uint64_t left = r->out_bytes - p->out_done_bytes, got;
        unsigned count;
        size_t n;

        if (MUTANT(console_waits_for_a_reader) && !p->end.open)
            return false;
        if (nobody || !console_end_look(&p->end)) {
            c->stats.dropped_bytes += left;
            break;
        }
        if (!p->end.can_write)
            return false;
        count =
            vdev_iov_slice(r->out, r->out_count, p->out_done_bytes, left, iov, IOV_AT_ONCE, &got);
        if (MUTANT(console_last_byte_of_page_lost) && iov[count - 1].iov_len > 1 &&
            ((uintptr_t)iov[count - 1].iov_base + iov[count - 1].iov_len) % XEN_PAGE_BYTES == 0) {
            iov[count - 1].iov_len--;
            p->out_done_bytes++;
        }
        n = console_end_write(&p->end, iov, count);
        if (MUTANT(console_output_rest_lost) && n && n < got)
            n = got;
        p->out_done_bytes += n;
        c->stats.from_driver_bytes += n;
        if (n == 0)
            port_look_who_is_there(p);
    }
    p->out = NULL;
    p->out_done_bytes = 0;
    if (MUTANT(console_transmit_buffer_written))
        vdev_iov_fill(r->in, r->in_count, 0, 0, r->in_bytes);
    vdev_request_done(r, 0);
    return true;
}

/* True: it stopped before the end, and wants to go on. */
static bool port_transmit(struct console_port *p)
{
    struct console *c = p->c;

    for (unsigned turn = 0; turn < PORT_BUDGET; turn++) {
        if (!p->out && vdev_queue_take(&c->vdev, VIRTIO_CONSOLE_PORT_TX(p->id), &p->out) != 1)
            return false;
        if (MUTANT(console_output_dropped) && p->end.open)
            p->out_done_bytes = p->out->out_bytes;
        if (!port_transmit_rest(p))
            return false;
    }
    return true;
}

/* ---- control messages to the driver ---- */

struct message {
    uint8_t bytes[MESSAGE_BYTES];
    size_t size;
};

static void message_make(struct message *m, unsigned port, unsigned event, unsigned value,
                         const void *more, size_t more_bytes)
{
    const struct virtio_console_control head = {
        .id = le32_make(port),
        .event = le16_make((uint16_t)event),
        .value = le16_make((uint16_t)value),
    };

    memcpy(m->bytes, &head, sizeof(head));
    if (more_bytes)
        memcpy(m->bytes + sizeof(head), more, more_bytes);
    m->size = sizeof(head) + more_bytes;
}

/*
 * The next message about a port, in the order of console.h; p->told is then what the driver knows
 * once it has it. False: it knows everything.
 */
static bool port_next_message(struct console_port *p, struct message *m)
{
    const struct console *c = p->c;
    const struct virtio_console_resize size = {le16_make(c->cols), le16_make(c->rows)};
    struct port_told *told = &p->told;

    if (told->incarnation && (!p->exists || told->incarnation != p->incarnation)) {
        message_make(m, p->id, VIRTIO_CONSOLE_DEVICE_REMOVE, 0, NULL, 0);
        *told = (struct port_told){0};
        if (!MUTANT(console_removal_untold))
            return true;
    }
    if (MUTANT(console_absent_port_removed) && !p->configured && !told->size) {
        message_make(m, p->id, VIRTIO_CONSOLE_DEVICE_REMOVE, 0, NULL, 0);
        told->size = true;
        return true;
    }
    if (p->exists && !told->incarnation) {
        message_make(m, MUTANT(console_port_beyond_max) ? c->ports_max : p->id,
                     VIRTIO_CONSOLE_DEVICE_ADD, 0, NULL, 0);
        told->incarnation = p->incarnation;
        return true;
    }
    if (!p->exists || !told->ready)
        return false;
    if (p->console && !told->console) {
        message_make(m, p->id, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL, 0);
        told->console = true;
        if (!MUTANT(console_port_not_nominated))
            return true;
    }
    if (*p->name && !told->name) {
        message_make(m, p->id, VIRTIO_CONSOLE_PORT_NAME, 1, p->name,
                     strlen(p->name) + (MUTANT(console_name_terminated) ? 1 : 0));
        told->name = true;
        return true;
    }
    if (p->end.open != told->open) {
        message_make(m, p->id, VIRTIO_CONSOLE_PORT_OPEN, p->end.open, NULL, 0);
        told->open = p->end.open;
        if (!MUTANT(console_host_open_untold))
            return true;
    }
    if (p->console && !told->size && c->cols && c->rows) {
        message_make(m, p->id, VIRTIO_CONSOLE_RESIZE, 0, &size, sizeof(size));
        told->size = true;
        return true;
    }
    return false;
}

/* A buffer that a message of this size fits. Smaller ones go back empty: a message is given whole
 * or not at all, and the next buffer may do. */
static struct vdev_request *control_buffer(struct console *c, size_t bytes)
{
    struct vdev_request *r;

    while (vdev_queue_take(&c->vdev, VIRTIO_CONSOLE_CONTROL_RX, &r) == 1) {
        if (r->in_bytes >= bytes || MUTANT(console_message_cut))
            return r;
        if (MUTANT(console_control_room_asserted))
            abort();
        log_warn_limited("%s: a control buffer of %llu bytes, a message of %zu", c->vdev.label,
                         (unsigned long long)r->in_bytes, bytes);
        vdev_request_done(r, 0);
    }
    return NULL;
}

static void control_send(struct console *c)
{
    if (!has_multiport(c) || (!c->device_ready && !MUTANT(console_adds_before_ready)))
        return;
    vdev_batch_begin(&c->vdev);
    for (unsigned i = 0; i < c->ports_max;) {
        struct console_port *p = &c->ports[i];
        struct port_told before = p->told;
        struct vdev_request *r;
        struct message m;

        if (!port_next_message(p, &m)) {
            i++;
            continue;
        }
        r = control_buffer(c, m.size);
        if (!r) {
            /* Not told after all; again when the driver gives a buffer. */
            if (!MUTANT(console_message_lost))
                p->told = before;
            break;
        }
        m.size = vdev_iov_write(r->in, r->in_count, 0, m.bytes, m.size);
        vdev_request_done(r, (uint32_t)m.size);
        c->stats.control_sent++;
    }
    vdev_batch_end(&c->vdev);
}

/* ---- control messages of the driver ---- */

/* The port that a message is about; NULL: it knows of none such. */
static struct console_port *port_told_of(struct console *c, uint32_t id)
{
    if (id >= c->ports_max || !c->ports[id].told.incarnation)
        return NULL;
    return &c->ports[id];
}

static bool control_take(struct console *c, const struct virtio_console_control *m)
{
    struct console_port *p = port_told_of(c, le32_get(m->id));
    bool value = le16_get(m->value) != 0;

    if (MUTANT(console_port_id_unchecked))
        p = &c->ports[le32_get(m->id)];
    switch (le16_get(m->event)) {
    case VIRTIO_CONSOLE_DEVICE_READY:
        if (MUTANT(console_adds_again) && value)
            for (unsigned i = 0; i < c->ports_max; i++)
                c->ports[i].told = (struct port_told){0};
        c->device_ready = value;
        return true;
    case VIRTIO_CONSOLE_PORT_READY:
        if (!p)
            return false;
        /* A driver that failed begins anew, if it does. */
        if (!value)
            p->told = (struct port_told){.incarnation = p->told.incarnation};
        p->told.ready = value;
        return true;
    case VIRTIO_CONSOLE_PORT_OPEN:
        if (!p)
            return false;
        p->told.guest_open = value;
        /* Its host end may have something to say since long. */
        if (value)
            vdev_queue_again(&c->vdev, VIRTIO_CONSOLE_PORT_RX(p->id));
        return true;
    default:
        return false;
    }
}

static void console_request_new(struct vdev *d, struct vdev_request *r)
{
    struct console *c = to_console(d);
    struct virtio_console_control m;
    bool known = false;

    /* Of all queues only the driver's control messages come here: the others are pulled. */
    if (vdev_iov_read(r->out, r->out_count, 0, &m, sizeof(m)) == sizeof(m) && has_multiport(c))
        known = control_take(c, &m);
    else if (MUTANT(console_control_size_asserted))
        abort();
    if (!known) {
        c->stats.control_refused++;
        log_debug_limited("%s: a control message of %llu bytes that means nothing here", d->label,
                          (unsigned long long)r->out_bytes);
    }
    vdev_request_done(r, 0);
}

static void console_kick_end(struct vdev *d, unsigned queue)
{
    control_send(to_console(d));
}

/* ---- events ---- */

static bool console_queue_pulled(struct vdev *d, unsigned queue)
{
    return queue != VIRTIO_CONSOLE_CONTROL_TX;
}

static bool console_queue_ready(struct vdev *d, unsigned queue)
{
    struct console *c = to_console(d);

    if (queue == VIRTIO_CONSOLE_CONTROL_RX) {
        control_send(c);
        return false;
    }
    if (queue % 2)
        return port_transmit(port_of_queue(c, queue));
    port_receive(port_of_queue(c, queue));
    return false;
}

static void end_changed(struct console_end *e)
{
    struct console_port *p = container_of(e, struct console_port, end);
    struct vdev *d = &p->c->vdev;

    vdev_batch_begin(d);
    port_receive(p);
    if (p->out && port_transmit_rest(p))
        vdev_queue_again(d, VIRTIO_CONSOLE_PORT_TX(p->id));
    control_send(p->c);
    vdev_batch_end(d);
}

/* Give back what is held of a port's queues, undone. */
static void port_drop(struct console_port *p, bool in, bool out)
{
    struct vdev_request *r = p->in;

    if (in && r) {
        p->in = NULL;
        vdev_request_done(r, 0);
    }
    r = p->out;
    if (out && r) {
        p->out = NULL;
        p->out_done_bytes = 0;
        vdev_request_done(r, 0);
    }
}

static void console_reset(struct vdev *d)
{
    struct console *c = to_console(d);

    for (unsigned i = 0; i < c->ports_max; i++) {
        port_drop(&c->ports[i], true, true);
        if (!MUTANT(console_reset_keeps_told))
            c->ports[i].told = (struct port_told){0};
    }
    c->device_ready = false;
}

static void console_queue_reset(struct vdev *d, unsigned queue)
{
    if (queue != VIRTIO_CONSOLE_CONTROL_RX && queue != VIRTIO_CONSOLE_CONTROL_TX)
        port_drop(port_of_queue(to_console(d), queue), queue % 2 == 0, queue % 2 != 0);
}

static void console_destroy(struct vdev *d)
{
    struct console *c = to_console(d);

    console_manage_fini(&c->manage);
    for (unsigned i = 0; i < c->ports_max; i++)
        console_end_fini(&c->ports[i].end);
    vdev_fini(d);
    free(c);
}

const struct vdev_type console_type = {
    .name = "console",
    .device_id = VIRTIO_ID_CONSOLE,
    .class_code = CONSOLE_CLASS_CODE,
    .config_bytes = sizeof(struct virtio_console_config),
    .feature_names = feature_names,
    .features = console_features,
    .num_queues = console_num_queues,
    .queue_size_max = console_queue_size_max,
    .config_read = console_config_read,
    .config_write = console_config_write,
    .reset = console_reset,
    .queue_reset = console_queue_reset,
    .request = console_request_new,
    .kick_end = console_kick_end,
    .queue_pulled = console_queue_pulled,
    .queue_ready = console_queue_ready,
    .destroy = console_destroy,
};

/* ---- creation ---- */

static int options_check(const struct console_options *o, char *error, size_t error_bytes)
{
    const char *what = NULL;

    if (o->ports_max < 1 || o->ports_max > CONSOLE_PORTS_MAX)
        what = "the number of ports is out of range";
    else if (o->ports_max > 1 && !o->multiport)
        what = "several ports need multiport";
    else if (o->ports[0].kind == CONSOLE_END_NONE && !o->multiport)
        what = "without multiport there has to be a port 0";
    for (unsigned i = 0; !what && i < o->ports_max; i++) {
        const struct console_port_options *p = &o->ports[i];

        if (p->name && (!*p->name || strlen(p->name) > CONSOLE_NAME_BYTES_MAX))
            what = "the name of a port is empty or longer than 63 bytes";
        else if ((p->kind == CONSOLE_END_FILE || p->kind == CONSOLE_END_UNIX) && !p->path)
            what = "a port lacks its path";
    }
    if (!what)
        return 0;
    snprintf(error, error_bytes, "%s", what);
    return -EINVAL;
}

static uint64_t offered_features(const struct console_options *o)
{
    uint64_t f = VIRTIO_F(VIRTIO_CONSOLE_F_EMERG_WRITE);

    if (o->multiport)
        f |= VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT);
    if (o->cols && o->rows)
        f |= VIRTIO_F(VIRTIO_CONSOLE_F_SIZE);
    return f & ~o->features_off;
}

int console_create(const struct vdev_config *config, const struct console_options *options,
                   struct vdev **out, char *error, size_t error_bytes)
{
    /* A chain as long as the queue is legal (2.7.5.3.1). */
    const struct vdev_init_params params = {
        .chain_max = (unsigned)min_u64(config->queue_size_max, VDEV_CHAIN_MAX),
    };
    struct console *c;
    int rc = options_check(options, error, error_bytes);

    if (rc)
        return rc;
    c = calloc(1, sizeof(*c));
    if (!c) {
        snprintf(error, error_bytes, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    c->features = offered_features(options);
    /* With the feature taken away there is one port, whatever else was configured. */
    c->ports_max = c->features & VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT) ? options->ports_max : 1;
    c->cols = options->cols;
    c->rows = options->rows;
    rc = vdev_init(&c->vdev, &console_type, config, &params);
    if (rc) {
        snprintf(error, error_bytes, "device: %s", strerror(-rc));
        free(c);
        return rc;
    }
    for (unsigned i = 0; !rc && i < c->ports_max; i++) {
        const struct console_port_options *o = &options->ports[i];
        struct console_port *p = &c->ports[i];

        p->c = c;
        p->id = i;
        p->console = o->console;
        p->configured = p->exists = o->kind != CONSOLE_END_NONE;
        p->incarnation = 1;
        if (o->name)
            strcpy(p->name, o->name);
        rc = console_end_init(&p->end, config->loop, o, end_changed, error, error_bytes);
    }
    if (!rc && options->manage)
        rc = console_manage_init(&c->manage, &c->vdev, options->manage, error, error_bytes);
    if (rc)
        console_destroy(&c->vdev);
    else
        *out = &c->vdev;
    return rc;
}

/* ---- at run time ---- */

void console_resize(struct vdev *d, uint16_t cols, uint16_t rows)
{
    struct console *c = to_console(d);

    c->cols = cols;
    c->rows = rows;
    for (unsigned i = 0; i < c->ports_max; i++)
        if (!MUTANT(console_resize_untold))
            c->ports[i].told.size = false;
    if ((c->features & VIRTIO_F(VIRTIO_CONSOLE_F_SIZE)) && !MUTANT(console_size_unannounced))
        vdev_config_changed(d);
    control_send(c);
}

int console_port_remove(struct vdev *d, unsigned port)
{
    struct console *c = to_console(d);
    struct console_port *p = &c->ports[port];

    if (port >= c->ports_max || !p->configured)
        return -ENOENT;
    if (!p->exists)
        return -EALREADY;
    p->exists = false;
    console_end_disconnect(&p->end);
    vdev_batch_begin(d);
    /* Empty buffers stay; output has nowhere to go. */
    port_drop(p, false, true);
    vdev_queue_again(d, VIRTIO_CONSOLE_PORT_TX(port));
    control_send(c);
    vdev_batch_end(d);
    return 0;
}

int console_port_add(struct vdev *d, unsigned port)
{
    struct console *c = to_console(d);
    struct console_port *p = &c->ports[port];

    if (port >= c->ports_max || !p->configured)
        return -ENOENT;
    if (p->exists)
        return -EALREADY;
    p->exists = true;
    p->incarnation++;
    control_send(c);
    return 0;
}

const char *console_port_terminal(const struct vdev *d, unsigned port)
{
    const struct console *c = (const struct console *)(const void *)d;

    return port < c->ports_max && *c->ports[port].end.terminal ? c->ports[port].end.terminal : NULL;
}

void console_get_stats(const struct vdev *d, struct console_stats *stats)
{
    *stats = ((const struct console *)(const void *)d)->stats;
}
