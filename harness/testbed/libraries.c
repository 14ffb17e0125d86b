/* SPDX-License-Identifier: MIT */
#include "testbed/libraries.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/bits.h"

#define LDD_NS 10000000000ull

/* They belong to the machine: the loader, libc's, and Xen's. */
static bool is_own(const char *name)
{
    static const char *const begins[] = {"linux-vdso", "ld-linux", "libc.so",  "libm.so",
                                         "libpthread", "libdl.so", "librt.so", "libxen"};

    for (size_t i = 0; i < ARRAY_LENGTH(begins); i++)
        if (!strncmp(name, begins[i], strlen(begins[i])))
            return true;
    return false;
}

/* "\tlibfdt.so.1 => /lib/x86_64-linux-gnu/libfdt.so.1 (0x...)" */
static int take_line(const char *line, struct words *paths)
{
    char name[256], path[1024];

    if (sscanf(line, " %255s => %1023s", name, path) != 2 || is_own(name))
        return 0;
    if (path[0] != '/')
        return -ENOENT;
    words_add(paths, path);
    return 0;
}

int libraries_of(const char *program, struct words *paths)
{
    struct process p = PROCESS_INIT;
    struct words argv = {0}, env = {0};
    char line[1400];
    int fds[2] = {-1, -1}, ret;
    FILE *f = NULL;

    words_add(&argv, "/usr/bin/ldd");
    words_add(&argv, program);
    words_add_environment(&env);
    ret = pipe2(fds, O_CLOEXEC) ? -errno : 0;
    const struct process_start start = {.argv = &argv,
                                        .env = &env,
                                        .log = "/dev/null",
                                        .stdin_fd = -1,
                                        .stdout_fd = fds[1],
                                        .pass_fd = -1};
    if (!ret)
        ret = process_spawn(&start, &p);
    if (fds[1] >= 0)
        close(fds[1]);
    if (!ret) {
        f = fdopen(fds[0], "r");
        ret = f ? 0 : -errno;
    }
    while (!ret && fgets(line, sizeof(line), f))
        ret = take_line(line, paths);
    if (f)
        fclose(f);
    else if (fds[0] >= 0)
        close(fds[0]);
    if (process_wait(&p, LDD_NS))
        process_end(&p, SIGKILL, LDD_NS);
    if (!ret && paths->failed)
        ret = -ENOMEM;
    words_fini(&argv);
    words_fini(&env);
    return ret;
}
