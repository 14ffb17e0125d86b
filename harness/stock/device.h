/* SPDX-License-Identifier: MIT */
/*
 * The device under test as Linux sees it, with Linux's own driver.
 *
 * These checks run as an ordinary program of a stock Linux in the domU: the kernel is the
 * frontend, and what it makes of the backend is read from sysfs, its device nodes and its log.
 * What a kind of device needs beyond that is a line of the table in device.c.
 *
 * A check begins with the driver bound, as it is after boot, and ends with it unbound, which
 * resets the device: whoever counts what the backend holds counts after a reset.
 *
 * A backend that loses a request leaves whoever waits for it in an uninterruptible sleep. So
 * everything that may come to the device is done by a child (stock_do), which can be given up.
 */
#ifndef RP_STOCK_DEVICE_H
#define RP_STOCK_DEVICE_H

#include "check/check.h"
#include "stock/subject.h"

#define STOCK_NAME_BYTES 64
#define STOCK_PATH_BYTES 256

struct stock;

/* A kind of virtio device, and what Linux makes of it. */
struct stock_kind {
    const char *type;   /* in scenario files: "blk" */
    unsigned id;        /* the device ID of VIRTIO 1.4 5 */
    const char *driver; /* Linux's, on its virtio bus */
    const char *class;  /* the folder below the virtio device that has the driver's own: "block";
                         * NULL: there is none */
    /* Something that moves data both ways, where the device can; ends the check on a failure. */
    void (*exercise)(struct stock *s);
};

/* Of one running check. */
struct stock {
    struct check_ctx *t;
    const struct stock_subject *subject;
    const struct stock_kind *kind;
    json_t *info; /* the answer to device.info: what the scenario says of the device */
    bool hung;    /* something waits for the device for ever: the driver cannot be taken off */
    /* While the driver is bound: */
    char virtio[STOCK_NAME_BYTES]; /* on the virtio bus: "virtio0" */
    char node[STOCK_NAME_BYTES];   /* the driver's own: "vda" */
};

/*
 * The device with its driver bound, until the end of the check. `type` NULL: of any kind, else the
 * check is skipped when the device is of another one. Ends the check when Linux does not find the
 * device or its driver refuses it.
 */
struct stock *given_stock(struct check_ctx *t, const char *type);

/* Take the driver off, and put it on again. They end the check when that fails or hangs. */
void stock_unbind(struct stock *s);
void stock_bind(struct stock *s);

/* Whether Linux has the device and its driver, or has neither any more, within limit_ms. */
bool stock_wait(struct stock *s, bool there, unsigned limit_ms);
/* A device that came back: what Linux calls it now. Ends the check when its driver refuses it. */
void stock_find(struct stock *s);
/* Write to a file of sysfs. Ends the check when that fails or hangs. */
void stock_write(struct stock *s, const char *path, const char *text);

/*
 * Run fn(arg) in a child and wait. What it returns: 0 or a positive errno. When it takes longer
 * than the check may, that is a failed expectation which names `what`, and the check ends.
 * Memory that it shall fill comes from stock_memory.
 */
int stock_do(struct stock *s, const char *what, int (*fn)(void *arg), void *arg);
/* Zeroed, page-aligned, shared with children, freed at the end of the check. */
void *stock_memory(struct stock *s, size_t bytes);

/* Ask the testbed; the answer is the caller's, NULL when there is none. `args` is taken over. Ends
 * the check as an ERROR when the testbed cannot. */
json_t *stock_ask(struct stock *s, const char *what, json_t *args);

/* A member of device.info; ends the check as an ERROR when it is not there. */
uint64_t stock_info_number(struct stock *s, const char *key);
const char *stock_info_text(struct stock *s, const char *key);
bool stock_info_true(struct stock *s, const char *key);

/* A file below the virtio device ("status"), or below the driver's own ("size"), without the end
 * of its line; ends the check when it cannot be read. */
void stock_read_virtio(struct stock *s, const char *name, char *text, size_t size);
void stock_read_node(struct stock *s, const char *name, char *text, size_t size);
uint64_t stock_number_virtio(struct stock *s, const char *name);
uint64_t stock_number_node(struct stock *s, const char *name);

/* Did driver and device agree on a feature bit? */
bool stock_negotiated(struct stock *s, unsigned bit);

void stock_exercise_blk(struct stock *s);
void stock_exercise_console(struct stock *s);
void stock_exercise_net(struct stock *s);
void stock_exercise_rng(struct stock *s);

#endif
