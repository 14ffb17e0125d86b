/* SPDX-License-Identifier: MIT */
/*
 * One bridge, several processes: the process that has the bridge claims its windows in Xen and is
 * asked by the guest; others have functions behind it and no IOREQ server of their own. As with
 * vfio-user the two speak over a Unix socket; what is spoken is smaller, since the bridge is no
 * VMM:
 *
 *   function's process                          bridge's process
 *     HELLO a=version b=domid              ->
 *                                          <-   DONE (error: 0, -EPROTO or -EINVAL)
 *     CLAIM a=first b=last                 ->       configuration space of a function that is
 *                                          <-   DONE (error: 0, -EEXIST, -EINVAL, -ENOSPC)  there,
 *     UNCLAIM a=first b=last               ->       a BAR where the guest put it
 *                                          <-   READ a=address, bytes
 *     DONE a=value                         ->
 *                                          <-   WRITE a=address b=value, bytes
 *     DONE                                 ->
 *     MSI a=address b=data                 ->       sent to the guest by the bridge's process:
 *     PIN a=sbdf b=pin, bytes=level        ->       the other needs no privilege for that
 *
 * A message is a struct link_msg, one packet of a SOCK_SEQPACKET socket, in the machine's own byte
 * order. Each side has at most one question open. The bridge waits for an answer no longer than
 * LINK_ANSWER_NS: then, as when the connection ends, what was claimed over it is nobody's, reads as
 * all ones, and its pins fall. A question that arrives while a function's process waits for DONE is
 * answered after that.
 *
 * Ranges have to lie in a window of the bridge and apart from others; configuration space that the
 * bridge's own process has a function at is taken. The multi-function bit is set by each process
 * for its own functions, so the functions of one device belong to one process.
 */
#ifndef RP_BACKEND_LINK_H
#define RP_BACKEND_LINK_H

#include <assert.h>

#include "util/evloop.h"
#include "xen/ioreq.h"

#define LINK_VERSION    1u
#define LINK_ANSWER_NS  1000000000ull
#define LINK_PEERS_MAX  16u
#define LINK_RANGES_MAX 256u /* of one connection, as of an IOREQ server */
#define LINK_PINS_MAX   64u  /* that one connection holds up */

enum link_kind {
    LINK_HELLO = 1,
    LINK_DONE,
    LINK_CLAIM,
    LINK_UNCLAIM,
    LINK_READ,
    LINK_WRITE,
    LINK_MSI,
    LINK_PIN,
};

struct link_msg {
    uint32_t kind;
    uint32_t bytes;
    uint64_t a, b;
    int32_t error; /* 0 or -errno */
    uint32_t zero;
};

static_assert(sizeof(struct link_msg) == 32, "one packet");

/* ---- the function's end ---- */

struct link;

struct link_config {
    struct evloop *loop; /* borrowed */
    const char *path;    /* of the bridge's socket */
    uint16_t domid;
    uint32_t wait_ms;            /* how long to wait for the bridge to be there */
    const struct ioreq_ops *ops; /* borrowed: who answers reads and writes */
    void *ctx;
    void (*gone)(void *user); /* the bridge has ended the connection */
    void *user;
};

/* -ETIMEDOUT: nobody listens; -EPROTO: another version, or no bridge; -EINVAL: another domain. */
int link_connect(const struct link_config *config, struct link **out);
void link_destroy(struct link *l); /* NULL is allowed */

/* As of an IOREQ server. -EEXIST: taken; -EINVAL: not in a window of the bridge; -EPIPE: gone. */
int link_claim(struct link *l, uint64_t first, uint64_t last);
void link_unclaim(struct link *l, uint64_t first, uint64_t last);
int link_msi(struct link *l, uint64_t addr, uint32_t data);
int link_pin(struct link *l, sbdf_t from, unsigned pin, bool level);

/* ---- the bridge's end ---- */

struct link_hub;

/* What the hub needs of its bridge. */
struct link_hub_ops {
    /* May this be claimed by somebody else? 0, -EINVAL, -EEXIST. */
    int (*allowed)(void *ctx, uint64_t first, uint64_t last);
    int (*msi)(void *ctx, uint64_t addr, uint32_t data);
    void (*pin)(void *ctx, sbdf_t from, unsigned pin, bool level);
};

/* Listens at `path` (util/unix_socket.h), which is removed at the end. */
int link_hub_create(struct evloop *loop, const char *path, uint16_t domid,
                    const struct link_hub_ops *ops, void *ctx, struct link_hub **out);
void link_hub_destroy(struct link_hub *h); /* NULL is allowed */

/* False: nobody has claimed that. An access of 1, 2, 4 or 8 bytes that passes the end of what is
 * claimed reads all ones and is not written. */
bool link_hub_read(struct link_hub *h, uint64_t addr, unsigned bytes, uint64_t *value);
bool link_hub_write(struct link_hub *h, uint64_t addr, unsigned bytes, uint64_t value);

#endif
