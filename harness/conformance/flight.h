/* SPDX-License-Identifier: MIT */
/*
 * Requests in flight: made available to a device that has not used them yet, when something happens
 * to the device. What a driver may rely on is then always the same. From the moment at which it is
 * told that the device is through (a reset that is complete, a device that has gone) the memory is
 * its own again: nobody maps it and nobody writes it.
 *
 *     f = given_flight(s);
 *     do {
 *         flight_begin(f);       offered and announced
 *         ... the event ...
 *         flight_end(f, when);   judged; the memory is taken back
 *         service_restart(...);
 *     } while (flight_again(f));
 *
 * A device that answers faster than the event comes proves nothing: it is tried some more times,
 * and then the check is skipped. One whose store can hold requests back (the scenario's `hold`)
 * does so from flight_begin until the memory has been taken back. Every second request has an
 * indirect table where that is negotiated.
 */
#ifndef RP_CONFORMANCE_FLIGHT_H
#define RP_CONFORMANCE_FLIGHT_H

#include "conformance/service.h"

#define FLIGHT_REQUESTS 24u

struct flight {
    struct service *s;
    unsigned count;
    struct flown {
        struct request *r;
        struct buffer *table; /* NULL: its descriptors are the queue's */
    } of[FLIGHT_REQUESTS];
    uint64_t frames; /* that the backend mapped before there was a queue */
    bool holds;      /* the device's store, when it is asked to */
    unsigned tries;
    unsigned held; /* requests that the device had when the event came, of the last try */
};

/* Of a service that has its queue. The device is reset and set up anew. */
struct flight *given_flight(struct service *s, uint64_t features);
/* Offer all of them, and ring the doorbell once. */
void flight_begin(struct flight *f);
/*
 * The event is over, `when`: "after a reset". Nothing is mapped, and nothing is written from now
 * on: neither buffers nor tables nor the ring. `wait_ns`: so long it may take until nothing is
 * mapped, where nobody says when it is done.
 */
void flight_end(struct flight *f, const char *when, uint64_t wait_ns);
/* What the store holds back it holds no longer. */
void flight_let_go(struct flight *f);
/* Once more, because the device had answered everything? Skips the check after the last try. */
bool flight_again(struct flight *f);

/* Pages that the backend maps of what was offered and of the ring; with guest-physical addresses:
 * frames more than before. */
unsigned flight_mapped(struct flight *f);

#endif
