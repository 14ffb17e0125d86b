/* SPDX-License-Identifier: MIT */
/*
 * Options of a device (its disk, read-only, features) reach a backend by its command line or by
 * Xenstore. The device has to be the same; what each way costs is counted from outside, where the
 * backend's domain has a ring of its own to xenstored.
 */
#define CHECK_FAMILY "options"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/plug.h"
#include "util/bits.h"

/* Nobody says that a backend has done with the store; it has when it asked nothing for so long. */
#define STILL_NS 400000000u
#define LIMIT_NS 5000000000u

#define OTHERS      8u
#define FIRST_OTHER 1000u

/* ---- the device is as it was described ---- */

static const struct {
    const char *name;
    unsigned bit;
} features[] = {
    {"flush", VIRTIO_BLK_F_FLUSH},
    {"config-wce", VIRTIO_BLK_F_CONFIG_WCE},
    {"discard", VIRTIO_BLK_F_DISCARD},
    {"write-zeroes", VIRTIO_BLK_F_WRITE_ZEROES},
};

/* `edits` takes features away, "-discard:-flush". */
static void expect_features(struct device *d, const char *edits)
{
    for (size_t i = 0; i < ARRAY_LENGTH(features); i++) {
        size_t n = strlen(features[i].name);
        const char *at = strstr(edits, features[i].name);
        bool taken = at && at > edits && at[-1] == '-' && (at[n] == 0 || at[n] == ':');

        if (taken)
            expect(d->t, MUST, !(d->offered & VIRTIO_F(features[i].bit)),
                   "the option features=%s is given, and %s is offered", edits, features[i].name);
    }
}

CHECK(device_is_as_its_options_say, .judges = DEVICE, .proves = "xen.discovery.options.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_TESTBED,
      .title = "Size, read-only, serial number, queues and features are those that were asked for")
{
    struct blk *k = given_blk(t, 0, 0);
    char serial[VIRTIO_BLK_ID_BYTES + 1] = "", edits[256] = "";
    uint64_t queues = given_ask_number(t, "device.info", NULL, "queues");
    unsigned have;

    expect_eq(t, MUST, k->capacity * SECTOR, given_ask_number(t, "device.info", NULL, "size_bytes"),
              "the size of the disk");
    expect_eq(t, MUST, !!(k->d->offered & VIRTIO_F(VIRTIO_BLK_F_RO)),
              given_ask_number(t, "device.info", NULL, "ro"), "whether the disk is read-only");
    must(t, k->d->v->ops->num_queues(k->d->v, &have), "the number of queues");
    if (queues)
        expect_eq(t, MUST, have, queues, "the number of queues");
    given_ask_text(t, "device.info", NULL, "features", edits, sizeof(edits));
    expect_features(k->d, edits);
    given_ask_text(t, "device.info", NULL, "serial", serial, sizeof(serial));
    if (serial[0]) {
        struct buffer *b = given_buffer(k->d, VIRTIO_BLK_ID_BYTES, 0, FE_DMA_FROM_DEVICE);
        struct piece p = piece_of(b, true);

        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_GET_ID, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of GET_ID");
        expect(t, MUST, strncmp((const char *)b->va, serial, VIRTIO_BLK_ID_BYTES) == 0,
               "the serial number is \"%.20s\", and \"%s\" was asked for", (const char *)b->va,
               serial);
    }
}

/* ---- what that costs ---- */

static uint64_t requests_when_still(struct check_ctx *t)
{
    uint64_t began = given_now_ns(), since = began, now = began;
    uint64_t count = given_ask_number(t, "store.requests", NULL, "count");

    while (now - since < STILL_NS) {
        uint64_t next;

        given_pause();
        next = given_ask_number(t, "store.requests", NULL, "count");
        now = given_now_ns();
        if (next != count)
            since = now;
        count = next;
        if (now - began > LIMIT_NS)
            skip_check(t, "the backend never leaves the store alone: what something costs there "
                          "cannot be told");
    }
    return count;
}

static uint64_t start_costs(struct check_ctx *t)
{
    uint64_t before;

    given_ask(t, "backend.stop", NULL);
    before = requests_when_still(t);
    given_ask(t, "backend.start", NULL);
    return requests_when_still(t) - before;
}

/* The first device comes and goes. */
static uint64_t coming_costs(struct check_ctx *t, uint64_t *going)
{
    uint64_t before, between;

    plug_out(t, 0);
    before = requests_when_still(t);
    plug_in(t, 0, NULL);
    between = requests_when_still(t);
    plug_out(t, 0);
    *going = requests_when_still(t) - between;
    plug_in(t, 0, NULL);
    (void)requests_when_still(t);
    return between - before;
}

/* Folders of devices that have gone, as a toolstack leaves them until the domain ends. */
static void add_others(struct check_ctx *t, const char *folder)
{
    const char *slash = strrchr(folder, '/');
    char args[160];

    for (unsigned i = 0; slash && i < OTHERS; i++) {
        snprintf(args, sizeof(args), "{\"path\": \"%.*s/%u/state\", \"value\": \"6\"}",
                 (int)(slash - folder), folder, FIRST_OTHER + i);
        given_ask(t, "store.write", args);
    }
    (void)requests_when_still(t);
}

CHECK(device_costs_the_same_among_many, .judges = DEVICE, .proves = "xen.discovery.options.2",
      .needs = NEED_TESTBED, .timeout_ms = 60000,
      .title = "What a backend asks the store for a device does not depend on how many others "
               "there are")
{
    uint64_t devices = given_ask_number(t, "device.info", NULL, "count"), first, again;
    char folder[64] = "", why[512];

    if (given_try(t, "store.requests", NULL, why, sizeof(why)))
        skip_check(t, "%s", why);
    first = start_costs(t);
    again = start_costs(t);
    note(t, "row", "start with %" PRIu64 " devices", devices);
    note(t, "round trips", "%" PRIu64, again);
    expect_eq(t, SHOULD, again, first, "requests of the same start, once more");
    given_ask_text(t, "device.info", NULL, "store", folder, sizeof(folder));
    if (!folder[0])
        return;

    uint64_t alone, gone_alone, among_many, gone_among_many;
    alone = coming_costs(t, &gone_alone);
    add_others(t, folder);
    among_many = coming_costs(t, &gone_among_many);
    note(t, "row", "the first device comes");
    note(t, "round trips", "%" PRIu64, alone);
    note(t, "row", "the first device goes");
    note(t, "round trips", "%" PRIu64, gone_alone);
    expect(t, SHOULD, among_many == alone && gone_among_many == gone_alone,
           "a device costs %" PRIu64 " requests and %" PRIu64 " when it goes; with %u more folders "
           "%" PRIu64 " and %" PRIu64,
           alone, gone_alone, OTHERS, among_many, gone_among_many);
}
