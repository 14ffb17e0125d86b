/* SPDX-License-Identifier: MIT */
#include "catalog/catalog.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 8

struct catalog {
    struct requirement *requirements;
    size_t nr_requirements;
    struct catalog_mutant *mutants;
    size_t nr_mutants;
    /* What the strings point into. */
    char **texts;
    size_t nr_texts;
};

/* One file being read. */
struct table {
    const char *name;
    char *at; /* rest of the text, cut up in place */
    unsigned line;
    const char *columns[COLUMNS_MAX]; /* header */
    unsigned nr_columns;
    const char *fields[COLUMNS_MAX];
    char *why;
    size_t why_bytes;
};

static int table_fail(struct table *t, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int table_fail(struct table *t, int err, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(t->why, t->why_bytes, "%s:%u: ", t->name, t->line);

    if (n >= 0 && (size_t)n < t->why_bytes) {
        va_start(ap, fmt);
        vsnprintf(t->why + n, t->why_bytes - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return err;
}

static unsigned split(char *line, const char **fields)
{
    unsigned n = 0;

    for (;;) {
        char *tab = strchr(line, '\t');

        if (n < COLUMNS_MAX)
            fields[n] = line;
        n++;
        if (!tab)
            return n;
        *tab = '\0';
        line = tab + 1;
    }
}

/* The next line that is no comment: 1 with its fields, 0 at the end, -EINVAL. */
static int table_next(struct table *t)
{
    while (*t->at) {
        char *line = t->at, *nl = strchr(line, '\n');
        unsigned n;

        t->line++;
        t->at = nl ? nl + 1 : line + strlen(line);
        if (nl)
            *nl = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        n = split(line, t->fields);
        if (t->nr_columns == 0) {
            if (n > COLUMNS_MAX)
                return table_fail(t, -EINVAL, "%u columns, at most %u are allowed", n, COLUMNS_MAX);
            memcpy(t->columns, t->fields, n * sizeof(t->columns[0]));
            t->nr_columns = n;
            continue;
        }
        if (n != t->nr_columns)
            return table_fail(t, -EINVAL, "%u columns, the header has %u", n, t->nr_columns);
        return 1;
    }
    if (t->nr_columns == 0)
        return table_fail(t, -EINVAL, "no header line");
    return 0;
}

static const char *table_get(const struct table *t, const char *column)
{
    for (unsigned i = 0; i < t->nr_columns; i++) {
        if (strcmp(t->columns[i], column) == 0)
            return t->fields[i];
    }
    return NULL;
}

static int text_load(struct catalog *c, const char *dir, const char *name, char **text, char *why,
                     size_t why_bytes)
{
    char path[PATH_MAX], **grown;
    char *buf = NULL;
    size_t size = 0;
    ssize_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "re");
    if (!f) {
        int err = errno > 0 ? -errno : -EIO;

        snprintf(why, why_bytes, "%s: %s", path, strerror(-err));
        return err;
    }
    n = getdelim(&buf, &size, '\0', f);
    if (n < 0 || !buf || ferror(f) || !feof(f)) {
        snprintf(why, why_bytes, "%s: %s", path,
                 ferror(f) ? "cannot be read" : "empty, or no text");
        fclose(f);
        free(buf);
        return -EINVAL;
    }
    fclose(f);
    grown = realloc(c->texts, (c->nr_texts + 1) * sizeof(*grown));
    if (!grown) {
        free(buf);
        snprintf(why, why_bytes, "no memory");
        return -ENOMEM;
    }
    c->texts = grown;
    c->texts[c->nr_texts++] = buf;
    *text = buf;
    return 0;
}

/* Room for one more of an array that grows by doubling at powers of two. */
static void *grow(void *array, size_t count, size_t item)
{
    if (count & (count - 1))
        return array;
    return realloc(array, (count ? 2 * count : 1) * item);
}

/* Text of our own that lives as long as the catalogue. */
static const char *keep(struct catalog *c, const char *a, size_t a_len, const char *b)
{
    char **grown = realloc(c->texts, (c->nr_texts + 1) * sizeof(*grown)), *s;

    if (!grown)
        return NULL;
    c->texts = grown;
    s = malloc(a_len + strlen(b) + 1);
    if (!s)
        return NULL;
    memcpy(s, a, a_len);
    memcpy(s + a_len, b, strlen(b) + 1);
    c->texts[c->nr_texts++] = s;
    return s;
}

static int requirements_load(struct catalog *c, const char *dir, const char *name, char *why,
                             size_t why_bytes)
{
    static const char virtio[] = "VIRTIO 1.4 CS01, ";
    struct table t = {.name = name, .why = why, .why_bytes = why_bytes};
    int err = text_load(c, dir, name, &t.at, why, why_bytes);

    if (!t.at)
        return err;
    while ((err = table_next(&t)) > 0) {
        const char *level = table_get(&t, "level"), *section = table_get(&t, "section");
        struct requirement r = {
            .id = table_get(&t, "id"),
            .role = table_get(&t, "role"),
            .level = level ? level : table_get(&t, "keyword"),
            .source = table_get(&t, "source"),
            .text = table_get(&t, "paraphrase"),
        };
        struct requirement *all;

        if (!r.source && section)
            r.source = keep(c, virtio, sizeof(virtio) - 1, section);
        if (!r.text)
            r.text = "";
        if (!r.id || !r.role || !r.level || !r.source)
            return table_fail(&t, -EINVAL,
                              "the header lacks id, role, level (keyword) or source (section)");
        if (!r.id[0] || !strchr(r.id, '.') || strchr(r.id, ' '))
            return table_fail(&t, -EINVAL, "\"%s\" is no id", r.id);
        r.area = keep(c, r.id, strcspn(r.id, "."), "");
        if (!r.area)
            return table_fail(&t, -ENOMEM, "no memory");
        all = grow(c->requirements, c->nr_requirements, sizeof(*all));
        if (!all)
            return table_fail(&t, -ENOMEM, "no memory");
        c->requirements = all;
        all[c->nr_requirements++] = r;
    }
    return err;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct requirement *)a)->id, ((const struct requirement *)b)->id);
}

