/* SPDX-License-Identifier: MIT */
#include "check/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Members are read through this: the first complaint stays, later reads then do nothing. */
struct scan {
    const json_t *o;
    const char *what; /* "run", "result.failures": for messages */
    char *why;
    size_t why_bytes;
    bool bad;
};

static void scan_fail(struct scan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void scan_fail(struct scan *s, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    if (s->bad)
        return;
    s->bad = true;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (s->why_bytes)
        snprintf(s->why, s->why_bytes, "%s: %s", s->what, text);
}

static void copy_text(char *dst, size_t size, const char *src)
{
    size_t n = strlen(src);

    if (n >= size)
        n = size - 1;
    memcpy(dst, src, n);
    dst[n] = '\0';
}

enum { OPTIONAL = 0, REQUIRED = 1 };

static void scan_string(struct scan *s, const char *key, int required, char *out, size_t size)
{
    const json_t *v = json_object_get(s->o, key);

    out[0] = '\0';
    if (!v) {
        if (required)
            scan_fail(s, "member \"%s\" is missing", key);
        return;
    }
    if (!json_is_string(v))
        scan_fail(s, "\"%s\" is not a string", key);
    else if (json_string_length(v) >= size)
        scan_fail(s, "\"%s\" has %zu bytes, at most %zu are allowed", key, json_string_length(v),
                  size - 1);
    else if (required && json_string_length(v) == 0)
        scan_fail(s, "\"%s\" is empty", key);
    else
        copy_text(out, size, json_string_value(v));
}

static uint64_t scan_uint(struct scan *s, const char *key, int required, uint64_t max)
{
    const json_t *v = json_object_get(s->o, key);
    json_int_t n;

    if (!v) {
        if (required)
            scan_fail(s, "member \"%s\" is missing", key);
        return 0;
    }
    if (!json_is_integer(v)) {
        scan_fail(s, "\"%s\" is not an integer", key);
        return 0;
    }
    n = json_integer_value(v);
    if (n < 0 || (uint64_t)n > max) {
        scan_fail(s, "\"%s\" is %lld, allowed is 0 to %llu", key, (long long)n,
                  (unsigned long long)max);
        return 0;
    }
    return (uint64_t)n;
}

static uint64_t scan_id(struct scan *s)
{
    uint64_t id = scan_uint(s, "id", REQUIRED, INT64_MAX);

    if (!s->bad && id == 0)
        scan_fail(s, "\"id\" is 0");
    return id;
}

static json_t *scan_object(struct scan *s, const char *key)
{
    json_t *v = json_object_get(s->o, key);

    if (v && !json_is_object(v))
        scan_fail(s, "\"%s\" is not an object", key);
    return s->bad ? NULL : json_incref(v);
}

/* An array of strings, joined by single spaces. */
static void scan_list(struct scan *s, const char *key, char *out, size_t size)
{
    const json_t *a = json_object_get(s->o, key);
    const json_t *v;
    size_t i, used = 0;

    out[0] = '\0';
    if (!a)
        return;
    if (!json_is_array(a)) {
        scan_fail(s, "\"%s\" is not an array", key);
        return;
    }
    json_array_foreach(a, i, v)
    {
        size_t n = json_is_string(v) ? json_string_length(v) : 0;

        if (n == 0 || strpbrk(json_string_value(v), " \t")) {
            scan_fail(s, "\"%s\" holds something that is not a word", key);
            return;
        }
        if (used + (used > 0) + n >= size) {
            scan_fail(s, "\"%s\" is longer than %zu bytes", key, size - 1);
            return;
        }
        if (used)
            out[used++] = ' ';
        memcpy(out + used, json_string_value(v), n + 1);
        used += n;
    }
}

/* `keys`: the members that are allowed, separated by spaces. */
static void scan_keys(struct scan *s, const char *keys)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)s->o, key, v)
    {
        size_t n = strlen(key);
        const char *at = keys;
        bool known = false;

        while (*at && !known) {
            size_t w = strcspn(at, " ");

            known = w == n && memcmp(at, key, n) == 0;
            at += w;
            at += strspn(at, " ");
        }
        if (!known)
            scan_fail(s, "unknown member \"%s\"", key);
    }
}

