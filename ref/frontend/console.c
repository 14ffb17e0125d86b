/* SPDX-License-Identifier: MIT */
#include "frontend/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/queue.h"
#include "spec/virtio.h"
#include "spec/virtio_console.h"

#define TIMEOUT_DEFAULT_NS 10000000000ull
#define QUEUE_SIZE         16u

/* Of a receiving queue: so many buffers of one size in the queue's own memory. */
#define IN_BUFFERS       8u
#define IN_BYTES         512u
#define IN_CONTROL_BYTES 128u

/* A queue with the memory of its buffers. */
struct channel {
    struct fe_queue q;
    struct fe_dma mem;
    uint32_t buffer_bytes; /* receiving: of each of IN_BUFFERS */
    /* Receiving: the buffer that was used and is not read to its end. */
    unsigned at;
    uint32_t left_bytes, done_bytes;
};

struct port {
    struct fe_console_port info;
    struct channel in, out;
};

struct fe_console {
    struct fe_virtio *v;   /* borrowed */
    struct fe_memory *mem; /* borrowed */
    struct fe_console_config cfg;
    uint64_t timeout_ns;
    bool multiport, failed;
    struct channel control_in, control_out;
    unsigned ports;
    struct port port[FE_CONSOLE_PORTS_MAX];
};

static uint64_t console_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int console_failed(struct fe_console *c, int rc)
{
    if (rc == -EPROTO)
        c->failed = true;
    return rc;
}

/* ---- channels ---- */

static int channel_give(struct channel *ch, unsigned buffer)
{
    const struct virtq_sg sg = {fe_dma_addr(&ch->mem, (size_t)buffer * ch->buffer_bytes),
                                ch->buffer_bytes};

    /* The cookie is the buffer's place: not NULL, and no pointer to the device's words. */
    return virtq_drv_add(&ch->q.drv, NULL, 0, &sg, 1, NULL,
                         ch->mem.va + (size_t)buffer * ch->buffer_bytes, NULL);
}

static int channel_init(struct fe_console *c, struct channel *ch, unsigned index,
                        uint32_t buffer_bytes, size_t bytes)
{
    const struct fe_queue_config queue = {
        .index = index,
        .size = QUEUE_SIZE,
        .vcpu = c->cfg.vcpu,
        /* What is sent is used at once, but for a host end that takes no more. */
        .interrupt = c->cfg.interrupts && buffer_bytes,
    };
    int rc = fe_queue_init(&ch->q, c->v, c->mem, &queue);

    if (!rc)
        rc = fe_dma_alloc(c->mem, bytes, &ch->mem);
    ch->buffer_bytes = buffer_bytes;
    for (unsigned i = 0; !rc && buffer_bytes && i < IN_BUFFERS; i++) {
        rc = channel_give(ch, i);
        /* A small queue has fewer. */
        if (rc == -ENOSPC && i)
            return 0;
    }
    return rc;
}

static int channel_fini(struct fe_console *c, struct channel *ch)
{
    void *cookie;
    uint16_t id;
    int rc, err;

    while (ch->q.virtio && virtq_drv_detach(&ch->q.drv, &cookie, &id))
        ;
    rc = fe_queue_fini(&ch->q);
    err = fe_dma_free(c->mem, &ch->mem);
    return err ? err : rc;
}

/* Is there a used buffer to read from? 1, 0 after timeout_ns, or an error. */
static int channel_filled(struct channel *ch, uint64_t timeout_ns)
{
    struct virtq_done done;
    int rc;

    if (ch->left_bytes)
        return 1;
    rc = fe_queue_wait(&ch->q, timeout_ns);
    if (rc <= 0)
        return rc;
    rc = virtq_drv_reap(&ch->q.drv, &done);
    if (rc == 0)
        return 0;
    if (rc < 0 || done.fault != VIRTQ_OK || done.len_bytes > ch->buffer_bytes)
        return -EPROTO;
    ch->at = (unsigned)((size_t)((uint8_t *)done.cookie - ch->mem.va) / ch->buffer_bytes);
    ch->left_bytes = done.len_bytes;
    ch->done_bytes = 0;
    return 1;
}

