/* SPDX-License-Identifier: MIT */
#include "testbed/xen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "testbed/guest_image.h"
#include "testbed/guest_root.h"
#include "testbed/xen_cell.h"
#include "testbed/xen_costs.h"

#define LOCK          "/run/lock/ringproof"
#define ADDITIONS     "domu.cpio"
#define VERSION_BYTES 64u

/* env(1) runs a program with settings in front of its name, as it stands after the prefix. */
static const char *const here[] = {"/usr/bin/env", NULL};

struct testbed_world {
    char *loop, *costs, *create, *target, *guest, *initrd;
    int lock;
    struct xen_place place;
};

static enum scenario_arch machine_arch(void)
{
    struct utsname u;

    return !uname(&u) && !strcmp(u.machine, "aarch64") ? ARCH_ARM : ARCH_X86;
}

/* ---- the world ---- */

static bool is_dom0(void)
{
    FILE *f = fopen("/proc/xen/capabilities", "re");
    char text[64];
    bool yes = f && fgets(text, sizeof(text), f) && strstr(text, "control_d");

    if (f)
        fclose(f);
    return yes;
}

static char *guest_folder(void)
{
    const char *given = getenv("RINGPROOF_GUEST");

    return given ? strdup(given) : guest_image_path(machine_arch(), "");
}

static void xen_world_close(struct testbed_world *w)
{
    if (!w)
        return;
    if (w->initrd)
        unlink(w->initrd);
    if (w->lock >= 0)
        close(w->lock);
    free(w->loop);
    free(w->costs);
    free(w->create);
    free(w->target);
    free(w->guest);
    free(w->initrd);
    free(w);
}

/* The domains' initial ramdisk: the image's, and our agent over it. */
static int make_initrd(const struct testbed_config *cfg, const char *dir, struct testbed_world *w,
                       char *why, size_t why_size)
{
    char *additions = NULL, *programs = NULL;
    int rc = -ENOMEM;

    if (asprintf(&additions, "%s/" ADDITIONS, dir) < 0)
        additions = NULL;
    if (asprintf(&programs, "%s/..", cfg->bin_dir) < 0)
        programs = NULL;
    if (additions && programs)
        rc = guest_root_make(additions, programs, cfg->agent_bin, cfg->backend_bin);
    if (!rc)
        rc = guest_root_join(w->initrd, w->guest, dir, ADDITIONS);
    if (rc)
        snprintf(why, why_size, "a domU's root from %s (RINGPROOF_GUEST, or make images): %s",
                 w->guest, strerror(-rc));
    if (additions)
        unlink(additions);
    free(additions);
    free(programs);
    return rc;
}

static int take_lock(struct testbed_world *w, char *why, size_t why_size)
{
    w->lock = open(LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->lock < 0) {
        snprintf(why, why_size, "%s: %s", LOCK, strerror(errno));
        return -errno;
    }
    if (flock(w->lock, LOCK_EX | LOCK_NB)) {
        snprintf(why, why_size, "another run uses this machine (%s is locked)", LOCK);
        return -EBUSY;
    }
    return 0;
}

static int xen_world_open(const struct testbed_config *cfg, const char *dir,
                          struct testbed_world **out, char *why, size_t why_size)
{
    struct testbed_world *w;
    int rc;

    *out = NULL;
    if (!is_dom0()) {
        snprintf(why, why_size, "this is not a dom0 (/proc/xen/capabilities has no control_d)");
        return -ENOTSUP;
    }
    if (geteuid() != 0) {
        snprintf(why, why_size, "only root can make domains");
        return -EPERM;
    }
    w = calloc(1, sizeof(*w));
    if (!w) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    w->lock = -1;
    rc = take_lock(w, why, why_size);
    w->guest = guest_folder();
    if (asprintf(&w->loop, "%s/ringproof-dom0-loop", cfg->bin_dir) < 0)
        w->loop = NULL;
    if (asprintf(&w->costs, "%s/../" XEN_COSTS_PRELOAD, cfg->bin_dir) < 0)
        w->costs = NULL;
    if (asprintf(&w->create, "%s/rp-domu-create", cfg->bin_dir) < 0)
        w->create = NULL;
    if (asprintf(&w->target, "%s/ringproof-target", cfg->bin_dir) < 0)
        w->target = NULL;
    if (asprintf(&w->initrd, "%s/domu.initrd", dir) < 0)
        w->initrd = NULL;
    if (!rc && !(w->guest && w->loop && w->costs && w->create && w->target && w->initrd)) {
        snprintf(why, why_size, "out of memory");
        rc = -ENOMEM;
    }
    if (!rc)
        rc = make_initrd(cfg, dir, w, why, why_size);
    if (rc) {
        xen_world_close(w);
        return rc;
    }
    w->place = (struct xen_place){.prefix = here,
                                  .loop = w->loop,
                                  .backend = cfg->backend_bin,
                                  .costs = w->costs,
                                  .agent = cfg->agent_bin,
                                  .create = w->create,
                                  .target = w->target,
                                  .guest = w->guest,
                                  .guest_here = w->guest,
                                  .initrd = w->initrd};
    *out = w;
    return 0;
}

