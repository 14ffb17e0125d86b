/* SPDX-License-Identifier: MIT */
#include "scenario/workload.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BYTES 96u

enum key {
    RUN,
    RW,
    BS,
    DEPTH,
    JOBS,
    MS,
    BACKING,
    SIZE,
    GUEST,
    STREAMS,
    DIRECTION,
    PROTOCOL,
    LENGTH,
    KEYS
};

static const struct {
    const char *name, *value; /* what it is when nobody says */
} key_table[KEYS] = {
    [RUN] = {"run", ""},
    [RW] = {"rw", "randread"},
    [BS] = {"bs", "4k"},
    [DEPTH] = {"depth", "32"},
    [JOBS] = {"jobs", "1"},
    [MS] = {"ms", "300"},
    [BACKING] = {"backing", "null"},
    [SIZE] = {"size", "256MiB"},
    [GUEST] = {"guest", "128MiB"},
    [STREAMS] = {"streams", "1"},
    [DIRECTION] = {"direction", "to-backend"},
    [PROTOCOL] = {"protocol", "tcp"},
    [LENGTH] = {"length", "1400"},
};

struct words_read {
    char values[KEYS][WORD_BYTES];
    char axes[SCENARIO_AXES][WORD_BYTES]; /* "": not said */
    char *why;
    size_t why_size;
};

static int refuse(const struct words_read *r, const char *what, const char *word)
{
    snprintf(r->why, r->why_size, "%s '%.80s'", what, word);
    return -EINVAL;
}

