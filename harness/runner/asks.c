/* SPDX-License-Identifier: MIT */
#include "runner/asks.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "runner/host_ends.h"
#include "runner/wire_end.h"
#include "util/bits.h"

#define SECOND_END_NS 2000000000u
#define OVERLAY_BYTES 4096u

static int backend_start(struct session *s, const json_t *args, json_t **value)
{
    int ret = session_backend_start(s);

    s->backend_touched = true;
    if (!ret)
        s->backends[s->cell->selected].down = false;
    return ret;
}

static int backend_stop(struct session *s, const json_t *args, json_t **value)
{
    s->backend_touched = s->backends[s->cell->selected].down = true;
    return testbed_backend_stop(s->cell);
}

static int backend_kill(struct session *s, const json_t *args, json_t **value)
{
    s->backend_touched = s->backends[s->cell->selected].down = true;
    return testbed_backend_kill(s->cell);
}

static int backend_restart(struct session *s, const json_t *args, json_t **value)
{
    int ret = backend_kill(s, args, value);

    return ret ? ret : backend_start(s, args, value);
}

/* Another process with the same arguments, beside the one that runs: does it begin to serve? */
static int backend_second(struct session *s, const json_t *args, json_t **value)
{
    struct testbed_cell *c = s->cell;
    struct process first = c->backend;
    unsigned starts = c->backend_starts;

    if (!process_running(&first))
        return testbed_fail(c, -ESRCH, "there is no first backend");
    c->backend = PROCESS_INIT;
    int ret = c->ops->backend_start(c);
    *value = json_pack("{s:b, s:s}", "serves", ret == 0, "why", c->why);
    process_end(&c->backend, SIGTERM, SECOND_END_NS);
    c->backend = first;
    c->backend_starts = starts;
    c->why[0] = 0;
    return 0;
}

static int backend_alive(struct session *s, const json_t *args, json_t **value)
{
    *value = json_pack("{s:b}", "alive", process_running(&s->cell->backend));
    return 0;
}

static int backend_audit(struct session *s, const json_t *args, json_t **value)
{
    struct testbed_audit a;
    int ret = testbed_backend_audit(s->cell, &a);

    if (!ret)
        *value = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "grants_mapped",
                           (json_int_t)a.grants_mapped, "foreign_frames",
                           (json_int_t)a.foreign_frames, "resource_frames",
                           (json_int_t)a.resource_frames, "ports", (json_int_t)a.ports, "ioservers",
                           (json_int_t)a.ioservers, "fds", (json_int_t)a.fds);
    return ret;
}

static int store_read(struct session *s, const json_t *args, json_t **value)
{
    const char *path = json_string_value(json_object_get(args, "path"));
    char *text;

    if (!path)
        return testbed_fail(s->cell, -EINVAL, "store.read needs a path");
    int ret = s->cell->ops->store_read(s->cell, path, &text);
    if (!ret)
        *value = json_pack("{s:s}", "value", text);
    if (!ret)
        free(text);
    return ret;
}

static int store_write(struct session *s, const json_t *args, json_t **value)
{
    const char *path = json_string_value(json_object_get(args, "path"));
    const char *text = json_string_value(json_object_get(args, "value"));

    if (!path || !text)
        return testbed_fail(s->cell, -EINVAL, "store.write needs a path and a value");
    return s->cell->ops->store_write(s->cell, path, text);
}

static int store_halt(struct session *s, enum testbed_store store)
{
    const struct testbed_ops *ops = s->cell->ops;

    return ops->store_halt ? ops->store_halt(s->cell, store)
                           : testbed_fail(s->cell, -EOPNOTSUPP, "not supported: xenstored runs");
}

static int store_pause(struct session *s, const json_t *args, json_t **value)
{
    return store_halt(s, STORE_PAUSED);
}

static int store_unpause(struct session *s, const json_t *args, json_t **value)
{
    return store_halt(s, STORE_RUNS);
}

static int store_end(struct session *s, const json_t *args, json_t **value)
{
    return store_halt(s, STORE_ENDED);
}

static int store_begin(struct session *s, const json_t *args, json_t **value)
{
    return store_halt(s, STORE_NEW);
}

