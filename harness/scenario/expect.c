/* SPDX-License-Identifier: MIT */
/* The key expect, and what can be expected. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "scenario/keys.h"
#include "scenario/units.h"

enum metric_unit { UNIT_NS, UNIT_BYTES, UNIT_COUNT };

static const struct {
    const char *name;
    enum metric_unit unit;
} metric_table[SCENARIO_METRICS] = {
    [METRIC_DURATION] = {"duration", UNIT_NS},    [METRIC_CHECKS] = {"checks", UNIT_COUNT},
    [METRIC_READ] = {"read", UNIT_BYTES},         [METRIC_WRITTEN] = {"written", UNIT_BYTES},
    [METRIC_RESTARTS] = {"restarts", UNIT_COUNT},
};

int keys_read_expect(struct reader *r, const struct doc_node *n)
{
    struct scenario *s = r->s;
    int ret = reader_want(r, n, DOC_MAP, "expect");

    if (ret)
        return ret;
    for (const struct doc_node *c = n->first; c; c = c->next) {
        const char *names[SCENARIO_METRICS + 1] = {0};
        char all[256];
        unsigned m = 0;
        while (m < SCENARIO_METRICS && strcmp(metric_table[m].name, c->key))
            m++;
        if (m == SCENARIO_METRICS) {
            for (unsigned i = 0; i < SCENARIO_METRICS; i++)
                names[i] = metric_table[i].name;
            reader_join_names(names, all, sizeof(all));
            return reader_refuse(r, c->key_line, c->key_column,
                                 "unknown metric '%.64s' (known: %s)", c->key, all);
        }
        ret = reader_want(r, c, DOC_SCALAR, "an expectation");
        if (ret)
            return ret;

        struct scenario_expect *e = &s->expect[s->expect_count];
        const char *t = c->text;
        e->metric = (enum scenario_metric)m;
        e->line = c->line;
        if (!strncmp(t, ">=", 2))
            e->relation = REL_AT_LEAST;
        else if (!strncmp(t, "<=", 2))
            e->relation = REL_AT_MOST;
        else if (!strncmp(t, "==", 2))
            e->relation = REL_EQUAL;
        else
            return reader_refuse_at(r, c, "an expectation begins with >=, <= or ==, not '%.64s'",
                                    t);
        t += 2;
        while (*t == ' ')
            t++;
        enum metric_unit unit = metric_table[m].unit;
        ret = unit == UNIT_NS      ? units_parse_ns(t, &e->value)
              : unit == UNIT_BYTES ? units_parse_bytes(t, &e->value)
                                   : units_parse_count(t, &e->value);
        if (ret)
            return reader_refuse_at(r, c, "'%.64s' is not %s", t,
                                    unit == UNIT_NS      ? "a time such as 1s"
                                    : unit == UNIT_BYTES ? "a size such as 1GiB"
                                                         : "a whole number");
        s->expect_count++;
        e->text = strdup(c->text);
        if (!e->text)
            return reader_no_memory(r);
    }
    return 0;
}

const char *scenario_metric_name(enum scenario_metric m)
{
    return metric_table[m].name;
}

bool scenario_expect_holds(const struct scenario_expect *e, uint64_t value)
{
    switch (e->relation) {
    case REL_AT_LEAST:
        return value >= e->value;
    case REL_AT_MOST:
        return value <= e->value;
    case REL_EQUAL:
        return value == e->value;
    }
    return false;
}

const char *scenario_metric_format(enum scenario_metric m, uint64_t value, char *buf, size_t size)
{
    switch (metric_table[m].unit) {
    case UNIT_NS:
        return units_format_ns(value, buf, size);
    case UNIT_BYTES:
        return units_format_bytes(value, buf, size);
    case UNIT_COUNT:
        break;
    }
    snprintf(buf, size, "%" PRIu64, value);
    return buf;
}
