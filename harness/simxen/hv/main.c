/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "simxen/hv/hv.h"

static const char usage[] =
    "usage: simxen-hv --run-dir DIR [--dom0-ram BYTES] [--dom0-arch x86|arm]\n"
    "                 [--ready-fd FD]\n"
    "The hypervisor of one simulation. It serves DIR/hv.sock until SIGTERM, SIGINT or a request\n"
    "to quit, and writes \"ready\" to FD when it answers. Usually started by simxenctl.\n";

static int parse_u64(const char *s, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(s, &end, 0);
    return errno || end == s || *end || *s == '-' ? -EINVAL : 0;
}

static int parse_arch(const char *s, uint32_t *out)
{
    *out = strcmp(s, "arm") ? SIM_ARCH_X86 : SIM_ARCH_ARM;
    return *out == SIM_ARCH_ARM || !strcmp(s, "x86") ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"run-dir", required_argument, NULL, 'r'},
        {"dom0-ram", required_argument, NULL, 'm'},
        {"dom0-arch", required_argument, NULL, 'a'},
        {"ready-fd", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct hv_config cfg = {.dom0_ram_bytes = UINT64_C(256) << 20};
    uint64_t ready_fd = UINT64_MAX;
    char why[256];
    struct hv *hv;
    int rc, opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        rc = 0;
        switch (opt) {
        case 'r':
            cfg.run_dir = optarg;
            break;
        case 'm':
            rc = parse_u64(optarg, &cfg.dom0_ram_bytes);
            break;
        case 'a':
            rc = parse_arch(optarg, &cfg.dom0_arch);
            break;
        case 'f':
            rc = parse_u64(optarg, &ready_fd);
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            rc = -EINVAL;
        }
        if (rc) {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (!cfg.run_dir || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }

    hv = calloc(1, sizeof(*hv));
    if (!hv) {
        perror("simxen-hv");
        return 1;
    }
    rc = hv_init(hv, &cfg, why, sizeof(why));
    if (rc) {
        fprintf(stderr, "simxen-hv: %s\n", why);
        goto out;
    }
    if (ready_fd != UINT64_MAX) {
        if (write((int)ready_fd, "ready\n", 6) != 6)
            rc = -errno;
        close((int)ready_fd);
    }
    if (!rc)
        rc = hv_run(hv);
    if (rc)
        fprintf(stderr, "simxen-hv: %s\n", strerror(-rc));
out:
    hv_fini(hv);
    free(hv);
    return rc ? 1 : 0;
}