static void console_info(const struct scenario_device *d, json_t *info)
{
    json_object_set_new(info, "ports", json_integer(d->ports));
    json_object_set_new(info, "cols", json_integer(d->cols));
    json_object_set_new(info, "rows", json_integer(d->rows));
    for (unsigned i = 1; i < d->ports; i++) {
        char key[16], name[TESTBED_PORT_NAME_BYTES];

        snprintf(key, sizeof(key), "name%u", i);
        json_object_set_new(info, key, json_string(testbed_port_name(i, name)));
    }
}

/* The device that `index` names; the first without it. */
static unsigned asked_device(const struct session *s, const json_t *args)
{
    json_int_t index = json_integer_value(json_object_get(args, "index"));

    return index > 0 && index < s->cell->plan.scenario->device_count ? (unsigned)index : 0;
}

/* Which backend of the cell is asked about: that of a device, or the one named; the first without.
 */
static int asked_backend(const struct session *s, const json_t *args, unsigned *backend)
{
    const struct scenario_cell *plan = &s->cell->plan;
    const char *name = json_string_value(json_object_get(args, "backend"));

    *backend = 0;
    if (json_object_get(args, "index"))
        *backend = scenario_cell_backend_of(plan, asked_device(s, args));
    if (!name)
        return 0;
    for (*backend = 0; *backend < scenario_cell_backends(plan); ++*backend)
        if (!strcmp(scenario_backend_name(plan->scenario, *backend), name))
            return 0;
    return testbed_fail(s->cell, -EINVAL, "there is no backend %.60s", name);
}

static int device_info(struct session *s, const json_t *args, json_t **value)
{
    static const char *const backings[] = {[BACKING_NONE] = "none",
                                           [BACKING_IMAGE] = "image",
                                           [BACKING_NULL] = "null",
                                           [BACKING_PATH] = "path"};
    const struct scenario_cell *plan = &s->cell->plan;
    const struct scenario *sc = plan->scenario;
    unsigned index = asked_device(s, args);
    const struct scenario_device *d = &sc->devices[index];
    char sbdf[TESTBED_SBDF_BYTES];
    char store[64] = ""; /* the device's folder, when its backend has it from there */

    if (!sc->device_count) {
        *value = json_pack("{s:i}", "count", 0);
        return 0;
    }
    if (plan->config == CONFIG_XENSTORE)
        snprintf(store, sizeof(store), "/local/domain/%u/backend/virtio/%u/%u",
                 s->cell->backend_domid, s->cell->ops->domid(s->cell), index);
    *value = json_pack("{s:i, s:s, s:s, s:b, s:i, s:i, s:s, s:b, s:I, s:s, s:s, s:s}", "count",
                       (int)sc->device_count, "type", scenario_device_type_name(d->type), "sbdf",
                       testbed_device_sbdf(s->cell, index, sbdf), "ro", d->ro, "queues",
                       (int)(plan->queues ? plan->queues : d->queues), "queue_size",
                       (int)(plan->queue_size ? plan->queue_size : d->queue_size), "serial",
                       d->serial ? d->serial : "", "filled", d->filled, "size_bytes",
                       (json_int_t)d->size_bytes, "backing", backings[d->backing], "store", store,
                       "told_key", plan->start == START_DOM0LESS ? TESTBED_TOLD_KEY : "");
    if (*value) {
        unsigned b = scenario_cell_backend_of(plan, index);
        json_object_set_new(*value, "backend", json_string(scenario_backend_name(sc, b)));
        json_object_set_new(*value, "domid", json_integer(s->cell->backend_domid));
        json_object_set_new(*value, "endpoint",
                            json_integer(d->has_endpoint ? (json_int_t)d->endpoint : -1));
        if (plan->transport == TRANSPORT_MMIO) {
            json_object_set_new(
                *value, "base",
                json_integer((json_int_t)testbed_map_mmio_base(&s->cell->map, index)));
            json_object_set_new(*value, "irq",
                                json_integer(testbed_map_mmio_line(&s->cell->map, index)));
        }
        json_object_set_new(*value, "holds", json_boolean(d->holds));
        json_object_set_new(*value, "late", json_boolean(sc->backends[b].late));
        const char *edits = plan->features ? plan->features : d->features;
        json_object_set_new(*value, "features", json_string(edits ? edits : ""));
    }
    if (*value)
        json_object_set_new(
            *value, "slot",
            json_integer(plan->announce == ANNOUNCE_SLOT_EVENT ? (json_int_t)index + 1 : 0));
    if (*value && d->type == DEVICE_CONSOLE)
        console_info(d, *value);
    if (*value && d->type == DEVICE_NET && d->wire == WIRE_TAP) {
        json_object_set_new(*value, "address", json_string(TESTBED_NET_FRONTEND));
        json_object_set_new(*value, "peer_address", json_string(TESTBED_NET_BACKEND));
    }
    return 0;
}

