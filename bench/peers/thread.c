/* SPDX-License-Identifier: MIT */
#include "peers/thread.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 96
#define NAME_BYTES 17 /* as the kernel has them, with a line's end */

static int read_line(pid_t pid, pid_t tid, const char *file, char *line, int bytes)
{
    char path[PATH_BYTES];
    FILE *f;
    int rc = -ESRCH;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, file);
    f = fopen(path, "re");
    if (!f)
        return rc;
    if (fgets(line, bytes, f)) {
        line[strcspn(line, "\n")] = '\0';
        rc = 0;
    }
    (void)fclose(f);
    return rc;
}

int thread_find(pid_t pid, const char *name, struct thread_time *t)
{
    char path[PATH_BYTES], line[NAME_BYTES];
    const struct dirent *e;
    int rc = -ENOENT;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    d = opendir(path);
    if (!d)
        return -ESRCH;
    while (rc && (e = readdir(d))) {
        pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

        if (tid <= 0 || read_line(pid, tid, "comm", line, sizeof(line)) || strcmp(line, name))
            continue;
        *t = (struct thread_time){pid, tid};
        rc = 0;
    }
    closedir(d);
    return rc;
}

/* "RAN WAITED TIMES" */
static int read_times(const struct thread_time *t, uint64_t ns[2])
{
    char line[80], *at = line, *end;
    int rc = read_line(t->pid, t->tid, "schedstat", line, sizeof(line));

    for (unsigned i = 0; !rc && i < 2; i++, at = end) {
        errno = 0;
        ns[i] = strtoull(at, &end, 10);
        rc = end == at || *end != ' ' || errno ? -EPROTO : 0;
    }
    return rc;
}

int thread_cpu_ns(const struct thread_time *t, uint64_t *ns)
{
    uint64_t times[2];
    int rc = read_times(t, times);

    if (!rc)
        *ns = times[0];
    return rc;
}

int thread_waited_ns(const struct thread_time *t, uint64_t *ns)
{
    uint64_t times[2];
    int rc = read_times(t, times);

    if (!rc)
        *ns = times[1];
    return rc;
}