/* ---- names ---- */

static const char *const level_names[] = {[MUST] = "MUST", [SHOULD] = "SHOULD"};
static const char *const judges_names[] = {
    [DEVICE] = "DEVICE",         [DRIVER] = "DRIVER",       [TRANSPORT] = "TRANSPORT",
    [HYPERVISOR] = "HYPERVISOR", [TOOLSTACK] = "TOOLSTACK",
};
static const char *const role_names[WIRE_ROLES] = {
    [WIRE_DOMU] = "domu", [WIRE_DOM0] = "dom0", [WIRE_LINUX] = "linux"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *wire_level_name(enum check_level l)
{
    return (unsigned)l < COUNT(level_names) ? level_names[l] : "?";
}

const char *wire_judges_name(enum check_judges j)
{
    return (unsigned)j < COUNT(judges_names) ? judges_names[j] : "?";
}

const char *wire_role_name(enum wire_role r)
{
    return (unsigned)r < COUNT(role_names) ? role_names[r] : "?";
}

bool wire_level_from_name(const char *name, enum check_level *out)
{
    for (unsigned i = 0; i < COUNT(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum check_level)i;
            return true;
        }
    }
    return false;
}

bool wire_judges_from_name(const char *name, enum check_judges *out)
{
    for (unsigned i = 0; i < COUNT(judges_names); i++) {
        if (strcmp(name, judges_names[i]) == 0) {
            *out = (enum check_judges)i;
            return true;
        }
    }
    return false;
}

bool wire_role_from_name(const char *name, enum wire_role *out)
{
    for (unsigned i = 0; i < COUNT(role_names); i++) {
        if (strcmp(name, role_names[i]) == 0) {
            *out = (enum wire_role)i;
            return true;
        }
    }
    return false;
}

bool wire_outcome_from_name(const char *name, enum outcome *out)
{
    for (int o = PASS; o <= ERROR; o++) {
        if (strcmp(name, outcome_name((enum outcome)o)) == 0) {
            *out = (enum outcome)o;
            return true;
        }
    }
    return false;
}

/* ---- text to JSON ---- */

/* Bytes of the well-formed UTF-8 sequence at s (RFC 3629), 0 when it is not one. */
static unsigned utf8_sequence(const unsigned char *s)
{
    uint32_t cp;
    unsigned n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
        cp = s[0] & 0x1f;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        n = 3;
        cp = s[0] & 0x0f;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        cp = s[0] & 0x07;
    } else {
        return 0;
    }
    for (unsigned i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) /* also stops at the NUL */
            return 0;
        cp = cp << 6 | (s[i] & 0x3f);
    }
    if ((n == 3 && cp < 0x800) || (cp >= 0xd800 && cp <= 0xdfff) || (n == 4 && cp < 0x10000) ||
        cp > 0x10ffff)
        return 0;
    return n;
}

/*
 * Texts quote what a subject sent. Repaired here, so that a message can always be encoded and
 * its length is bounded: no byte becomes more than two.
 */
