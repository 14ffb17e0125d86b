/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/report.h"

static void write_json(const struct report *r, FILE *f)
{
    json_t *o = report_to_json(r);

    if (!o || json_dumpf(o, f, JSON_INDENT(1) | JSON_SORT_KEYS))
        fputs("{}", f); /* cannot happen but without memory; the reader sees an invalid result */
    putc('\n', f);
    json_decref(o);
}

/* A reader never sees half a file: it is written beside its place and then moved there. */
static int write_one(const struct report *r, const char *dir, const char *name,
                     void (*write)(const struct report *, FILE *), char *why, size_t why_size)
{
    char *path = NULL, *part = NULL;
    FILE *f = NULL;
    int ret = 0;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        path = NULL;
    if (asprintf(&part, "%s/.%s.part", dir, name) < 0)
        part = NULL;
    if (!path || !part) {
        ret = -ENOMEM;
        goto out;
    }
    f = fopen(part, "we");
    if (!f) {
        ret = -errno;
        goto out;
    }
    write(r, f);
    bool failed = ferror(f);
    errno = 0;
    if (fclose(f) || failed)
        ret = errno ? -errno : -EIO;
    if (!ret && rename(part, path))
        ret = -errno;
    if (ret)
        unlink(part);
out:
    if (ret)
        snprintf(why, why_size, "%s: %s", path ? path : name, strerror(-ret));
    free(path);
    free(part);
    return ret;
}

int report_write_files(const struct report *r, const char *dir, char *why, size_t why_size)
{
    static const struct {
        const char *name;
        void (*write)(const struct report *r, FILE *f);
    } forms[] = {
        {"result.json", write_json},
        {"result.tap", report_write_tap},
        {"result.ktap", report_write_ktap},
        {"result.xml", report_write_junit},
        {"result.kcidb.json", report_write_kcidb},
    };
    int ret = 0;

    for (size_t i = 0; !ret && i < sizeof(forms) / sizeof(forms[0]); i++)
        ret = write_one(r, dir, forms[i].name, forms[i].write, why, why_size);
    if (!ret && r->equivalence)
        ret = write_one(r, dir, "equivalence.md", report_write_equivalence_markdown, why, why_size);
    for (unsigned i = 0; !ret && i < r->cell_count; i++)
        if (r->cells[i]->table.name[0])
            return write_one(r, dir, "tables.md", report_write_tables_markdown, why, why_size);
    return ret;
}