static int device_attach(struct session *s, const json_t *args, json_t **value)
{
    return testbed_device_attach(s->cell, asked_device(s, args),
                                 json_string_value(json_object_get(args, "type")));
}

static int device_detach(struct session *s, const json_t *args, json_t **value)
{
    return testbed_device_detach(s->cell, asked_device(s, args));
}

static int device_ask_back(struct session *s, const json_t *args, json_t **value)
{
    return testbed_device_ask_back(s->cell, asked_device(s, args));
}

static int device_hold(struct session *s, const json_t *args, json_t **value)
{
    return testbed_device_hold(s->cell, asked_device(s, args), true);
}

static int device_let_go(struct session *s, const json_t *args, json_t **value)
{
    return testbed_device_hold(s->cell, asked_device(s, args), false);
}

static int device_gone(struct session *s, const json_t *args, json_t **value)
{
    return testbed_device_wait_gone(s->cell, asked_device(s, args));
}

/* The bridge that the guest has not heard of yet: as it is, and as a guest with a device tree is
 * told of it. */
static int bridge_late(struct session *s, const json_t *args, json_t **value)
{
    const struct scenario_cell *plan = &s->cell->plan;
    const struct scenario *sc = plan->scenario;
    uint8_t overlay[OVERLAY_BYTES];
    char text[TESTBED_BRIDGE_BYTES], hex[2 * OVERLAY_BYTES + 1] = "";
    size_t bytes = sizeof(overlay);
    unsigned i = 0;
    int ret = 0;

    while (i < sc->bridge_count && !scenario_bridge_late(sc, i))
        i++;
    if (i == sc->bridge_count)
        return testbed_fail(s->cell, -ENOENT, "no host bridge comes late");
    if (plan->arch == ARCH_ARM)
        ret = testbed_read_overlay(s->cell, i, overlay, &bytes);
    else
        bytes = 0;
    if (ret)
        return ret;
    for (size_t b = 0; b < bytes; b++)
        snprintf(hex + 2 * b, 3, "%02x", overlay[b]);
    *value =
        json_pack("{s:s, s:s, s:s}", "bridge", testbed_map_bridge(&s->cell->map, i, text),
                  "overlay", hex, "backend", scenario_backend_name(sc, sc->bridges[i].backend));
    return 0;
}

static int domain_pause(struct session *s, const json_t *args, json_t **value)
{
    return s->cell->ops->domain_pause(s->cell, true);
}

/* Stopped, so that what the guest asks of it stays begun; domain.end lets it go on. */
static int backend_pause(struct session *s, const json_t *args, json_t **value)
{
    int ret;

    if (!s->cell->ops->backend_is_near)
        return testbed_fail(s->cell, -EOPNOTSUPP, "not supported: the backend is elsewhere");
    ret = process_signal(&s->cell->backend, SIGSTOP);
    return ret ? testbed_fail(s->cell, ret, "the backend cannot be stopped: %s", strerror(-ret))
               : 0;
}