static json_t *text_json(const char *text)
{
    size_t n = strlen(text);
    char *copy = malloc(n + 1);
    json_t *v;

    if (!copy)
        return NULL;
    for (size_t i = 0; i < n;) {
        unsigned k = utf8_sequence((const unsigned char *)text + i);

        if (k == 0) {
            copy[i++] = '?';
        } else if (k == 1) {
            unsigned char c = (unsigned char)text[i];

            copy[i++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
        } else {
            memcpy(copy + i, text + i, k);
            i += k;
        }
    }
    copy[n] = '\0';
    v = json_string(copy);
    free(copy);
    return v;
}

static json_t *list_json(const char *words)
{
    json_t *a = json_array();

    while (a) {
        char word[WIRE_TEXT_MAX];
        size_t n;

        words += strspn(words, " ");
        n = strcspn(words, " ");
        if (n == 0)
            break;
        if (n >= sizeof(word))
            n = sizeof(word) - 1;
        memcpy(word, words, n);
        word[n] = '\0';
        if (json_array_append_new(a, text_json(word)) < 0) {
            json_decref(a);
            return NULL;
        }
        words += n;
    }
    return a;
}

/* json_object_set_new takes a NULL value as an error, so allocation failures add up in `err`. */
static void put(json_t *o, int *err, const char *key, json_t *v)
{
    if (json_object_set_new(o, key, v) < 0)
        *err = -ENOMEM;
}

static void put_uint(json_t *o, int *err, const char *key, uint64_t v)
{
    put(o, err, key, json_integer((json_int_t)(v > INT64_MAX ? INT64_MAX : v)));
}

/* ---- results ---- */

/* A text of several lines: no string on the wire has a line end in it. */
static json_t *lines_to_json(const char *text, int *err)
{
    json_t *a = json_array();
    char line[512];

    while (*text) {
        size_t n = strcspn(text, "\n");

        snprintf(line, sizeof(line), "%.*s", (int)n, text);
        if (json_array_append_new(a, text_json(line)) < 0)
            *err = -ENOMEM;
        text += n + (text[n] == '\n');
    }
    return a;
}

/* Absent is none. */
static void lines_from_json(struct scan *s, const json_t *a, char *text, size_t size)
{
    const json_t *v;
    size_t used = 0, i;

    text[0] = 0;
    if (a && !json_is_array(a)) {
        scan_fail(s, "\"trace\" is not an array");
        return;
    }
    json_array_foreach(a, i, v)
    {
        const char *line = json_string_value(v);
        size_t n = line ? strlen(line) : 0;

        if (!line || strchr(line, '\n') || n + 2 > size - used) {
            scan_fail(s, "\"trace\" has no lines, or too many");
            return;
        }
        memcpy(text + used, line, n);
        text[used + n] = '\n';
        used += n + 1;
        text[used] = 0;
    }
}

json_t *wire_result_to_json(const struct check_result *r)
{
    json_t *o = json_object(), *failures = json_array(), *notes = json_array();
    int err = 0;

    put(o, &err, "outcome", json_string(outcome_name(r->outcome)));
    put_uint(o, &err, "expectations", r->expectations);
    put_uint(o, &err, "duration_ns", r->duration_ns);
    put(o, &err, "reason", text_json(r->reason));
    for (unsigned i = 0; i < r->failure_count && i < COUNT(r->failures); i++) {
        const struct check_failure *f = &r->failures[i];
        json_t *v = json_object();

        put(v, &err, "level", json_string(wire_level_name(f->level)));
        put(v, &err, "file", text_json(f->file));
        put_uint(v, &err, "line", f->line > 0 ? (uint64_t)f->line : 0);
        put(v, &err, "text", text_json(f->text));
        if (json_array_append_new(failures, v) < 0)
            err = -ENOMEM;
    }
    put(o, &err, "failures", failures);
    put_uint(o, &err, "failure_count", r->failure_count);
    for (unsigned i = 0; i < r->note_count && i < COUNT(r->notes); i++) {
        json_t *v = json_object();

        put(v, &err, "name", text_json(r->notes[i].name));
        put(v, &err, "value", text_json(r->notes[i].value));
        if (json_array_append_new(notes, v) < 0)
            err = -ENOMEM;
    }
    put(o, &err, "notes", notes);
    if (r->trace[0])
        put(o, &err, "trace", lines_to_json(r->trace, &err));
    if (err) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static void failures_from_json(struct scan *s, const json_t *a, struct check_result *r)
{
    const json_t *v;
    size_t i;

    if (!json_is_array(a) || json_array_size(a) > COUNT(r->failures)) {
        scan_fail(s, "\"failures\" is not an array of at most %zu", COUNT(r->failures));
        return;
    }
    json_array_foreach(a, i, v)
    {
        struct scan f = {v, "result.failures", s->why, s->why_bytes, s->bad};
        char level[16];

        if (!json_is_object(v))
            scan_fail(&f, "an entry is not an object");
        scan_keys(&f, "level file line text");
        scan_string(&f, "level", REQUIRED, level, sizeof(level));
        scan_string(&f, "file", OPTIONAL, r->failures[i].file, sizeof(r->failures[i].file));
        r->failures[i].line = (int)scan_uint(&f, "line", OPTIONAL, INT32_MAX);
        scan_string(&f, "text", REQUIRED, r->failures[i].text, sizeof(r->failures[i].text));
        if (!f.bad && !wire_level_from_name(level, &r->failures[i].level))
            scan_fail(&f, "\"level\" is \"%s\"", level);
        s->bad = f.bad;
        if (s->bad)
            return;
    }
}

static void notes_from_json(struct scan *s, const json_t *a, struct check_result *r)
{
    const json_t *v;
    size_t i;

    if (!json_is_array(a) || json_array_size(a) > COUNT(r->notes)) {
        scan_fail(s, "\"notes\" is not an array of at most %zu", COUNT(r->notes));
        return;
    }
    json_array_foreach(a, i, v)
    {
        struct scan n = {v, "result.notes", s->why, s->why_bytes, s->bad};

        if (!json_is_object(v))
            scan_fail(&n, "an entry is not an object");
        scan_keys(&n, "name value");
        scan_string(&n, "name", REQUIRED, r->notes[i].name, sizeof(r->notes[i].name));
        scan_string(&n, "value", OPTIONAL, r->notes[i].value, sizeof(r->notes[i].value));
        s->bad = n.bad;
        if (s->bad)
            return;
    }
    r->note_count = (unsigned)json_array_size(a);
}

int wire_result_from_json(const json_t *o, struct check_result *r, char *why, size_t why_bytes)
{
    struct scan s = {o, "result", why, why_bytes, false};
    char outcome[16];
    size_t kept;

    memset(r, 0, sizeof(*r));
    if (!json_is_object(o)) {
        scan_fail(&s, "is not an object");
        return -EPROTO;
    }
    scan_string(&s, "outcome", REQUIRED, outcome, sizeof(outcome));
    if (!s.bad && !wire_outcome_from_name(outcome, &r->outcome))
        scan_fail(&s, "unknown outcome \"%s\"", outcome);
    r->expectations = (unsigned)scan_uint(&s, "expectations", REQUIRED, UINT32_MAX);
    r->duration_ns = scan_uint(&s, "duration_ns", REQUIRED, INT64_MAX);
    scan_string(&s, "reason", OPTIONAL, r->reason, sizeof(r->reason));
    failures_from_json(&s, json_object_get(o, "failures"), r);
    kept = json_array_size(json_object_get(o, "failures"));
    r->failure_count = json_object_get(o, "failure_count")
                           ? (unsigned)scan_uint(&s, "failure_count", REQUIRED, UINT32_MAX)
                           : (unsigned)kept;
    if (r->failure_count < kept)
        scan_fail(&s, "\"failure_count\" is less than the failures given");
    notes_from_json(&s, json_object_get(o, "notes"), r);
    lines_from_json(&s, json_object_get(o, "trace"), r->trace, sizeof(r->trace));
    /* A verdict must be borne out by what it was made from. */
    if ((r->outcome == FAIL || r->outcome == WARN) && r->failure_count == 0)
        scan_fail(&s, "outcome %s without a failure", outcome);
    if (r->outcome == PASS && (r->failure_count != 0 || r->expectations == 0))
        scan_fail(&s, "outcome PASS with %u failures of %u expectations", r->failure_count,
                  r->expectations);
    return s.bad ? -EPROTO : 0;
}

/* ---- calls ---- */

static int call_put(json_t *o, const struct wire_call *c, const char *name_key)
{
    int err = 0;

    if (c->id == 0 || c->id > INT64_MAX || (name_key && !c->name[0]) ||
        (c->args && !json_is_object(c->args)))
        return -EINVAL;
    put_uint(o, &err, "id", c->id);
    if (name_key) {
        put(o, &err, name_key, text_json(c->name));
        if (c->args)
            put(o, &err, "args", json_incref(c->args));
        return err;
    }
    put(o, &err, "ok", json_boolean(c->ok));
    if (!c->ok)
        put(o, &err, "error", text_json(c->error[0] ? c->error : "unspecified"));
    else if (c->value)
        put(o, &err, "value", json_incref(c->value));
    return err;
}

static void call_scan(struct scan *s, const char *kind_key, const char *name_key,
                      struct wire_call *c)
{
    char keys[64];
    const json_t *ok;

    snprintf(keys, sizeof(keys), "%s id %s", kind_key, name_key);
    c->id = scan_id(s);
    if (name_key[0]) {
        snprintf(keys, sizeof(keys), "%s id %s args", kind_key, name_key);
        scan_keys(s, keys);
        scan_string(s, name_key, REQUIRED, c->name, sizeof(c->name));
        c->args = scan_object(s, "args");
        return;
    }
    snprintf(keys, sizeof(keys), "%s id ok value error", kind_key);
    scan_keys(s, keys);
    ok = json_object_get(s->o, "ok");
    if (!json_is_boolean(ok)) {
        scan_fail(s, "\"ok\" is not a boolean");
        return;
    }
    c->ok = json_is_true(ok);
    if (c->ok) {
        if (json_object_get(s->o, "error"))
            scan_fail(s, "\"error\" beside \"ok\":true");
        c->value = s->bad ? NULL : json_incref(json_object_get(s->o, "value"));
    } else {
        if (json_object_get(s->o, "value"))
            scan_fail(s, "\"value\" beside \"ok\":false");
        scan_string(s, "error", REQUIRED, c->error, sizeof(c->error));
    }
}

static void call_fini(struct wire_call *c)
{
    json_decref(c->args);
    json_decref(c->value);
    c->args = c->value = NULL;
}

/* ---- whole messages ---- */

static const char *const op_names[] = {
    [WIRE_LIST] = "list",     [WIRE_RUN] = "run",        [WIRE_QUIT] = "quit",
    [WIRE_ANSWER] = "answer", [WIRE_PEER_CALL] = "peer",
};
static const char *const ev_names[] = {
    [WIRE_HELLO] = "hello", [WIRE_CHECK] = "check",     [WIRE_END] = "end",
    [WIRE_ASK] = "ask",     [WIRE_PEER_REPLY] = "peer", [WIRE_RESULT] = "result",
};

/* Takes `o` over. */
static char *line_make(json_t *o, int err, const char *prefix, size_t *len)
{
    size_t before = strlen(prefix), n;
    char *line = NULL, *text = NULL;

    if (err == 0) {
        text = json_dumps(o, JSON_COMPACT);
        if (!text)
            err = -ENOMEM;
    }
    if (err == 0) {
        n = strlen(text);
        if (before + n + 1 > WIRE_LINE_MAX) {
            err = -EMSGSIZE;
        } else {
            line = malloc(before + n + 2);
            if (!line) {
                err = -ENOMEM;
            } else {
                memcpy(line, prefix, before);
                memcpy(line + before, text, n);
                memcpy(line + before + n, "\n", 2);
                *len = before + n + 1;
            }
        }
    }
    free(text);
    json_decref(o);
    if (err)
        errno = -err;
    return line;
}

char *wire_request_encode(const struct wire_request *q, size_t *len)
{
    json_t *o = json_object();
    int err = 0;

    put(o, &err, "op", json_string(op_names[q->op]));
    switch (q->op) {
    case WIRE_LIST:
    case WIRE_QUIT:
        break;
    case WIRE_RUN:
        if (!q->check[0] || (q->params && !json_is_object(q->params)))
            err = -EINVAL;
        put(o, &err, "check", text_json(q->check));
        if (q->timeout_ms)
            put_uint(o, &err, "timeout_ms", q->timeout_ms);
        if (q->params)
            put(o, &err, "params", json_incref(q->params));
        break;
    case WIRE_ANSWER:
        err = err ? err : call_put(o, &q->call, NULL);
        break;
    case WIRE_PEER_CALL:
        err = err ? err : call_put(o, &q->call, "call");
        break;
    }
    return line_make(o, err, "", len);
}

char *wire_event_encode(const struct wire_event *e, size_t *len)
{
    json_t *o = NULL;
    int err = 0;

    if (e->ev == WIRE_RESULT) {
        if (!e->result.check[0])
            err = -EINVAL;
        o = wire_result_to_json(&e->result.r);
    } else {
        o = json_object();
    }
    if (!o)
        err = -ENOMEM;
    put(o, &err, "ev", json_string(ev_names[e->ev]));
    switch (e->ev) {
    case WIRE_HELLO:
        put(o, &err, "platform", text_json(e->hello.platform));
        put_uint(o, &err, "domid", e->hello.domid);
        put(o, &err, "role", json_string(wire_role_name(e->hello.role)));
        put_uint(o, &err, "checks", e->hello.checks);
        break;
    case WIRE_CHECK:
        if (!e->check.name[0] || !e->check.family[0])
            err = -EINVAL;
        put(o, &err, "name", text_json(e->check.name));
        put(o, &err, "family", text_json(e->check.family));
        put(o, &err, "judges", json_string(wire_judges_name(e->check.judges)));
        put(o, &err, "proves", list_json(e->check.proves));
        put(o, &err, "needs", list_json(e->check.needs));
        put(o, &err, "title", text_json(e->check.title));
        put(o, &err, "file", text_json(e->check.file));
        put_uint(o, &err, "line", e->check.line);
        put_uint(o, &err, "timeout_ms", e->check.timeout_ms);
        break;
    case WIRE_END:
        break;
    case WIRE_ASK:
        err = err ? err : call_put(o, &e->call, "what");
        break;
    case WIRE_PEER_REPLY:
        err = err ? err : call_put(o, &e->call, NULL);
        break;
    case WIRE_RESULT:
        put(o, &err, "check", text_json(e->result.check));
        break;
    }
    return line_make(o, err, WIRE_PREFIX, len);
}

/* The object on a line, and which of `names` its member `key` says; -EPROTO with *why. */
static int line_parse(const char *line, size_t len, const char *key, const char *const *names,
                      unsigned count, json_t **out, unsigned *kind, char *why, size_t why_bytes)
{
    struct scan s = {NULL, "message", why, why_bytes, false};
    char name[32];
    json_error_t e;
    json_t *o;

    *out = NULL;
    if (len >= WIRE_LINE_MAX) {
        scan_fail(&s, "%zu bytes, at most %u are allowed", len, WIRE_LINE_MAX - 1);
        return -EPROTO;
    }
    o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
    if (!o) {
        scan_fail(&s, "%s at byte %d", e.text, e.position);
        return -EPROTO;
    }
    if (!json_is_object(o)) {
        scan_fail(&s, "is not an object");
        goto bad;
    }
    s.o = o;
    scan_string(&s, key, REQUIRED, name, sizeof(name));
    if (s.bad)
        goto bad;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            *kind = i;
            *out = o;
            return 0;
        }
    }
    scan_fail(&s, "unknown %s \"%s\"", key, name);
bad:
    json_decref(o);
    return -EPROTO;
}

