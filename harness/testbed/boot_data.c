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

int testbed_write_boot_data(struct testbed_cell *c, const char *path, const char *onto)
{
    struct words argv = {0}, env = {0};
    struct process p = PROCESS_INIT;
    char text[160], *log = NULL;
    int ret = 0, fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || asprintf(&log, "%s/boot-data.log", c->run_dir) < 0) {
        ret = testbed_fail(c, fd < 0 ? -errno : -ENOMEM, "no boot data in %s", path);
        log = NULL;
        goto out;
    }
    words_addf(&argv, "%s/ringproof-bootdata", c->config->bin_dir);
    words_add(&argv, scenario_discovery_name(c->plan.discovery));
    words_add(&argv, testbed_map_bridge(&c->map, text, sizeof(text)));
    if (c->plan.transport == TRANSPORT_MMIO)
        words_add(&argv, testbed_map_mmio(&c->map, testbed_told_device(c), text, sizeof(text)));
    else
        words_add(&argv, c->plan.scenario->devices[testbed_told_device(c)].sbdf);
    words_addf(&argv, "%u", c->backend_domid);
    if (onto)
        words_add(&argv, onto);
    words_add_environment(&env);
    if (c->config->mutant && c->config->mutant_everywhere)
        words_set(&env, "RINGPROOF_MUTANT", c->config->mutant);
    const struct process_start start = {
        .argv = &argv, .env = &env, .log = log, .stdin_fd = -1, .stdout_fd = fd, .pass_fd = -1};
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
    words_fini(&argv);
    words_fini(&env);
    return ret;
}
