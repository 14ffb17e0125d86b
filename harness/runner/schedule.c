/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/text.h"
#include "runner/runner.h"
#include "scenario/units.h"

struct slot {
    pid_t pid; /* of the guard; 0: free */
    int fd;    /* its result; -1 when it has ended */
    unsigned job;
    char *text;
    size_t used;
};

struct state {
    const struct schedule *s;
    struct slot *slots;
    unsigned slot_count, next_job, done, failures;
    uint64_t start_ns, drawn_ns;
    bool terminal;
    bool interrupted;
};

/* ---- progress ---- */

static void erase_line(const struct state *st)
{
    if (st->terminal)
        fputs("\r\033[K", stderr);
}

static void draw(struct state *st)
{
    const struct schedule *s = st->s;
    char id[512], passed[32], left[48] = "";
    struct winsize size = {.ws_col = 80};
    unsigned columns, running = 0;

    if (!st->terminal)
        return;
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    columns = size.ws_col > 40 ? size.ws_col - 1u : 79u;
    uint64_t now = monotonic_ns(), spent = now - st->start_ns;
    if (st->done) {
        char text[32];
        units_format_ns(spent / st->done * (s->job_count - st->done), text, sizeof(text));
        snprintf(left, sizeof(left), ", about %s left", text);
    }
    units_format_ns(spent / 1000000000u * 1000000000u, passed, sizeof(passed));
    id[0] = 0;
    for (unsigned i = 0; i < st->slot_count; i++) {
        if (!st->slots[i].pid)
            continue;
        if (!running++)
            scenario_cell_id(&s->jobs[st->slots[i].job].plan, id, sizeof(id));
    }
    char line[1024];
    snprintf(line, sizeof(line), "[%u/%u] %u failed, %s%s  %s", st->done, s->job_count,
             st->failures, passed, left, id);
    erase_line(st);
    text_write_plain(stderr, line, columns);
    fflush(stderr);
    st->drawn_ns = now;
}

static void announce(struct state *st, const struct report_cell *c)
{
    struct report_totals t = {0};
    char time[32];

    if (st->s->options->quiet)
        return;
    report_totals_add(&t, c);
    erase_line(st);
    /* On a terminal only what needs attention stays; in a log every cell has its line. */
    if (!st->terminal || c->outcome >= FAIL) {
        fprintf(stderr, "[%u/%u] %-5s ", st->done, st->s->job_count, outcome_name(c->outcome));
        text_write_plain(stderr, c->id, 0);
        fprintf(stderr, "  %u passed, %u failed, %u skipped, %s\n", t.checks[PASS] + t.checks[WARN],
                t.checks[FAIL] + t.checks[CRASH] + t.checks[ERROR], t.checks[SKIP],
                units_format_ns(c->duration_ns, time, sizeof(time)));
    }
}

/* ---- slots ---- */

static int slot_start(struct state *st, struct slot *slot)
{
    const struct schedule *s = st->s;
    pid_t parent = getpid();
    int fds[2];

    if (pipe2(fds, O_CLOEXEC))
        return -errno;
    fflush(NULL); /* or the child would write it again */
    pid_t pid = fork();
    if (pid < 0) {
        int ret = -errno;
        close(fds[0]);
        close(fds[1]);
        return ret;
    }
    if (pid == 0) {
        setpgid(0, 0); /* Ctrl-C reaches the runner alone, which then ends us in order */
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent)
            _exit(REPORT_HARNESS_ERROR);
        for (unsigned i = 0; i < st->slot_count; i++)
            if (st->slots[i].pid && st->slots[i].fd >= 0)
                close(st->slots[i].fd);
        guard_run(s, &s->jobs[st->next_job], fds[1]);
    }
    close(fds[1]);
    *slot = (struct slot){.pid = pid, .fd = fds[0], .job = st->next_job++};
    return 0;
}

/* Reads what is there; true when the guard has closed its end. */
static bool slot_read(struct slot *slot)
{
    char buf[65536];

    ssize_t n = read(slot->fd, buf, sizeof(buf));
    if (n < 0)
        return errno != EINTR && errno != EAGAIN;
    char *text = n ? realloc(slot->text, slot->used + (size_t)n + 1) : NULL;
    if (!text)
        return true;
    memcpy(text + slot->used, buf, (size_t)n);
    slot->text = text;
    slot->used += (size_t)n;
    return false;
}

