/* SPDX-License-Identifier: MIT */
#include "testbed/qemu_world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "machine/archive.h"
#include "testbed/guest_image.h"
#include "testbed/guest_root.h"
#include "testbed/libraries.h"
#include "util/bits.h"

#define KEEPER_START_NS 10000000000ull
#define KEEPER_END_NS   10000000000ull
#define GUEST_INITRD    "guest-arm64.initrd"
/* As a toolstack's domU is booted (xen_cell.c), with Xen's own serial port as console. */
#define GUEST_CMDLINE                                                                              \
    "console=ttyAMA0 quiet loglevel=4 panic=-1 xen_privcmd.unrestricted=1 "                        \
    "initcall_blacklist=gen_pci_driver_init uio_pdrv_genirq.of_id=ringproof,intx"

/* Machines whose Xen starts a guest itself: without and with a background region. */
static const char *const guest_machines[] = {"arm64-dom0less", "arm64-dom0less-ones"};
/* One whose Xen lets a domU serve another: built as ours is, its default policy is SILO. */
#define DRIVER_MACHINE "arm64-driver"
#define DRIVER_OPTIONS "--xen xsm=dummy"
/*
 * A machine whose clock is the number of instructions that it has executed, 1 ns each. While it is
 * idle it waits as long as its clock says: what the harness sends comes in between, and no limit of
 * a program in it may pass in no time. Its own options, which boot.sh's --icount has, come first.
 */
#define ICOUNT_OPTIONS "-icount shift=0,sleep=on"
#define ICOUNT_QUIET_S "30"
#define ICOUNT_BOOTS   "3"

const char *qemu_machine_name(const struct scenario_cell *plan)
{
    if (plan->backend == BACKEND_DRIVER && plan->arch == ARCH_ARM)
        return DRIVER_MACHINE;
    return plan->start == START_DOM0LESS ? guest_machines[plan->background == BACKGROUND_ONES]
                                         : guest_image_arch(plan->arch);
}

/* <base>/bin of our own build is x86's; arm64's is the build beside it. */
static char *programs_dir(const struct testbed_config *cfg, enum scenario_arch arch)
{
    char *dir;

    return asprintf(&dir, "%s/..%s", cfg->bin_dir, arch == ARCH_ARM ? "/../arm64" : "") < 0 ? NULL
                                                                                            : dir;
}

static int make_dom0(const char *path, const char *programs, const char *backend, const char *agent,
                     const char *domu, bool foreign)
{
    struct words libraries = {0};
    int rc = foreign ? libraries_of(backend, &libraries) : 0;
    struct archive *a = rc ? NULL : archive_create(path);

    if (!a) {
        words_fini(&libraries);
        return rc ? rc : -errno;
    }
    guest_root_add_folders(a);
    guest_root_add_program(a, "opt/ringproof/dom0-loop", programs, "bin/ringproof-dom0-loop");
    archive_add_file(a, "opt/ringproof/bin/ringproof-backend", backend, 0755);
    archive_add_file(a, "opt/ringproof/bin/ringproof-agent", agent, 0755);
    guest_root_add_program(a, "opt/ringproof/bin/ringproof-target", programs,
                           "bin/ringproof-target");
    guest_root_add_program(a, &QEMU_COSTS[1], programs, XEN_COSTS_PRELOAD);
    archive_add_file(a, "opt/ringproof/domu.cpio", domu, 0644);
    for (unsigned i = 0; i < libraries.count; i++) {
        char name[256];

        snprintf(name, sizeof(name), "opt/ringproof/lib/%s", strrchr(libraries.items[i], '/') + 1);
        archive_add_file(a, name, libraries.items[i], 0755);
    }
    words_fini(&libraries);
    return archive_finish(a);
}

/* A command that boots an image with further options, some of them QEMU's own. */
static int make_machine(const char *boot, const char *dir, const char *name, const char *options,
                        const char *last)
{
    char command[4096];
    FILE *f;

    snprintf(command, sizeof(command), "%s/%s", dir, name);
    f = fopen(command, "we");
    if (!f)
        return -errno;
    fprintf(f, "#!/bin/sh\nexec '%s' %s \"$@\"%s\n", boot, options, last);
    return fclose(f) || chmod(command, 0755) ? -errno : 0;
}

/* The ramdisk of the guest that Xen starts, and commands that boot with it. */
static int make_guest_machines(const char *boot, const char *dir, const char *additions)
{
    char initrd[4096], options[8192], image[4096], *slash;
    int rc;

    snprintf(initrd, sizeof(initrd), "%s/" GUEST_INITRD, dir);
    snprintf(image, sizeof(image), "%s", boot);
    slash = strrchr(image, '/');
    if (!slash)
        return -EINVAL;
    *slash = 0;
    rc = guest_root_join(initrd, image, dir, additions);
    for (unsigned i = 0; !rc && i < ARRAY_LENGTH(guest_machines); i++) {
        snprintf(options, sizeof(options), "--dom0less '%s' --guest-cmdline '" GUEST_CMDLINE "' %s",
                 initrd, i ? "--background" : "");
        rc = make_machine(boot, dir, guest_machines[i], options, "");
    }
    if (!rc)
        rc = make_machine(boot, dir, DRIVER_MACHINE, DRIVER_OPTIONS, "");
    return rc;
}