/* Of requirements that were loaded and sorted. */
static int unobservable_load(struct catalog *c, const char *dir, char *why, size_t why_bytes)
{
    struct table t = {.name = "unobservable.tsv", .why = why, .why_bytes = why_bytes};
    int err = text_load(c, dir, t.name, &t.at, why, why_bytes);

    if (!t.at)
        return err;
    while ((err = table_next(&t)) > 0) {
        struct requirement key = {.id = table_get(&t, "id")}, *r;
        const char *reason = table_get(&t, "reason");

        if (!key.id || !reason || !reason[0])
            return table_fail(&t, -EINVAL, "the header lacks id or reason, or there is no reason");
        r = bsearch(&key, c->requirements, c->nr_requirements, sizeof(key), by_id);
        if (!r)
            return table_fail(&t, -EINVAL, "%s is no requirement", key.id);
        if (r->unobservable)
            return table_fail(&t, -EINVAL, "%s is listed twice", key.id);
        r->unobservable = reason;
    }
    return err;
}

static int mutants_load(struct catalog *c, const char *dir, char *why, size_t why_bytes)
{
    struct table t = {.name = "mutants.tsv", .why = why, .why_bytes = why_bytes};
    int err = text_load(c, dir, t.name, &t.at, why, why_bytes);

    if (!t.at)
        return err;
    while ((err = table_next(&t)) > 0) {
        struct catalog_mutant m = {
            .name = table_get(&t, "mutant"),
            .program = table_get(&t, "program"),
            .check = table_get(&t, "check"),
            .description = table_get(&t, "description"),
        };
        if (!m.name || !m.program || !m.check || !m.description)
            return table_fail(&t, -EINVAL,
                              "the header lacks mutant, program, check or description");
        if (strcmp(m.program, "backend") != 0 && strcmp(m.program, "simxen") != 0)
            return table_fail(&t, -EINVAL, "program \"%s\" is neither backend nor simxen",
                              m.program);
        for (size_t i = 0; i < c->nr_mutants; i++) {
            if (strcmp(c->mutants[i].name, m.name) == 0)
                return table_fail(&t, -EINVAL, "mutant \"%s\" is listed twice", m.name);
        }
        for (const char *at = m.check + strspn(m.check, " "); *at; at += strspn(at, " ")) {
            size_t length = strcspn(at, " ");
            struct catalog_mutant *all = grow(c->mutants, c->nr_mutants, sizeof(*all));

            m.check = all ? keep(c, at, length, "") : NULL;
            if (all)
                c->mutants = all;
            if (!m.check)
                return table_fail(&t, -ENOMEM, "no memory");
            all[c->nr_mutants++] = m;
            at += length;
        }
    }
    return err;
}

