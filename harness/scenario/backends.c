/* SPDX-License-Identifier: MIT */
/* The keys backends and host-bridges, and which of them has what. */
#include <stdio.h>
#include <string.h>

#include "scenario/keys.h"
#include "util/parse.h"

static int read_backend(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"name", "domain", "start", NULL};
    static const char *const domains[] = {"dom0", "driver", NULL};
    static const char *const starts[] = {"first", "late", NULL};
    struct scenario *s = r->s;
    unsigned domain = BACKEND_DRIVER, late = 0;
    int ret = reader_want(r, n, DOC_MAP, "a backend");

    if (!ret)
        ret = reader_check_keys(r, n, known);
    if (ret)
        return ret;
    if (s->backend_count == SCENARIO_BACKENDS_MAX - 1)
        return reader_refuse_at(r, n, "more than %u backends", SCENARIO_BACKENDS_MAX);
    const struct doc_node *name = doc_get(n, "name"), *c = doc_get(n, "domain");
    if (!name)
        return reader_refuse_at(r, n, "a backend needs a name");
    struct scenario_other *b = &s->backends[s->backend_count + 1];
    ret = reader_text(r, name, "name", &b->name);
    if (ret)
        return ret;
    s->backend_count++;
    if (reader_name_valid(b->name) || !strcmp(b->name, "backend"))
        return reader_refuse_at(
            r, name, "'%.64s' is no name of a backend (lower case, not 'backend')", b->name);
    for (unsigned i = 1; i < s->backend_count; i++)
        if (!strcmp(s->backends[i].name, b->name))
            return reader_refuse_at(r, name, "there is a backend of this name already");
    if (c)
        ret = reader_name(r, c, "domain", domains, &domain);
    c = doc_get(n, "start");
    if (!ret && c)
        ret = reader_name(r, c, "start", starts, &late);
    b->domain = (enum scenario_backend)domain;
    b->late = late != 0;
    return ret;
}

int keys_read_backends(struct reader *r, const struct doc_node *n)
{
    int ret = reader_want(r, n, DOC_LIST, "backends");

    for (const struct doc_node *c = n->first; !ret && c; c = c->next)
        ret = read_backend(r, c);
    return ret;
}

/* "0-15" */
static int read_buses(struct reader *r, const struct doc_node *n, struct scenario_bridge *b)
{
    uint64_t first = 0, last = 0;
    int ret = reader_want(r, n, DOC_SCALAR, "buses");

    if (ret)
        return ret;
    if (parse_interval(n->text, UINT8_MAX, &first, &last))
        return reader_refuse_at(r, n, "'%.64s' is no range of buses like 0-15", n->text);
    b->bus_first = (uint8_t)first;
    b->bus_last = (uint8_t)last;
    return 0;
}

static int read_bridge_backend(struct reader *r, const struct doc_node *n,
                               struct scenario_bridge *b)
{
    const struct scenario *s = r->s;
    int ret = reader_want(r, n, DOC_SCALAR, "backend");

    for (unsigned i = 1; !ret && i <= s->backend_count; i++)
        if (!strcmp(s->backends[i].name, n->text))
            b->backend = i;
    if (!ret && !b->backend)
        return reader_refuse_at(r, n, "'%.64s' is none of the scenario's backends", n->text);
    return ret;
}

static int read_bridge(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"segment", "buses", "backend", NULL};
    struct scenario *s = r->s;
    struct scenario_bridge b = {0};
    uint32_t segment = 0;
    int ret = reader_want(r, n, DOC_MAP, "a host bridge");

    if (!ret)
        ret = reader_check_keys(r, n, known);
    if (ret)
        return ret;
    if (s->bridge_count == SCENARIO_BRIDGES_MAX)
        return reader_refuse_at(r, n, "more than %u host bridges", SCENARIO_BRIDGES_MAX);
    const struct doc_node *c = doc_get(n, "segment");
    if (c)
        ret = reader_count(r, c, "segment", 0, UINT16_MAX, &segment);
    b.segment = (uint16_t)segment;
    c = doc_get(n, "buses");
    if (!ret && !c)
        return reader_refuse_at(r, n, "a host bridge needs buses");
    if (!ret)
        ret = read_buses(r, c, &b);
    c = doc_get(n, "backend");
    if (!ret && c)
        ret = read_bridge_backend(r, c, &b);
    for (unsigned i = 0; !ret && i < s->bridge_count; i++) {
        const struct scenario_bridge *o = &s->bridges[i];
        if (o->segment == b.segment && o->bus_first <= b.bus_last && b.bus_first <= o->bus_last)
            ret = reader_refuse_at(r, n, "another host bridge has one of these buses");
    }
    if (!ret)
        s->bridges[s->bridge_count++] = b;
    return ret;
}

int keys_read_bridges(struct reader *r, const struct doc_node *n)
{
    const struct scenario *s = r->s;
    unsigned buses = 0;
    int ret = reader_want(r, n, DOC_LIST, "host-bridges");

    for (const struct doc_node *c = n->first; !ret && c; c = c->next)
        ret = read_bridge(r, c);
    for (unsigned i = 0; i < s->bridge_count; i++)
        buses += s->bridges[i].bus_last - s->bridges[i].bus_first + 1u;
    if (!ret && buses > SCENARIO_BUSES_MAX)
        ret = reader_refuse_at(r, n, "more than %u buses in all", SCENARIO_BUSES_MAX);
    return ret;
}

/* The bridge that a place is behind; s->bridge_count: none. */
unsigned scenario_bridge_of(const struct scenario *s, const char *sbdf)
{
    unsigned segment = 0, bus = 0, i = 0;

    if (sscanf(sbdf, "%4x:%2x", &segment, &bus) != 2)
        return s->bridge_count;
    while (i < s->bridge_count && (s->bridges[i].segment != segment ||
                                   s->bridges[i].bus_first > bus || s->bridges[i].bus_last < bus))
        i++;
    return i;
}

bool scenario_bridge_late(const struct scenario *s, unsigned bridge)
{
    unsigned backend = s->bridges[bridge].backend;

    return backend && s->backends[backend].late;
}

const char *scenario_backend_name(const struct scenario *s, unsigned backend)
{
    return backend ? s->backends[backend].name : "backend";
}
