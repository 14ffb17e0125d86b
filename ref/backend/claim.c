/* SPDX-License-Identifier: MIT */
#include "backend/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"
#include "util/mutant.h"
#include "util/parse.h"

#define NODE_BYTES 256
struct claim {
    struct store *store;
    enum bridge_claim kind;
    struct host_bridge bridges[BRIDGES_MAX];
    unsigned bridge_count;
    char base[NODE_BYTES / 4]; /* of all records of the domain */
    char name[48];             /* of ours */
    char vm[128];

    /* What one attempt of a transaction works with and finds. */
    const struct place *devices;
    unsigned device_count;
    struct claim_heritage heritage;
    char *error;
};

/* A record of another process. */
struct record {
    uint64_t pid, start;
    char path[NODE_BYTES];
};

static const char *kind_name(enum bridge_claim kind)
{
    return kind == BRIDGE_CLAIM_WINDOW      ? "window"
           : kind == BRIDGE_CLAIM_FUNCTIONS ? "functions"
                                            : "pcidev";
}

/* ---- processes ---- */

/*
 * The start time of a process in clock ticks since boot (field 22 of /proc/<pid>/stat).
 * -ESRCH: there is none, or it is dead and only waits for its parent.
 */
static int process_start(uint64_t pid, uint64_t *start)
{
    char path[40], text[1024];
    unsigned long long ticks;
    const char *p;
    char state;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return -ESRCH;
    text[n] = 0;
    /* The second field is the name in parentheses and may hold anything. */
    p = strrchr(text, ')');
    if (!p || sscanf(p + 1,
                     " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                     "%llu",
                     &state, &ticks) != 2)
        return -EIO;
    if (state == 'Z' || state == 'X')
        return -ESRCH;
    *start = ticks;
    return 0;
}

static bool record_alive(const struct record *r)
{
    uint64_t start = 0;
    int rc = process_start(r->pid, &start);

    if (rc == -ESRCH)
        return MUTANT(claim_outlives_its_process);
    /* Unreadable: better refuse than serve twice. */
    return rc != 0 || start == r->start;
}

/* ---- records ---- */

static int node_path(char path[STORE_PATH_BYTES], const char *record, const char *node)
{
    int n = snprintf(path, STORE_PATH_BYTES, "%s/%s", record, node);

    return n > 0 && n < STORE_PATH_BYTES ? 0 : -EINVAL;
}

/* A node's value, or "" when it is not there. */
static int read_or_empty(struct store *s, store_txn_t t, const char *record, const char *node,
                         char *value, size_t size)
{
    char path[STORE_PATH_BYTES];
    char *text = NULL;
    int rc = node_path(path, record, node);

    *value = 0;
    if (!rc)
        rc = store_read(s, t, path, &text);
    if (rc == -ENOENT)
        return 0;
    if (rc)
        return rc;
    snprintf(value, size, "%s", text);
    free(text);
    return 0;
}

static int parse_record_name(const char *name, struct record *r)
{
    char text[48];
    char *dash;

    if (strlen(name) >= sizeof(text))
        return -EINVAL;
    strcpy(text, name);
    dash = strchr(text, '-');
    if (!dash)
        return -EINVAL;
    *dash = 0;
    if (parse_u64(text, 1, INT32_MAX, &r->pid) || parse_u64(dash + 1, 0, UINT64_MAX, &r->start))
        return -EINVAL;
    return 0;
}

/* 1 when a bridge of the record has an address of one of our devices, or, when one of the two
 * claims whole windows, shares a bus or an address with one of our bridges. */