static void slot_finish(struct state *st, struct slot *slot)
{
    struct job *job = &st->s->jobs[slot->job];
    struct report_cell *cell = NULL;
    char why[256] = "no result arrived";

    close(slot->fd);
    while (waitpid(slot->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (slot->text) {
        json_t *o = json_loadb(slot->text, slot->used, 0, NULL);
        if (o)
            report_cell_from_json(o, &cell, why, sizeof(why));
        json_decref(o);
    }
    free(slot->text);
    *slot = (struct slot){.fd = -1};
    if (!cell && st->interrupted)
        return; /* it was ended on purpose */
    if (!cell) {
        cell = cell_report_create(job, st->s->options->testbed);
        report_cell_worsen(cell, ERROR, why);
        report_cell_settle(cell);
    }
    job->result = cell;
    st->done++;
    st->failures += cell->outcome >= FAIL;
    announce(st, cell);
    if (st->s->done)
        st->s->done(st->s->ctx, job);
}

static bool any_running(const struct state *st)
{
    for (unsigned i = 0; i < st->slot_count; i++)
        if (st->slots[i].pid)
            return true;
    return false;
}

static void stop_all(struct state *st)
{
    st->interrupted = true;
    for (unsigned i = 0; i < st->slot_count; i++)
        if (st->slots[i].pid)
            kill(st->slots[i].pid, SIGTERM);
}

static int fill(struct state *st)
{
    for (unsigned i = 0; i < st->slot_count && !st->interrupted; i++) {
        if (st->slots[i].pid || st->next_job == st->s->job_count)
            continue;
        int ret = slot_start(st, &st->slots[i]);
        if (ret)
            return ret;
    }
    return 0;
}

int schedule_run(const struct schedule *s)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct state st = {.s = s, .start_ns = monotonic_ns()};
    struct pollfd *pfd = NULL;
    sigset_t set, before;
    int signals = -1, ret = 0;

    st.slot_count = s->options->jobs ? s->options->jobs : cpus > 0 ? (unsigned)cpus : 1;
    if (testbed_find(s->options->testbed)->one_at_a_time)
        st.slot_count = 1;
    if (st.slot_count > s->job_count)
        st.slot_count = s->job_count;
    st.terminal = !s->options->quiet && isatty(STDERR_FILENO);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &before);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    st.slots = calloc(st.slot_count + 1, sizeof(*st.slots));
    pfd = calloc(st.slot_count + 1, sizeof(*pfd));
    if (signals < 0 || !st.slots || !pfd) {
        ret = signals < 0 ? -errno : -ENOMEM;
        goto out;
    }

    ret = fill(&st);
    while (!ret && any_running(&st)) {
        for (unsigned i = 0; i < st.slot_count; i++)
            pfd[i] = (struct pollfd){.fd = st.slots[i].pid ? st.slots[i].fd : -1, .events = POLLIN};
        pfd[st.slot_count] = (struct pollfd){.fd = signals, .events = POLLIN};
        if (monotonic_ns() - st.drawn_ns >= 200000000u)
            draw(&st);
        int n = poll(pfd, st.slot_count + 1, st.terminal ? 1000 : -1);
        if (n < 0 && errno != EINTR)
            ret = -errno;
        if (n <= 0)
            continue;
        if (pfd[st.slot_count].revents) {
            struct signalfd_siginfo info;
            if (read(signals, &info, sizeof(info)) > 0 && !st.interrupted) {
                erase_line(&st);
                fprintf(stderr, "ringproof: %s: ending\n", strsignal((int)info.ssi_signo));
                stop_all(&st);
            }
        }
        for (unsigned i = 0; i < st.slot_count; i++)
            if (pfd[i].revents && slot_read(&st.slots[i]))
                slot_finish(&st, &st.slots[i]);
        ret = fill(&st);
    }
    erase_line(&st);
out:
    if (ret && st.slots) {
        stop_all(&st);
        for (unsigned i = 0; i < st.slot_count; i++)
            if (st.slots[i].pid)
                slot_finish(&st, &st.slots[i]);
        fprintf(stderr, "ringproof: %s\n", strerror(-ret));
    }
    free(st.slots);
    free(pfd);
    if (signals >= 0)
        close(signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ret ? ret : st.interrupted ? -EINTR : 0;
}