int wire_request_decode(const char *line, size_t len, struct wire_request *out, char *why,
                        size_t why_bytes)
{
    struct scan s = {NULL, "", why, why_bytes, false};
    unsigned kind;
    json_t *o;
    int err;

    memset(out, 0, sizeof(*out));
    err = line_parse(line, len, "op", op_names, COUNT(op_names), &o, &kind, why, why_bytes);
    if (err)
        return err;
    s.o = o;
    s.what = op_names[kind];
    out->op = (enum wire_op)kind;
    switch (out->op) {
    case WIRE_LIST:
    case WIRE_QUIT:
        scan_keys(&s, "op");
        break;
    case WIRE_RUN:
        scan_keys(&s, "op check timeout_ms params");
        scan_string(&s, "check", REQUIRED, out->check, sizeof(out->check));
        out->timeout_ms = (uint32_t)scan_uint(&s, "timeout_ms", OPTIONAL, UINT32_MAX);
        out->params = scan_object(&s, "params");
        break;
    case WIRE_ANSWER:
        call_scan(&s, "op", "", &out->call);
        break;
    case WIRE_PEER_CALL:
        call_scan(&s, "op", "call", &out->call);
        break;
    }
    json_decref(o);
    if (!s.bad)
        return 0;
    wire_request_fini(out);
    return -EPROTO;
}

