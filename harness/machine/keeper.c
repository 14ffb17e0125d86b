/* SPDX-License-Identifier: MIT */
#include "machine/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/frame.h"
#include "testbed/process.h"

#define CLIENTS_MAX   64u
#define QUEUE_MAX     (16u << 20)
#define TAIL_BYTES    600u /* fits into a result's reason */
#define BOOT_LINE_MAX 1024u
#define LOOK_NS       1000000000ull /* how often a silent boot is looked at */
#define POWER_OFF_NS  2000000000ull
#define WAKE_NS       1000000000ull /* how often a machine that is up gets an interrupt from us */

struct queue {
    uint8_t *bytes;
    size_t used, room;
};

struct client {
    int fd; /* -1: free */
    uint32_t channel;
    bool running; /* a program of its */
    bool wants, leases;
    unsigned machine; /* that it wants or has */
    struct frame_reader reader;
    struct queue out;
    bool closing; /* once `out` is empty */
};

enum machine_state { MACHINE_NONE, MACHINE_BOOTING, MACHINE_UP };

struct keeper {
    const struct keeper_options *o;
    int listen_fd, signals;
    struct client *clients;
    uint32_t next_channel;
    /* the machine */
    enum machine_state state;
    unsigned machine; /* index in o->machines */
    struct process process;
    int control_fd;
    struct queue control;
    struct frame_reader *reader;
    char line[BOOT_LINE_MAX]; /* of the boot, until it is up */
    size_t line_used;
    unsigned boots, attempt;
    uint64_t boot_deadline, quiet_deadline, wake_at;
    off_t console_size;
    char dir[512];
    char note[2048]; /* how it was booted; why not */
};

/* ---- queues ---- */

static int queue_add(struct queue *q, const void *bytes, size_t n)
{
    if (!n)
        return 0;
    if (q->used > QUEUE_MAX || n > QUEUE_MAX - q->used)
        return -ENOBUFS;
    if (q->used + n > q->room) {
        size_t room = 2 * (q->used + n);
        uint8_t *more = malloc(room);

        if (!more)
            return -ENOMEM;
        if (q->used)
            memcpy(more, q->bytes, q->used);
        free(q->bytes);
        q->bytes = more;
        q->room = room;
    }
    memcpy(q->bytes + q->used, bytes, n);
    q->used += n;
    return 0;
}

static int queue_frame(struct queue *q, enum frame_type type, uint32_t channel, const void *payload,
                       uint32_t bytes)
{
    uint8_t h[FRAME_HEADER_BYTES];
    int rc;

    frame_header(h, type, channel, bytes);
    rc = queue_add(q, h, sizeof(h));
    return rc ? rc : queue_add(q, payload, bytes);
}

/* 0 or -errno; writes what can be written now. */
static int queue_flush(struct queue *q, int fd)
{
    while (q->used) {
        ssize_t n = send(fd, q->bytes, q->used, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            return -errno;
        q->used -= (size_t)n;
        memmove(q->bytes, q->bytes + n, q->used);
    }
    return 0;
}

static void queue_fini(struct queue *q)
{
    free(q->bytes);
    *q = (struct queue){0};
}

/* ---- clients ---- */

static void client_close(struct keeper *k, struct client *c)
{
    const uint8_t number = SIGKILL;

    if (c->running && k->state == MACHINE_UP)
        queue_frame(&k->control, FRAME_SIGNAL, c->channel, &number, 1);
    close(c->fd);
    queue_fini(&c->out);
    *c = (struct client){.fd = -1};
}

static void client_text(struct client *c, enum frame_type type, const char *text)
{
    size_t n = strlen(text);

    if (n > FRAME_BYTES_MAX)
        n = FRAME_BYTES_MAX;
    if (queue_frame(&c->out, type, 0, text, (uint32_t)n))
        c->closing = true;
}

/* ---- the machine ---- */

static void machine_stop(struct keeper *k)
{
    process_end(&k->process, SIGTERM, POWER_OFF_NS);
    if (k->control_fd >= 0)
        close(k->control_fd);
    k->control_fd = -1;
    queue_fini(&k->control);
    k->state = MACHINE_NONE;
}

static bool disk_is_full(const char *dir)
{
    struct statvfs fs;

    return !statvfs(dir, &fs) && fs.f_bavail == 0;
}

/* Its console's end, below why it ended. One that never got a console has said why not, unless
 * there was no room to say it. */
static void describe_end(struct keeper *k, const char *why)
{
    const char *full = disk_is_full(k->dir) ? "; No space left on device there" : "";
    char path[600], *tail;

    snprintf(path, sizeof(path), "%s/console.log", k->dir);
    tail = file_tail(path, TAIL_BYTES);
    if (!tail || !tail[0]) {
        free(tail);
        snprintf(path, sizeof(path), "%s/boot.log", k->dir);
        tail = file_tail(path, TAIL_BYTES);
    }
    snprintf(k->note, sizeof(k->note), "machine %s: %s (%s%s); it ends with:\n%s",
             k->o->machines[k->machine].name, why, path, full, tail ? tail : "");
    free(tail);
}

/* The machine is of no use: end it, tell everybody. */
static void machine_over(struct keeper *k, const char *why)
{
    if (k->state == MACHINE_NONE)
        return;
    describe_end(k, why);
    machine_stop(k);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &k->clients[i];

        if (c->fd < 0 || !(c->running || c->wants || c->leases))
            continue;
        client_text(c, FRAME_FAILED, k->note);
        c->running = c->wants = c->leases = false;
        c->closing = true;
    }
}