static int domain_end(struct session *s, const json_t *args, json_t **value)
{
    static const char *const names[END_COUNT] = {
        [END_DESTROY] = "destroy", [END_CRASH] = "crash", [END_REBOOT] = "reboot"};
    const char *how = json_string_value(json_object_get(args, "how"));
    struct testbed_cell *c = s->cell;
    unsigned i = 0;
    int ret;

    while (i < END_COUNT && (!how || strcmp(names[i], how)))
        i++;
    if (i == END_COUNT)
        return testbed_fail(c, -EINVAL, "domain.end needs how");
    if (!c->ops->domain_end || c->plan.start == START_DOM0LESS)
        return testbed_fail(c, -EOPNOTSUPP, "not supported: the domain stays");
    ret = c->ops->domain_end(c, (enum testbed_end)i, &s->ended_domid);
    s->domain_ended = ret == 0;
    /* Whether it ends with its domain, or waits for the next one, is its own affair. */
    s->backends[c->selected].down |= ret == 0;
    (void)process_signal(&c->backend, SIGCONT);
    return ret;
}

static int domain_quota(struct session *s, const json_t *args, json_t **value)
{
    *value = json_pack("{s:I}", "mappings", (json_int_t)s->cell->plan.scenario->max_mappings);
    return 0;
}

/* As backend.start, but that it does not come up is an answer. */
static int backend_attempt(struct session *s, const json_t *args, json_t **value)
{
    struct testbed_cell *c = s->cell;
    const struct process *p = &c->backend;
    int ret = backend_start(s, args, value);
    bool error = ret == -ECHILD && WIFEXITED(p->status) && WEXITSTATUS(p->status);

    *value = json_pack("{s:s}", "end", ret == 0 ? "serves" : error ? "error" : c->why);
    c->why[0] = 0;
    return *value ? 0 : -ENOMEM;
}

static int quota_of(struct session *s, const json_t *args, uint32_t left)
{
    static const char *const names[SCARCE_COUNT] = {[SCARCE_PORTS] = "ports",
                                                    [SCARCE_GUEST_PORTS] = "guest-ports",
                                                    [SCARCE_NODES] = "nodes",
                                                    [SCARCE_WATCHES] = "watches",
                                                    [SCARCE_TRANSACTIONS] = "transactions"};
    const struct testbed_ops *ops = s->cell->ops;
    const char *what = json_string_value(json_object_get(args, "what"));

    if (!ops->domain_scarce)
        return testbed_fail(s->cell, -EOPNOTSUPP, "not supported: quotas are as they are");
    for (unsigned i = 0; what && i < SCARCE_COUNT; i++)
        if (!strcmp(names[i], what))
            return ops->domain_scarce(s->cell, (enum testbed_scarce)i, left);
    return testbed_fail(s->cell, -EINVAL, "there is no quota of %.40s", what ? what : "nothing");
}

static int quota_leave(struct session *s, const json_t *args, json_t **value)
{
    json_int_t left = json_integer_value(json_object_get(args, "left"));

    return quota_of(s, args, left > 0 && left < TESTBED_PLENTY ? (uint32_t)left : 0);
}

static int quota_restore(struct session *s, const json_t *args, json_t **value)
{
    return quota_of(s, args, TESTBED_PLENTY);
}

static int machine_use(struct session *s, const json_t *args, json_t **value)
{
    const struct testbed_ops *ops = s->cell->ops;
    struct testbed_use u;
    char text[512] = "";
    size_t used = 0;
    const char *name;
    uint64_t count;
    int ret = ops->use ? ops->use(s->cell, &u)
                       : testbed_fail(s->cell, -EOPNOTSUPP,
                                      "not supported: the machine cannot be looked into");

    for (unsigned i = 0; !ret && (name = testbed_use_member(&u, i, &count)); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s: %" PRIu64, i ? ", " : "",
                                 name, count);
    if (!ret)
        *value = json_pack("{s:s}", "all", text);
    return ret;
}

static int domain_costs(struct session *s, const json_t *args, json_t **value)
{
    struct testbed_costs k = {0};
    int ret;

    if (!s->cell->ops->domain_costs)
        return testbed_fail(s->cell, -EOPNOTSUPP, "not supported: nobody counts here");
    ret = s->cell->ops->domain_costs(s->cell, &k);
    if (!ret)
        *value =
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "traps", (json_int_t)k.traps,
                      "events", (json_int_t)k.events, "interrupts", (json_int_t)k.interrupts,
                      "pages_mapped", (json_int_t)k.pages_mapped, "pages_unmapped",
                      (json_int_t)k.pages_unmapped, "frames_mapped", (json_int_t)k.frames_mapped,
                      "copies", (json_int_t)k.copies, "bytes_copied", (json_int_t)k.bytes_copied);
    return ret;
}

