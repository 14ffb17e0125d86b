/* SPDX-License-Identifier: MIT */
#include "runner/agent_checks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int take_line(struct agent_checks *c, const char *text)
{
    struct agent_check k = {.line = strdup(text), .title = ""};
    const char **const fields[] = {&k.name, &k.judges, &k.proves, &k.place, &k.title};
    char *rest = k.line, *field;

    if (!k.line)
        return -ENOMEM;
    k.line[strcspn(k.line, "\n")] = 0;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        field = strsep(&rest, "\t");
        if (!field && i < 4) {
            free(k.line);
            return -EPROTO;
        }
        if (field)
            *fields[i] = field;
    }
    struct agent_check *more = reallocarray(c->items, c->count + 1, sizeof(*more));
    if (!more) {
        free(k.line);
        return -ENOMEM;
    }
    c->items = more;
    c->items[c->count++] = k;
    return 0;
}

int agent_checks_load(const struct install *in, struct agent_checks *c)
{
    const char *agent = in->testbed.agent_bin;
    int fds[2], status = 0, ret = 0;
    char *line = NULL;
    size_t size = 0;

    *c = (struct agent_checks){0};
    if (pipe2(fds, O_CLOEXEC))
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        setenv("LD_LIBRARY_PATH", in->testbed.agent_sim_dir, 1);
        execl(agent, agent, "--list-checks", (char *)NULL);
        fprintf(stderr, "ringproof: %s: %s\n", agent, strerror(errno));
        _exit(127);
    }
    close(fds[1]);
    FILE *f = pid > 0 ? fdopen(fds[0], "r") : NULL;
    if (!f) {
        ret = -errno;
        close(fds[0]);
    }
    while (f && !ret && getline(&line, &size, f) > 0)
        ret = take_line(c, line);
    free(line);
    if (f)
        fclose(f);
    if (pid > 0 && (waitpid(pid, &status, 0) != pid || status) && !ret)
        ret = -EIO;
    if (ret) {
        fprintf(stderr, "ringproof: %s --list-checks: %s\n", agent, strerror(-ret));
        agent_checks_fini(c);
    }
    return ret;
}

void agent_checks_fini(struct agent_checks *c)
{
    for (unsigned i = 0; i < c->count; i++)
        free(c->items[i].line);
    free(c->items);
    *c = (struct agent_checks){0};
}

bool agent_check_proves(const struct agent_check *k, const char *id)
{
    size_t n = strlen(id);

    for (const char *p = strstr(k->proves, id); p; p = strstr(p + 1, id))
        if ((p == k->proves || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
            return true;
    return false;
}