/* The buffer was read: the device may have it again. */
static int channel_next(struct channel *ch)
{
    int rc = channel_give(ch, ch->at);

    ch->left_bytes = 0;
    return rc ? rc : fe_queue_kick(&ch->q);
}

/* Send what is at the beginning of the channel's memory. Only one chain is out at a time. */
static int channel_drain(struct channel *ch, uint64_t timeout_ns)
{
    struct virtq_done done;
    int rc;

    if (!virtq_drv_outstanding(&ch->q.drv))
        return 0;
    rc = fe_queue_wait(&ch->q, timeout_ns);
    if (rc <= 0)
        return rc ? rc : -ETIME;
    rc = virtq_drv_reap(&ch->q.drv, &done);
    return rc == 1 && done.fault == VIRTQ_OK ? 0 : -EPROTO;
}

static int channel_send(struct channel *ch, uint32_t bytes)
{
    const struct virtq_sg sg = {ch->mem.addr, bytes};
    int rc = virtq_drv_add(&ch->q.drv, &sg, 1, NULL, 0, NULL, ch, NULL);

    return rc ? rc : fe_queue_kick(&ch->q);
}

/* ---- control messages ---- */

static int control_say(struct fe_console *c, uint32_t port, uint16_t event, uint16_t value)
{
    const struct virtio_console_control m = {le32_make(port), le16_make(event), le16_make(value)};
    int rc = channel_drain(&c->control_out, c->timeout_ns);

    if (rc)
        return rc;
    memcpy(c->control_out.mem.va, &m, sizeof(m));
    return channel_send(&c->control_out, sizeof(m));
}