/* The first line of a file, "" when there is none. */
static const char *read_line(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "re");

    if (!f || !fgets(text, (int)size, f))
        text[0] = 0;
    if (f)
        fclose(f);
    text[strcspn(text, "\n")] = 0;
    return text;
}

static void xen_versions(const struct testbed_config *cfg,
                         void (*add)(void *ctx, const char *name, const char *value), void *ctx)
{
    char major[VERSION_BYTES], minor[VERSION_BYTES], extra[VERSION_BYTES];
    char text[3 * VERSION_BYTES], *guest = guest_folder();
    struct utsname u;

    snprintf(text, sizeof(text), "%s.%s%s",
             read_line("/sys/hypervisor/version/major", major, sizeof(major)),
             read_line("/sys/hypervisor/version/minor", minor, sizeof(minor)),
             read_line("/sys/hypervisor/version/extra", extra, sizeof(extra)));
    add(ctx, "xen", text);
    if (!uname(&u))
        add(ctx, "dom0", u.release);
    if (guest)
        add(ctx, "guest", guest);
    free(guest);
    add(ctx, "backend", cfg->backend_bin);
    add(ctx, "agent", cfg->agent_bin);
}

/* ---- a cell ---- */

static bool xen_supports(const struct scenario_cell *plan, char *why, size_t why_size)
{
    if (plan->arch != machine_arch()) {
        snprintf(why, why_size, "this machine is %s", guest_image_arch(machine_arch()));
        return false;
    }
    if (plan->start == START_DOM0LESS) {
        snprintf(why, why_size, "what Xen starts itself is in this machine's device tree");
        return false;
    }
    if (plan->background == BACKGROUND_ONES && plan->arch == ARCH_ARM) {
        snprintf(why, why_size, "only domains that Xen starts itself have background regions");
        return false;
    }
    return xen_cell_supports(plan, why, why_size);
}

static int xen_open(const struct testbed_config *cfg, const struct scenario_cell *plan,
                    struct testbed_cell **out, char *why, size_t why_size)
{
    struct xen_cell *x = calloc(1, sizeof(*x));
    int rc;

    *out = NULL;
    if (!x) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    testbed_cell_init(&x->cell, &testbed_xen, cfg, plan);
    x->cell.image_dir = cfg->run_dir;
    x->place = &cfg->world->place;
    *out = &x->cell;
    /* A harness that was killed left its domain behind. */
    rc = xen_cell_domain_destroy(&x->cell);
    if (!rc)
        rc = xen_cell_make_images(&x->cell);
    if (rc)
        snprintf(why, why_size, "%s", x->cell.why);
    return rc;
}

static void xen_close(struct testbed_cell *c)
{
    if (!c)
        return;
    xen_cell_domain_end(c);
    process_kill_children();
    free(c);
}

/* When this dom0 dies nobody asks. */
static int xen_alive(struct testbed_cell *c)
{
    (void)c;
    return 0;
}

const struct testbed_ops testbed_xen = {
    .name = "xen",
    .backend_is_near = true,
    .note = "Testbed xen: the dom0 that the harness runs in. Its times are this machine's.",
    .slowness = 2,
    .one_at_a_time = true,
    .kernel_boots = true,
    .hung_is_costly = true,
    .world_open = xen_world_open,
    .world_close = xen_world_close,
    .supports = xen_supports,
    .versions = xen_versions,
    .open = xen_open,
    .close = xen_close,
    XEN_CELL_OPS,
    .alive = xen_alive,
};
