/* SPDX-License-Identifier: MIT */
#include "certify/certificate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certify/internal.h"
#include "check/check.h"
#include "check/wire.h"
#include "report/text.h"

/* ---- making ---- */

static json_t *text(const char *t)
{
    char *clean = text_clean(t ? t : "");
    json_t *v = clean ? json_string(clean) : NULL;

    free(clean);
    return v;
}

static json_t *pairs(const struct report_pairs *p)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < p->count; i++)
        json_object_set_new(o, p->items[i].name, text(p->items[i].value));
    return o;
}

/* Is `id` one of the words of a check's `proves`? */
static bool proves(const struct report_check *k, const char *id)
{
    size_t n = strlen(id);

    for (const char *at = k->proves; (at = strstr(at, id)); at += n)
        if ((at == k->proves || at[-1] == ' ') && (at[n] == 0 || at[n] == ' '))
            return true;
    return false;
}

static json_t *failures(const struct report_check *k)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < k->failure_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:o}", "level",
                                              wire_level_name(k->failures[i].level), "text",
                                              text(k->failures[i].text)));
    return list;
}

/* What a check came to in one cell. Of one that passed that it did is all there is to say. */
static json_t *observation(const struct report_cell *c, const struct report_check *k)
{
    json_t *o = json_pack("{s:o, s:s}", "cell", text(c->id), "outcome", outcome_name(k->outcome));

    if (k->outcome == PASS)
        return o;
    json_object_set_new(o, "reason", text(k->reason));
    if (k->outcome == SKIP)
        return o;
    json_object_set_new(o, "failures", failures(k));
    json_object_set_new(o, "notes", pairs(&k->notes));
    json_object_set_new(o, "log", text(k->log));
    json_object_set_new(o, "trace", text(k->trace));
    return o;
}

struct gathered {
    json_t *checks; /* by name: title, outcome, observations */
    enum outcome verdict;
    bool any;
};

static void gather(struct gathered *g, const struct report_cell *c, const struct report_check *k)
{
    json_t *check = json_object_get(g->checks, k->name);

    if (!check) {
        check = json_pack("{s:o, s:s, s:[]}", "title", text(k->title), "outcome",
                          outcome_name(k->outcome), "observations");
        json_object_set_new(g->checks, k->name, check);
    } else {
        int before = certificate_outcome(json_object_get(check, "outcome"));
        json_object_set_new(
            check, "outcome",
            json_string(outcome_name(certificate_worse((enum outcome)before, k->outcome))));
    }
    json_array_append_new(json_object_get(check, "observations"), observation(c, k));
    g->verdict = g->any ? certificate_worse(g->verdict, k->outcome) : k->outcome;
    g->any = true;
}

/* NULL: nothing in this run is about it. */
static json_t *requirement(const struct certificate_parts *p, const struct requirement *q)
{
    struct gathered g = {.checks = json_object(), .verdict = PASS};
    const struct report *r = p->report;

    for (unsigned i = 0; i < r->cell_count; i++)
        for (unsigned j = 0; j < r->cells[i]->check_count; j++)
            if (proves(&r->cells[i]->checks[j], q->id))
                gather(&g, r->cells[i], &r->cells[i]->checks[j]);
    if (!g.any) {
        json_decref(g.checks);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "id", q->id, "level", q->level, "role",
                     q->role, "source", q->source, "paraphrase", q->text, "verdict",
                     outcome_name(g.verdict), "checks", g.checks);
}

static json_t *deviations(const struct certificate_parts *p)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < p->profile->deviation_count; i++) {
        const struct profile_deviation *d = &p->profile->deviations[i];
        unsigned seen = 0, ran = 0;

        for (unsigned c = 0; c < p->report->cell_count; c++)
            for (unsigned k = 0; k < p->report->cells[c]->check_count; k++) {
                const struct report_check *check = &p->report->cells[c]->checks[k];

                if (strcmp(check->name, d->check))
                    continue;
                ran += check->outcome != SKIP;
                seen += check->outcome == KNOWN;
            }
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:i}", "check",
                                              text(d->check), "reason", text(d->reason), "where",
                                              text(d->where), "effect", text(d->effect), "link",
                                              text(d->link), "cells", (int)ran, "seen", (int)seen));
    }
    return list;
}

/* What befell whole cells, which no requirement has. */
static json_t *troubles(const struct report *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *c = r->cells[i];

        if (c->reason[0])
            json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o}", "cell", text(c->id),
                                                  "outcome", outcome_name(c->outcome), "reason",
                                                  text(c->reason), "log", text(c->log)));
    }
    return list;
}

static json_t *count_verdicts(const json_t *requirements)
{
    json_t *counts = json_object();

    for (unsigned o = PASS; o <= ERROR; o++)
        json_object_set_new(counts, outcome_name((enum outcome)o), json_integer(0));
    for (size_t i = 0; i < json_array_size(requirements); i++) {
        const char *v =
            json_string_value(json_object_get(json_array_get(requirements, i), "verdict"));
        json_object_set_new(counts, v,
                            json_integer(json_integer_value(json_object_get(counts, v)) + 1));
    }
    return counts;
}

json_t *certificate_make(const struct certificate_parts *p)
{
    const struct report_run *run = &p->report->run;
    json_t *requirements = json_array();
    size_t n;
    const struct requirement *all = catalog_requirements(p->catalog, &n);

    for (size_t i = 0; i < n; i++) {
        json_t *q = requirement(p, &all[i]);
        if (q)
            json_array_append_new(requirements, q);
    }
    json_t *counts = count_verdicts(requirements);
    return json_pack(
        "{s:i, s:{s:o, s:o, s:o, s:o, s:o, s:o}, s:o, "
        "s:{s:o, s:o, s:o, s:o, s:o, s:I, s:b, s:I}, s:o, s:o, s:o, s:o, s:o, s:i, s:o}",
        "format", CERTIFICATE_FORMAT, "subject", "profile", text(p->profile->name), "title",
        text(p->profile->title), "vendor", text(p->profile->vendor), "program",
        text(p->profile->program), "version", text(p->subject_version), "sha256",
        text(p->subject_sha256), "profile", text(p->profile_text), "run", "id", text(run->id),
        "started", text(run->started), "selection", text(run->selection), "testbed",
        text(run->testbed), "testbed_note", text(run->testbed_note), "seed", (json_int_t)run->seed,
        "interrupted", run->interrupted, "duration_ns", (json_int_t)run->duration_ns, "versions",
        pairs(&run->versions), "catalogue_sha256", text(p->catalog_sha256), "deviations",
        deviations(p), "cells", troubles(p->report), "requirements", requirements, "status",
        (int)report_status(p->report), "verdicts", counts);
}