static int bridges_meet(struct claim *c, store_txn_t t, const struct record *r, bool whole)
{
    char path[STORE_PATH_BYTES];
    char **names = NULL;
    unsigned count = 0;
    int meet = 0;
    int rc = node_path(path, r->path, "bridge");

    if (!rc)
        rc = store_list(c->store, t, path, &names, &count);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    for (unsigned i = 0; i < count && !meet && !rc; i++) {
        char node[NODE_BYTES], text[256], why[HOST_BRIDGE_ERROR_BYTES];
        struct host_bridge pair[2];

        snprintf(node, sizeof(node), "bridge/%.60s", names[i]);
        rc = read_or_empty(c->store, t, r->path, node, text, sizeof(text));
        if (rc || host_bridge_parse(text, &pair[0], why))
            continue;
        for (unsigned k = 0; k < c->device_count && !meet; k++)
            meet = place_in_bridge(&c->devices[k], &pair[0]);
        for (unsigned k = 0; whole && k < c->bridge_count && !meet; k++) {
            pair[1] = c->bridges[k];
            meet = host_bridge_list_check(pair, 2, why) != 0;
        }
    }
    free(names);
    return rc ? rc : meet;
}

static bool meets_ours(const struct claim *c, const struct place *theirs)
{
    for (unsigned i = 0; i < c->device_count; i++)
        if (place_meets(theirs, &c->devices[i]))
            return true;
    for (unsigned i = 0; i < c->bridge_count; i++)
        if (place_in_bridge(theirs, &c->bridges[i]))
            return true;
    return false;
}

/* 1 when a device of the record cannot be there with ours. */
static int devices_meet(struct claim *c, store_txn_t t, const struct record *r)
{
    char path[STORE_PATH_BYTES];
    char **names = NULL;
    unsigned count = 0;
    int rc = node_path(path, r->path, "device");
    int meet = 0;

    if (!rc)
        rc = store_list(c->store, t, path, &names, &count);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    for (unsigned i = 0; i < count && !meet && !rc; i++) {
        char node[NODE_BYTES], value[PLACE_NODE_BYTES];
        struct place theirs;

        snprintf(node, sizeof(node), "device/%.60s", names[i]);
        rc = read_or_empty(c->store, t, r->path, node, value, sizeof(value));
        if (!rc && !place_node_parse(&theirs, names[i], value))
            meet = meets_ours(c, &theirs);
    }
    free(names);
    return rc ? rc : meet;
}

static int records_meet(struct claim *c, store_txn_t t, const struct record *r)
{
    char kind[16];
    int rc = read_or_empty(c->store, t, r->path, "claim", kind, sizeof(kind));
    bool whole = c->kind == BRIDGE_CLAIM_WINDOW || !strcmp(kind, kind_name(BRIDGE_CLAIM_WINDOW));

    if (!rc)
        rc = bridges_meet(c, t, r, whole);
    return rc ? rc : devices_meet(c, t, r);
}

/* 1 when the record claims windows, and those of our bridges, in our order. */
static int same_windows(struct claim *c, store_txn_t t, const struct record *r)
{
    char node[NODE_BYTES], text[256], ours[256];
    int rc = read_or_empty(c->store, t, r->path, "claim", text, sizeof(text));

    if (rc)
        return rc;
    if (c->kind != BRIDGE_CLAIM_WINDOW || strcmp(text, kind_name(c->kind)))
        return 0;
    /* One further than ours: it must not be there. */
    for (unsigned i = 0; i <= c->bridge_count; i++) {
        snprintf(node, sizeof(node), "bridge/%u", i);
        rc = read_or_empty(c->store, t, r->path, node, text, sizeof(text));
        if (rc)
            return rc;
        *ours = 0;
        if (i < c->bridge_count)
            (void)host_bridge_format(&c->bridges[i], ours, sizeof(ours));
        if (strcmp(text, ours))
            return 0;
    }
    return 1;
}

/*
 * Inherit from a dead process. Only one of its servers can be taken over for ours; should there
 * be more (somebody splits and merges backends while they crash), the others stay recorded, and
 * Xen destroys them with the domain.
 */
