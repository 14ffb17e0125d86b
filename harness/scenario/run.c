/* SPDX-License-Identifier: MIT */
/* The keys run and neighbour: what runs instead of checks, or beside them. */
#include <stdio.h>
#include <string.h>

#include "scenario/keys.h"
#include "scenario/units.h"

#define TRANSFER_STREAMS_MAX 64u

static const char *const direction_names[] = {"to-backend", "to-frontend", "both", NULL};

const char *scenario_run_result(enum scenario_run run)
{
    static const char *const names[SCENARIO_RUNS] = {[RUN_FIO] = "fio.verify",
                                                     [RUN_IPERF3] = "iperf3.verify",
                                                     [RUN_TRANSFER] = "transfer.verify"};

    return names[run];
}

static int resolve_path(struct reader *r, const char *text, char **out)
{
    const char *slash = strrchr(r->path, '/');
    int n;

    if (text[0] == '/' || !slash)
        n = asprintf(out, "%s", text);
    else
        n = asprintf(out, "%.*s/%s", (int)(slash - r->path), r->path, text);
    if (n < 0) {
        *out = NULL;
        return reader_no_memory(r);
    }
    return 0;
}

static int read_fio_of(struct reader *r, const struct doc_node *fio, struct scenario_fio *f)
{
    static const char *const known[] = {"job", "options", NULL};
    int ret = reader_check_keys(r, fio, known);

    if (ret)
        return ret;
    const struct doc_node *job = doc_get(fio, "job");
    if (!job)
        return reader_refuse_at(r, fio, "fio needs a job file");
    ret = reader_want(r, job, DOC_SCALAR, "job");
    if (!ret && !job->text[0])
        ret = reader_refuse_at(r, job, "job is empty");
    if (!ret)
        ret = resolve_path(r, job->text, &f->job);
    const struct doc_node *options = doc_get(fio, "options");
    if (!ret && options)
        ret = reader_texts(r, options, "options", &f->options, &f->option_count);
    return ret;
}

static int read_fio(struct reader *r, const struct doc_node *n)
{
    return read_fio_of(r, n, &r->s->fio);
}

int keys_read_neighbour(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"fio", NULL};
    int ret = reader_want(r, n, DOC_MAP, "neighbour");
    const struct doc_node *fio;

    if (!ret)
        ret = reader_check_keys(r, n, known);
    if (ret)
        return ret;
    fio = doc_get(n, "fio");
    if (!fio)
        return reader_refuse_at(r, n, "a neighbour needs fio");
    ret = reader_want(r, fio, DOC_MAP, "fio");
    return ret ? ret : read_fio_of(r, fio, &r->s->neighbour);
}

static int read_iperf3(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"options", NULL};
    struct scenario_iperf3 *f = &r->s->iperf3;
    int ret = reader_check_keys(r, n, known);
    const struct doc_node *options = doc_get(n, "options");

    if (!ret && options)
        ret = reader_texts(r, options, "options", &f->options, &f->option_count);
    return ret;
}

static int read_transfer(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"bytes", "streams", "direction", NULL};
    struct scenario_transfer *f = &r->s->transfer;
    const struct doc_node *c;
    unsigned v = DIRECTION_BOTH;
    int ret = reader_check_keys(r, n, known);

    if (ret)
        return ret;
    c = doc_get(n, "bytes");
    if (!c)
        return reader_refuse_at(r, n, "a transfer needs bytes");
    ret = reader_number(r, c, "bytes", units_parse_bytes, "a size such as 1GiB", 1, 1ull << 50,
                        &f->bytes);
    f->streams = 1;
    c = doc_get(n, "streams");
    if (!ret && c)
        ret = reader_count(r, c, "streams", 1, TRANSFER_STREAMS_MAX, &f->streams);
    c = doc_get(n, "direction");
    if (!ret && c)
        ret = reader_name(r, c, "direction", direction_names, &v);
    f->direction = (enum scenario_direction)v;
    return ret;
}

int keys_read_run(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"fio", "iperf3", "transfer", NULL};
    static int (*const of_run[])(struct reader *, const struct doc_node *) = {read_fio, read_iperf3,
                                                                              read_transfer};
    int ret = reader_want(r, n, DOC_MAP, "run");

    if (!ret)
        ret = reader_check_keys(r, n, known);
    if (ret)
        return ret;
    for (unsigned i = 0; known[i]; i++) {
        const struct doc_node *c = doc_get(n, known[i]);
        if (!c)
            continue;
        if (r->s->run != RUN_CHECKS)
            return reader_refuse(r, c->key_line, c->key_column, "a scenario runs one thing");
        ret = reader_want(r, c, DOC_MAP, known[i]);
        if (!ret)
            ret = of_run[i](r, c);
        if (ret)
            return ret;
        r->s->run = (enum scenario_run)(RUN_FIO + i);
    }
    return r->s->run == RUN_CHECKS ? reader_refuse_at(r, n, "run is empty") : 0;
}
