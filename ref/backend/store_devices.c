/* SPDX-License-Identifier: MIT */
#include "backend/store_devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/log.h"
#include "util/mutant.h"
#include "util/parse.h"

#define BASE_BYTES  64
#define DEVID_BYTES 32

/* xen/io/xenbus.h */
enum xenbus_state {
    STATE_INITIALISING = 1,
    STATE_INIT_WAIT = 2,
    STATE_INITIALISED = 3,
    STATE_CONNECTED = 4,
    STATE_CLOSING = 5,
    STATE_CLOSED = 6,
};

struct entry {
    struct entry *next;
    char devid[DEVID_BYTES];
    struct place at;
    bool up;
    bool asked; /* the guest was, to give it back */
    bool seen;  /* while all folders are looked at */
};

struct store_devices {
    struct store *store;
    const struct store_devices_ops *ops;
    void *ctx;
    char base[BASE_BYTES];
    struct entry *entries;
    struct store_watch watch;
    bool watching;
};

static void entry_path(const struct store_devices *sd, const char *devid, const char *node,
                       char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/%.31s%s%s", sd->base, devid, node ? "/" : "",
             node ? node : "");
}

/* ---- what this program writes ---- */

struct report {
    struct store_devices *sd;
    const char *devid;
    enum xenbus_state state;
    const char *error; /* NULL: there is none any more */
};

static int report_body(struct store *s, store_txn_t t, void *user)
{
    const struct report *r = user;
    char path[STORE_PATH_BYTES];
    char *old = NULL;
    int rc;

    /* Writing would make the folder of a removed device anew. */
    entry_path(r->sd, r->devid, "state", path);
    rc = store_read(s, t, path, &old);
    free(old);
    if (rc)
        return rc;
    rc = store_printf(s, t, path, "%d", (int)r->state);
    if (rc)
        return rc;
    entry_path(r->sd, r->devid, "error", path);
    if (r->error)
        return store_write(s, t, path, r->error);
    rc = store_remove(s, t, path);
    return rc == -ENOENT ? 0 : rc;
}

static int report_state(struct store_devices *sd, const char *devid, enum xenbus_state state,
                        const char *error)
{
    struct report r = {.sd = sd, .devid = devid, .state = state, .error = error};
    int rc;

    if (MUTANT(store_state_not_written))
        return 0;
    rc = store_transact(sd->store, report_body, &r);
    if (rc == -EDQUOT && state == STATE_CLOSED && !MUTANT(store_refusal_needs_its_reason)) {
        /* Somebody waits for it. There is a node of the state already, so that without the reason,
         * and without a transaction, it costs nothing that there is a quota of. */
        r.error = NULL;
        rc = report_body(sd->store, STORE_DIRECT, &r);
    }
    return rc == -ENOENT ? 0 : rc;
}

/* ---- what the toolstack wrote ---- */

/* `state` and `online`; 0 for a state that is missing or no number. */
static void read_state(struct store_devices *sd, const char *devid, uint64_t *state, bool *online)
{
    char path[STORE_PATH_BYTES];
    uint64_t value;

    *online = false;
    entry_path(sd, devid, "state", path);
    if (store_read_u64(sd->store, STORE_DIRECT, path, 0, 16, state))
        *state = 0;
    if (!*state)
        return;
    entry_path(sd, devid, "online", path);
    *online = store_read_u64(sd->store, STORE_DIRECT, path, 0, 1, &value) || value;
}

static int read_split_sbdf(struct store_devices *sd, const char *devid, struct device_spec *spec)
{
    static const struct {
        const char *name;
        uint32_t max;
    } parts[4] = {{"segment", 0xffff}, {"bus", 0xff}, {"device", 0x1f}, {"function", 7}};
    uint64_t value[4] = {0};

    for (unsigned i = 0; i < 4; i++) {
        char path[STORE_PATH_BYTES];
        int rc;

        entry_path(sd, devid, parts[i].name, path);
        rc = store_read_u64(sd->store, STORE_DIRECT, path, 0, parts[i].max, &value[i]);
        if (rc == -ENOENT && i != 2)
            continue;
        if (rc)
            return rc;
    }
    spec->place.sbdf = SBDF(value[0], value[1], value[2], value[3]);
    spec->has_sbdf = true;
    return 0;
}

