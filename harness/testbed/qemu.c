/* SPDX-License-Identifier: MIT */
#include "testbed/qemu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/client.h"
#include "testbed/guest_image.h"
#include "testbed/qemu_world.h"

#define IMAGE_DIR "/run/ringproof"
#define USE_NS    900000000000ull /* two boots, each up to its own limit */

struct qemu_cell {
    struct xen_cell x; /* first */
    int lease;
};

static struct qemu_cell *qemu_of(struct testbed_cell *c)
{
    return (struct qemu_cell *)c;
}

static void qemu_discard(struct testbed_cell *c)
{
    machine_discard(qemu_of(c)->lease);
}

/* The machine is this cell's, and has its images. */
static int take_machine(struct testbed_cell *c)
{
    struct qemu_cell *q = qemu_of(c);
    char text[2048];

    q->lease = machine_use(c->config->world->socket, qemu_machine_name(&c->plan), USE_NS, text,
                           sizeof(text));
    if (q->lease < 0)
        return testbed_fail(c, q->lease, "no machine: %s", text);
    if (strcmp(text, "booted"))
        snprintf(c->boot, sizeof(c->boot), "%.*s", (int)sizeof(c->boot) - 1, text);
    return xen_cell_make_images(c);
}

/* One boot, one domain that Xen starts. */
static int qemu_renew(struct testbed_cell *c)
{
    static const char *const take[] = {"mkdir", "/run/ringproof-dom0less", NULL};
    struct qemu_cell *q = qemu_of(c);
    int ret = xen_cell_command(c, NULL, take);

    if (ret != -EREMOTEIO)
        return ret;
    qemu_discard(c);
    close(q->lease);
    ret = take_machine(c);
    return ret ? ret : xen_cell_command(c, NULL, take);
}

static int qemu_open(const struct testbed_config *cfg, const struct scenario_cell *plan,
                     struct testbed_cell **out, char *why, size_t why_size)
{
    struct qemu_cell *q = calloc(1, sizeof(*q));
    int ret;

    *out = NULL;
    if (!q || !cfg->world) {
        free(q);
        snprintf(why, why_size, "%s", q ? "there is no keeper of machines" : "out of memory");
        return q ? -EINVAL : -ENOMEM;
    }
    struct testbed_cell *c = &q->x.cell;
    testbed_cell_init(c, &testbed_qemu, cfg, plan);
    c->image_dir = IMAGE_DIR;
    q->x.place = &cfg->world->place;
    q->x.discard = qemu_discard;
    q->x.renew = qemu_renew;
    *out = c;
    ret = take_machine(c);
    if (ret)
        snprintf(why, why_size, "%s", c->why);
    return ret;
}

static void qemu_close(struct testbed_cell *c)
{
    if (!c)
        return;
    if (qemu_of(c)->lease >= 0) {
        xen_cell_domain_end(c);
        close(qemu_of(c)->lease);
    }
    process_kill_children();
    free(c);
}

/* mainline's dom0less property trap-unmapped-accesses */
#define BACKGROUND_MAJOR 4u
#define BACKGROUND_MINOR 21u

/* The image's hypervisor: {"xen": "4.17.5+72-..."} of versions.json. */
static bool read_xen_version(unsigned *major, unsigned *minor)
{
    char *path = guest_image_path(ARCH_ARM, "versions.json"), line[256];
    FILE *f = path ? fopen(path, "re") : NULL;
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = sscanf(line, " \"xen\": \"%u.%u", major, minor) == 2;
    if (f)
        fclose(f);
    free(path);
    return found;
}

static bool qemu_supports(const struct scenario_cell *plan, char *why, size_t why_size)
{
    unsigned major = 0, minor = 0;

    if (plan->arch != ARCH_ARM || plan->background != BACKGROUND_ONES)
        return xen_cell_supports(plan, why, why_size);
    if (plan->start != START_DOM0LESS) {
        snprintf(why, why_size, "Xen has background regions only for domains that it starts");
        return false;
    }
    if (!read_xen_version(&major, &minor) || major < BACKGROUND_MAJOR ||
        (major == BACKGROUND_MAJOR && minor < BACKGROUND_MINOR)) {
        snprintf(why, why_size,
                 "this Xen (%u.%u) has no background regions: trap-unmapped-accesses came with "
                 "%u.%u",
                 major, minor, BACKGROUND_MAJOR, BACKGROUND_MINOR);
        return false;
    }
    return xen_cell_supports(plan, why, why_size);
}

static int qemu_alive(struct testbed_cell *c)
{
    char text[sizeof(c->why)];
    int ret = machine_alive(qemu_of(c)->lease, text, sizeof(text));

    return ret ? testbed_fail(c, ret, "%s", text) : 0;
}

const struct testbed_ops testbed_qemu = {
    .name = "qemu",
    .note = "Testbed qemu: the real Xen in an emulated machine. Its times are the emulator's.",
    .slowness = 6,
    .one_at_a_time = true,
    .kernel_boots = true,
    .hung_is_costly = true,
    .open_ns = USE_NS,
    .world_open = qemu_world_open,
    .world_close = qemu_world_close,
    .supports = qemu_supports,
    .versions = qemu_versions,
    .open = qemu_open,
    .close = qemu_close,
    XEN_CELL_OPS,
    .alive = qemu_alive,
};
