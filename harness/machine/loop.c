/* SPDX-License-Identifier: MIT */
#include "machine/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/frame.h"

#define PROGRAMS_MAX   64u
#define INPUT_MAX      (1u << 20) /* queued for one program */
#define WORDS_MAX      512u
#define KILLED_WAIT_MS 5000

struct program {
    uint32_t channel;
    pid_t pid; /* 0: free */
    int in, out, err;
    bool input_ended, killed;
    uint8_t *queue;
    size_t queued;
};

struct loop {
    struct program programs[PROGRAMS_MAX];
    struct frame_reader reader;
    int signals;
};

static int send_frame(enum frame_type type, uint32_t channel, const void *payload, size_t bytes)
{
    return frame_write(STDOUT_FILENO, type, channel, payload, bytes);
}

static struct program *find(struct loop *l, uint32_t channel)
{
    for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
        if (l->programs[i].pid && l->programs[i].channel == channel)
            return &l->programs[i];
    }
    return NULL;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Passes on what can be read now. */
static void drain(const struct program *p, int *fd, enum frame_type type)
{
    uint8_t buf[4096];

    while (*fd >= 0) {
        ssize_t n = read(*fd, buf, sizeof(buf));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close_fd(fd);
            return;
        }
        send_frame(type, p->channel, buf, (size_t)n);
    }
}

static void ended(struct program *p, int status)
{
    uint8_t le[4] = {(uint8_t)status, (uint8_t)(status >> 8), (uint8_t)(status >> 16),
                     (uint8_t)(status >> 24)};

    drain(p, &p->out, FRAME_OUTPUT);
    drain(p, &p->err, FRAME_ERRORS);
    close_fd(&p->in);
    close_fd(&p->out);
    close_fd(&p->err);
    send_frame(FRAME_EXIT, p->channel, le, sizeof(le));
    free(p->queue);
    *p = (struct program){.in = -1, .out = -1, .err = -1};
}

static void reap(struct loop *l)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
            if (l->programs[i].pid == pid)
                ended(&l->programs[i], status);
        }
    }
}

/* The end of those that were killed: only then another program may start. */
static void wait_for_killed(struct loop *l)
{
    for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
        struct program *p = &l->programs[i];

        for (int ms = 0; p->pid && p->killed && ms < KILLED_WAIT_MS; ms += 100) {
            struct pollfd f = {.fd = l->signals, .events = POLLIN};
            struct signalfd_siginfo info;

            poll(&f, 1, 100);
            ssize_t n = read(l->signals, &info, sizeof(info));
            (void)n;
            reap(l);
        }
    }
}

/* The words of a payload; the number of leading NAME=value in *settings. */
static unsigned split(char *text, size_t bytes, char **words, unsigned *settings)
{
    unsigned n = 0;

    *settings = 0;
    if (!bytes || text[bytes - 1])
        return 0;
    for (char *at = text; at < text + bytes && n < WORDS_MAX; at += strlen(at) + 1) {
        if (n == *settings && at[0] != '/' && strchr(at, '='))
            (*settings)++;
        words[n++] = at;
    }
    words[n] = NULL;
    return n;
}

static void __attribute__((noreturn))
child(char **words, unsigned settings, int in, int out, int err)
{
    sigset_t none;

    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(127);
    for (unsigned i = 0; i < settings; i++)
        putenv(words[i]);
    execvp(words[settings], words + settings);
    fprintf(stderr, "%s: %s\n", words[settings], strerror(errno));
    _exit(127);
}

static int start(struct loop *l, const struct frame *f)
{
    char text[FRAME_BYTES_MAX], *words[WORDS_MAX + 1];
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
    unsigned settings, count;
    struct program *p = NULL;

    wait_for_killed(l);
    memcpy(text, f->payload, f->bytes);
    count = split(text, f->bytes, words, &settings);
    for (unsigned i = 0; i < PROGRAMS_MAX && !p; i++) {
        if (!l->programs[i].pid)
            p = &l->programs[i];
    }
    if (!p || count <= settings || find(l, f->channel) || pipe2(in, O_CLOEXEC) ||
        pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        goto fail;
    pid_t pid = fork();
    if (pid < 0)
        goto fail;
    if (pid == 0)
        child(words, settings, in[0], out[1], err[1]);
    setpgid(pid, pid);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    *p = (struct program){
        .channel = f->channel, .pid = pid, .in = in[1], .out = out[0], .err = err[0]};
    return 0;
fail:
    for (unsigned i = 0; i < 2; i++) {
        close_fd(&in[i]);
        close_fd(&out[i]);
        close_fd(&err[i]);
    }
    static const char why[] = "dom0: the program cannot be started\n";
    static const uint8_t status[4] = {0, 127, 0, 0};
    send_frame(FRAME_ERRORS, f->channel, why, sizeof(why) - 1);
    return send_frame(FRAME_EXIT, f->channel, status, sizeof(status));
}

static void feed(struct program *p)
{
    while (p->in >= 0 && p->queued) {
        ssize_t n = write(p->in, p->queue, p->queued);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* it does not read any more */
            p->queued = 0;
            close_fd(&p->in);
            return;
        }
        p->queued -= (size_t)n;
        memmove(p->queue, p->queue + n, p->queued);
    }
    if (p->input_ended)
        close_fd(&p->in);
}