/* Where the data is when nobody says. */
static int dir_find(char *dir, size_t size, char *why, size_t why_bytes)
{
    static const char *const beside[] = {
        "../../../share/ringproof/harness/catalog", /* PREFIX/lib/ringproof/bin */
        "../share/ringproof/harness/catalog",
        "../../../harness/catalog", /* build/<variant>/bin */
        "../../harness/catalog",
    };
    const char *env = getenv("RINGPROOF_DATADIR");
    char exe[PATH_MAX], file[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (env) {
        snprintf(dir, size, "%s/harness/catalog", env);
        return 0;
    }
    if (n > 0) {
        exe[n] = '\0';
        *strrchr(exe, '/') = '\0';
    }
    for (size_t i = 0; n > 0 && i < sizeof(beside) / sizeof(beside[0]); i++) {
        snprintf(file, sizeof(file), "%s/%s/virtio.tsv", exe, beside[i]);
        if (access(file, R_OK) == 0) {
            snprintf(dir, size, "%s/%s", exe, beside[i]);
            return 0;
        }
    }
    if (access("harness/catalog/virtio.tsv", R_OK) == 0) {
        snprintf(dir, size, "harness/catalog");
        return 0;
    }
    snprintf(why, why_bytes,
             "the catalogue was not found: set RINGPROOF_DATADIR to the folder that holds "
             "harness/catalog");
    return -ENOENT;
}

int catalog_load(const char *dir, struct catalog **out, char *why, size_t why_bytes)
{
    static const char *const files[] = {"virtio.tsv", "xen.tsv", "abi.tsv"};
    struct catalog *c = calloc(1, sizeof(*c));
    char found[2 * PATH_MAX];
    int err = 0;

    *out = NULL;
    if (!c) {
        snprintf(why, why_bytes, "no memory");
        return -ENOMEM;
    }
    if (!dir) {
        err = dir_find(found, sizeof(found), why, why_bytes);
        dir = found;
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !err; i++)
        err = requirements_load(c, dir, files[i], why, why_bytes);
    if (!err)
        err = mutants_load(c, dir, why, why_bytes);
    if (!err && c->nr_requirements)
        qsort(c->requirements, c->nr_requirements, sizeof(c->requirements[0]), by_id);
    for (size_t i = 1; i < c->nr_requirements && !err; i++) {
        if (by_id(&c->requirements[i - 1], &c->requirements[i]) == 0) {
            snprintf(why, why_bytes, "requirement %s is listed twice", c->requirements[i].id);
            err = -EINVAL;
        }
    }
    if (!err)
        err = unobservable_load(c, dir, why, why_bytes);
    if (err) {
        catalog_destroy(c);
        return err;
    }
    *out = c;
    return 0;
}

void catalog_destroy(struct catalog *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->nr_texts; i++)
        free(c->texts[i]);
    free(c->texts);
    free(c->requirements);
    free(c->mutants);
    free(c);
}

const struct requirement *catalog_find(const struct catalog *c, const char *id)
{
    struct requirement key = {.id = id};

    if (c->nr_requirements == 0)
        return NULL;
    return bsearch(&key, c->requirements, c->nr_requirements, sizeof(key), by_id);
}

const struct requirement *catalog_requirements(const struct catalog *c, size_t *count)
{
    *count = c->nr_requirements;
    return c->requirements;
}

const struct catalog_mutant *catalog_mutants(const struct catalog *c, size_t *count)
{
    *count = c->nr_mutants;
    return c->mutants;
}
