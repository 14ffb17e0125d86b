/* SPDX-License-Identifier: MIT */
/* The key timeline. */
#include <string.h>

#include "scenario/keys.h"
#include "scenario/units.h"
#include "util/bits.h"

static const char *const when_names[] = {"start", NULL};

static const struct {
    const char *key, *object;
    enum scenario_action action;
} action_table[] = {
    {"kill", "backend", ACTION_KILL_BACKEND},       {"stop", "backend", ACTION_STOP_BACKEND},
    {"start", "backend", ACTION_START_BACKEND},     {"restart", "backend", ACTION_RESTART_BACKEND},
    {"upgrade", "backend", ACTION_UPGRADE_BACKEND}, {"pause", "domain", ACTION_PAUSE_DOMAIN},
    {"unpause", "domain", ACTION_UNPAUSE_DOMAIN},   {"pause", "guest", ACTION_PAUSE_GUEST},
    {"unpause", "guest", ACTION_UNPAUSE_GUEST},
};

/* An action on one of several: a backend by its name, a device by its place. */
static bool step_object(const struct scenario *s, const struct doc_node *what,
                        struct scenario_step *step)
{
    static const struct {
        const char *key;
        enum scenario_action action;
    } of_device[] = {{"attach", ACTION_ATTACH_DEVICE}, {"detach", ACTION_DETACH_DEVICE}};

    if (what->kind != DOC_SCALAR)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(of_device); i++) {
        if (strcmp(of_device[i].key, what->key))
            continue;
        step->action = of_device[i].action;
        for (step->object = 0; step->object < s->device_count; step->object++)
            if (s->devices[step->object].sbdf && !strcmp(s->devices[step->object].sbdf, what->text))
                return true;
        return false;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(action_table); i++) {
        if (strcmp(action_table[i].key, what->key) || strcmp(action_table[i].object, "backend"))
            continue;
        step->action = action_table[i].action;
        for (step->object = 1; step->object <= s->backend_count; step->object++)
            if (!strcmp(s->backends[step->object].name, what->text))
                return true;
    }
    step->object = 0;
    return false;
}

static int read_step(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {
        "at",          "after",  "after-accesses", "within-accesses", "config-read-of-bus",
        "times",       "kill",   "stop",           "start",           "restart",
        "upgrade",     "attach", "detach",         "pause",           "unpause",
        "after-bytes", NULL};
    struct scenario *s = r->s;
    const struct doc_node *when = NULL, *what = NULL;
    struct scenario_step step = {.line = n->line, .times = 1};
    uint64_t times = 1;
    unsigned v;
    int ret = reader_want(r, n, DOC_MAP, "a step of the timeline");

    if (!ret)
        ret = reader_check_keys(r, n, known);
    if (ret)
        return ret;
    if (s->timeline_count == SCENARIO_TIMELINE_MAX)
        return reader_refuse_at(r, n, "more than %u steps", SCENARIO_TIMELINE_MAX);

    for (const struct doc_node *c = n->first; c; c = c->next) {
        bool is_when = !strcmp(c->key, "at") || !strncmp(c->key, "after", 5) ||
                       !strcmp(c->key, "within-accesses") || !strcmp(c->key, "config-read-of-bus");
        if (!strcmp(c->key, "times")) {
            ret = reader_number(r, c, "times", units_parse_count, "a whole number", 1,
                                SCENARIO_TIMES_MAX, &times);
            if (ret)
                return ret;
            continue;
        }
        const struct doc_node **slot = is_when ? &when : &what;
        if (*slot)
            return reader_refuse(r, c->key_line, c->key_column,
                                 "a step has one time and one action");
        *slot = c;
    }
    if (!when || !what)
        return reader_refuse_at(r, n,
                                "a step needs a time (at, after, after-accesses) and an action");

    if (!strcmp(when->key, "at")) {
        step.when = WHEN_START;
        ret = reader_name(r, when, "time", when_names, &v);
        if (!ret && s->timeline_count)
            ret = reader_refuse_at(r, when, "only the first step can be at the start");
    } else if (!strcmp(when->key, "after")) {
        step.when = WHEN_AFTER;
        ret = reader_number(r, when, "after", units_parse_ns, "a time such as 200ms", 0,
                            3600ull * 1000000000, &step.amount);
    } else if (!strcmp(when->key, "config-read-of-bus")) {
        step.when = WHEN_CONFIG_READ;
        ret = reader_number(r, when, when->key, units_parse_count, "a whole number", 0, 255,
                            &step.amount);
    } else if (!strcmp(when->key, "after-bytes")) {
        step.when = WHEN_BYTES;
        ret = reader_number(r, when, when->key, units_parse_bytes, "a size such as 4MiB", 1,
                            1ull << 40, &step.amount);
    } else {
        step.when = !strcmp(when->key, "within-accesses") ? WHEN_WITHIN : WHEN_ACCESSES;
        ret = reader_number(r, when, when->key, units_parse_count, "a whole number", 1, 1ull << 40,
                            &step.amount);
    }
    if (ret)
        return ret;

    step.times = (unsigned)times;
    if (step_object(s, what, &step)) {
        s->timeline[s->timeline_count++] = step;
        return 0;
    }

    const char *objects[ARRAY_LENGTH(action_table) + 1] = {NULL};
    enum scenario_action actions[ARRAY_LENGTH(action_table)];
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(action_table); i++) {
        if (strcmp(action_table[i].key, what->key))
            continue;
        actions[count] = action_table[i].action;
        objects[count++] = action_table[i].object;
    }
    if (!count) /* attach, detach */
        return reader_refuse_at(r, what, "'%.64s' is the place of no device", what->text);
    ret = reader_name(r, what, "object", objects, &v);
    if (ret)
        return ret;
    step.object = 0;
    step.action = actions[v];
    s->timeline[s->timeline_count++] = step;
    return 0;
}

int keys_read_timeline(struct reader *r, const struct doc_node *n)
{
    int ret = reader_want(r, n, DOC_LIST, "timeline");

    for (const struct doc_node *c = n->first; !ret && c; c = c->next)
        ret = read_step(r, c);
    return ret;
}

bool scenario_kills_backend(const struct scenario *s)
{
    for (unsigned i = 0; i < s->timeline_count; i++)
        if (s->timeline[i].action == ACTION_KILL_BACKEND ||
            s->timeline[i].action == ACTION_RESTART_BACKEND ||
            s->timeline[i].action == ACTION_UPGRADE_BACKEND)
            return true;
    return false;
}
