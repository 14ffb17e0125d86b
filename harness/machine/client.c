/* SPDX-License-Identifier: MIT */
#include "machine/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/frame.h"
#include "testbed/process.h"

#define EXEC_NO_MACHINE 255

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(a.sun_path))
        return -ENAMETOOLONG;
    memcpy(a.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        int err = -errno;

        close(fd);
        return err;
    }
    return fd;
}

/* The next frame: 1, 0 at the end of the stream, -ETIMEDOUT or another error. */
static int next_frame(int fd, struct frame_reader *r, uint64_t deadline, struct frame *f)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int rc = frame_next(r, f);
        size_t room;
        void *space;
        ssize_t n;

        if (rc)
            return rc;
        if (poll(&p, 1, poll_timeout_ms(deadline)) == 0) {
            if (monotonic_ns() >= deadline)
                return -ETIMEDOUT;
            continue;
        }
        space = frame_reader_space(r, &room);
        n = read(fd, space, room);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n > 0)
            frame_reader_fed(r, (size_t)n);
    }
}

int machine_use(const char *socket, const char *name, uint64_t timeout_ns, char *text,
                size_t text_size)
{
    struct frame_reader *r = calloc(1, sizeof(*r));
    int fd = connect_to(socket), rc;
    struct frame f = {0};

    if (!r || fd < 0) {
        snprintf(text, text_size, "no connection to the keeper of machines: %s",
                 strerror(fd < 0 ? -fd : ENOMEM));
        free(r);
        return fd < 0 ? fd : -ENOMEM;
    }
    rc = frame_write(fd, FRAME_USE, 0, name, strlen(name));
    if (!rc)
        rc = next_frame(fd, r, monotonic_ns() + timeout_ns, &f);
    if (rc <= 0) {
        snprintf(text, text_size, "the keeper of machines gives no answer: %s",
                 rc ? strerror(-rc) : "it has ended");
        rc = rc ? rc : -ESHUTDOWN;
    } else {
        snprintf(text, text_size, "%.*s", (int)f.bytes, (const char *)f.payload);
        rc = f.type == FRAME_READY ? 0 : -EHOSTDOWN;
    }
    free(r);
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

void machine_discard(int lease_fd)
{
    frame_write(lease_fd, FRAME_FAILED, 0, NULL, 0);
}

int machine_alive(int lease_fd, char *text, size_t text_size)
{
    struct pollfd p = {.fd = lease_fd, .events = POLLIN};
    struct frame_reader *r;
    struct frame f = {0};

    if (poll(&p, 1, 0) <= 0)
        return 0;
    /* Nothing is said on a lease but that it is over. */
    r = calloc(1, sizeof(*r));
    snprintf(text, text_size, "the machine has ended");
    if (r && next_frame(lease_fd, r, monotonic_ns(), &f) > 0)
        snprintf(text, text_size, "%.*s", (int)f.bytes, (const char *)f.payload);
    free(r);
    return -ESHUTDOWN;
}

/* ---- exec ---- */

static int write_out(int fd, const uint8_t *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        bytes += done;
        n -= (size_t)done;
    }
    return 0;
}

static int spawn_there(int fd, char **words)
{
    char text[FRAME_BYTES_MAX];
    size_t used = 0;

    for (char **w = words; *w; w++) {
        size_t n = strlen(*w) + 1;

        if (n > sizeof(text) - used)
            return -E2BIG;
        memcpy(text + used, *w, n);
        used += n;
    }
    return frame_write(fd, FRAME_SPAWN, 0, text, used);
}

/* 1: ended, *status; 0: go on. */
static int obey(const struct frame *f, int *status)
{
    int out = f->type == FRAME_OUTPUT   ? STDOUT_FILENO
              : f->type == FRAME_ERRORS ? STDERR_FILENO
                                        : -1;

    if (f->type == FRAME_EXIT && f->bytes == 4) {
        *status = f->payload[0] | f->payload[1] << 8 | f->payload[2] << 16 | f->payload[3] << 24;
        return 1;
    }
    if (f->type == FRAME_FAILED) {
        fprintf(stderr, "%.*s\n", (int)f->bytes, (const char *)f->payload);
        return -ESHUTDOWN;
    }
    /* Whoever does not read any more does not hear of it; the program's end is still awaited. */
    if (out >= 0)
        write_out(out, f->payload, f->bytes);
    return 0;
}

static int pass_input(int fd, struct pollfd *in)
{
    uint8_t buf[4096];
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n > 0)
        return frame_write(fd, FRAME_INPUT, 0, buf, (size_t)n);
    in->fd = -1;
    return frame_write(fd, FRAME_INPUT_END, 0, NULL, 0);
}

static int pass_signal(int fd, int signals)
{
    struct signalfd_siginfo info;
    uint8_t number;

    if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return 0;
    number = (uint8_t)info.ssi_signo;
    return frame_write(fd, FRAME_SIGNAL, 0, &number, 1);
}

static int exec_loop(int fd, int signals, struct frame_reader *r, int *status)
{
    struct pollfd p[3] = {{.fd = fd, .events = POLLIN},
                          {.fd = STDIN_FILENO, .events = POLLIN},
                          {.fd = signals, .events = POLLIN}};
    int rc = 0;

    while (!rc) {
        struct frame f;

        if (poll(p, 3, -1) < 0)
            continue;
        if (p[2].revents)
            rc = pass_signal(fd, signals);
        if (!rc && p[1].fd >= 0 && p[1].revents)
            rc = pass_input(fd, &p[1]);
        if (rc || !p[0].revents)
            continue;
        size_t room;
        void *space = frame_reader_space(r, &room);
        ssize_t n = read(fd, space, room);
        if (n <= 0)
            return -ESHUTDOWN;
        frame_reader_fed(r, (size_t)n);
        while (!rc && (rc = frame_next(r, &f)) > 0)
            rc = obey(&f, status);
    }
    return rc;
}

int machine_exec(const char *socket, char **words)
{
    struct frame_reader *r = calloc(1, sizeof(*r));
    int fd = connect_to(socket), signals, status = 0, rc;
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    rc = !r ? -ENOMEM : fd < 0 ? fd : signals < 0 ? -errno : spawn_there(fd, words);
    if (!rc)
        rc = exec_loop(fd, signals, r, &status);
    free(r);
    if (rc < 0) {
        fprintf(stderr, "ringproof-machine: no machine: %s\n", strerror(-rc));
        return EXEC_NO_MACHINE;
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}