static int boot(struct keeper *k, unsigned machine)
{
    const struct keeper_machine *m = &k->o->machines[machine];
    struct words argv = {0}, env = {0};
    int pair[2] = {-1, -1}, rc;
    char log[600];

    k->machine = machine;
    k->attempt++;
    snprintf(k->dir, sizeof(k->dir), "%s/%s-%u", k->o->dir, m->name, ++k->boots);
    snprintf(log, sizeof(log), "%s/boot.log", k->dir);
    if (mkdir(k->dir, 0777) && errno != EEXIST)
        return -errno;
    words_add(&argv, m->command);
    words_add(&argv, "--dir");
    words_add(&argv, k->dir);
    words_add(&argv, "--add");
    words_add(&argv, m->archive);
    words_add_environment(&env);
    rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ? -errno : 0;
    if (!rc) {
        const struct process_start start = {.argv = &argv,
                                            .env = &env,
                                            .log = log,
                                            .stdin_fd = pair[1],
                                            .stdout_fd = pair[1],
                                            .pass_fd = -1};
        rc = process_spawn(&start, &k->process);
    }
    if (!rc) {
        k->control_fd = pair[0];
        pair[0] = -1;
        k->state = MACHINE_BOOTING;
        k->line_used = 0;
        k->console_size = 0;
        *k->reader = (struct frame_reader){0};
        k->boot_deadline = monotonic_ns() + k->o->boot_limit_s * 1000000000ull;
        k->quiet_deadline = monotonic_ns() + k->o->quiet_limit_s * 1000000000ull;
    }
    for (unsigned i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    words_fini(&argv);
    words_fini(&env);
    return rc;
}

static void boot_or_fail(struct keeper *k, unsigned machine)
{
    int rc = boot(k, machine);
    char text[64];

    if (!rc)
        return;
    snprintf(text, sizeof(text), "it cannot be started: %s", strerror(-rc));
    k->state = MACHINE_BOOTING; /* for those who wait to be told */
    machine_over(k, text);
}

/* It never got to dom0: again, or give up. */
static void boot_failed(struct keeper *k, const char *why)
{
    unsigned machine = k->machine;

    if (k->attempt >= k->o->boots_max) {
        machine_over(k, why);
        return;
    }
    describe_end(k, why);
    machine_stop(k);
    boot_or_fail(k, machine);
}

static void give(struct keeper *k)
{
    char text[sizeof(k->note) + 64];

    if (k->attempt > 1)
        snprintf(text, sizeof(text), "booted at attempt %u; the one before: %s", k->attempt,
                 k->note);
    else
        snprintf(text, sizeof(text), "booted");
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &k->clients[i];

        if (c->fd < 0 || !c->wants || c->machine != k->machine)
            continue;
        c->wants = false;
        c->leases = true;
        client_text(c, FRAME_READY, text);
    }
}

/* A whole line of the control channel, before the frames begin. */
static void boot_line(struct keeper *k)
{
    static const char ready[] = "@rp-boot dom0 ready", failed[] = "@rp-boot dom0 failed";
    const char *at;

    k->line[k->line_used] = 0;
    k->line_used = 0;
    if (strstr(k->line, ready)) {
        k->state = MACHINE_UP;
        give(k);
    } else if ((at = strstr(k->line, failed))) {
        char why[256];

        snprintf(why, sizeof(why), "dom0's start failed:%.200s", at + strlen(failed));
        boot_failed(k, why);
    }
}

static void from_dom0(struct keeper *k, const struct frame *f)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &k->clients[i];

        if (c->fd < 0 || !c->running || c->channel != f->channel)
            continue;
        if (f->type == FRAME_EXIT)
            c->running = false;
        if (queue_frame(&c->out, f->type, 0, f->payload, f->bytes))
            client_close(k, c);
        else if (f->type == FRAME_EXIT)
            c->closing = true;
        return;
    }
}