/* What a value may have in it, so that it stays one in the scenario's text. */
static bool value_plain(const char *v)
{
    for (const char *c = v; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-+_:.", *c))
            return false;
    return v[0] != '\0';
}

static int read_word(struct words_read *r, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : 0;
    char *to = NULL;

    if (!equals || !value_plain(equals + 1) || strlen(equals + 1) >= WORD_BYTES)
        return refuse(r, "no KEY=VALUE:", word);
    for (unsigned k = 0; k < KEYS; k++)
        if (strlen(key_table[k].name) == n && !strncmp(key_table[k].name, word, n))
            to = r->values[k];
    for (unsigned a = 0; a < SCENARIO_AXES; a++)
        if (strlen(scenario_axis_name((enum scenario_axis)a)) == n &&
            !strncmp(scenario_axis_name((enum scenario_axis)a), word, n))
            to = r->axes[a];
    if (!to)
        return refuse(r, "neither a key of workloads nor an axis:", word);
    if (to[0])
        return refuse(r, "said twice:", word);
    memcpy(to, equals + 1, strlen(equals + 1) + 1);
    return 0;
}

static int read_words(struct words_read *r, const char *text)
{
    char *copy = strdup(text), *rest = copy, *word;
    int ret = copy ? 0 : -ENOMEM;

    while (!ret && (word = strsep(&rest, " ")))
        if (word[0])
            ret = read_word(r, word);
    free(copy);
    return ret;
}

/* ---- the scenario's text ---- */

static void put_matrix(const struct words_read *r, FILE *f)
{
    bool any = false;

    for (unsigned a = 0; a < SCENARIO_AXES; a++) {
        if (!r->axes[a][0])
            continue;
        fprintf(f, a == AXIS_FEATURES ? "%s  %s: [\"%s\"]\n" : "%s  %s: [%s]\n",
                any ? "" : "matrix:\n", scenario_axis_name((enum scenario_axis)a), r->axes[a]);
        any = true;
    }
}

/* One of the values that a key has; false: another. */
static bool is_value(const struct words_read *r, enum key k, const char *value)
{
    return !strcmp(r->values[k], value);
}

static int put_fio(const struct words_read *r, FILE *f)
{
    if (!is_value(r, BACKING, "null") && !is_value(r, BACKING, "image"))
        return refuse(r, "no backing:", r->values[BACKING]);
    fprintf(f,
            "run:\n  fio:\n    job: fio/jobs/measure-%s.fio\n    options: [\"--size=%s\", "
            "\"--bs=%s\", \"--iodepth=%s\", \"--numjobs=%s\", \"--runtime=%sms\"]\n",
            r->values[RW], r->values[SIZE], r->values[BS], r->values[DEPTH], r->values[JOBS],
            r->values[MS]);
    return 0;
}

static int put_iperf3(const struct words_read *r, FILE *f)
{
    static const struct {
        const char *direction, *option;
    } directions[] = {
        {"to-backend", ""}, {"to-frontend", ", \"--reverse\""}, {"both", ", \"--bidir\""}};
    const char *way = NULL;

    for (unsigned i = 0; i < 3; i++)
        if (is_value(r, DIRECTION, directions[i].direction))
            way = directions[i].option;
    if (!way)
        return refuse(r, "no direction:", r->values[DIRECTION]);
    fprintf(f, "run:\n  iperf3: {options: [\"--time=1\", \"--parallel=%s\"%s", r->values[STREAMS],
            way);
    if (is_value(r, PROTOCOL, "udp"))
        fprintf(f, ", \"--udp\", \"--bitrate=0\", \"--length=%s\"", r->values[LENGTH]);
    else if (!is_value(r, PROTOCOL, "tcp"))
        return refuse(r, "no protocol:", r->values[PROTOCOL]);
    fputs("]}\n", f);
    return 0;
}

/* Whoever keeps references needs a driver that leaves them as they are. fio does. */
static int put_scenario(struct words_read *r, FILE *f)
{
    const char *place = strcmp(r->axes[AXIS_TRANSPORT], "mmio") ? ", sbdf: \"0000:00:01.0\"" : "";
    bool costs = is_value(r, RUN, "costs");
    int ret;

    fputs("scenario: bench\ntitle: A workload of a benchmark\ntestbeds: [sim]\ntimeout: 60s\n", f);
    if (costs && !strcmp(r->axes[AXIS_MEMORY], "grant-persistent") && !r->axes[AXIS_BUFFERS][0])
        snprintf(r->axes[AXIS_BUFFERS], WORD_BYTES, "pool");
    put_matrix(r, f);
    fprintf(f, "domain: {memory: %s%s}\n", r->values[GUEST],
            r->axes[AXIS_FRONTEND][0] || r->axes[AXIS_VCPUS][0] ? "" : ", vcpus: 5");
    if (is_value(r, RUN, "iperf3")) {
        fprintf(f, "device: {type: net, wire: tap%s}\n", place);
        return put_iperf3(r, f);
    }
    fprintf(f, "device: {type: blk, size: %s, backing: %s%s}\n", r->values[SIZE],
            r->values[BACKING], place);
    if (is_value(r, RUN, "fio"))
        return put_fio(r, f);
    ret = costs ? 0 : refuse(r, "no workload: run=", r->values[RUN]);
    fputs("checks: [memory.requests_cost_what_they_cost]\n", f);
    return ret;
}

int workload_scenario(const char *words, const char *design, const char *data,
                      struct scenario **out, char *why, size_t why_size)
{
    struct words_read r = {.why = why, .why_size = why_size};
    char *text = NULL, *path = NULL;
    size_t size = 0;
    FILE *f;
    int ret = read_words(&r, words);

    *out = NULL;
    if (!ret && design)
        ret = read_words(&r, design);
    for (unsigned k = 0; k < KEYS; k++)
        if (!r.values[k][0])
            snprintf(r.values[k], sizeof(r.values[k]), "%s", key_table[k].value);
    if (ret)
        return ret;
    f = open_memstream(&text, &size);
    if (!f)
        return -ENOMEM;
    ret = put_scenario(&r, f);
    if (fclose(f))
        ret = -ENOMEM;
    if (!ret && asprintf(&path, "%s/bench/workload", data) < 0) {
        path = NULL;
        ret = -ENOMEM;
    }
    if (!ret)
        ret = scenario_parse(path, text, size, out, why, why_size);
    free(path);
    free(text);
    return ret;
}