static int inherit(struct claim *c, store_txn_t t, const struct record *r)
{
    char path[STORE_PATH_BYTES];
    uint64_t id;
    int rc = node_path(path, r->path, "ioreq-server");

    if (!rc)
        rc = store_read_u64(c->store, t, path, 0, UINT16_MAX, &id);
    if (rc == 0 && c->heritage.adopt_id == IOREQ_ADOPT_NONE) {
        c->heritage.adopt_id = (int)id;
        rc = same_windows(c, t, r);
        if (rc < 0)
            return rc;
        c->heritage.same_windows = rc != 0;
        log_info("process %" PRIu64 " has died: its IOREQ server %d is taken over", r->pid,
                 c->heritage.adopt_id);
    } else if (rc == 0) {
        return 0;
    } else if (rc != -ENOENT && rc != -EINVAL && rc != -ERANGE) {
        return rc;
    }
    return store_remove(c->store, t, r->path);
}

/* Look at all records but ours: 0, or -EBUSY. */
static int examine(struct claim *c, store_txn_t t, bool may_inherit)
{
    char **names = NULL;
    unsigned count = 0;
    int rc = store_list(c->store, t, c->base, &names, &count);

    if (rc)
        return rc == -ENOENT ? 0 : rc;
    for (unsigned i = 0; i < count && !rc; i++) {
        struct record r;
        char vm[sizeof(c->vm)];
        int meet;

        if (!strcmp(names[i], c->name))
            continue;
        snprintf(r.path, sizeof(r.path), "%s/%.100s", c->base, names[i]);
        if (parse_record_name(names[i], &r))
            continue;
        rc = read_or_empty(c->store, t, r.path, "vm", vm, sizeof(vm));
        if (rc)
            break;
        if (!record_alive(&r) && strcmp(vm, c->vm)) {
            /* Of an earlier domain with this id; its servers went with it. */
            rc = store_remove(c->store, t, r.path);
            continue;
        }
        meet = records_meet(c, t, &r);
        if (meet <= 0) {
            rc = meet;
        } else if (record_alive(&r)) {
            snprintf(c->error, CLAIM_ERROR_BYTES,
                     "process %" PRIu64 " serves this %s of the domain already (%.200s)", r.pid,
                     c->kind == BRIDGE_CLAIM_WINDOW && c->bridge_count ? "host bridge" : "device",
                     r.path);
            rc = MUTANT(claim_ignored) ? 0 : -EBUSY;
        } else if (may_inherit) {
            rc = inherit(c, t, &r);
        }
    }
    free(names);
    return rc;
}