static void machine_read(struct keeper *k)
{
    uint8_t buf[8192];
    ssize_t n = recv(k->control_fd, buf, sizeof(buf), MSG_DONTWAIT);
    struct frame f;
    ssize_t at = 0;
    int rc;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (k->state == MACHINE_BOOTING)
            boot_failed(k, "it ended while it booted");
        else
            machine_over(k, "it ended");
        return;
    }
    while (k->state == MACHINE_BOOTING && at < n) {
        char ch = (char)buf[at++];

        if (ch == '\n')
            boot_line(k);
        else if (k->line_used < sizeof(k->line) - 1)
            k->line[k->line_used++] = ch;
    }
    while (k->state == MACHINE_UP && at < n) {
        size_t room;
        void *space = frame_reader_space(k->reader, &room);
        size_t part = (size_t)(n - at) < room ? (size_t)(n - at) : room;

        memcpy(space, buf + at, part);
        frame_reader_fed(k->reader, part);
        at += (ssize_t)part;
        while ((rc = frame_next(k->reader, &f)) > 0)
            from_dom0(k, &f);
        if (rc < 0)
            machine_over(k, "its control channel carries something that is no frame");
    }
}

/* Limits of a boot that goes on. */
static void boot_look(struct keeper *k)
{
    uint64_t now = monotonic_ns();
    char path[600];
    struct stat st;

    snprintf(path, sizeof(path), "%s/console.log", k->dir);
    if (!stat(path, &st) && st.st_size != k->console_size) {
        k->console_size = st.st_size;
        k->quiet_deadline = now + k->o->quiet_limit_s * 1000000000ull;
    }
    if (now >= k->boot_deadline)
        boot_failed(k, "dom0 was not ready within the limit");
    else if (now >= k->quiet_deadline)
        boot_failed(k, "it says nothing any more");
}

/*
 * QEMU without KVM can lose an interrupt of its APIC: vmrun and #VMEXIT change interrupt_request
 * without the lock that a timer takes to set its bit (QEMU 7.2, target/i386/tcg/sysemu/
 * svm_helper.c). Xen's one timer interrupt gone, the machine stands still, until any other
 * interrupt has the APIC look again. A frame a second is one, from the serial port.
 */
static void wake(struct keeper *k)
{
    uint64_t now = monotonic_ns();

    if (now < k->wake_at)
        return;
    k->wake_at = now + WAKE_NS;
    if (!k->control.used)
        queue_frame(&k->control, FRAME_WAKE, 0, NULL, 0);
}

/* ---- what clients ask for ---- */

static bool others_use(const struct keeper *k, const struct client *me)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        const struct client *c = &k->clients[i];

        if (c != me && c->fd >= 0 && (c->leases || c->wants || c->running))
            return true;
    }
    return false;
}

static void use(struct keeper *k, struct client *c, const struct frame *f)
{
    unsigned m = 0;

    while (m < k->o->machine_count && (strlen(k->o->machines[m].name) != f->bytes ||
                                       memcmp(k->o->machines[m].name, f->payload, f->bytes) != 0))
        m++;
    if (m == k->o->machine_count) {
        client_text(c, FRAME_FAILED, "there is no image for this machine (see ci/images)");
        c->closing = true;
        return;
    }
    c->machine = m;
    if (k->state != MACHINE_NONE && k->machine != m) {
        if (others_use(k, c)) {
            client_text(c, FRAME_FAILED, "another machine is in use");
            c->closing = true;
            return;
        }
        machine_stop(k);
    }
    c->wants = true;
    if (k->state == MACHINE_UP) {
        give(k);
    } else if (k->state == MACHINE_NONE) {
        k->attempt = 0;
        boot_or_fail(k, m);
    }
}

static void from_client(struct keeper *k, struct client *c, const struct frame *f)
{
    switch (f->type) {
    case FRAME_USE:
        use(k, c, f);
        break;
    case FRAME_FAILED:
        if (c->leases)
            machine_over(k, "it was given up by who used it");
        break;
    case FRAME_SPAWN:
        if (k->state != MACHINE_UP) {
            client_text(c, FRAME_FAILED, "no machine runs");
            c->closing = true;
            break;
        }
        c->channel = ++k->next_channel;
        c->running = true;
        queue_frame(&k->control, FRAME_SPAWN, c->channel, f->payload, f->bytes);
        break;
    case FRAME_INPUT:
    case FRAME_INPUT_END:
    case FRAME_SIGNAL:
        if (c->running)
            queue_frame(&k->control, f->type, c->channel, f->payload, f->bytes);
        break;
    default:
        c->closing = true;
    }
}