/* All keys of a folder into a specification. `error` names the path on failure. */
static int read_spec(struct store_devices *sd, const char *devid, struct device_spec *spec,
                     char error[STORE_DEVICES_ERROR_BYTES])
{
    char path[STORE_PATH_BYTES], why[DEVICE_SPEC_ERROR_BYTES];
    char **names = NULL;
    unsigned count = 0;
    int rc;

    device_spec_init(spec);
    entry_path(sd, devid, NULL, path);
    rc = store_list(sd->store, STORE_DIRECT, path, &names, &count);
    for (unsigned i = 0; !rc && i < count; i++) {
        char *value = NULL;

        if (!device_spec_knows(names[i]) ||
            (MUTANT(store_read_only_ignored) && !strcmp(names[i], "ro")))
            continue;
        entry_path(sd, devid, names[i], path);
        rc = store_read(sd->store, STORE_DIRECT, path, &value);
        if (rc)
            break;
        rc = device_spec_set(spec, names[i], value, why);
        if (rc)
            snprintf(error, STORE_DEVICES_ERROR_BYTES, "%.200s: %s", path, why);
        free(value);
        if (rc)
            goto out;
    }
    if (!rc && spec->place.kind == PLACE_PCI && !spec->has_sbdf) {
        rc = read_split_sbdf(sd, devid, spec);
        rc = rc == -ENOENT ? 0 : rc;
    }
    if (rc) {
        snprintf(error, STORE_DEVICES_ERROR_BYTES, "%.700s", store_error(sd->store));
        goto out;
    }
    rc = device_spec_check(spec, why);
    if (rc)
        snprintf(error, STORE_DEVICES_ERROR_BYTES, "%s/%.31s: %s", sd->base, devid, why);
out:
    free(names);
    return rc;
}

/* ---- coming and going ---- */

static struct entry *find_entry(struct store_devices *sd, const char *devid)
{
    for (struct entry *e = sd->entries; e; e = e->next)
        if (!strcmp(e->devid, devid))
            return e;
    return NULL;
}

static int bring_up(struct store_devices *sd, struct entry *e,
                    char error[STORE_DEVICES_ERROR_BYTES])
{
    char why[STORE_DEVICES_ERROR_BYTES] = "";
    struct device_spec spec;
    int rc = read_spec(sd, e->devid, &spec, error);

    if (!rc) {
        rc = report_state(sd, e->devid, STATE_INIT_WAIT, NULL);
        if (rc)
            snprintf(error, STORE_DEVICES_ERROR_BYTES, "%.700s", store_error(sd->store));
    }
    if (!rc) {
        rc = sd->ops->add(sd->ctx, &spec, why);
        if (rc)
            snprintf(error, STORE_DEVICES_ERROR_BYTES, "%s/%s: %.600s", sd->base, e->devid, why);
        else if (sd->watching && MUTANT(store_says_connected_without_a_device))
            sd->ops->remove(sd->ctx, &spec.place);
    }
    if (!rc) {
        e->at = spec.place;
        e->up = true;
        rc = report_state(sd, e->devid, STATE_CONNECTED, NULL);
        if (rc) {
            snprintf(error, STORE_DEVICES_ERROR_BYTES, "%.700s", store_error(sd->store));
            sd->ops->remove(sd->ctx, &e->at);
            e->up = false;
        }
    }
    if (rc)
        (void)report_state(sd, e->devid, STATE_CLOSED, error);
    device_spec_fini(&spec);
    return rc;
}

