/* SPDX-License-Identifier: MIT */
#include "testbed/xen_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testbed/guest_root.h"

#define MEMORY_MIB 128u
#define REPLY_NS   60000000000ull
#define BOOTED     "@rp-boot domu ready"
#define DONE       "@rp-done "
#define PIDFILE    "/run/backend.pid"

static struct xen_cell *xen_of(struct testbed_cell *c)
{
    return (struct xen_cell *)c;
}

int xen_driver_create(struct testbed_cell *c)
{
    struct xen_cell *x = xen_of(c);
    struct words create = {0};
    char *out = NULL;
    uint64_t mib = MEMORY_MIB;
    int ret;

    /* Images lie in its memory. */
    for (unsigned i = 0; i < c->plan.scenario->device_count; i++)
        if (c->plan.scenario->devices[i].backing == BACKING_IMAGE)
            mib += (c->plan.scenario->devices[i].size_bytes >> 20) + 1;
    words_add(&create, x->place->create);
    words_add(&create, XEN_DRIVER_DOMAIN);
    words_addf(&create, "ramdisk=\"%s\"", x->place->initrd);
    words_addf(&create, "kernel=\"%s/kernel\"", x->place->guest);
    words_addf(&create, "memory=%" PRIu64, mib);
    words_addf(&create,
               "extra=\"console=hvc0 quiet loglevel=1 panic=-1 xen_privcmd.unrestricted=1%s "
               "-- " GUEST_DRIVER "\"",
               c->plan.arch == ARCH_ARM ? "" : " pci=off");
    ret = create.failed ? testbed_fail(c, -ENOMEM, "out of memory")
                        : xen_cell_command(c, &out, (const char *const *)create.items);
    words_fini(&create);
    if (!ret && out)
        c->backend_domid = (uint16_t)strtoul(out, NULL, 10);
    free(out);
    x->driver_booted = false;
    if (!ret && !c->backend_domid)
        ret = testbed_fail(c, -EREMOTEIO, "the driver domain has no id");
    return ret ? ret
               : xen_cell_command(c, NULL,
                                  (const char *const[]){"xl", "unpause", XEN_DRIVER_DOMAIN, NULL});
}

int xen_driver_join(struct testbed_cell *c)
{
    char backend[8], frontend[8];

    snprintf(backend, sizeof(backend), "%u", c->backend_domid);
    snprintf(frontend, sizeof(frontend), "%u", xen_of(c)->domid);
    return xen_cell_command(
        c, NULL, (const char *const[]){xen_of(c)->place->target, backend, frontend, NULL});
}

/* ---- lines ---- */