static void check_scan(struct scan *s, struct wire_check *c)
{
    char judges[16];

    scan_keys(s, "ev name family judges proves needs title file line timeout_ms");
    scan_string(s, "name", REQUIRED, c->name, sizeof(c->name));
    scan_string(s, "family", REQUIRED, c->family, sizeof(c->family));
    scan_string(s, "judges", REQUIRED, judges, sizeof(judges));
    if (!s->bad && !wire_judges_from_name(judges, &c->judges))
        scan_fail(s, "\"judges\" is \"%s\"", judges);
    scan_list(s, "proves", c->proves, sizeof(c->proves));
    scan_list(s, "needs", c->needs, sizeof(c->needs));
    scan_string(s, "title", OPTIONAL, c->title, sizeof(c->title));
    scan_string(s, "file", OPTIONAL, c->file, sizeof(c->file));
    c->line = (uint32_t)scan_uint(s, "line", OPTIONAL, INT32_MAX);
    c->timeout_ms = (uint32_t)scan_uint(s, "timeout_ms", OPTIONAL, UINT32_MAX);
}

int wire_event_decode(const char *line, size_t len, struct wire_event *out, char *why,
                      size_t why_bytes)
{
    struct scan s = {NULL, "", why, why_bytes, false};
    size_t skip = sizeof(WIRE_PREFIX) - 1;
    char role[16];
    unsigned kind;
    json_t *o;
    int err;

    memset(out, 0, sizeof(*out));
    if (len >= skip && memcmp(line, WIRE_PREFIX, skip) == 0) {
        line += skip;
        len -= skip;
    }
    err = line_parse(line, len, "ev", ev_names, COUNT(ev_names), &o, &kind, why, why_bytes);
    if (err)
        return err;
    s.o = o;
    s.what = ev_names[kind];
    out->ev = (enum wire_ev)kind;
    switch (out->ev) {
    case WIRE_HELLO:
        scan_keys(&s, "ev platform domid role checks");
        scan_string(&s, "platform", REQUIRED, out->hello.platform, sizeof(out->hello.platform));
        out->hello.domid = (uint16_t)scan_uint(&s, "domid", REQUIRED, UINT16_MAX);
        scan_string(&s, "role", REQUIRED, role, sizeof(role));
        out->hello.checks = (uint32_t)scan_uint(&s, "checks", REQUIRED, UINT32_MAX);
        if (!s.bad && !wire_role_from_name(role, &out->hello.role))
            scan_fail(&s, "\"role\" is \"%s\"", role);
        break;
    case WIRE_CHECK:
        check_scan(&s, &out->check);
        break;
    case WIRE_END:
        scan_keys(&s, "ev");
        break;
    case WIRE_ASK:
        call_scan(&s, "ev", "what", &out->call);
        break;
    case WIRE_PEER_REPLY:
        call_scan(&s, "ev", "", &out->call);
        break;
    case WIRE_RESULT:
        scan_keys(&s, "ev check outcome expectations duration_ns reason failures failure_count "
                      "notes trace");
        scan_string(&s, "check", REQUIRED, out->result.check, sizeof(out->result.check));
        if (!s.bad && wire_result_from_json(o, &out->result.r, why, why_bytes) < 0)
            s.bad = true;
        break;
    }
    json_decref(o);
    if (!s.bad)
        return 0;
    wire_event_fini(out);
    return -EPROTO;
}

