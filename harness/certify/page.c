/* SPDX-License-Identifier: MIT */
/* A certificate as one page of HTML: no network, no other file, readable without its script. */
#include <ctype.h>
#include <string.h>

#include "certify/certificate.h"
#include "certify/internal.h"
#include "report/members.h"
#include "report/text.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#59636e;--line:#d1d9e0;"
    "--card:#f6f8fa;--pass:#0a6640;--bad:#b42318;--warn:#8a5a00;--known:#5b3fa8;--skip:#59636e}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0f1418;--fg:#e6edf3;--soft:#9aa7b4;"
    "--line:#30363d;--card:#171d23;--pass:#4ac98b;--bad:#ff8a80;--warn:#e3b341;--known:#b9a2ff;"
    "--skip:#9aa7b4}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:68rem;padding:1rem;background:var(--bg);"
    "color:var(--fg);font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;margin:.2rem 0}"
    "h2{font-size:1.15rem;margin:2rem 0 .5rem}code,pre{font:13px/1.45 ui-monospace,monospace;"
    "overflow-wrap:anywhere}pre{background:var(--card);border:1px solid var(--line);padding:.6rem;"
    "border-radius:6px;white-space:pre-wrap}dl{display:grid;grid-template-columns:max-content 1fr;"
    "gap:.15rem 1rem;margin:.5rem 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}"
    ".result{display:inline-block;padding:.2rem .7rem;border-radius:6px;border:2px solid;"
    "font-weight:700}.PASS,.SUCCESS{color:var(--pass)}.FAIL,.CRASH,.ERROR,.FAILURE{color:var(--bad)"
    "}"
    ".WARN{color:var(--warn)}.KNOWN{color:var(--known)}.SKIP{color:var(--skip)}"
    ".counts{display:flex;flex-wrap:wrap;gap:.5rem;padding:0;list-style:none}.counts li{border:1px "
    "solid var(--line);border-radius:6px;padding:.3rem .7rem;background:var(--card)}"
    ".counts b{font-size:1.2rem;margin-right:.3rem}form{display:flex;flex-wrap:wrap;gap:.5rem;"
    "margin:.8rem 0}input,select{font:inherit;padding:.35rem .5rem;border:1px solid var(--line);"
    "border-radius:6px;background:var(--bg);color:var(--fg);max-width:100%}"
    "input[type=search]{flex:1 1 14rem}details{border-top:1px solid var(--line);padding:.35rem 0}"
    "summary{cursor:pointer;overflow-wrap:anywhere}summary .v{display:inline-block;min-width:4rem;"
    "font-weight:700}.lvl{color:var(--soft);font-size:.85rem}details>div{margin:.3rem 0 .6rem "
    "1.2rem}.none{color:var(--soft)}"
    "@media "
    "print{form{display:none}body{max-width:none;font-size:11pt}details{break-inside:avoid}}";

static const char script[] =
    "(()=>{const f=document.forms[0];f.hidden=false;const rows=[...document.querySelectorAll("
    "'#requirements>details')];const n=document.getElementById('shown');function show(){let c=0;"
    "const t=f.text.value.toLowerCase();for(const r of rows){const d=r.dataset;const ok="
    "(!f.verdict.value||d.verdict===f.verdict.value)&&(!f.area.value||d.area===f.area.value)&&"
    "(!f.level.value||d.level===f.level.value)&&(!t||r.textContent.toLowerCase().includes(t));"
    "r.hidden=!ok;c+=ok}n.textContent=c}f.addEventListener('input',show);"
    "f.addEventListener('submit',e=>e.preventDefault());addEventListener('beforeprint',()=>"
    "rows.forEach(r=>r.open=!['PASS','SKIP'].includes(r.dataset.verdict)));show()})()";

static void put(FILE *f, const char *text)
{
    text_write_xml(f, text);
}

static void put_term(FILE *f, const char *name, const char *value)
{
    if (!value[0])
        return;
    fputs("<dt>", f);
    put(f, name);
    fputs("</dt><dd>", f);
    put(f, value);
    fputs("</dd>\n", f);
}

static void put_block(FILE *f, const char *label, const char *text)
{
    if (!text[0])
        return;
    fprintf(f, "<div class=lvl>%s</div><pre>", label);
    put(f, text);
    fputs("</pre>\n", f);
}

/* The id's first part, and for Xen's own rules the first two. */
static void put_area(FILE *f, const char *id)
{
    bool more = !strncmp(id, "xen.", 4);

    for (; *id && (*id != '.' || more); id++) {
        more &= *id != '.';
        if (isalnum((unsigned char)*id) || *id == '.' || *id == '-')
            putc(*id, f);
    }
}