static void input(struct program *p, const struct frame *f)
{
    uint8_t *more;

    if (p->in < 0 || p->queued + f->bytes > INPUT_MAX)
        return;
    more = realloc(p->queue, p->queued + f->bytes);
    if (!more)
        return;
    memcpy(more + p->queued, f->payload, f->bytes);
    p->queue = more;
    p->queued += f->bytes;
    feed(p);
}

static void obey(struct loop *l, const struct frame *f)
{
    struct program *p = find(l, f->channel);

    if (f->type == FRAME_SPAWN) {
        start(l, f);
        return;
    }
    if (!p)
        return; /* it has just ended; WAKE has done what it is for */
    if (f->type == FRAME_INPUT) {
        input(p, f);
    } else if (f->type == FRAME_INPUT_END) {
        p->input_ended = true;
        feed(p);
    } else if (f->type == FRAME_SIGNAL && f->bytes == 1) {
        p->killed |= f->payload[0] == SIGKILL;
        kill(f->payload[0] == SIGKILL ? -p->pid : p->pid, f->payload[0]);
    }
}

/* Reads frames. 0; -EPIPE at the end of the channel; -EPROTO. */
static int listen_once(struct loop *l)
{
    struct frame f;
    size_t room;
    void *space = frame_reader_space(&l->reader, &room);
    ssize_t n = read(STDIN_FILENO, space, room);
    int rc;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0)
        return -EPIPE;
    frame_reader_fed(&l->reader, (size_t)n);
    while ((rc = frame_next(&l->reader, &f)) > 0)
        obey(l, &f);
    return rc;
}

static int serve(struct loop *l)
{
    struct pollfd fds[2 + 3 * PROGRAMS_MAX];
    struct signalfd_siginfo info;
    int rc = 0;

    while (!rc) {
        fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = l->signals, .events = POLLIN};
        for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
            const struct program *p = &l->programs[i];

            fds[2 + 3 * i] =
                (struct pollfd){.fd = p->pid && p->queued ? p->in : -1, .events = POLLOUT};
            fds[3 + 3 * i] = (struct pollfd){.fd = p->pid ? p->out : -1, .events = POLLIN};
            fds[4 + 3 * i] = (struct pollfd){.fd = p->pid ? p->err : -1, .events = POLLIN};
        }
        if (poll(fds, 2 + 3 * PROGRAMS_MAX, -1) < 0)
            continue;
        for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
            struct program *p = &l->programs[i];

            if (fds[2 + 3 * i].revents)
                feed(p);
            if (fds[3 + 3 * i].revents)
                drain(p, &p->out, FRAME_OUTPUT);
            if (fds[4 + 3 * i].revents)
                drain(p, &p->err, FRAME_ERRORS);
        }
        if (fds[1].revents) {
            while (read(l->signals, &info, sizeof(info)) > 0)
                ;
            reap(l);
        }
        if (fds[0].revents)
            rc = listen_once(l);
    }
    return rc;
}

int loop_serve(void)
{
    struct loop *l = calloc(1, sizeof(*l));
    sigset_t set;
    int rc;

    if (!l)
        return -ENOMEM;
    for (unsigned i = 0; i < PROGRAMS_MAX; i++)
        l->programs[i] = (struct program){.in = -1, .out = -1, .err = -1};
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    rc = l->signals < 0 ? -errno : send_frame(FRAME_HELLO, 0, NULL, 0);
    if (!rc)
        rc = serve(l);
    if (l->signals >= 0)
        close(l->signals);
    free(l);
    return rc;
}
