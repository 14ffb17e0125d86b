/* SPDX-License-Identifier: MIT */
/* What a domain's builder leaves for the guest's driver, by the program that writes it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testbed/map.h"
#include "testbed/testbed.h"

#define BOOT_DATA_NS 20000000000ull

/* Its arguments are given; its output becomes the file. */
static int run_bootdata(struct testbed_cell *c, const struct words *argv, const char *path)
{
    struct words env = {0};
    struct process p = PROCESS_INIT;
    char *log = NULL;
    int ret = 0, fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || asprintf(&log, "%s/boot-data.log", c->run_dir) < 0) {
        ret = testbed_fail(c, fd < 0 ? -errno : -ENOMEM, "no boot data in %s", path);
        log = NULL;
        goto out;
    }
    words_add_environment(&env);
    if (c->config->mutant && c->config->mutant_everywhere)
        words_set(&env, "RINGPROOF_MUTANT", c->config->mutant);
    const struct process_start start = {
        .argv = argv, .env = &env, .log = log, .stdin_fd = -1, .stdout_fd = fd, .pass_fd = -1};
    ret = process_spawn(&start, &p);
    if (!ret)
        ret = process_wait(&p, BOOT_DATA_NS);
    if (ret || p.status) {
        char *said = testbed_log_tail(c, "boot-data.log");
        ret = testbed_fail(c, ret ? ret : -EIO, "no boot data: %s",
                           ret               ? strerror(-ret)
                           : said && said[0] ? said
                                             : "ringproof-bootdata failed");
        free(said);
    }
    process_end(&p, SIGKILL, 0);
out:
    if (fd >= 0)
        close(fd);
    free(log);
    words_fini(&env);
    return ret;
}

int testbed_write_boot_data(struct testbed_cell *c, const char *path, const char *onto)
{
    struct words argv = {0};
    char text[TESTBED_BRIDGE_BYTES];
    int ret;

    words_addf(&argv, "%s/ringproof-bootdata", c->config->bin_dir);
    words_add(&argv, scenario_discovery_name(c->plan.discovery));
    words_add(&argv, testbed_map_bridge(&c->map, 0, text));
    if (c->plan.transport == TRANSPORT_MMIO)
        words_add(&argv, testbed_map_mmio(&c->map, testbed_told_device(c), text, sizeof(text)));
    else
        words_add(&argv, c->plan.scenario->devices[testbed_told_device(c)].sbdf);
    words_addf(&argv, "%u", c->backend_domid);
    if (onto)
        words_add(&argv, onto);
    ret = run_bootdata(c, &argv, path);
    words_fini(&argv);
    return ret;
}

int testbed_read_overlay(struct testbed_cell *c, unsigned bridge, uint8_t *buf, size_t *bytes)
{
    struct words argv = {0};
    char text[TESTBED_BRIDGE_BYTES], *path = NULL;
    FILE *f = NULL;
    int ret;

    if (asprintf(&path, "%s/overlay%u.dtbo", c->run_dir, bridge) < 0)
        return testbed_fail(c, -ENOMEM, "out of memory");
    words_addf(&argv, "%s/ringproof-bootdata", c->config->bin_dir);
    words_add(&argv, "overlay");
    words_add(&argv, testbed_map_bridge(&c->map, bridge, text));
    ret = run_bootdata(c, &argv, path);
    words_fini(&argv);
    if (!ret)
        f = fopen(path, "re");
    if (f) {
        *bytes = fread(buf, 1, *bytes, f);
        if (ferror(f) || fgetc(f) != EOF)
            ret = testbed_fail(c, -EFBIG, "%s cannot be read whole", path);
        fclose(f);
    } else if (!ret) {
        ret = testbed_fail(c, -errno, "%s: %s", path, strerror(errno));
    }
    free(path);
    return ret;
}
