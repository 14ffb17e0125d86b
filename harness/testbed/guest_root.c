/* SPDX-License-Identifier: MIT */
#include "testbed/guest_root.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The domU's agent takes its arguments from behind the "--" of the kernel's command line. A domain
 * that Xen starts (its command line is the machine's) gets them as the first line of a channel
 * through shared memory, which carries the agent's lines, too: it has no console in dom0.
 */
static const char domu_loop[] =
    "#!/bin/sh\n"
    /* The lines of a driver domain's console: testbed/xen_driver.h. */
    "driver()\n"
    "{\n"
    "    while read -r verb rest; do\n"
    "        set -f\n"
    "        set -- $rest\n"
    "        case $verb in\n"
    "        run)\n"
    "            {\n"
    "                sh -c 'echo $$ >/run/backend.pid; exec \"$@\"' sh \"$@\" 2>&1\n"
    "                echo \"@rp-end $?\"\n"
    "            } &\n"
    "            ;;\n"
    "        do)\n"
    "            says=$(\"$@\" 2>&1)\n"
    "            echo \"@rp-done $?\" $says\n"
    "            ;;\n"
    "        signal) kill -\"$1\" \"$(cat /run/backend.pid)\" ;;\n"
    "        esac\n"
    "    done\n"
    "}\n"
    "read -r line </proc/cmdline\n"
    "case $line in\n"
    "*' -- '*) line=${line#* -- } ;;\n"
    "*)\n"
    /* Nothing says that Xenstore is there, and asking it before is an oops in Linux 6.12. */
    "    tries=6000\n"
    "    until grep -q ' xenbus$' /proc/interrupts; do\n"
    "        [ $((tries -= 1)) -gt 0 ] || exit 1\n"
    "        usleep 50000\n"
    "    done\n"
    "    mkfifo /run/to /run/from\n"
    "    vchan-socket-proxy --mode=server 0 " GUEST_CHANNEL " - </run/from >/run/to &\n"
    "    exec >/run/from </run/to\n"
    "    read -r line\n"
    "    ;;\n"
    "esac\n"
    "set -f\n"
    "set -- $line\n"
    "[ \"$1\" != " GUEST_DRIVER " ] || driver\n"
    "RINGPROOF_LIBDIR=/opt/ringproof/lib " GUEST_AGENT " \"$@\"\n"
    "status=$?\n"
    "echo\n"
    "echo \"@rp-end $status\"\n"
    /* The testbed ends the domain, after it has looked at the backend. */
    "while :; do sleep 3600; done\n";

int guest_root_add_program(struct archive *a, const char *name, const char *dir, const char *file)
{
    char *path;
    int rc;

    if (asprintf(&path, "%s/%s", dir, file) < 0)
        return -ENOMEM;
    rc = archive_add_file(a, name, path, 0755);
    free(path);
    return rc;
}

void guest_root_add_folders(struct archive *a)
{
    archive_add_folder(a, "opt");
    archive_add_folder(a, "opt/ringproof");
    archive_add_folder(a, "opt/ringproof/bin");
    archive_add_folder(a, "opt/ringproof/lib");
}

int guest_root_make(const char *path, const char *programs, const char *agent, const char *backend)
{
    struct archive *a = archive_create(path);

    if (!a)
        return -errno;
    guest_root_add_folders(a);
    archive_add_text(a, "opt/ringproof/domu-loop", domu_loop, 0755);
    archive_add_file(a, &GUEST_AGENT[1], agent, 0755);
    archive_add_file(a, &GUEST_BACKEND[1], backend, 0755);
    guest_root_add_program(a, &GUEST_LOOP[1], programs, "bin/ringproof-dom0-loop");
    guest_root_add_program(a, "opt/ringproof/lib/platform-linux.so", programs,
                           "lib/platform-linux.so");
    return archive_finish(a);
}

/* Appends a file; *bytes is the length so far. */
static int append(FILE *out, const char *dir, const char *name, uint64_t *bytes)
{
    char *path, buf[65536];
    FILE *in = NULL;
    size_t n;
    int rc = 0;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return -ENOMEM;
    in = fopen(path, "re");
    if (!in)
        rc = -errno;
    while (!rc && (n = fread(buf, 1, sizeof(buf), in)) > 0) {
        errno = 0;
        if (fwrite(buf, 1, n, out) != n)
            rc = errno ? -errno : -EIO;
        *bytes += n;
    }
    if (!rc && ferror(in))
        rc = -EIO;
    /* Each archive begins on a multiple of 4; what is between them is zero. */
    for (; !rc && *bytes % 512; ++*bytes)
        if (fputc(0, out) == EOF)
            rc = -EIO;
    if (in)
        fclose(in);
    free(path);
    return rc;
}

int guest_root_join(const char *out_path, const char *guest, const char *additions_dir,
                    const char *additions)
{
    FILE *out = fopen(out_path, "we");
    uint64_t bytes = 0;
    int rc;

    if (!out)
        return -errno;
    /* Tables for the kernel come first, uncompressed; there are none on Arm. */
    rc = append(out, guest, "acpi.cpio", &bytes);
    if (rc == -ENOENT)
        rc = 0;
    if (!rc)
        rc = append(out, guest, "domu.cpio.gz", &bytes);
    if (!rc)
        rc = append(out, additions_dir, additions, &bytes);
    if (fclose(out) && !rc)
        rc = -errno;
    return rc;
}
