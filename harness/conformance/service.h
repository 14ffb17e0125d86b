/* SPDX-License-Identifier: MIT */
/*
 * What any device does for its driver, whatever its type: it completes requests. The rules of
 * rings, of grants and of resets are about these, so that their checks run with every type of
 * device that service.c has an entry for (NEED_SERVICE).
 *
 * A *service* is a running device with one queue whose well-formed requests the device has to
 * complete by itself, without waiting for anybody else. A *request* is the buffers of one; it can
 * be offered again and again. Where its bytes go is the type's: a sector of a disk, random
 * bytes, ...
 */
#ifndef RP_CONFORMANCE_SERVICE_H
#define RP_CONFORMANCE_SERVICE_H

#include "conformance/ring.h"

#define REQUEST_BUFFERS_MAX 3
#define REQUEST_PIECES_MAX  8

struct service_type;

struct service {
    struct device *d;
    struct ring *q;
    const struct service_type *type;
};

struct request {
    struct service *s;
    struct request_part {
        struct buffer *b;
        enum fe_dma_dir dir;
    } part[REQUEST_BUFFERS_MAX];
    unsigned parts;
};

/* Is there an entry for this device type? */
bool service_of_device(uint32_t device_id);

/* The bound device, running with these features and one queue of `size` (0: maximum). */
struct service *given_service(struct check_ctx *t, uint64_t features, unsigned size);
/* The same of another device than the bound one. */
struct service *given_service_of(struct device *d, uint64_t features, unsigned size);
/* The same without the queue and DRIVER_OK, for checks about just these: service_queue and
 * device_driver_ok follow. */
struct service *given_service_negotiated(struct check_ctx *t, uint64_t features);
void service_queue(struct service *s, unsigned size);
/* Start over in the course of a check: reset, negotiate, new queue, DRIVER_OK. */
void service_restart(struct service *s, uint64_t features, unsigned size);

/* A request that moves some data; one that is as cheap as the type has any. Mapped and fresh. */
struct request *given_request(struct service *s);
struct request *given_small_request(struct service *s);
/* As new, to be offered again: nothing of an answer is in it, and all of it is mapped. */
void request_refresh(struct request *r);
/* Its pieces in order, cut into at least `want`. Returns how many. */
unsigned request_pieces(const struct request *r, struct piece p[REQUEST_PIECES_MAX], unsigned want);
/* Can the driver see that all of it was done? */
bool request_is_answered(const struct request *r, uint32_t used_len);
/* Does the answer to a request with these pieces claim bytes of piece `bad`, which nobody could
 * have reached? False where that cannot be seen: a piece that is only read. */
bool request_claims(const struct request *r, const struct piece *p, unsigned bad,
                    uint32_t used_len);
/* It was done, and nothing around its buffers or in its readable ones was written. */
void expect_answered(struct request *r, uint32_t used_len);
/* The device is through with it (xen.grant.release.1). */
void request_release(struct request *r);

/* One whole request on this queue, with all of its descriptors in a table when `indirect`. */
void expect_served(struct service *s, struct ring *q, bool indirect);
/* A device that was negotiated, whose driver grants to somebody else or in vain: it says so with
 * DEVICE_NEEDS_RESET, and nothing is served. It is reset then. */
void expect_service_refused(struct service *s, const char *what);
/* After provocation: a reset ends it, and requests then work. */
void expect_service_recovers(struct service *s, const char *after);

/*
 * One request whose piece `part` (or indirect table) is at `bad`. It may fail in any defined
 * way; then the device has to recover.
 */
enum bad_part { BAD_FIRST, BAD_MIDDLE, BAD_LAST, BAD_TABLE };
void expect_bad_address_handled(struct service *s, enum bad_part part, gpa_t bad, const char *what);

/* A device whose queue is at `bad` must survive and recover. */
void expect_bad_ring_handled(struct check_ctx *t, gpa_t bad, const char *what);

#endif
