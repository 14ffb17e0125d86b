/* SPDX-License-Identifier: MIT */
/*
 * The agent's end of the line protocol (check/wire.h): requests from the runner, events to it,
 * and questions that wait for an answer. Used by the main thread only.
 */
#ifndef RP_AGENT_LINK_H
#define RP_AGENT_LINK_H

#include "check/wire.h"

struct link {
    int in, out; /* owned */
    struct wire_reader *reader;
    uint64_t next_id;
    bool ended; /* end of input, or quit: nothing more will come */
    /* A peer call, also while an ask waits; fills the reply but its id. */
    void (*peer)(void *ctx, const struct wire_call *call, struct wire_call *reply);
    void *peer_ctx;
};

/* How long an answer may take. */
#define LINK_ASK_MS 60000

/*
 * Take over stdin and stdout: events go to a descriptor of their own, and what anything else in
 * the process prints on stdout appears on stderr. 0 or -errno.
 */
int link_init(struct link *l);
void link_fini(struct link *l);

/* Write one event, whole. -EPIPE: the runner is gone. */
int link_send(struct link *l, const struct wire_event *e);

/*
 * The next request but peer calls, which are served here. 1 and *q (wire_request_fini), or 0 when
 * the runner is gone. Lines that are no request are reported on stderr and skipped.
 */
int link_next(struct link *l, struct wire_request *q);

/*
 * Ask the testbed. `args` is borrowed, an object or NULL. 0: *value is an owned reference or
 * NULL. -EREMOTEIO: it said no, the text is in `why`; -EOPNOTSUPP: it cannot (a text
 * that begins "not supported"); -ETIMEDOUT;
 * -EPIPE: the runner is gone.
 */
int link_ask(struct link *l, const char *what, json_t *args, json_t **value, char *why,
             size_t why_bytes);

#endif