static void client_read(struct keeper *k, struct client *c)
{
    size_t room;
    void *space = frame_reader_space(&c->reader, &room);
    ssize_t n = recv(c->fd, space, room, MSG_DONTWAIT);
    struct frame f;
    int rc = 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        frame_reader_fed(&c->reader, (size_t)n);
        while (!c->closing && (rc = frame_next(&c->reader, &f)) > 0)
            from_client(k, c, &f);
    }
    if (n <= 0 || rc < 0)
        client_close(k, c);
}

static void client_accept(struct keeper *k)
{
    int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    for (unsigned i = 0; fd >= 0 && i < CLIENTS_MAX; i++) {
        if (k->clients[i].fd >= 0)
            continue;
        k->clients[i] = (struct client){.fd = fd};
        return;
    }
    if (fd >= 0)
        close(fd);
}

/* ---- the whole ---- */

/* The path is there only when a connection to it succeeds. */
static int listen_on(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    if ((size_t)snprintf(a.sun_path, sizeof(a.sun_path), "%s.new", path) >= sizeof(a.sun_path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 16) || rename(a.sun_path, path)) {
        int err = -errno;

        close(fd);
        return err;
    }
    return fd;
}

static int turn_limit_ms(const struct keeper *k)
{
    if (k->state == MACHINE_BOOTING)
        return (int)(LOOK_NS / 1000000);
    return k->state == MACHINE_UP ? (int)(WAKE_NS / 1000000) : -1;
}

/* One turn. False: it is over. */
static bool turn(struct keeper *k, struct pollfd *p)
{
    p[0] = (struct pollfd){.fd = k->listen_fd, .events = POLLIN};
    p[1] = (struct pollfd){.fd = k->signals, .events = POLLIN};
    p[2] = (struct pollfd){.fd = k->control_fd,
                           .events = (short)(POLLIN | (k->control.used ? POLLOUT : 0))};
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        p[3 + i] =
            (struct pollfd){.fd = k->clients[i].fd,
                            .events = (short)(POLLIN | (k->clients[i].out.used ? POLLOUT : 0))};
    if (poll(p, 3 + CLIENTS_MAX, turn_limit_ms(k)) < 0)
        return true;
    if (p[1].revents)
        return false;
    if (k->control_fd >= 0 && p[2].revents & (POLLIN | POLLHUP | POLLERR))
        machine_read(k);
    if (k->state == MACHINE_BOOTING)
        boot_look(k);
    if (k->state == MACHINE_UP)
        wake(k);
    /* Those who left before those who come: what they ran is killed first. */
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (k->clients[i].fd >= 0 && p[3 + i].revents & (POLLIN | POLLHUP | POLLERR))
            client_read(k, &k->clients[i]);
    }
    if (p[0].revents)
        client_accept(k);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &k->clients[i];

        if (c->fd >= 0 && (queue_flush(&c->out, c->fd) || (c->closing && !c->out.used)))
            client_close(k, c);
    }
    if (k->control_fd >= 0 && queue_flush(&k->control, k->control_fd))
        machine_over(k, "its control channel is closed");
    return true;
}

int keeper_main(const struct keeper_options *o)
{
    struct keeper k = {
        .o = o, .listen_fd = -1, .signals = -1, .process = PROCESS_INIT, .control_fd = -1};
    struct pollfd *p = calloc(3 + CLIENTS_MAX, sizeof(*p));
    int status = 1;
    sigset_t set;

    k.clients = calloc(CLIENTS_MAX, sizeof(*k.clients));
    k.reader = calloc(1, sizeof(*k.reader));
    if (!p || !k.clients || !k.reader)
        goto out;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        k.clients[i].fd = -1;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    k.signals = signalfd(-1, &set, SFD_CLOEXEC);
    k.listen_fd = listen_on(o->socket);
    if (k.listen_fd < 0) {
        fprintf(stderr, "ringproof-machine: %s: %s\n", o->socket, strerror(-k.listen_fd));
        goto out;
    }
    while (turn(&k, p))
        ;
    status = 0;
out:
    if (k.clients) {
        for (unsigned i = 0; i < CLIENTS_MAX; i++) {
            if (k.clients[i].fd >= 0)
                client_close(&k, &k.clients[i]);
        }
    }
    if (k.reader)
        machine_stop(&k);
    process_kill_children();
    if (k.listen_fd >= 0) {
        close(k.listen_fd);
        unlink(o->socket);
    }
    if (k.signals >= 0)
        close(k.signals);
    free(k.clients);
    free(k.reader);
    free(p);
    return status;
}
