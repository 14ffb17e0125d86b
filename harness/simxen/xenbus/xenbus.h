/* SPDX-License-Identifier: MIT */
/*
 * The xenbus driver of a simulated domU: what Linux's /dev/xen/xenbus is to its processes. Any
 * number of clients speak the xenstore wire protocol on a unix socket; this process is the one
 * that owns the domain's ring, and puts their requests on it.
 *
 * On the ring all clients are one connection, so
 *  - requests get numbers of our own, and replies the client's number back;
 *  - a watch gets a token of our own, "N", since two clients may choose the same;
 *  - a transaction belongs to the client that began it, and others do not see it;
 *  - a client that goes away has its watches removed and its transactions aborted.
 *
 * Clients are not trusted: lengths are checked, what is outstanding for one is limited, and one
 * that does not read its events is cut off. The ring is checked for indices out of range, as
 * xenstored does at its end; that ends the program.
 */
#ifndef SIMXEN_XENBUS_XENBUS_H
#define SIMXEN_XENBUS_XENBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simxen/core/core.h"
#include "util/evloop.h"

#include <xen/io/xs_wire.h>

#define CLIENTS_MAX          64u
#define CLIENT_PENDING_MAX   16u   /* requests on their way */
#define CLIENT_WATCHES_MAX   1024u /* xenstored's own limit is far lower */
#define CLIENT_TX_MAX        64u
#define CLIENT_BACKLOG_BYTES (1u << 20) /* replies and events not read */
#define RING_BACKLOG_BYTES   (64u << 10)

struct message {
    struct xsd_sockmsg hdr;
    char body[XENSTORE_PAYLOAD_MAX];
};

/* Bytes waiting for room. */
struct queue {
    char *data;
    size_t start, len, cap;
};

int queue_put(struct queue *q, const void *data, size_t n);
static inline const char *queue_head(const struct queue *q)
{
    return q->data + q->start;
}
void queue_drop(struct queue *q, size_t n);
void queue_fini(struct queue *q);

struct watch {
    uint32_t id;        /* our token */
    char *path, *token; /* as the client gave them */
    struct watch *next;
};

struct client {
    struct bus *bus;
    int fd;
    struct evloop_fd ready;
    uint32_t events;   /* that the loop waits for */
    struct message in; /* being received */
    size_t have;
    struct queue out;
    bool gone; /* cut off; freed when nothing on the stack uses it */
    unsigned nr_pending, nr_watches, nr_tx;
    uint32_t tx[CLIENT_TX_MAX];
    struct watch *watches;
    struct client *next;
};

/* A request on the ring. */
struct pending {
    uint32_t id; /* ours */
    uint32_t type;
    uint32_t req_id; /* the client's */
    uint32_t tx;
    uint32_t watch;        /* our number, for WATCH */
    struct client *client; /* NULL: ours, or of one that went away */
    struct pending *next;
};

struct bus {
    struct evloop *loop;
    const struct sim_dom_ref *self;
    struct xenstore_domain_interface *ring;
    uint32_t port, handle;
    int evt_fd, listen_fd, dir_fd;
    char name[108]; /* of the socket, in dir_fd */
    bool bound;
    struct evloop_fd evt_watch, listen_watch, session_watch, signal_watch;
    struct queue out; /* to the ring */
    struct message in;
    size_t have;
    uint32_t last_id, last_watch;
    struct client *clients;
    unsigned nr_clients;
    struct pending *pending;
};

/* ring.c: -EIO when the ring's indices make no sense. */
int ring_open(struct bus *b);
void ring_close(struct bus *b);
/* Move what can be moved, both ways, and hand complete messages to bus_response. */
int ring_pump(struct bus *b);

/* bus.c */
int bus_listen(struct bus *b, const char *path);
void bus_fini(struct bus *b);
void bus_response(struct bus *b, const struct message *m);
/* After ring_pump: clients that were held back go on, those cut off are freed. */
void bus_settle(struct bus *b);
/* The ring is unusable: end the program. */
void bus_fail(struct bus *b, int rc);

#endif
