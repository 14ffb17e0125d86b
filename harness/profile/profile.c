/* SPDX-License-Identifier: MIT */
#include "profile/profile.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario/doc.h"
#include "scenario/units.h"
#include "util/bits.h"

#define FEATURE_BIT_MAX 127u

struct reader {
    const char *path;
    struct profile *p;
    char *why;
    size_t why_size;
};

static const char *const arch_names[] = {"x86", "arm", NULL};
static const char *const transport_names[] = {"pci", "mmio", NULL};
static const char *const ring_names[] = {"split", "packed", NULL};
static const char *const addressing_names[] = {"grants", "foreign", NULL};
static const char *const topology_names[] = {"ioreq-only", "ioreq-functions", "ioreq-distributed",
                                             "hypervisor-bridge", NULL};
static const char *const testbed_names[] = {"sim", "qemu", "xen", NULL};
static const char *const device_names[] = {"blk", "rng", "console", "net", "iommu", NULL};
static const char *const keeps_names[] = {"nothing", "foreign", NULL};

/* ---- reading ---- */

static int refuse(struct reader *r, const struct doc_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(struct reader *r, const struct doc_node *n, const char *fmt, ...)
{
    va_list ap;
    int used = snprintf(r->why, r->why_size, "%s:%u:%u: ", r->path, n->line, n->column);

    if (used >= 0 && (size_t)used < r->why_size) {
        va_start(ap, fmt);
        vsnprintf(r->why + used, r->why_size - (size_t)used, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

static int no_memory(struct reader *r)
{
    snprintf(r->why, r->why_size, "%s: out of memory", r->path);
    return -ENOMEM;
}

static int want(struct reader *r, const struct doc_node *n, enum doc_kind kind, const char *what)
{
    if (n->kind == kind)
        return 0;
    return refuse(r, n, "%s has to be %s, not %s", what, doc_kind_name(kind),
                  doc_kind_name(n->kind));
}

/* A key of a map: what reads it, and whether it has to be there. */
struct key {
    const char *name;
    int (*read)(struct reader *r, const struct doc_node *n, void *to);
    void *to;
    bool needed;
};

static int read_map(struct reader *r, const struct doc_node *map, const char *what,
                    const struct key *keys)
{
    int ret = want(r, map, DOC_MAP, what);

    for (const struct doc_node *n = ret ? NULL : map->first; n; n = n->next) {
        const struct key *k = keys;

        while (k->name && strcmp(k->name, n->key))
            k++;
        if (!k->name)
            return refuse(r, n, "unknown key '%.64s' of %s", n->key, what);
        ret = k->read(r, n, k->to);
        if (ret)
            return ret;
    }
    for (const struct key *k = keys; !ret && k->name; k++)
        if (k->needed && !doc_get(map, k->name))
            return refuse(r, map, "%s needs the key '%s'", what, k->name);
    return ret;
}

static int read_text(struct reader *r, const struct doc_node *n, void *to)
{
    char **out = to;
    int ret = want(r, n, DOC_SCALAR, n->key ? n->key : "an entry");

    if (ret)
        return ret;
    if (!n->text[0])
        return refuse(r, n, "%s is empty", n->key ? n->key : "an entry");
    *out = strdup(n->text);
    return *out ? 0 : no_memory(r);
}

static int read_bool(struct reader *r, const struct doc_node *n, void *to)
{
    bool *out = to;
    int ret = want(r, n, DOC_SCALAR, n->key);

    if (ret)
        return ret;
    if (n->quoted || (strcmp(n->text, "true") && strcmp(n->text, "false")))
        return refuse(r, n, "%s has to be true or false", n->key);
    *out = !strcmp(n->text, "true");
    return 0;
}

static int read_name(struct reader *r, const struct doc_node *n, const char *const *names,
                     unsigned *value)
{
    int ret = want(r, n, DOC_SCALAR, n->key ? n->key : "an entry");

    for (*value = 0; !ret && names[*value]; (*value)++)
        if (!strcmp(names[*value], n->text))
            return 0;
    return ret ? ret : refuse(r, n, "'%.64s' is none of what is known here", n->text);
}

/* A list of names to a mask. */
static int read_mask(struct reader *r, const struct doc_node *n, const char *const *names,
                     unsigned *mask)
{
    unsigned bit;
    int ret = want(r, n, DOC_LIST, n->key);

    *mask = 0;
    if (!ret && !n->first)
        return refuse(r, n, "%s is empty", n->key);
    for (const struct doc_node *c = ret ? NULL : n->first; c; c = c->next) {
        ret = read_name(r, c, names, &bit);
        if (ret)
            return ret;
        if (*mask & 1u << bit)
            return refuse(r, c, "'%.64s' is listed twice", c->text);
        *mask |= 1u << bit;
    }
    return ret;
}

#define MASK_READER(name_)                                                                         \
    static int read_##name_##s(struct reader *r, const struct doc_node *n, void *to)               \
    {                                                                                              \
        return read_mask(r, n, name_##_names, to);                                                 \
    }
MASK_READER(arch)
MASK_READER(transport)
MASK_READER(ring)
MASK_READER(addressing)
MASK_READER(testbed)

static int read_topologies(struct reader *r, const struct doc_node *n, void *to)
{
    return read_mask(r, n, topology_names, to);
}

/* Names of its own, as there is one function for them and no table. */
static int read_discoveries(struct reader *r, const struct doc_node *n, void *to)
{
    const char *names[SCENARIO_DISCOVERIES + 1] = {0};

    for (unsigned i = 0; i < SCENARIO_DISCOVERIES; i++)
        names[i] = scenario_discovery_name((enum scenario_discovery)i);
    return read_mask(r, n, names, to);
}

static int read_keeps(struct reader *r, const struct doc_node *n, void *to)
{
    unsigned v = 0;
    int ret = read_name(r, n, keeps_names, &v);

    *(enum profile_keeps *)to = (enum profile_keeps)v;
    return ret;
}

static int read_unsigned(struct reader *r, const struct doc_node *n, uint64_t max, uint64_t *out)
{
    int ret = want(r, n, DOC_SCALAR, n->key ? n->key : "an entry");
    char *end;

    if (ret)
        return ret;
    errno = 0;
    *out = strtoull(n->text, &end, 0);
    if (errno || !isdigit((unsigned char)n->text[0]) || n->quoted || *end || *out > max)
        return refuse(r, n, "'%.64s' is no number up to 0x%llx", n->text, (unsigned long long)max);
    return 0;
}

static int read_address(struct reader *r, const struct doc_node *n, void *to)
{
    return read_unsigned(r, n, UINT64_MAX >> 1, to);
}

static int read_bytes(struct reader *r, const struct doc_node *n, void *to)
{
    int ret = want(r, n, DOC_SCALAR, n->key);

    if (!ret && (n->quoted || units_parse_bytes(n->text, to) || !*(uint64_t *)to))
        return refuse(r, n, "%s has to be a size such as 16MiB", n->key);
    return ret;
}

static int read_bus(struct reader *r, const struct doc_node *n, void *to)
{
    uint64_t v = 0;
    int ret = read_unsigned(r, n, 255, &v);

    *(uint8_t *)to = (uint8_t)v;
    return ret;
}

/* ---- templates ---- */

/* The end of the placeholder that begins at `at` ("{name" or "{name?text"), or NULL. */
static const char *placeholder_end(const char *at)
{
    const char *c = at + 1;

    while (islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-' || *c == '.')
        c++;
    if (c == at + 1)
        return NULL;
    if (*c == '?')
        while (*c && *c != '}' && *c != '{')
            c++;
    return *c == '}' ? c : NULL;
}

static bool template_valid(const char *word)
{
    for (const char *c = word; *c; c++) {
        if ((*c == '{' || *c == '}') && c[1] == *c) {
            c++;
        } else if (*c == '{') {
            c = placeholder_end(c);
            if (!c)
                return false;
        } else if (*c == '}') {
            return false;
        }
    }
    return true;
}

static int read_template(struct reader *r, const struct doc_node *n, void *to)
{
    int ret = read_text(r, n, to);

    if (!ret && !template_valid(n->text))
        return refuse(r, n, "'%.64s': a placeholder is {name} or {name?text}, a brace is {{ or }}",
                      n->text);
    return ret;
}

static int read_words(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile_words *w = to;
    int ret = want(r, n, DOC_LIST, n->key);

    if (ret)
        return ret;
    if (!n->first || doc_count(n) > PROFILE_WORDS_MAX)
        return refuse(r, n, "%s has to have 1 to %u words", n->key, PROFILE_WORDS_MAX);
    w->words = calloc(doc_count(n), sizeof(*w->words));
    if (!w->words)
        return no_memory(r);
    for (const struct doc_node *c = n->first; !ret && c; c = c->next) {
        ret = read_template(r, c, &w->words[w->count]);
        w->count += w->words[w->count] != NULL;
    }
    return ret;
}

struct output {
    char *text;
    size_t used, room;
    bool failed;
};

static void put(struct output *o, const char *text, size_t n)
{
    if (o->failed)
        return;
    if (o->used + n + 1 > o->room) {
        size_t room = 2 * (o->used + n + 1);
        char *more = realloc(o->text, room);

        if (!more) {
            o->failed = true;
            return;
        }
        o->text = more;
        o->room = room;
    }
    memcpy(o->text + o->used, text, n);
    o->used += n;
    o->text[o->used] = 0;
}

/* {name?text}: the text, with the value for each '@'. */
static void put_optional(struct output *o, const char *text, const char *end, const char *value)
{
    for (const char *c = text; value && c < end; c++)
        if (*c == '@')
            put(o, value, strlen(value));
        else
            put(o, c, 1);
}

char *profile_expand(const char *word, profile_lookup *lookup, void *ctx, int *err, char *missing,
                     size_t missing_size)
{
    struct output o = {0};

    put(&o, "", 0);
    for (const char *c = word; *c && !o.failed; c++) {
        char name[64];

        if (*c == '{' && c[1] != '{') {
            const char *end = placeholder_end(c),
                       *text = end ? memchr(c, '?', (size_t)(end - c)) : NULL;

            if (!end)
                break;
            snprintf(name, sizeof(name), "%.*s", (int)((text ? text : end) - c - 1), c + 1);
            const char *value = lookup(ctx, name);
            if (text) {
                put_optional(&o, text + 1, end, value);
            } else if (value) {
                put(&o, value, strlen(value));
            } else {
                snprintf(missing, missing_size, "%s", name);
                *err = -ENOENT;
                free(o.text);
                return NULL;
            }
            c = end;
            continue;
        }
        put(&o, c, 1);
        c += (*c == '{' || *c == '}') && c[1] == *c;
    }
    *err = o.failed ? -ENOMEM : 0;
    if (!o.failed)
        return o.text;
    free(o.text);
    return NULL;
}

bool profile_takes(const struct profile_words *w, const char *name)
{
    size_t n = strlen(name);

    for (unsigned i = 0; i < w->count; i++)
        for (const char *c = w->words[i]; *c; c++) {
            if (*c != '{')
                continue;
            if (c[1] == '{')
                c++;
            else if (!strncmp(c + 1, name, n) && (c[1 + n] == '}' || c[1 + n] == '?'))
                return true;
        }
    return false;
}

/* ---- parts ---- */

static int read_ready(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile *p = to;
    const struct key keys[] = {{"xenstore", read_template, &p->ready_path, true},
                               {"value", read_text, &p->ready_value, true},
                               {0}};

    if (n->kind == DOC_SCALAR && !strcmp(n->text, "fd")) {
        p->ready = READY_FD;
        return 0;
    }
    if (n->kind == DOC_SCALAR)
        return refuse(r, n, "ready is 'fd', or a map of xenstore and value");
    p->ready = READY_STORE;
    return read_map(r, n, "ready", keys);
}

static int read_features(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile_device *d = to;
    uint64_t bit = 0;
    int ret = want(r, n, DOC_LIST, n->key);

    for (const struct doc_node *c = ret ? NULL : n->first; c; c = c->next) {
        ret = read_unsigned(r, c, FEATURE_BIT_MAX, &bit);
        if (ret)
            return ret;
        if (d->feature_count == PROFILE_FEATURES_MAX)
            return refuse(r, c, "more than %u feature bits", PROFILE_FEATURES_MAX);
        d->features[d->feature_count++] = (uint8_t)bit;
    }
    return ret;
}

static int read_device(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile_device *d = to;
    const struct key keys[] = {
        {"arguments", read_words, &d->arguments, true}, {"features", read_features, d, true}, {0}};

    d->claimed = true;
    return read_map(r, n, "a device", keys);
}

static int read_devices(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile *p = to;
    struct key keys[PROFILE_DEVICE_TYPES + 1] = {0};

    for (unsigned i = 0; i < PROFILE_DEVICE_TYPES; i++)
        keys[i] = (struct key){device_names[i], read_device, &p->devices[i], false};
    int ret = read_map(r, n, "devices", keys);
    return !ret && !n->first ? refuse(r, n, "devices is empty") : ret;
}

static int read_backend(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile *p = to;
    const struct key keys[] = {{"command", read_words, &p->command, true},
                               {"version", read_words, &p->version, false},
                               {"ready", read_ready, p, true},
                               {"ends-by-signal", read_bool, &p->ends_by_signal, false},
                               {"devices", read_devices, p, true},
                               {0}};
    int ret = read_map(r, n, "backend", keys);

    if (!ret)
        p->program = strdup(p->command.words[0]);
    return !ret && !p->program ? no_memory(r) : ret;
}

static int read_addresses(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile_map *m = to;
    const struct key keys[] = {{"ecam-base", read_address, &m->ecam_base, true},
                               {"ecam-size", read_bytes, &m->ecam_bytes, true},
                               {"bus-last", read_bus, &m->bus_last, true},
                               {"mem-base", read_address, &m->mem_base, true},
                               {"mem-size", read_bytes, &m->mem_bytes, true},
                               {0}};
    int ret = read_map(r, n, "addresses", keys);

    if (!ret && m->ecam_bytes < ((uint64_t)m->bus_last + 1) << 20)
        return refuse(r, n, "ecam-size has to be 1MiB for each bus up to bus-last");
    m->given = !ret;
    return ret;
}

static int read_claims(struct reader *r, const struct doc_node *n, void *to)
{
    struct profile *p = to;
    const struct key keys[] = {{"arch", read_archs, &p->archs, true},
                               {"transport", read_transports, &p->transports, true},
                               {"ring", read_rings, &p->rings, true},
                               {"addressing", read_addressings, &p->addressings, true},
                               {"topology", read_topologies, &p->topologies, true},
                               {"testbeds", read_testbeds, &p->testbeds, true},
                               {"discovery", read_discoveries, &p->discoveries, false},
                               {"keeps", read_keeps, &p->keeps, false},
                               {"restarts", read_bool, &p->restarts, false},
                               {"intx", read_bool, &p->intx, false},
                               {0}};

    return read_map(r, n, "claims", keys);
}

/* One text for all checks of an entry: each has a copy. */
static int add_deviation(struct reader *r, const struct doc_node *check,
                         const struct profile_deviation *d)
{
    struct profile *p = r->p;
    const struct profile_deviation *before;
    int ret = want(r, check, DOC_SCALAR, "a check's name");

    if (ret)
        return ret;
    before = profile_deviation(p, check->text);
    if (before)
        return refuse(r, check, "a deviation of '%.64s' is in line %u already", check->text,
                      before->line);
    if (p->deviation_count == PROFILE_DEVIATIONS_MAX)
        return refuse(r, check, "more than %u deviations", PROFILE_DEVIATIONS_MAX);
    struct profile_deviation *more =
        reallocarray(p->deviations, p->deviation_count + 1, sizeof(*more));
    if (!more)
        return no_memory(r);
    p->deviations = more;
    more += p->deviation_count++;
    *more = (struct profile_deviation){.check = strdup(check->text),
                                       .reason = strdup(d->reason),
                                       .where = strdup(d->where ? d->where : ""),
                                       .effect = strdup(d->effect ? d->effect : ""),
                                       .link = strdup(d->link),
                                       .line = check->line};
    return more->check && more->reason && more->where && more->effect && more->link ? 0
                                                                                    : no_memory(r);
}

static void deviation_fini(struct profile_deviation *d)
{
    free(d->check);
    free(d->reason);
    free(d->where);
    free(d->effect);
    free(d->link);
}

static int keep_node(struct reader *r, const struct doc_node *n, void *to)
{
    const struct doc_node **out = to;

    *out = n;
    return want(r, n, DOC_LIST, n->key);
}

static int read_deviation(struct reader *r, const struct doc_node *n)
{
    struct profile_deviation d = {.line = 0};
    const struct doc_node *checks = NULL;
    const struct key keys[] = {
        {"checks", keep_node, &checks, true},  {"reason", read_text, &d.reason, true},
        {"where", read_text, &d.where, false}, {"effect", read_text, &d.effect, false},
        {"link", read_text, &d.link, true},    {0}};
    int ret = read_map(r, n, "a deviation", keys);

    if (!ret && strncmp(d.link, "https://", 8))
        ret = refuse(r, doc_get(n, "link"), "link has to begin with https://");
    if (!ret && !checks->first)
        ret = refuse(r, checks, "checks is empty");
    for (const struct doc_node *c = ret ? NULL : checks->first; !ret && c; c = c->next)
        ret = add_deviation(r, c, &d);
    deviation_fini(&d);
    return ret;
}

static int read_deviations(struct reader *r, const struct doc_node *n, void *to)
{
    int ret = want(r, n, DOC_LIST, n->key);

    for (const struct doc_node *c = ret ? NULL : n->first; !ret && c; c = c->next)
        ret = read_deviation(r, c);
    return ret;
}

static int read_profile(struct reader *r, const struct doc_node *root)
{
    struct profile *p = r->p;
    const struct key keys[] = {
        {"profile", read_text, &p->name, true},        {"title", read_text, &p->title, true},
        {"vendor", read_text, &p->vendor, true},       {"backend", read_backend, p, true},
        {"addresses", read_addresses, &p->map, false}, {"claims", read_claims, p, true},
        {"deviations", read_deviations, p, false},     {0}};

    return read_map(r, root, "a profile", keys);
}

static int make(const char *path, struct doc_node *root, struct profile **out, char *why,
                size_t why_size)
{
    struct profile *p = calloc(1, sizeof(*p));
    struct reader r = {.path = path, .p = p, .why = why, .why_size = why_size};
    int ret;

    if (p)
        p->path = strdup(path);
    ret = p && p->path ? read_profile(&r, root) : no_memory(&r);
    doc_free(root);
    if (ret)
        profile_free(p);
    else
        *out = p;
    return ret;
}

int profile_parse(const char *path, const char *text, size_t length, struct profile **out,
                  char *why, size_t why_size)
{
    struct doc_node *root;
    int ret = doc_parse(path, text, length, &root, why, why_size);

    return ret ? ret : make(path, root, out, why, why_size);
}

int profile_load(const char *path, struct profile **out, char *why, size_t why_size)
{
    struct doc_node *root;
    int ret = doc_load(path, &root, why, why_size);

    return ret ? ret : make(path, root, out, why, why_size);
}

static void words_free(struct profile_words *w)
{
    for (unsigned i = 0; i < w->count; i++)
        free(w->words[i]);
    free(w->words);
}

void profile_free(struct profile *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->deviation_count; i++)
        deviation_fini(&p->deviations[i]);
    free(p->deviations);
    for (unsigned i = 0; i < PROFILE_DEVICE_TYPES; i++)
        words_free(&p->devices[i].arguments);
    words_free(&p->command);
    words_free(&p->version);
    free(p->ready_path);
    free(p->ready_value);
    free(p->program);
    free(p->path);
    free(p->name);
    free(p->title);
    free(p->vendor);
    free(p);
}

int profile_unclaimed_feature(const struct profile *p, enum scenario_device_type type,
                              uint64_t offered)
{
    const struct profile_device *d = &p->devices[type];

    for (unsigned i = 0; i < d->feature_count; i++)
        offered &= d->features[i] < 64 ? ~(1ull << d->features[i]) : ~0ull;
    return offered ? __builtin_ctzll(offered) : -1;
}

const struct profile_deviation *profile_deviation(const struct profile *p, const char *check)
{
    for (unsigned i = 0; i < p->deviation_count; i++)
        if (!strcmp(p->deviations[i].check, check))
            return &p->deviations[i];
    return NULL;
}

/* ---- which cells ---- */

static const char *uncovered(const struct profile *p, const struct scenario_cell *cell)
{
    const struct scenario *s = cell->scenario;

    if (s->runs_in != RUNS_IN_DOMU)
        return "it does not judge a backend";
    if (!s->device_count)
        return "it has no device";
    if (cell->config != CONFIG_COMMAND_LINE || cell->memory != MEMORY_AUTO ||
        cell->start != START_TOOLSTACK)
        return "it is about an option of the reference backend";
    if (cell->frontend != FRONTEND_DOMU || cell->backend != BACKEND_DOM0)
        return "a profile's backend is in dom0, and its driver in a domU";
    if (s->backend_count)
        return "it has several backends";
    if (cell->discovery != DISCOVERY_GIVEN && !(p->discoveries & 1u << cell->discovery))
        return "its discovery mechanism is not claimed";
    if (cell->announce != ANNOUNCE_SILENT)
        return "hot-plug slots cannot be claimed";
    if (cell->buffers != BUFFERS_STREAMING)
        return "pools of granted memory cannot be claimed";
    if (!(p->archs & 1u << cell->arch))
        return "its arch is not claimed";
    if (!(p->transports & 1u << cell->transport))
        return "its transport is not claimed";
    if (!(p->rings & 1u << cell->ring))
        return "its ring is not claimed";
    if (!(p->addressings & 1u << cell->addressing))
        return "its addressing is not claimed";
    if (cell->transport == TRANSPORT_PCI && !(p->topologies & 1u << cell->topology))
        return "its topology is not claimed";
    for (unsigned i = 0; i < s->device_count; i++) {
        if (!p->devices[s->devices[i].type].claimed)
            return "a device of it is not claimed";
        if (s->devices[i].backing == BACKING_NULL)
            return "it is about the reference backend's null store";
    }
    for (unsigned i = 0; i < s->timeline_count; i++)
        if ((s->timeline[i].action == ACTION_RESTART_BACKEND ||
             s->timeline[i].action == ACTION_UPGRADE_BACKEND) &&
            !p->restarts)
            return "restarts are not claimed";
    return NULL;
}

bool profile_covers(const struct profile *p, const struct scenario_cell *cell, char *why,
                    size_t why_size)
{
    const char *reason = uncovered(p, cell);

    if (reason)
        snprintf(why, why_size, "%s", reason);
    return !reason;
}
