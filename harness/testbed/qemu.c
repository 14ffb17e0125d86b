/* SPDX-License-Identifier: MIT */
#include "testbed/qemu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/client.h"
#include "testbed/guest_root.h"
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

static int qemu_open(const struct testbed_config *cfg, const struct scenario_cell *plan,
                     struct testbed_cell **out, char *why, size_t why_size)
{
    struct qemu_cell *q = calloc(1, sizeof(*q));
    char text[2048];
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
    *out = c;
    q->lease =
        machine_use(cfg->world->socket, guest_image_arch(plan->arch), USE_NS, text, sizeof(text));
    if (q->lease < 0) {
        ret = testbed_fail(c, q->lease, "no machine: %s", text);
    } else {
        if (strcmp(text, "booted"))
            snprintf(c->boot, sizeof(c->boot), "%.*s", (int)sizeof(c->boot) - 1, text);
        ret = xen_cell_make_images(c);
    }
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
    .hung_is_costly = true,
    .open_ns = USE_NS,
    .world_open = qemu_world_open,
    .world_close = qemu_world_close,
    .supports = xen_cell_supports,
    .versions = qemu_versions,
    .open = qemu_open,
    .close = qemu_close,
    XEN_CELL_OPS,
    .alive = qemu_alive,
};