static void put_head(const json_t *c, FILE *f)
{
    const json_t *subject = json_object_get(c, "subject"), *run = json_object_get(c, "run");
    const char *result = certificate_result(c), *name;
    char text[64];
    json_t *v;

    fprintf(f, "<header><p class=\"result %s\">%s</p><h1>", result, result);
    put(f, text_of(subject, "title"));
    fputs("</h1>\n<dl>", f);
    put_term(f, "vendor", text_of(subject, "vendor"));
    put_term(f, "version", text_of(subject, "version"));
    put_term(f, "program", text_of(subject, "program"));
    put_term(f, "SHA-256", text_of(subject, "sha256"));
    put_term(f, "profile", text_of(subject, "profile"));
    put_term(f, "started", text_of(run, "started"));
    snprintf(text, sizeof(text), "%.1f s",
             (double)json_integer_value(json_object_get(run, "duration_ns")) / 1e9);
    put_term(f, "took", text);
    put_term(f, "testbed", text_of(run, "testbed"));
    put_term(f, "which means", text_of(run, "testbed_note"));
    put_term(f, "selection", text_of(run, "selection"));
    json_object_foreach(json_object_get(c, "versions"), name, v)
        put_term(f, name, json_string_value(v));
    put_term(f, "catalogue", text_of(c, "catalogue_sha256"));
    fputs("</dl></header>\n<ul class=counts>", f);
    json_object_foreach(json_object_get(c, "verdicts"), name, v)
        fprintf(f, "<li><b>%lld</b><span class=%s>%s</span></li>", (long long)json_integer_value(v),
                name, name);
    fputs("</ul>\n", f);
}

/* Each value once, in the order in which they come. */
static void put_choices(const json_t *list, const char *name, FILE *f)
{
    json_t *q, *seen = json_object();
    const char *key;
    size_t i;

    fprintf(f, "<select name=%s aria-label=%s><option value=\"\">any %s</option>", name, name,
            name);
    json_array_foreach(list, i, q)
    {
        if (strcmp(name, "area") != 0) {
            json_object_set_new(seen, text_of(q, name), json_true());
            continue;
        }
        char area[64], id[128];
        FILE *m = fmemopen(area, sizeof(area), "w");

        snprintf(id, sizeof(id), "%s", text_of(q, "id"));
        if (m) {
            put_area(m, id);
            fclose(m);
            json_object_set_new(seen, area, json_true());
        }
    }
    json_object_foreach(seen, key, q)
    {
        fputs("<option>", f);
        put(f, key);
        fputs("</option>", f);
    }
    json_decref(seen);
    fputs("</select>\n", f);
}

static void put_form(const json_t *c, FILE *f)
{
    const json_t *list = json_object_get(c, "requirements");

    fputs("<form hidden>", f);
    put_choices(list, "verdict", f);
    put_choices(list, "level", f);
    put_choices(list, "area", f);
    fprintf(f,
            "<input type=search name=text aria-label=search placeholder=\"search\">"
            "</form><p class=lvl><span id=shown>%zu</span> of %zu requirements</p>\n",
            json_array_size(list), json_array_size(list));
}

static void put_observation(const json_t *o, FILE *f)
{
    const json_t *failure;
    const char *name;
    json_t *v;
    size_t i;

    fprintf(f, "<p><span class=%s>%s</span> in <code>", text_of(o, "outcome"),
            text_of(o, "outcome"));
    put(f, text_of(o, "cell"));
    fputs("</code>", f);
    if (text_of(o, "reason")[0]) {
        fputs("<br>", f);
        put(f, text_of(o, "reason"));
    }
    fputs("</p>\n", f);
    json_array_foreach(json_object_get(o, "failures"), i, failure)
    {
        fprintf(f, "<p><b>%s</b> ", text_of(failure, "level"));
        put(f, text_of(failure, "text"));
        fputs("</p>\n", f);
    }
    if (json_object_size(json_object_get(o, "notes"))) {
        fputs("<dl>", f);
        json_object_foreach(json_object_get(o, "notes"), name, v)
            put_term(f, name, json_string_value(v));
        fputs("</dl>\n", f);
    }
    put_block(f, "what the driver did before", text_of(o, "trace"));
    put_block(f, "the backend's last words", text_of(o, "log"));
}