static int port_named_console(struct fe_console *c, unsigned id)
{
    c->port[id].info.console = true;
    c->port[id].info.open = true;
    return control_say(c, id, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

/* One message of `bytes` bytes in memory that the device can still write to: `m` is a copy. */
static int control_hear(struct fe_console *c, const struct virtio_console_control *m,
                        const uint8_t *more, uint32_t more_bytes)
{
    struct virtio_console_resize size;
    struct fe_console_port *p;
    uint32_t id = le32_get(m->id);

    if (id >= c->ports)
        return -EPROTO;
    p = &c->port[id].info;
    if (p->exists == (le16_get(m->event) == VIRTIO_CONSOLE_DEVICE_ADD))
        return -EPROTO;
    switch (le16_get(m->event)) {
    case VIRTIO_CONSOLE_DEVICE_ADD:
        p->exists = true;
        return control_say(c, id, VIRTIO_CONSOLE_PORT_READY, 1);
    case VIRTIO_CONSOLE_DEVICE_REMOVE:
        *p = (struct fe_console_port){0};
        return 0;
    case VIRTIO_CONSOLE_CONSOLE_PORT:
        return port_named_console(c, id);
    case VIRTIO_CONSOLE_PORT_OPEN:
        p->host_open = le16_get(m->value) != 0;
        return 0;
    case VIRTIO_CONSOLE_PORT_NAME:
        if (more_bytes > FE_CONSOLE_NAME_BYTES_MAX)
            more_bytes = FE_CONSOLE_NAME_BYTES_MAX;
        memcpy(p->name, more, more_bytes);
        p->name[more_bytes] = '\0';
        return 0;
    case VIRTIO_CONSOLE_RESIZE:
        if (more_bytes < sizeof(size))
            return -EPROTO;
        memcpy(&size, more, sizeof(size));
        p->cols = le16_get(size.cols);
        p->rows = le16_get(size.rows);
        return 0;
    default:
        /* A message of a later version of VIRTIO. */
        return 0;
    }
}

static int control_take(struct fe_console *c)
{
    struct channel *ch = &c->control_in;
    const uint8_t *at = ch->mem.va + (size_t)ch->at * ch->buffer_bytes;
    uint8_t copy[IN_CONTROL_BYTES];
    struct virtio_console_control m;
    uint32_t bytes = ch->left_bytes;
    int rc = -EPROTO;

    if (bytes >= sizeof(m)) {
        memcpy(copy, at, bytes);
        memcpy(&m, copy, sizeof(m));
        rc = control_hear(c, &m, copy + sizeof(m), bytes - (uint32_t)sizeof(m));
    }
    return rc ? rc : channel_next(ch);
}

int fe_console_poll(struct fe_console *c, uint64_t timeout_ns)
{
    int heard = 0;

    if (!c->multiport)
        return 0;
    for (;;) {
        int rc = c->failed ? -EPROTO : channel_filled(&c->control_in, heard ? 0 : timeout_ns);

        if (rc == 1)
            rc = control_take(c);
        else if (rc == 0)
            return heard;
        if (rc)
            return console_failed(c, rc);
        heard++;
    }
}

/* ---- start and stop ---- */

static int console_config(struct fe_console *c)
{
    uint16_t size[2] = {0};
    uint32_t max = 1;
    int rc = 0;

    if (c->multiport)
        rc = fe_virtio_config_get(c->v, offsetof(struct virtio_console_config, max_nr_ports),
                                  sizeof(max), &max);
    if (!rc && (c->v->features & VIRTIO_F(VIRTIO_CONSOLE_F_SIZE)))
        rc = fe_virtio_config_get(c->v, offsetof(struct virtio_console_config, cols), sizeof(size),
                                  size);
    if (rc)
        return rc;
    if (max == 0)
        return -EPROTO;
    c->ports = max < FE_CONSOLE_PORTS_MAX ? max : FE_CONSOLE_PORTS_MAX;
    if (!c->multiport)
        c->port[0].info = (struct fe_console_port){
            .exists = true, .console = true, .open = true, .host_open = true};
    c->port[0].info.cols = size[0];
    c->port[0].info.rows = size[1];
    return 0;
}

static int console_start(struct fe_console *c)
{
    int rc = console_config(c);

    for (unsigned i = 0; !rc && i < c->ports; i++) {
        struct port *p = &c->port[i];

        rc = channel_init(c, &p->in, VIRTIO_CONSOLE_PORT_RX(i), IN_BYTES, IN_BUFFERS * IN_BYTES);
        if (!rc)
            rc = channel_init(c, &p->out, VIRTIO_CONSOLE_PORT_TX(i), 0, XEN_PAGE_BYTES);
    }
    if (!rc && c->multiport)
        rc = channel_init(c, &c->control_in, VIRTIO_CONSOLE_CONTROL_RX, IN_CONTROL_BYTES,
                          IN_BUFFERS * IN_CONTROL_BYTES);
    if (!rc && c->multiport)
        rc = channel_init(c, &c->control_out, VIRTIO_CONSOLE_CONTROL_TX, 0, XEN_PAGE_BYTES);
    if (!rc)
        rc = fe_virtio_driver_ok(c->v);
    for (unsigned i = 0; !rc && i < c->ports; i++)
        rc = fe_queue_kick(&c->port[i].in.q);
    if (!rc && c->multiport)
        rc = fe_queue_kick(&c->control_in.q);
    if (!rc && c->multiport)
        rc = control_say(c, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    return rc;
}

int fe_console_create(struct fe_virtio *v, const struct fe_console_config *cfg,
                      struct fe_console **out)
{
    const uint64_t want = VIRTIO_F(VIRTIO_CONSOLE_F_SIZE) | VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT) |
                          VIRTIO_F(VIRTIO_F_EVENT_IDX) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    uint64_t need = VIRTIO_F(VIRTIO_F_VERSION_1) | cfg->features_need;
    struct fe_console *c;
    int rc;

    *out = NULL;
    if (v->device_id != VIRTIO_ID_CONSOLE)
        return -ENODEV;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->v = v;
    c->mem = cfg->memory;
    c->cfg = *cfg;
    c->timeout_ns = cfg->timeout_ns ? cfg->timeout_ns : TIMEOUT_DEFAULT_NS;
    /* A grant is no physical address: the device has to know (6.1). */
    if (c->mem->addressing == FE_ADDRESSING_GRANTS)
        need |= VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    rc = fe_virtio_reset(v, c->timeout_ns);
    if (!rc)
        rc = fe_virtio_negotiate(v, need, want & ~cfg->features_off);
    c->multiport = !rc && (v->features & VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT));
    if (!rc)
        rc = console_start(c);
    if (rc)
        fe_console_destroy(c);
    else
        *out = c;
    return rc;
}

int fe_console_destroy(struct fe_console *c)
{
    int rc, err;

    if (!c)
        return 0;
    /* Only a device that was reset has let go of the rings. One that is gone holds nothing. */
    rc = fe_virtio_reset(c->v, c->timeout_ns);
    if (rc == -ENODEV || rc == -EFAULT)
        rc = 0;
    for (unsigned i = 0; i < c->ports; i++) {
        err = channel_fini(c, &c->port[i].in);
        rc = err ? err : rc;
        err = channel_fini(c, &c->port[i].out);
        rc = err ? err : rc;
    }
    err = channel_fini(c, &c->control_in);
    rc = err ? err : rc;
    err = channel_fini(c, &c->control_out);
    rc = err ? err : rc;
    free(c);
    return rc;
}

unsigned fe_console_ports(const struct fe_console *c)
{
    return c->ports;
}

const struct fe_console_port *fe_console_port(const struct fe_console *c, unsigned port)
{
    return &c->port[port].info;
}

/* ---- ports ---- */

static int port_check(const struct fe_console *c, unsigned port)
{
    if (c->failed)
        return -EPROTO;
    return port < c->ports && c->port[port].info.exists ? 0 : -ENOENT;
}

int fe_console_open(struct fe_console *c, unsigned port, bool open)
{
    int rc = c->multiport ? port_check(c, port) : -ENOTSUP;

    if (!rc)
        rc = control_say(c, port, VIRTIO_CONSOLE_PORT_OPEN, open);
    if (!rc)
        c->port[port].info.open = open;
    return console_failed(c, rc);
}

static uint64_t time_left(uint64_t deadline)
{
    uint64_t now = console_now_ns();

    return now < deadline ? deadline - now : 0;
}

int fe_console_write(struct fe_console *c, unsigned port, const void *from, size_t bytes,
                     uint64_t timeout_ns)
{
    uint64_t deadline = console_now_ns() + timeout_ns;
    const uint8_t *at = from;
    int rc = port_check(c, port);

    while (!rc) {
        struct channel *ch = &c->port[port].out;
        size_t part = bytes < ch->mem.bytes ? bytes : ch->mem.bytes;

        rc = channel_drain(ch, time_left(deadline));
        if (rc || !bytes)
            break;
        memcpy(ch->mem.va, at, part);
        rc = channel_send(ch, (uint32_t)part);
        at += part;
        bytes -= part;
    }
    return console_failed(c, rc);
}

int fe_console_read(struct fe_console *c, unsigned port, void *to, size_t bytes,
                    uint64_t timeout_ns)
{
    struct channel *ch;
    uint32_t part;
    int rc = port_check(c, port);

    if (rc || !bytes)
        return rc;
    ch = &c->port[port].in;
    rc = channel_filled(ch, timeout_ns);
    /* A used buffer without a byte is a device's mistake. */
    if (rc == 1 && ch->left_bytes == 0)
        rc = -EPROTO;
    if (rc != 1)
        return console_failed(c, rc);
    part = bytes < ch->left_bytes ? (uint32_t)bytes : ch->left_bytes;
    memcpy(to, ch->mem.va + (size_t)ch->at * ch->buffer_bytes + ch->done_bytes, part);
    ch->done_bytes += part;
    ch->left_bytes -= part;
    rc = ch->left_bytes ? 0 : channel_next(ch);
    return rc ? console_failed(c, rc) : (int)part;
}

int fe_console_emergency(struct fe_virtio *v, uint8_t character)
{
    uint64_t offered;
    int rc = fe_virtio_device_features(v, &offered);

    if (rc)
        return rc;
    if (!(offered & VIRTIO_F(VIRTIO_CONSOLE_F_EMERG_WRITE)))
        return -ENOTSUP;
    return v->ops->config_write(v, offsetof(struct virtio_console_config, emerg_wr), 4, character);
}