void wire_request_fini(struct wire_request *q)
{
    json_decref(q->params);
    q->params = NULL;
    call_fini(&q->call);
}

void wire_event_fini(struct wire_event *e)
{
    call_fini(&e->call);
}

/* ---- lines ---- */

struct wire_reader {
    bool prefixed;
    bool dropping; /* inside an overlong line, whose beginning was already given out */
    size_t start;  /* first byte not given out yet */
    size_t end;
    size_t scanned; /* no newline in [start, scanned) */
    char text[WIRE_LINE_MAX + 1];
};

struct wire_reader *wire_reader_create(bool prefixed)
{
    struct wire_reader *r = malloc(sizeof(*r));

    if (r) {
        r->prefixed = prefixed;
        r->dropping = false;
        r->start = r->end = r->scanned = 0;
    }
    return r;
}

void wire_reader_destroy(struct wire_reader *r)
{
    free(r);
}

void *wire_reader_space(struct wire_reader *r, size_t *bytes)
{
    if (r->start > 0) {
        memmove(r->text, r->text + r->start, r->end - r->start);
        r->end -= r->start;
        r->scanned -= r->start;
        r->start = 0;
    }
    *bytes = WIRE_LINE_MAX - r->end;
    return r->text + r->end;
}

void wire_reader_fed(struct wire_reader *r, size_t bytes)
{
    r->end += bytes;
}

