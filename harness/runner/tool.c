/* SPDX-License-Identifier: MIT */
#include "runner/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/runner.h"

#define OUTPUT_MAX    (64u << 10)
#define SHA256_NS     60000000000ull
#define SHA256_DIGITS 64u

/* All that comes until the end, or as much as there is room for. */
static int read_output(int fd, uint64_t deadline, char **output)
{
    char *text = malloc(OUTPUT_MAX + 1);
    size_t used = 0;
    int ret = text ? 0 : -ENOMEM;

    while (!ret) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char rest[4096];
        int n = poll(&p, 1, poll_timeout_ms(deadline));

        if (n == 0 || monotonic_ns() >= deadline)
            ret = -ETIMEDOUT;
        if (n <= 0)
            continue;
        ssize_t got = used < OUTPUT_MAX ? read(fd, text + used, OUTPUT_MAX - used)
                                        : read(fd, rest, sizeof(rest));
        if (got == 0)
            break;
        if (got > 0 && used < OUTPUT_MAX)
            used += (size_t)got;
        else if (got < 0 && errno != EINTR)
            ret = -errno;
    }
    if (!text)
        return ret;
    text[used] = 0;
    *output = text;
    return ret;
}

int tool_run(const struct words *argv, const char *stdin_path, uint64_t limit_ns, char **output)
{
    uint64_t deadline = monotonic_ns() + limit_ns;
    int fds[2] = {-1, -1}, in = open(stdin_path ? stdin_path : "/dev/null", O_RDONLY | O_CLOEXEC);
    int ret = in < 0 || pipe2(fds, O_CLOEXEC) ? -errno : 0;

    *output = NULL;
    if (ret)
        goto out;
    pid_t pid = fork();
    if (pid < 0) {
        ret = -errno;
        goto out;
    }
    if (pid == 0) {
        dup2(in, STDIN_FILENO);
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        execvp(argv->items[0], argv->items);
        fprintf(stderr, "%s: %s\n", argv->items[0], strerror(errno));
        _exit(127);
    }
    close(fds[1]);
    fds[1] = -1;
    ret = read_output(fds[0], deadline, output);
    if (ret)
        kill(pid, SIGKILL);
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!ret)
        ret = WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
out:
    if (in >= 0)
        close(in);
    for (unsigned i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return ret;
}

int tool_sha256(const char *path, char digest[65])
{
    struct words argv = {0};
    char *output = NULL;
    int ret;

    words_add(&argv, "sha256sum");
    ret = tool_run(&argv, path, SHA256_NS, &output);
    words_fini(&argv);
    if (ret || !output || strspn(output, "0123456789abcdef") != SHA256_DIGITS) {
        fprintf(stderr, "ringproof: %s: its SHA-256 cannot be had: %s\n", path,
                output ? output : strerror(-ret));
        ret = -EIO;
    } else {
        memcpy(digest, output, SHA256_DIGITS);
        digest[SHA256_DIGITS] = 0;
    }
    free(output);
    return ret;
}
