/* SPDX-License-Identifier: MIT */
/* A backend that a profile describes: its command, for one cell. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/settings.h"
#include "util/bits.h"

#define VALUES_MAX 48u

/* Values of placeholders, the last of a name counts. */
struct values {
    struct {
        char name[24];
        char *text;
    } items[VALUES_MAX];
    unsigned count;
    int ret;
};

static void add(struct values *v, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void add(struct values *v, const char *name, const char *fmt, ...)
{
    va_list ap;
    char *text;

    if (v->count == VALUES_MAX) {
        v->ret = -E2BIG;
        return;
    }
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        v->ret = -ENOMEM;
        return;
    }
    snprintf(v->items[v->count].name, sizeof(v->items[0].name), "%s", name);
    v->items[v->count++].text = text;
}

static int add_setting(void *ctx, const char *key, const char *value)
{
    struct values *v = ctx;

    add(v, key, "%s", value);
    return v->ret;
}

static void values_cut(struct values *v, unsigned count)
{
    while (v->count > count)
        free(v->items[--v->count].text);
}

static const char *lookup(void *ctx, const char *name)
{
    const struct values *v = ctx;

    for (unsigned i = v->count; i--;)
        if (!strcmp(v->items[i].name, name))
            return v->items[i].text;
    return NULL;
}

static void add_common(struct testbed_cell *c, struct values *v)
{
    const struct host_bridge *m = &c->map.bridges[0];
    const struct scenario_cell *plan = &c->plan;

    add(v, "domid", "%u", c->ops->domid(c));
    add(v, "arch", "%s", plan->arch == ARCH_ARM ? "arm" : "x86");
    add(v, "addressing", "%s", plan->addressing == ADDRESSING_GRANTS ? "grants" : "foreign");
    add(v, "ring", "%s", plan->ring == RING_PACKED ? "packed" : "split");
    add(v, "vcpus", "%u", c->domain_vcpus);
    if (plan->ring == RING_PACKED)
        add(v, "packed", "1");
    add(v, "ecam.base", "0x%" PRIx64, m->ecam_base);
    add(v, "ecam.size", "0x%" PRIx64, m->ecam_bytes);
    add(v, "mem.base", "0x%" PRIx64, m->mem_base);
    add(v, "mem.size", "0x%" PRIx64, m->mem_bytes);
    add(v, "bus.last", "%u", m->bus_last);
    add(v, "ram.base", "0x%" PRIx64, c->map.ram_base);
    add(v, "ram.size", "%" PRIu64, c->domain_bytes);
    add(v, "dir", "%s", c->image_dir);
}

static int expand(struct testbed_cell *c, struct values *v, const struct profile_words *w,
                  struct words *argv)
{
    for (unsigned i = 0; i < w->count; i++) {
        char missing[64] = "";
        int err;
        char *word = profile_expand(w->words[i], lookup, v, &err, missing, sizeof(missing));

        if (!word)
            return err == -ENOENT
                       ? testbed_fail(c, -EOPNOTSUPP,
                                      "the profile's command needs {%s}, which this "
                                      "cell has not",
                                      missing)
                       : testbed_fail(c, err, "the profile's command: %s", strerror(-err));
        if (word[0]) /* "{name?text}" alone is no word when there is nothing */
            words_add(argv, word);
        free(word);
    }
    return 0;
}

/* What the device is told by other placeholders. */
static bool is_place(const char *key)
{
    return !strcmp(key, "sbdf") || !strcmp(key, "transport") || !strcmp(key, "base") ||
           !strcmp(key, "irq");
}

static int device(struct testbed_cell *c, unsigned index, struct values *v, struct words *argv)
{
    const struct scenario_device *d = &c->plan.scenario->devices[index];
    const struct profile_device *p = &c->config->profile->devices[d->type];
    unsigned common = v->count;
    int ret = testbed_device_settings(c, index, add_setting, v);

    for (unsigned i = common; !ret && i < v->count; i++) {
        const char *key = v->items[i].name;

        if (!is_place(key) && !profile_takes(&p->arguments, key))
            ret = testbed_fail(c, -EOPNOTSUPP, "the profile has no place for %s=%s of a %s", key,
                               v->items[i].text, scenario_device_type_name(d->type));
    }
    add(v, "index", "%u", index);
    if (d->sbdf) {
        add(v, "slot", "%.2s", d->sbdf + 8);
        add(v, "function", "%s", d->sbdf + 11);
    }
    if (!ret)
        ret = v->ret ? testbed_fail(c, v->ret, "values for the profile's command") : 0;
    if (!ret)
        ret = expand(c, v, &p->arguments, argv);
    values_cut(v, common);
    return ret;
}

int vendor_arguments(struct testbed_cell *c, const char *program, int ready_fd, struct words *argv)
{
    const struct profile *p = c->config->profile;
    struct values v = {.count = 0};
    int ret;

    add_common(c, &v);
    add(&v, "ready-fd", "%d", ready_fd);
    /* The program is the one that was found, and whose hash the certificate has. */
    const struct profile_words arguments = {.words = p->command.words + 1,
                                            .count = p->command.count - 1};
    words_add(argv, program);
    ret = v.ret ? testbed_fail(c, v.ret, "values for the profile's command")
                : expand(c, &v, &arguments, argv);
    for (unsigned i = 0; !ret && i < c->plan.scenario->device_count; i++)
        ret = device(c, i, &v, argv);
    values_cut(&v, 0);
    return ret;
}

char *vendor_ready_path(struct testbed_cell *c)
{
    struct values v = {.count = 0};
    char missing[64] = "", *path;
    int err;

    add_common(c, &v);
    path =
        profile_expand(c->config->profile->ready_path, lookup, &v, &err, missing, sizeof(missing));
    if (!path)
        testbed_fail(c, -EINVAL, "the profile's ready.xenstore: %s",
                     missing[0] ? missing : strerror(-err));
    values_cut(&v, 0);
    return path;
}
