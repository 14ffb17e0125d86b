/* SPDX-License-Identifier: MIT */
/*
 * ringproof-machine: keeps a booted machine for many users, and runs programs in its dom0.
 * The testbed `qemu` uses it; by hand:
 *
 *     ringproof-machine serve --socket S --dir D --machine x86=IMAGE/boot,dom0.cpio &
 *     ringproof-machine hold S x86 &          boots it, and keeps it as long as this runs
 *     ringproof-machine exec S xl list
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/client.h"
#include "machine/keeper.h"

#define EXIT_USAGE 3

static int usage(void)
{
    fputs("usage: ringproof-machine serve --socket PATH --dir DIR --machine NAME=BOOT,ARCHIVE...\n"
          "                         [--boot-limit SECONDS] [--quiet-limit SECONDS] [--boots N]\n"
          "       ringproof-machine hold SOCKET NAME\n"
          "       ringproof-machine exec SOCKET [NAME=VALUE]... PROGRAM [WORD]...\n",
          stderr);
    return EXIT_USAGE;
}

/* NAME=BOOT,ARCHIVE; the text is cut in place. */
static int add_machine(struct keeper_options *o, char *text)
{
    char *equals = strchr(text, '='), *comma = strrchr(text, ',');

    if (!equals || !comma || comma < equals || o->machine_count == KEEPER_MACHINES_MAX)
        return -EINVAL;
    *equals = *comma = 0;
    o->machines[o->machine_count++] =
        (struct keeper_machine){.name = text, .command = equals + 1, .archive = comma + 1};
    return 0;
}

static int parse_number(const char *text, unsigned *number)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*end || n < 1 || n > 3600)
        return -EINVAL;
    *number = (unsigned)n;
    return 0;
}

static int serve(int argc, char **argv)
{
    struct keeper_options o = {.boot_limit_s = 300, .quiet_limit_s = 60, .boots_max = 2};
    int rc = 0;

    for (int i = 0; i < argc && !rc; i += 2) {
        if (i + 1 == argc)
            return usage();
        if (!strcmp(argv[i], "--socket"))
            o.socket = argv[i + 1];
        else if (!strcmp(argv[i], "--dir"))
            o.dir = argv[i + 1];
        else if (!strcmp(argv[i], "--machine"))
            rc = add_machine(&o, argv[i + 1]);
        else if (!strcmp(argv[i], "--boot-limit"))
            rc = parse_number(argv[i + 1], &o.boot_limit_s);
        else if (!strcmp(argv[i], "--quiet-limit"))
            rc = parse_number(argv[i + 1], &o.quiet_limit_s);
        else if (!strcmp(argv[i], "--boots"))
            rc = parse_number(argv[i + 1], &o.boots_max);
        else
            rc = -EINVAL;
    }
    if (rc || !o.socket || !o.dir || !o.machine_count)
        return usage();
    return keeper_main(&o);
}

static int hold(const char *socket, const char *name)
{
    char text[4096], byte;
    int fd = machine_use(socket, name, 3600ull * 1000000000ull, text, sizeof(text));

    fprintf(stderr, "%s\n", text);
    if (fd < 0)
        return 1;
    while (read(fd, &byte, 1) > 0)
        ;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "serve"))
        return serve(argc - 2, argv + 2);
    if (argc == 4 && !strcmp(argv[1], "hold"))
        return hold(argv[2], argv[3]);
    if (argc > 3 && !strcmp(argv[1], "exec"))
        return machine_exec(argv[2], argv + 3);
    return usage();
}