static int domain_accesses(struct session *s, const json_t *args, json_t **value)
{
    uint64_t count;
    int ret = s->cell->ops->domain_accesses(s->cell, &count);

    if (!ret)
        *value = json_pack("{s:I}", "count", (json_int_t)count);
    return ret;
}

static int store_requests(struct session *s, const json_t *args, json_t **value)
{
    uint64_t count = 0;
    int ret = s->cell->ops->backend_store_requests
                  ? s->cell->ops->backend_store_requests(s->cell, &count)
                  : testbed_fail(s->cell, -EOPNOTSUPP, "not supported: nobody counts here");

    if (!ret)
        *value = json_pack("{s:I}", "count", (json_int_t)count);
    return ret;
}

static int domain_unpause(struct session *s, const json_t *args, json_t **value)
{
    return s->cell->ops->domain_pause(s->cell, false);
}

static const struct {
    const char *what;
    int (*handle)(struct session *s, const json_t *args, json_t **value);
    bool of_backend; /* needs one that the cell started */
} ask_table[] = {
    {"backend.start", backend_start, true},     {"backend.stop", backend_stop, true},
    {"backend.kill", backend_kill, true},       {"backend.restart", backend_restart, true},
    {"backend.second", backend_second, true},   {"backend.alive", backend_alive, false},
    {"backend.audit", backend_audit, true},     {"store.read", store_read, false},
    {"store.write", store_write, false},        {"device.info", device_info, false},
    {"console.open", host_end_open, true},      {"console.close", host_end_close, true},
    {"console.write", host_end_write, true},    {"console.read", host_end_read, true},
    {"console.manage", host_end_manage, true},  {"domain.pause", domain_pause, false},
    {"domain.unpause", domain_unpause, false},  {"net.send", wire_end_send, true},
    {"net.recv", wire_end_recv, true},          {"net.link", wire_end_link, true},
    {"device.attach", device_attach, true},     {"device.detach", device_detach, true},
    {"device.ask-back", device_ask_back, true}, {"device.gone", device_gone, true},
    {"domain.quota", domain_quota, false},      {"domain.costs", domain_costs, false},
    {"timeline.wait", timeline_wait, true},     {"store.pause", store_pause, false},
    {"store.unpause", store_unpause, false},    {"store.end", store_end, false},
    {"domain.accesses", domain_accesses, true}, {"store.requests", store_requests, true},
    {"bridge.late", bridge_late, true},         {"backend.attempt", backend_attempt, true},
    {"quota.leave", quota_leave, true},         {"quota.restore", quota_restore, true},
    {"machine.use", machine_use, true},         {"device.hold", device_hold, true},
    {"device.let-go", device_let_go, true},     {"backend.pause", backend_pause, true},
    {"domain.end", domain_end, true},           {"store.begin", store_begin, false},
};

void asks_handle(struct session *s, const struct wire_call *ask, struct wire_call *reply)
{
    for (size_t i = 0; i < ARRAY_LENGTH(ask_table); i++) {
        if (strcmp(ask_table[i].what, ask->name))
            continue;
        if (ask_table[i].of_backend && !s->cell->plan.scenario->device_count) {
            snprintf(reply->error, sizeof(reply->error), "not supported: the cell has no backend");
            return;
        }
        unsigned backend;
        s->cell->why[0] = 0;
        int ret = asked_backend(s, ask->args, &backend);
        if (!ret) {
            testbed_select(s->cell, backend);
            ret = ask_table[i].handle(s, ask->args, &reply->value);
            testbed_select(s->cell, 0);
        }
        reply->ok = ret == 0;
        if (ret)
            snprintf(reply->error, sizeof(reply->error), "%s",
                     s->cell->why[0] ? s->cell->why : strerror(-ret));
        return;
    }
    snprintf(reply->error, sizeof(reply->error), "not supported: %s", ask->name);
}
