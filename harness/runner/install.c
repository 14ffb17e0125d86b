/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/runner.h"

static char *own(struct install *in, char *text)
{
    if (!text || in->owned_count == sizeof(in->owned) / sizeof(in->owned[0])) {
        fputs("ringproof: out of memory\n", stderr);
        exit(REPORT_HARNESS_ERROR);
    }
    return in->owned[in->owned_count++] = text;
}

static char *format(struct install *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static char *format(struct install *in, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    return own(in, text);
}

static bool exists(const char *dir, const char *name)
{
    char path[PATH_MAX];

    return (size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) < sizeof(path) &&
           !access(path, F_OK);
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), k = strlen(suffix);

    return n >= k && !strcmp(text + n - k, suffix);
}

/* The folder above the one that a program is in. */
static char *base_of(const char *program)
{
    char *base = strdup(program);

    for (int i = 0; base && i < 2; i++) {
        char *slash = strrchr(base, '/');
        if (slash)
            *slash = 0;
    }
    return base;
}

static int want_file(const char *path, int mode, const char *what)
{
    if (!access(path, mode))
        return 0;
    fprintf(stderr, "ringproof: %s: %s: %s\n", what, path, strerror(errno));
    return -ENOENT;
}

/* Data lie in the source tree above build/VARIANT, or in PREFIX/share/ringproof beside
 * PREFIX/lib/ringproof, or in the working folder (a build outside of the tree). */
static char *find_data(struct install *in)
{
    char path[PATH_MAX];

    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            snprintf(path, sizeof(path), "%s/../..", in->base);
        else if (i == 1)
            snprintf(path, sizeof(path), "%s/../../share/ringproof", in->base);
        else
            snprintf(path, sizeof(path), ".");
        if (exists(path, "scenarios") && exists(path, "harness/catalog"))
            return own(in, realpath(path, NULL));
    }
    return NULL;
}

/* A program given by the user, or one of a build's; absolute. */
static const char *program(struct install *in, const char *given, const char *dir, const char *name)
{
    char *path = given ? realpath(given, NULL) : NULL;

    if (path)
        return own(in, path);
    return given ? format(in, "%s", given) : format(in, "%s/bin/%s", dir, name);
}

/* A program by its name, as a shell finds it. */
static const char *in_path(struct install *in, const char *name)
{
    const char *folders = getenv("PATH");
    char *path = strdup(folders ? folders : "/usr/bin:/bin"), *rest = path, *dir;
    const char *found = NULL;

    while (path && !strchr(name, '/') && !found && (dir = strsep(&rest, ":")))
        if (exists(dir, name))
            found = format(in, "%s/%s", dir, name);
    free(path);
    return found ? found : name;
}

static int load_profile(const struct run_options *o, struct install *in)
{
    char why[1024];

    if (!o->profile)
        return 0;
    if (profile_load(o->profile, &in->profile, why, sizeof(why))) {
        fprintf(stderr, "%s\n", why);
        return -EINVAL;
    }
    in->testbed.profile = in->profile;
    return 0;
}

/* The drop-in libraries that belong to a program: those of its own build, else ours. */
static const char *libraries_of(struct install *in, const char *path, const char *fallback)
{
    char *base = base_of(path);
    char *dir = NULL;

    if (base && exists(base, "simxen/libsimxen.so"))
        dir = format(in, "%s/simxen", base);
    free(base);
    return dir ? dir : fallback;
}

int install_find(const struct run_options *o, bool need_subject, struct install *in)
{
    struct testbed_config *t = &in->testbed;
    char self[PATH_MAX], *variant;

    *in = (struct install){0};
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0) {
        fprintf(stderr, "ringproof: /proc/self/exe: %s\n", strerror(errno));
        return -errno;
    }
    self[n] = 0;
    in->self = format(in, "%s", self);
    in->base = own(in, base_of(self));
    in->data = find_data(in);
    if (!in->data) {
        fputs("ringproof: no folder with scenarios and harness/catalog: run it from the source "
              "tree or install it\n",
              stderr);
        return -ENOENT;
    }
    variant = in->base;
    if (o->variant_dir) {
        variant = realpath(o->variant_dir, NULL);
        if (!variant) {
            fprintf(stderr, "ringproof: %s: %s\n", o->variant_dir, strerror(errno));
            return -ENOENT;
        }
        own(in, variant);
    }
    if (load_profile(o, in))
        return -EINVAL;
    t->bin_dir = format(in, "%s/bin", in->base);
    /* Stock programs (xenstored, fio) cannot load sanitised libraries. */
    const char *stock = in->base;
    if (has_suffix(in->base, "/san") && exists(in->base, "../release/simxen/libsimxen.so"))
        stock = format(in, "%s/../release", in->base);
    t->sim_dir = format(in, "%s/simxen", stock);
    in->variant_bin_dir = format(in, "%s/bin", variant);
    const char *subject = o->backend_bin;
    if (!subject && in->profile)
        subject = in_path(in, in->profile->program);
    t->backend_bin = program(in, subject, variant, "ringproof-backend");
    t->agent_bin = program(in, o->agent_bin, variant, "ringproof-agent");
    t->backend_sim_dir = libraries_of(in, t->backend_bin, t->sim_dir);
    t->agent_sim_dir = libraries_of(in, t->agent_bin, t->sim_dir);
    char *agent_base = own(in, base_of(t->agent_bin));
    t->agent_lib_dir = format(in, "%s/lib", agent_base);
    t->lib_dir = format(in, "%s/lib", stock);
    t->verbose = o->verbose;
    t->slowness = o->slowness;
    t->icount = o->icount;
    if (need_subject && (want_file(t->backend_bin, X_OK, "the backend") ||
                         want_file(t->agent_bin, X_OK, "the agent")))
        return -ENOENT;
    return 0;
}

void install_fini(struct install *in)
{
    for (unsigned i = 0; i < in->owned_count; i++)
        free(in->owned[i]);
    profile_free(in->profile);
    *in = (struct install){0};
}

char *install_variant_dir(const struct install *in, const char *variant)
{
    char *dir;

    return asprintf(&dir, "%s/../%s", in->base, variant) < 0 ? NULL : dir;
}