static int write_node(struct claim *c, store_txn_t t, const char *node, const char *value)
{
    char path[STORE_PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%s/%s", c->base, c->name, node);
    return store_write(c->store, t, path, value);
}

static int write_devices(struct claim *c, store_txn_t t)
{
    int rc = 0;

    for (unsigned i = 0; i < c->device_count && !rc; i++) {
        char name[PLACE_NODE_BYTES], value[PLACE_NODE_BYTES], node[sizeof(name) + 8];

        place_node_format(&c->devices[i], name, value);
        snprintf(node, sizeof(node), "device/%s", name);
        rc = write_node(c, t, node, value);
    }
    return rc;
}

static int take_body(struct store *s, store_txn_t t, void *user)
{
    struct claim *c = user;
    char text[160], node[32];
    int rc;

    c->heritage = (struct claim_heritage){.adopt_id = IOREQ_ADOPT_NONE};
    rc = examine(c, t, true);
    if (!rc)
        rc = write_node(c, t, "vm", c->vm);
    if (!rc)
        rc = write_node(c, t, "claim", kind_name(c->kind));
    for (unsigned i = 0; i < c->bridge_count && !rc; i++) {
        rc = host_bridge_format(&c->bridges[i], text, sizeof(text));
        if (rc < 0)
            break;
        snprintf(node, sizeof(node), "bridge/%u", i);
        rc = write_node(c, t, node, text);
    }
    if (!rc)
        rc = write_devices(c, t);
    if (!rc && c->heritage.adopt_id != IOREQ_ADOPT_NONE) {
        snprintf(text, sizeof(text), "%d", c->heritage.adopt_id);
        rc = write_node(c, t, "ioreq-server", text);
    }
    return rc;
}

static int add_body(struct store *s, store_txn_t t, void *user)
{
    struct claim *c = user;
    int rc = examine(c, t, false);

    return rc ? rc : write_devices(c, t);
}

static void explain(struct claim *c, int rc)
{
    if (rc && !*c->error)
        snprintf(c->error, CLAIM_ERROR_BYTES, "Xenstore: %.400s", store_error(c->store));
}

int claim_take(const struct claim_config *config, struct claim **out,
               struct claim_heritage *heritage, char error[CLAIM_ERROR_BYTES])
{
    struct claim *c = calloc(1, sizeof(*c));
    uint64_t start = 0;
    int rc;

    *error = 0;
    if (!c) {
        snprintf(error, CLAIM_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    c->store = config->store;
    c->kind = config->kind;
    c->bridge_count = config->bridge_count < BRIDGES_MAX ? config->bridge_count : BRIDGES_MAX;
    memcpy(c->bridges, config->bridges, c->bridge_count * sizeof(*c->bridges));
    c->devices = config->devices;
    c->device_count = config->device_count;
    c->error = error;
    rc = process_start((uint64_t)getpid(), &start);
    if (rc) {
        snprintf(error, CLAIM_ERROR_BYTES, "/proc/self/stat: %s", strerror(-rc));
        goto out;
    }
    snprintf(c->base, sizeof(c->base), "/local/domain/%u/data/ringproof/%u", config->own_domid,
             config->domid);
    snprintf(c->name, sizeof(c->name), "%d-%" PRIu64, (int)getpid(), start);
    {
        char home[64];

        snprintf(home, sizeof(home), "/local/domain/%u", config->domid);
        rc = read_or_empty(c->store, STORE_DIRECT, home, "vm", c->vm, sizeof(c->vm));
        /* A driver domain may not read it: then domids alone tell domains apart. */
        if (rc == -EACCES)
            rc = 0;
    }
    if (!rc)
        rc = store_transact(c->store, take_body, c);
    explain(c, rc);
    c->devices = NULL;
    c->device_count = 0;
    c->error = NULL;
    *heritage = c->heritage;
out:
    if (rc)
        free(c);
    else
        *out = c;
    return rc;
}

int claim_set_server(struct claim *c, uint16_t id, char error[CLAIM_ERROR_BYTES])
{
    char text[8];
    int rc;

    *error = 0;
    c->error = error;
    snprintf(text, sizeof(text), "%u", id);
    rc = write_node(c, STORE_DIRECT, "ioreq-server", text);
    explain(c, rc);
    c->error = NULL;
    return rc;
}

int claim_add_device(struct claim *c, const struct place *at, char error[CLAIM_ERROR_BYTES])
{
    int rc;

    *error = 0;
    c->error = error;
    c->devices = at;
    c->device_count = 1;
    rc = store_transact(c->store, add_body, c);
    explain(c, rc);
    c->devices = NULL;
    c->device_count = 0;
    c->error = NULL;
    return rc;
}

void claim_drop_device(struct claim *c, const struct place *at)
{
    char path[STORE_PATH_BYTES], name[PLACE_NODE_BYTES], value[PLACE_NODE_BYTES];

    place_node_format(at, name, value);
    snprintf(path, sizeof(path), "%s/%s/device/%s", c->base, c->name, name);
    (void)store_remove(c->store, STORE_DIRECT, path);
}

/* Our record, and the folder of the domain's records with the last of them. */
static int release_body(struct store *s, store_txn_t t, void *user)
{
    const struct claim *c = user;
    char path[STORE_PATH_BYTES];
    char **names = NULL;
    unsigned count = 0;
    int rc;

    snprintf(path, sizeof(path), "%s/%s", c->base, c->name);
    rc = store_remove(s, t, path);
    if (!rc)
        rc = store_list(s, t, c->base, &names, &count);
    free(names);
    if (!rc && count == 0)
        rc = store_remove(s, t, c->base);
    return rc;
}

void claim_release(struct claim *c, bool keep_record)
{
    if (!c)
        return;
    if (!keep_record && store_transact(c->store, release_body, c))
        log_debug("%s", store_error(c->store));
    free(c);
}
