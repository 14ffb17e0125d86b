/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "certify/certificate.h"
#include "certify/internal.h"
#include "report/members.h"
#include "report/text.h"

static json_int_t verdicts(const json_t *certificate, enum outcome o)
{
    return json_integer_value(
        json_object_get(json_object_get(certificate, "verdicts"), outcome_name(o)));
}

const char *certificate_result(const json_t *certificate)
{
    json_int_t status = json_integer_value(json_object_get(certificate, "status"));

    if (status == REPORT_HARNESS_ERROR || verdicts(certificate, ERROR))
        return "ERROR";
    if (status == REPORT_SUBJECT_FAILED || verdicts(certificate, FAIL) ||
        verdicts(certificate, CRASH))
        return "FAILURE";
    return verdicts(certificate, PASS) || verdicts(certificate, WARN) ||
                   verdicts(certificate, KNOWN)
               ? "SUCCESS"
               : "SKIP";
}

/* The first thing that was wrong with a check, and where. */
static void write_failure(const json_t *check, FILE *f)
{
    const json_t *o;
    size_t i;

    json_array_foreach(json_object_get(check, "observations"), i, o)
    {
        const json_t *failure = json_array_get(json_object_get(o, "failures"), 0);
        int outcome = certificate_outcome(json_object_get(o, "outcome"));

        if (outcome < KNOWN)
            continue;
        fputs("      ", f);
        text_write_plain(f, failure ? text_of(failure, "text") : text_of(o, "reason"), 150);
        fputs("\n      in ", f);
        text_write_plain(f, text_of(o, "cell"), 0);
        putc('\n', f);
        return;
    }
}

static void write_requirement(const json_t *q, FILE *f)
{
    const char *name;
    json_t *check;

    fprintf(f, "%-6s%s (%s)", text_of(q, "verdict"), text_of(q, "id"), text_of(q, "level"));
    if (text_of(q, "paraphrase")[0]) {
        fputs(": ", f);
        text_write_plain(f, text_of(q, "paraphrase"), 0);
    }
    putc('\n', f);
    json_object_foreach(json_object_get(q, "checks"), name, check)
    {
        int outcome = certificate_outcome(json_object_get(check, "outcome"));

        if (outcome < KNOWN)
            continue;
        fprintf(f, "    %s %s\n", outcome_name((enum outcome)outcome), name);
        write_failure(check, f);
    }
}

void certificate_write_summary(const json_t *c, FILE *f)
{
    const json_t *subject = json_object_get(c, "subject"), *run = json_object_get(c, "run");
    json_t *q, *d;
    size_t i;

    fputs("subject   ", f);
    text_write_plain(f, text_of(subject, "title"), 0);
    fputs(", ", f);
    text_write_plain(
        f, text_of(subject, "version")[0] ? text_of(subject, "version") : "version unknown", 100);
    fprintf(f, "\nprogram   %s\nsha256    %s\ntestbed   %s: ", text_of(subject, "program"),
            text_of(subject, "sha256"), text_of(run, "testbed"));
    text_write_plain(f, text_of(run, "testbed_note"), 0);
    fputs("\n\n", f);
    json_array_foreach(json_object_get(c, "requirements"), i,
                       q) if (certificate_outcome(json_object_get(q, "verdict")) >= KNOWN)
        write_requirement(q, f);
    json_array_foreach(json_object_get(c, "deviations"), i,
                       d) if (!json_integer_value(json_object_get(d, "seen")))
        fprintf(f, "a deviation that did not show: %s (%s)\n", text_of(d, "check"),
                json_integer_value(json_object_get(d, "cells")) ? "it passed" : "it did not run");
    fprintf(f,
            "\nrequirements: %lld pass, %lld known, %lld warn, %lld fail, %lld crash, %lld error, "
            "%lld not judged\n",
            (long long)verdicts(c, PASS), (long long)verdicts(c, KNOWN),
            (long long)verdicts(c, WARN), (long long)verdicts(c, FAIL),
            (long long)verdicts(c, CRASH), (long long)verdicts(c, ERROR),
            (long long)verdicts(c, SKIP));
    fprintf(f, "Test result: %s\n", certificate_result(c));
}

/* The requirement of this id, or NULL. */
static const json_t *find(const json_t *certificate, const char *id)
{
    json_t *q;
    size_t i;

    json_array_foreach(json_object_get(certificate, "requirements"), i,
                       q) if (!strcmp(text_of(q, "id"), id)) return q;
    return NULL;
}

unsigned certificate_differences(const json_t *old, const json_t *new, FILE *f)
{
    unsigned count = 0;
    json_t *q;
    size_t i;

    json_array_foreach(json_object_get(old, "requirements"), i, q)
    {
        const json_t *other = find(new, text_of(q, "id"));

        if (other && !strcmp(text_of(other, "verdict"), text_of(q, "verdict")))
            continue;
        fprintf(f, "%s: was %s, is %s\n", text_of(q, "id"), text_of(q, "verdict"),
                other ? text_of(other, "verdict") : "not there");
        count++;
    }
    json_array_foreach(json_object_get(new, "requirements"), i, q) if (!find(old, text_of(q, "id")))
    {
        fprintf(f, "%s: was not there, is %s\n", text_of(q, "id"), text_of(q, "verdict"));
        count++;
    }
    return count;
}