static int write_line(struct testbed_cell *c, const char *line)
{
    for (size_t left = strlen(line); left;) {
        ssize_t n = write(xen_of(c)->to_driver, line, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return testbed_fail(c, -errno, "the driver domain's console: %s", strerror(errno));
        line += n;
        left -= (size_t)n;
    }
    return 0;
}

static int say(struct testbed_cell *c, const struct words *w, const char *verb)
{
    char *line = strdup(verb);
    int ret;

    for (unsigned i = 0; line && i < w->count; i++) {
        char *longer = NULL;

        if (strpbrk(w->items[i], " \t\n\\")) {
            free(line);
            return testbed_fail(c, -EINVAL, "'%s' cannot be said to a driver domain", w->items[i]);
        }
        if (asprintf(&longer, "%s %s%s", line, w->items[i], i + 1 == w->count ? "\n" : "") < 0)
            longer = NULL;
        free(line);
        line = longer;
    }
    ret = line && !w->failed ? write_line(c, line) : testbed_fail(c, -ENOMEM, "out of memory");
    free(line);
    return ret;
}

/* The next line that begins so, without what follows it. */
static int hear(struct testbed_cell *c, const char *prefix, char *line, size_t size)
{
    uint64_t deadline = monotonic_ns() + REPLY_NS * testbed_cell_slowness(c);
    size_t used = 0;

    for (;;) {
        struct pollfd p = {.fd = xen_of(c)->from_driver, .events = POLLIN};
        char byte;

        if (poll(&p, 1, poll_timeout_ms(deadline)) <= 0) {
            if (monotonic_ns() >= deadline)
                return testbed_fail(c, -ETIMEDOUT, "the driver domain does not say '%s'", prefix);
            continue;
        }
        ssize_t n = read(p.fd, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return testbed_fail(c, -EPIPE, "the driver domain's console has ended");
        if (byte != '\n') {
            if (used < size - 1)
                line[used++] = byte;
            continue;
        }
        line[used] = 0;
        used = 0;
        if (!strncmp(line, prefix, strlen(prefix)))
            return 0;
    }
}

/* A program that ends by itself; what it says. */
static int have_done(struct testbed_cell *c, char *says, size_t size, const char *const *command)
{
    struct words w = {0};
    char line[1024], *end = NULL;
    long status = -1;
    int ret;

    for (; *command; command++)
        words_add(&w, *command);
    ret = say(c, &w, "do");
    words_fini(&w);
    if (!ret)
        ret = hear(c, DONE, line, sizeof(line));
    if (ret)
        return ret;
    status = strtol(line + strlen(DONE), &end, 10);
    end += *end == ' ';
    if (status)
        return testbed_fail(
            c, -EREMOTEIO, "in the driver domain a program ended with status %ld: %s", status, end);
    snprintf(says, size, "%s", end);
    return 0;
}

static int make_images(struct testbed_cell *c)
{
    const struct scenario *s = c->plan.scenario;
    char says[256];
    int ret =
        have_done(c, says, sizeof(says), (const char *const[]){"mkdir", "-p", c->image_dir, NULL});

    for (unsigned i = 0; !ret && i < s->device_count; i++) {
        const struct scenario_device *d = &s->devices[i];
        char *path, bytes[24];

        if (d->backing != BACKING_IMAGE)
            continue;
        path = testbed_image_path(c, i);
        snprintf(bytes, sizeof(bytes), "%" PRIu64, d->size_bytes);
        ret = path ? have_done(c, says, sizeof(says),
                               (const char *const[]){GUEST_LOOP, "image", path, bytes,
                                                     d->filled ? "filled" : "empty", NULL})
                   : -ENOMEM;
        free(path);
    }
    return ret;
}

/* ---- the backend ---- */

/* Its console, held by a program in dom0. */
static int open_driver(struct testbed_cell *c)
{
    struct xen_cell *x = xen_of(c);
    int to[2] = {-1, -1}, from[2] = {-1, -1}, ret = 0;
    struct words argv = {0};
    char line[256], domid[8];

    snprintf(domid, sizeof(domid), "%u", c->backend_domid);
    words_add(&argv, x->place->loop);
    words_add(&argv, "driver");
    words_add(&argv, domid);
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
        ret = testbed_fail(c, -errno, "no pipes for the driver domain");
    if (!ret)
        ret = xen_cell_spawn(c, &argv, "backend.log", to[0], from[1], &c->backend);
    words_fini(&argv);
    if (!ret) {
        x->to_driver = to[1];
        x->from_driver = from[0];
        to[1] = from[0] = -1;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (to[i] >= 0)
            close(to[i]);
        if (from[i] >= 0)
            close(from[i]);
    }
    if (!ret && !x->driver_booted) {
        ret = hear(c, BOOTED, line, sizeof(line));
        x->driver_booted = ret == 0;
        if (!ret)
            ret = make_images(c);
    }
    return ret;
}

int xen_driver_start(struct testbed_cell *c)
{
    struct words argv = {0}, run = {0};
    int ret;

    xen_driver_end(c);
    ret = open_driver(c);
    if (!ret && c->config->mutant) {
        words_add(&run, "env");
        words_addf(&run, "RINGPROOF_MUTANT=%s", c->config->mutant);
    }
    if (!ret)
        ret = testbed_backend_arguments(c, GUEST_BACKEND, STDOUT_FILENO, &argv);
    for (unsigned i = 0; i < argv.count; i++)
        words_add(&run, argv.items[i]);
    if (!ret)
        ret = say(c, &run, "run");
    if (!ret)
        ret = testbed_wait_ready(c, xen_of(c)->from_driver);
    if (!ret)
        c->backend_starts++;
    words_fini(&argv);
    words_fini(&run);
    return ret;
}

int xen_driver_audit(struct testbed_cell *c, struct testbed_audit *a)
{
    char says[256];
    int ret;

    *a = (struct testbed_audit){0};
    if (!process_running(&c->backend))
        return testbed_fail(c, -ESRCH, "the backend does not run");
    ret =
        have_done(c, says, sizeof(says), (const char *const[]){GUEST_LOOP, "audit", PIDFILE, NULL});
    if (!ret && sscanf(says, "grants=%" SCNu64 " privcmd=%" SCNu64 " fds=%" SCNu64,
                       &a->grants_mapped, &a->foreign_frames, &a->fds) != 3)
        ret = testbed_fail(c, -EPROTO, "audit: '%s'", says);
    return ret;
}

void xen_driver_end(struct testbed_cell *c)
{
    struct xen_cell *x = xen_of(c);

    if (x->to_driver > 0)
        close(x->to_driver);
    if (x->from_driver > 0)
        close(x->from_driver);
    x->to_driver = x->from_driver = 0;
}