static void take_down(struct store_devices *sd, struct entry *e)
{
    if (MUTANT(store_removal_ignored))
        return;
    if (MUTANT(store_removal_said_too_early)) {
        const struct timespec moment = {.tv_nsec = 50000000};

        (void)report_state(sd, e->devid, STATE_CLOSED, NULL);
        (void)nanosleep(&moment, NULL);
    }
    sd->ops->remove(sd->ctx, &e->at);
    e->up = e->asked = false;
    (void)report_state(sd, e->devid, STATE_CLOSED, NULL);
}

/* `online` is 0. */
static void ask_back(struct store_devices *sd, struct entry *e)
{
    if (e->asked)
        return;
    e->asked = sd->ops->ask_back && sd->ops->ask_back(sd->ctx, &e->at);
    if (!e->asked)
        take_down(sd, e);
}

void store_devices_given_back(struct store_devices *sd, const struct place *at)
{
    for (struct entry *e = sd->entries; e; e = e->next)
        if (e->up && place_same(&e->at, at))
            take_down(sd, e);
}

/* The entry, made when there is none yet; NULL: out of memory. */
static struct entry *have_entry(struct store_devices *sd, const char *devid)
{
    struct entry *e = find_entry(sd, devid);

    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    strcpy(e->devid, devid);
    e->next = sd->entries;
    sd->entries = e;
    return e;
}

/* Its folder has gone, or has no state any more. */
static void forget(struct store_devices *sd, struct entry *e)
{
    struct entry **link = &sd->entries;

    if (e->up)
        take_down(sd, e);
    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    free(e);
}

/*
 * Do what the folder of one device says. `start`: take over whatever state a predecessor left.
 * An error is of a device that could not be brought up, or -ENOMEM.
 */