/* What the line [start, start+n) is. `more` is how many bytes to consume, line end included. */
static enum wire_line line_classify(struct wire_reader *r, size_t n, size_t more, const char **text,
                                    size_t *len)
{
    const size_t skip = sizeof(WIRE_PREFIX) - 1;
    const char *p = r->text + r->start, *at;

    while (n > 0 && p[n - 1] == '\r')
        n--;
    *text = p;
    *len = n;
    if (!r->prefixed) {
        r->start += more;
        r->scanned = r->start;
        return WIRE_MESSAGE;
    }
    at = memmem(p, n, WIRE_PREFIX "{", skip + 1);
    if (!at && n >= skip && memcmp(p, WIRE_PREFIX, skip) == 0)
        at = p;
    if (at && at > p) {
        /* A prompt or a broken-off message in front: a log line; the rest comes next time. */
        *len = (size_t)(at - p);
        r->start += *len;
        r->scanned = r->start;
        return WIRE_LOG_LINE;
    }
    r->start += more;
    r->scanned = r->start;
    if (!at)
        return WIRE_LOG_LINE;
    *text += skip;
    *len -= skip;
    return WIRE_MESSAGE;
}

enum wire_line wire_reader_next(struct wire_reader *r, const char **text, size_t *len)
{
    for (;;) {
        char *nl = memchr(r->text + r->scanned, '\n', r->end - r->scanned);
        size_t n;

        if (!nl) {
            r->scanned = r->end;
            if (r->dropping) {
                r->start = r->end;
                return WIRE_NO_LINE;
            }
            if (r->end - r->start < WIRE_LINE_MAX)
                return WIRE_NO_LINE;
            *text = r->text + r->start;
            *len = r->end - r->start;
            r->start = r->end;
            r->dropping = true;
            return WIRE_OVERLONG;
        }
        n = (size_t)(nl - (r->text + r->start));
        if (r->dropping) {
            r->dropping = false;
            r->start += n + 1;
            r->scanned = r->start;
            continue;
        }
        if (!r->prefixed && (n == 0 || (n == 1 && r->text[r->start] == '\r'))) {
            r->start += n + 1;
            r->scanned = r->start;
            continue;
        }
        return line_classify(r, n, n + 1, text, len);
    }
}

enum wire_line wire_reader_finish(struct wire_reader *r, const char **text, size_t *len)
{
    size_t n = r->end - r->start;

    if (n == 0 || r->dropping)
        return WIRE_NO_LINE;
    return line_classify(r, n, n, text, len);
}
