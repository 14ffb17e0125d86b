/* SPDX-License-Identifier: MIT */
/* What a console is for: a person at its host end, and a shell in the guest. */
#define CHECK_FAMILY "linux"
#include "stock/console.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT         0
#define TALK_BYTES   4096u
#define ANSWER_MS    500
#define ANSWERS_MAX  60u /* of ANSWER_MS each */
#define SHELL_END_MS 10000

/* The sum is the shell's: what the terminal echoes does not have it. */
static const char question[] = "echo ringproof-$((6*7))\n";
static const char answer[] = "ringproof-42";

static int host_end_close(struct stock *s)
{
    json_decref(stock_ask(s, "console.close", json_pack("{s:i}", "port", PORT)));
    return 0;
}

static void host_write(struct stock *s, const char *text)
{
    json_decref(stock_ask(s, "console.write", json_pack("{s:i, s:s}", "port", PORT, "data", text)));
}

/* What has come to the host end up to the answer, or as much as came before the limit. */
static void host_read(struct stock *s, char *text, size_t size)
{
    size_t used = 0;

    text[0] = 0;
    for (unsigned i = 0; i < ANSWERS_MAX && !strstr(text, answer) && used < size - 1; i++) {
        json_t *value =
            stock_ask(s, "console.read",
                      json_pack("{s:i, s:i, s:i}", "port", PORT, "bytes", 64, "ms", ANSWER_MS));
        const char *data = json_string_value(json_object_get(value, "data"));
        size_t n = data ? strlen(data) : 0;

        if (n > size - 1 - used)
            n = size - 1 - used;
        if (n)
            memcpy(text + used, data, n);
        used += n;
        text[used] = 0;
        json_decref(value);
    }
}

static pid_t start_shell(int terminal)
{
    pid_t pid = fork();

    if (pid == 0) {
        setsid();
        ioctl(terminal, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(terminal, fd);
        execl("/bin/sh", "sh", "-i", NULL);
        _exit(127);
    }
    return pid;
}

/* Its exit status; -1 when it had to be killed. */
static int end_of(pid_t pid)
{
    int status = 0, ready = 0, fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd >= 0)
        ready = poll(&p, 1, SHELL_END_MS);
    if (fd >= 0)
        close(fd);
    if (ready <= 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return ready > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

CHECK(console_carries_a_shell, .judges = DEVICE, .proves = "xen.linux.console.1",
      .timeout_ms = 60000,
      .title = "A shell on the console answers who types at the host end, and ends when told to")
{
    struct stock *s = given_stock(t, "console");
    char talk[TALK_BYTES];
    int terminal, status;
    pid_t shell;

    json_decref(stock_ask(s, "console.open", json_pack("{s:i}", "port", PORT)));
    terminal = stock_console_open();
    if (terminal < 0)
        error_out(t, "no terminal of the console: %s", strerror(errno));
    shell = start_shell(terminal);
    close(terminal);
    if (shell < 0)
        error_out(t, "fork: %s", strerror(errno));
    host_write(s, question);
    host_read(s, talk, sizeof(talk));
    expect(t, MUST, strstr(talk, answer) != NULL, "the host end got '%.200s', not the answer '%s'",
           talk, answer);
    host_write(s, "exit 3\n");
    status = end_of(shell);
    expect_eq(t, MUST, (unsigned)status, 3, "the status that the shell was told to end with");
    host_end_close(s);
}