static void put_check(const char *name, const json_t *check, FILE *f)
{
    const json_t *list = json_object_get(check, "observations"), *o;
    unsigned passed = 0;
    size_t i;

    fputs("<p><code>", f);
    put(f, name);
    fprintf(f, "</code> <span class=%s>%s</span> ", text_of(check, "outcome"),
            text_of(check, "outcome"));
    put(f, text_of(check, "title"));
    fputs("</p>\n", f);
    json_array_foreach(list, i, o)
    {
        if (certificate_outcome(json_object_get(o, "outcome")) == PASS)
            passed++;
        else
            put_observation(o, f);
    }
    if (passed)
        fprintf(f, "<p class=none>passed in %u of %zu cells</p>\n", passed, json_array_size(list));
}

static void put_requirement(const json_t *q, FILE *f)
{
    const char *verdict = text_of(q, "verdict"), *name;
    json_t *check;

    fprintf(f, "<details data-verdict=%s data-level=\"", verdict);
    put(f, text_of(q, "level"));
    fputs("\" data-area=\"", f);
    put_area(f, text_of(q, "id"));
    fprintf(f, "\"><summary><span class=\"v %s\">%s</span> <code>", verdict, verdict);
    put(f, text_of(q, "id"));
    fprintf(f, "</code> <span class=lvl>%s, %s</span> ", text_of(q, "level"), text_of(q, "role"));
    put(f, text_of(q, text_of(q, "paraphrase")[0] ? "paraphrase" : "source"));
    fputs("</summary><div><p class=lvl>", f);
    put(f, text_of(q, "source"));
    fputs("</p>\n", f);
    json_object_foreach(json_object_get(q, "checks"), name, check) put_check(name, check, f);
    fputs("</div></details>\n", f);
}

static void put_deviations(const json_t *list, FILE *f)
{
    const json_t *d;
    size_t i;

    if (!json_array_size(list))
        return;
    fputs("<section id=deviations><h2>Deviations that the vendor documents</h2>\n", f);
    json_array_foreach(list, i, d)
    {
        fputs("<details><summary><code>", f);
        put(f, text_of(d, "check"));
        fprintf(f, "</code> <span class=lvl>seen in %lld of %lld cells</span></summary><div><p>",
                (long long)json_integer_value(json_object_get(d, "seen")),
                (long long)json_integer_value(json_object_get(d, "cells")));
        put(f, text_of(d, "reason"));
        fputs("</p><dl>", f);
        put_term(f, "where", text_of(d, "where"));
        put_term(f, "effect", text_of(d, "effect"));
        put_term(f, "link", text_of(d, "link"));
        fputs("</dl></div></details>\n", f);
    }
    fputs("</section>\n", f);
}

static void put_cells(const json_t *list, FILE *f)
{
    const json_t *c;
    size_t i;

    if (!json_array_size(list))
        return;
    fputs("<section id=cells><h2>What befell whole cells</h2>\n", f);
    json_array_foreach(list, i, c)
    {
        fprintf(f, "<details><summary><span class=\"v %s\">%s</span> <code>", text_of(c, "outcome"),
                text_of(c, "outcome"));
        put(f, text_of(c, "cell"));
        fputs("</code></summary><div><p>", f);
        put(f, text_of(c, "reason"));
        fputs("</p>", f);
        put_block(f, "log", text_of(c, "log"));
        fputs("</div></details>\n", f);
    }
    fputs("</section>\n", f);
}

/* Those that somebody has to look at come first. */
static const enum outcome order[] = {CRASH, FAIL, ERROR, WARN, KNOWN, SKIP, PASS};

void certificate_write_page(const json_t *c, FILE *f)
{
    const json_t *list = json_object_get(c, "requirements"), *q;
    size_t i;

    fputs("<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
          "<meta name=viewport content=\"width=device-width,initial-scale=1\"><title>",
          f);
    put(f, text_of(json_object_get(c, "subject"), "title"));
    fprintf(f, ": certificate</title><style>%s</style></head><body>\n", style);
    put_head(c, f);
    fputs("<section><h2>Requirements</h2>\n", f);
    put_form(c, f);
    fputs("<div id=requirements>\n", f);
    for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++)
        json_array_foreach(list, i, q) if (certificate_outcome(json_object_get(q, "verdict")) ==
                                           (int)order[o]) put_requirement(q, f);
    fputs("</div></section>\n", f);
    put_deviations(json_object_get(c, "deviations"), f);
    put_cells(json_object_get(c, "cells"), f);
    fputs("<section><h2>Profile</h2><pre>", f);
    put(f, text_of(c, "profile"));
    fputs("</pre></section>\n<footer class=lvl><p>Run it again: <code>ringproof replay "
          "certificate.json</code></p></footer>\n",
          f);
    fprintf(f, "<script>%s</script></body></html>\n", script);
}