static int look_at(struct store_devices *sd, const char *devid, bool start,
                   char error[STORE_DEVICES_ERROR_BYTES])
{
    struct entry *e = find_entry(sd, devid);
    uint64_t state;
    bool online;

    read_state(sd, devid, &state, &online);
    if (!state) {
        if (e)
            forget(sd, e);
        return 0;
    }
    e = have_entry(sd, devid);
    if (!e) {
        snprintf(error, STORE_DEVICES_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    e->seen = true;
    if (online)
        e->asked = false; /* it may stay, after all */
    if (e->up && (state == STATE_CLOSING || state == STATE_CLOSED))
        take_down(sd, e);
    else if (e->up && !online)
        ask_back(sd, e);
    else if (!e->up && state == STATE_CLOSING)
        (void)report_state(sd, e->devid, STATE_CLOSED, NULL);
    else if (!e->up && online && (state == STATE_INITIALISING || (start && state != STATE_CLOSING)))
        return bring_up(sd, e, error);
    return 0;
}

/*
 * Look at every folder there is, and at those that have gone. `start`: end at the first error,
 * which is returned; later, errors are logged.
 */
static int look_at_all(struct store_devices *sd, bool start, char error[STORE_DEVICES_ERROR_BYTES])
{
    char **names = NULL;
    unsigned count = 0;
    int rc = store_list(sd->store, STORE_DIRECT, sd->base, &names, &count);

    if (rc == -ENOENT) {
        rc = 0;
        count = 0;
    }
    if (rc) {
        snprintf(error, STORE_DEVICES_ERROR_BYTES, "%.700s", store_error(sd->store));
        return rc;
    }
    for (struct entry *e = sd->entries; e; e = e->next)
        e->seen = false;
    for (unsigned i = 0; i < count && !rc; i++) {
        if (strlen(names[i]) >= DEVID_BYTES)
            continue;
        rc = look_at(sd, names[i], start, error);
        if (rc && !start && rc != -ENOMEM) {
            log_error("%s", error);
            rc = 0;
        }
    }
    for (struct entry *e = sd->entries, *next; !rc && e; e = next) {
        next = e->next;
        if (!e->seen)
            forget(sd, e);
    }
    free(names);
    return rc;
}

/*
 * Which device a changed path is of, when it is one to look at for: its folder itself, or what
 * says that it comes or goes. A toolstack writes a dozen more keys of each, of which each is an
 * event, too.
 */
enum change { CHANGE_NONE, CHANGE_DEVICE, CHANGE_ALL };

static enum change change_of(const struct store_devices *sd, const char *path,
                             char devid[DEVID_BYTES])
{
    size_t base = strlen(sd->base), n;
    const char *name;

    if (MUTANT(store_reads_every_device))
        return CHANGE_ALL;
    if (strncmp(path, sd->base, base) || path[base] != '/')
        return CHANGE_ALL;
    name = path + base + 1;
    n = strcspn(name, "/");
    if (n == 0 || n >= DEVID_BYTES)
        return CHANGE_NONE;
    memcpy(devid, name, n);
    devid[n] = 0;
    name += n;
    return !*name || !strcmp(name, "/state") || !strcmp(name, "/online") ? CHANGE_DEVICE
                                                                         : CHANGE_NONE;
}

static void folder_changed(struct store_watch *w, const char *path)
{
    struct store_devices *sd = w->user;
    char error[STORE_DEVICES_ERROR_BYTES] = "", devid[DEVID_BYTES];
    int rc = 0;

    if (MUTANT(store_hotplug_ignored))
        return;
    switch (change_of(sd, path, devid)) {
    case CHANGE_NONE:
        break;
    case CHANGE_DEVICE:
        rc = look_at(sd, devid, false, error);
        break;
    case CHANGE_ALL:
        rc = look_at_all(sd, false, error);
        break;
    }
    if (rc)
        log_error("%s", error);
}

int store_devices_create(struct store *store, uint16_t own_domid, uint16_t domid,
                         const struct store_devices_ops *ops, void *ctx, struct store_devices **out)
{
    struct store_devices *sd = calloc(1, sizeof(*sd));

    if (!sd)
        return -ENOMEM;
    sd->store = store;
    sd->ops = ops;
    sd->ctx = ctx;
    snprintf(sd->base, sizeof(sd->base), "/local/domain/%u/backend/virtio/%u", own_domid, domid);
    sd->watch = (struct store_watch){.path = sd->base, .fired = folder_changed, .user = sd};
    *out = sd;
    return 0;
}

void store_devices_destroy(struct store_devices *sd)
{
    if (!sd)
        return;
    if (sd->watching)
        store_unwatch(sd->store, &sd->watch);
    while (sd->entries) {
        struct entry *e = sd->entries;

        if (e->up)
            (void)report_state(sd, e->devid, STATE_CLOSED, NULL);
        sd->entries = e->next;
        free(e);
    }
    free(sd);
}

unsigned store_devices_places(struct store_devices *sd, struct place *places, unsigned max)
{
    char error[STORE_DEVICES_ERROR_BYTES];
    char **names = NULL;
    unsigned count = 0;
    unsigned n = 0;

    if (store_list(sd->store, STORE_DIRECT, sd->base, &names, &count))
        return 0;
    for (unsigned i = 0; i < count && n < max; i++) {
        struct device_spec spec;
        uint64_t state;
        bool online;

        if (strlen(names[i]) >= DEVID_BYTES)
            continue;
        read_state(sd, names[i], &state, &online);
        if (!state || !online || state == STATE_CLOSING)
            continue;
        if (!read_spec(sd, names[i], &spec, error))
            places[n++] = spec.place;
        device_spec_fini(&spec);
    }
    free(names);
    return n;
}

int store_devices_start(struct store_devices *sd, char error[STORE_DEVICES_ERROR_BYTES])
{
    *error = 0;
    return look_at_all(sd, true, error);
}

int store_devices_watch(struct store_devices *sd, char error[STORE_DEVICES_ERROR_BYTES])
{
    int rc = store_watch(sd->store, &sd->watch);

    *error = 0;
    if (rc)
        snprintf(error, STORE_DEVICES_ERROR_BYTES, "%.700s", store_error(sd->store));
    else
        sd->watching = true;
    return rc;
}