/* What is put over the image's roots. -ENOENT: there are no programs of this architecture. */
static int make_additions(const struct testbed_config *cfg, enum scenario_arch arch,
                          const char *boot, const char *dir, char **dom0)
{
    char *programs = programs_dir(cfg, arch), *backend = NULL, *agent = NULL, *domu = NULL;
    int rc = -ENOMEM;

    *dom0 = NULL;
    if (!programs)
        goto out;
    /* A backend of the user's is x86's. */
    if ((arch == ARCH_X86 ? asprintf(&backend, "%s", cfg->backend_bin)
                          : asprintf(&backend, "%s/bin/ringproof-backend", programs)) < 0 ||
        (arch == ARCH_X86 ? asprintf(&agent, "%s", cfg->agent_bin)
                          : asprintf(&agent, "%s/bin/ringproof-agent", programs)) < 0 ||
        asprintf(&domu, "%s/domu-%s.cpio", dir, guest_image_arch(arch)) < 0 ||
        asprintf(dom0, "%s/dom0-%s.cpio", dir, guest_image_arch(arch)) < 0)
        goto out;
    rc = guest_root_make(domu, programs, agent, backend);
    if (!rc)
        rc = make_dom0(*dom0, programs, backend, agent, domu, cfg->profile && arch == ARCH_X86);
    if (!rc && arch == ARCH_ARM)
        rc = make_guest_machines(boot, dir, strrchr(domu, '/') + 1);
    unlink(domu);
out:
    if (rc) {
        free(*dom0);
        *dom0 = NULL;
    }
    free(programs);
    free(backend);
    free(agent);
    free(domu);
    return rc;
}

/* The keeper listens when its socket is there. */
static int wait_listening(struct testbed_world *w)
{
    uint64_t deadline = monotonic_ns() + KEEPER_START_NS;

    while (access(w->socket, F_OK)) {
        struct pollfd p = {.fd = w->keeper.pidfd, .events = POLLIN};

        if (poll(&p, 1, 10) > 0)
            return -ECHILD;
        if (monotonic_ns() >= deadline)
            return -ETIMEDOUT;
    }
    return 0;
}

/* Adds --machine for an architecture that has an image and programs. */
static int add_machine(const struct testbed_config *cfg, enum scenario_arch arch, const char *dir,
                       struct words *argv, char *why, size_t why_size)
{
    char *boot = guest_image_path(arch, "boot"), *dom0 = NULL;
    int rc = 0;

    if (!boot)
        return -ENOMEM;
    if (access(boot, X_OK)) {
        snprintf(why, why_size, "%s is not there (make images)", boot);
        goto out;
    }
    rc = make_additions(cfg, arch, boot, dir, &dom0);
    if (rc == -ENOENT) {
        snprintf(why, why_size, "there are no programs for %s (make guest-%s)",
                 guest_image_arch(arch), guest_image_arch(arch));
        rc = 0;
        goto out;
    }
    if (rc) {
        snprintf(why, why_size, "additions to the image: %s", strerror(-rc));
        goto out;
    }
    words_add(argv, "--machine");
    if (cfg->icount) {
        char name[32];

        snprintf(name, sizeof(name), "%s-icount", guest_image_arch(arch));
        rc = make_machine(boot, dir, name, "--icount", " -- " ICOUNT_OPTIONS);
        if (rc)
            goto out;
        words_addf(argv, "%s=%s/%s,%s", guest_image_arch(arch), dir, name, dom0);
    } else {
        words_addf(argv, "%s=%s,%s", guest_image_arch(arch), boot, dom0);
    }
    for (unsigned i = 0; arch == ARCH_ARM && i < ARRAY_LENGTH(guest_machines); i++) {
        words_add(argv, "--machine");
        words_addf(argv, "%s=%s/%s,%s", guest_machines[i], dir, guest_machines[i], dom0);
    }
    if (arch == ARCH_ARM) {
        words_add(argv, "--machine");
        words_addf(argv, DRIVER_MACHINE "=%s/" DRIVER_MACHINE ",%s", dir, dom0);
    }
out:
    free(boot);
    free(dom0);
    return rc;
}

int qemu_world_open(const struct testbed_config *cfg, const char *dir, struct testbed_world **out,
                    char *why, size_t why_size)
{
    struct testbed_world *w = calloc(1, sizeof(*w));
    struct words argv = {0}, env = {0};
    char *log = NULL, socket_dir[] = "/tmp/ringproof-qemu-XXXXXX";
    unsigned before;
    int rc = -ENOMEM;

    why[0] = 0;
    if (!w)
        goto out;
    w->keeper = PROCESS_INIT;
    if (asprintf(&w->dir, "%s/machines", dir) < 0)
        w->dir = NULL;
    /* Not below `dir`: a socket's address is short. */
    if (!w->dir || !mkdtemp(socket_dir) || asprintf(&w->socket, "%s/keeper", socket_dir) < 0 ||
        asprintf(&w->program, "%s/ringproof-machine", cfg->bin_dir) < 0 ||
        asprintf(&log, "%s/keeper.log", w->dir) < 0)
        goto out;
    if (mkdir(w->dir, 0777) && errno != EEXIST) {
        rc = -errno;
        snprintf(why, why_size, "%s: %s", w->dir, strerror(errno));
        goto out;
    }
    words_add(&argv, w->program);
    words_add(&argv, "serve");
    words_add(&argv, "--socket");
    words_add(&argv, w->socket);
    words_add(&argv, "--dir");
    words_add(&argv, w->dir);
    if (cfg->icount) { /* a boot that says nothing is one that stands still */
        words_add(&argv, "--quiet-limit");
        words_add(&argv, ICOUNT_QUIET_S);
        words_add(&argv, "--boots");
        words_add(&argv, ICOUNT_BOOTS);
    }
    before = argv.count;
    rc = add_machine(cfg, ARCH_X86, w->dir, &argv, why, why_size);
    if (!rc)
        rc = add_machine(cfg, ARCH_ARM, w->dir, &argv, why, why_size);
    if (rc)
        goto out;
    if (argv.count == before) { /* why is set */
        rc = -ENOENT;
        goto out;
    }
    words_add_environment(&env);
    const struct process_start start = {
        .argv = &argv, .env = &env, .log = log, .stdin_fd = -1, .stdout_fd = -1, .pass_fd = -1};
    rc = process_spawn(&start, &w->keeper);
    if (!rc)
        rc = wait_listening(w);
    if (rc)
        snprintf(why, why_size, "%s: %s", w->program, strerror(-rc));
    w->prefix[0] = w->program;
    w->prefix[1] = "exec";
    w->prefix[2] = w->socket;
    w->place = (struct xen_place){.prefix = w->prefix,
                                  .loop = QEMU_LOOP,
                                  .backend = QEMU_BACKEND,
                                  .costs = QEMU_COSTS,
                                  .libraries = QEMU_LIBRARIES,
                                  .agent = GUEST_AGENT,
                                  .create = "rp-domu-create",
                                  .target = "ringproof-target",
                                  .guest = "/boot",
                                  .initrd = "/run/domu.initrd"};
out:
    words_fini(&argv);
    words_fini(&env);
    free(log);
    if (rc) {
        if (!why[0])
            snprintf(why, why_size, "%s", strerror(-rc));
        qemu_world_close(w);
        w = NULL;
    }
    *out = w;
    return rc;
}

void qemu_world_close(struct testbed_world *w)
{
    char *slash;

    if (!w)
        return;
    process_end(&w->keeper, SIGTERM, KEEPER_END_NS);
    if (w->socket && (slash = strrchr(w->socket, '/'))) {
        *slash = 0;
        remove_tree(w->socket);
    }
    /* Large, and made from what is there. */
    static const char *const made[] = {"dom0-x86.cpio", "dom0-arm64.cpio", GUEST_INITRD};
    for (unsigned i = 0; w->dir && i < ARRAY_LENGTH(made); i++) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", w->dir, made[i]);
        unlink(path);
    }
    free(w->dir);
    free(w->socket);
    free(w->program);
    free(w);
}

/* What went into an image, and which one it is: from the file that the image's build left. */
static void image_versions(enum scenario_arch arch,
                           void (*add)(void *ctx, const char *name, const char *value), void *ctx)
{
    static const char *const parts[] = {"inputs", "xen", "linux", "fio"};
    char *path = guest_image_path(arch, "versions.json"), name[48];
    json_t *image = path ? json_load_file(path, 0, NULL) : NULL;

    for (unsigned i = 0; image && i < ARRAY_LENGTH(parts); i++) {
        const char *value = json_string_value(json_object_get(image, parts[i]));

        snprintf(name, sizeof(name), "image-%s.%s", guest_image_arch(arch), parts[i]);
        if (value)
            add(ctx, name, value);
    }
    json_decref(image);
    free(path);
}

void qemu_versions(const struct testbed_config *cfg,
                   void (*add)(void *ctx, const char *name, const char *value), void *ctx)
{
    image_versions(ARCH_X86, add, ctx);
    image_versions(ARCH_ARM, add, ctx);
    add(ctx, "backend", cfg->backend_bin);
    add(ctx, "agent", cfg->agent_bin);
}
