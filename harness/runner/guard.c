/* SPDX-License-Identifier: MIT */
/*
 * The process around a job. It makes the run folder, starts the worker that runs the cell, waits
 * for its end, and then removes whatever is left: processes (as child subreaper every orphan
 * comes to it) and files. That also holds when the worker crashes, when its time is over, and when
 * the runner dies in whatever way: its death is a SIGTERM here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/runner.h"
#include "util/session.h"

/* What the worker gets on top of the cell's limit, to end it itself and keep its results. */
#define GRACE_NS 20000000000ull
/* The longest name that has to fit into a socket's address below the run folder. */
#define LONGEST_SOCKET "/xenstored/socket_ro"

static char *make_run_dir(char *why, size_t why_size)
{
    const char *base = getenv("TMPDIR");
    const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof(LONGEST_SOCKET) -
                        sizeof("/ringproof-XXXXXX");
    char *dir;

    if (!base || base[0] != '/' || strlen(base) > room)
        base = "/tmp"; /* a socket's address would not fit */
    if (asprintf(&dir, "%s/ringproof-XXXXXX", base) < 0) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    if (mkdtemp(dir))
        return dir;
    snprintf(why, why_size, "no run folder in %s: %s", base, strerror(errno));
    free(dir);
    return NULL;
}

static void write_result(const struct report_cell *cell, int fd)
{
    json_t *o = report_cell_to_json(cell);

    /* The runner reports a result that does not arrive whole. */
    (void)json_dumpfd(o, fd, JSON_COMPACT);
    json_decref(o);
}

static void __attribute__((noreturn))
worker(const struct schedule *s, const struct job *job, struct testbed_config *cfg, pid_t guard)
{
    struct report_cell *cell = cell_report_create(job, s->options->testbed);
    sigset_t none;
    char path[256];

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != guard)
        _exit(REPORT_HARNESS_ERROR);
    if (job->measures)
        session_prefer();
    signal(SIGPIPE, SIG_IGN); /* an agent that died is an error of a write */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    snprintf(path, sizeof(path), "%s/worker.log", cfg->run_dir);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log >= 0) {
        dup2(log, STDERR_FILENO);
        dup2(log, STDOUT_FILENO);
    }

    uint64_t start = monotonic_ns();
    cell_run(s->options, cfg, job, start + cell_timeout_ns(s->options, job), cell);
    cell->duration_ns = monotonic_ns() - start;
    report_cell_settle(cell);

    snprintf(path, sizeof(path), "%s/cell.json", cfg->run_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        write_result(cell, fd);
    _exit(fd >= 0 ? 0 : REPORT_HARNESS_ERROR);
}

/* 0: the worker ended by itself; -ETIMEDOUT; -EINTR: told to stop. */
static int wait_worker(int pidfd, int signals, uint64_t deadline)
{
    for (;;) {
        struct pollfd pfd[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        int n = poll(pfd, 2, poll_timeout_ms(deadline));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && pfd[1].revents)
            return -EINTR;
        if (n > 0)
            return 0;
        if (monotonic_ns() >= deadline)
            return -ETIMEDOUT;
    }
}

/* The worker's own result, or what can be said without one. */
static struct report_cell *collect(const struct schedule *s, const struct job *job,
                                   const struct testbed_config *cfg, int ended, int status)
{
    struct report_cell *cell = NULL;
    char path[256], why[256];

    snprintf(path, sizeof(path), "%s/cell.json", cfg->run_dir);
    json_t *o = ended == 0 ? json_load_file(path, 0, NULL) : NULL;
    if (o && !report_cell_from_json(o, &cell, why, sizeof(why))) {
        json_decref(o);
        return cell;
    }
    json_decref(o);

    cell = cell_report_create(job, s->options->testbed);
    if (ended == -ETIMEDOUT)
        snprintf(why, sizeof(why), "the harness did not end the cell within its limit");
    else if (access(cfg->run_dir, F_OK))
        snprintf(why, sizeof(why), "somebody removed the cell's folder %s", cfg->run_dir);
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof(why), "the harness's worker was killed by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(why, sizeof(why), "the harness's worker ended with status %d and no result",
                 WEXITSTATUS(status));
    report_cell_worsen(cell, ERROR, why);
    snprintf(path, sizeof(path), "%s/worker.log", cfg->run_dir);
    char *log = file_tail(path, 2048);
    report_set(&cell->log, log);
    free(log);
    report_cell_settle(cell);
    return cell;
}

void guard_run(const struct schedule *s, const struct job *job, int result_fd)
{
    struct testbed_config cfg = job->testbed ? *job->testbed : s->install->testbed;
    char why[256] = "";
    sigset_t set;
    int ended = 0, status = 0;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);

    char *run_dir = make_run_dir(why, sizeof(why));
    pid_t self = getpid(), pid = -1;
    int pidfd = -1;
    cfg.run_dir = run_dir;
    cfg.mutant = job->mutant;
    if (run_dir && signals >= 0) {
        pid = fork();
        if (pid == 0)
            worker(s, job, &cfg, self);
        pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    }
    if (pidfd < 0) {
        if (!why[0])
            snprintf(why, sizeof(why), "no process for the cell: %s", strerror(errno));
        struct report_cell *cell = cell_report_create(job, s->options->testbed);
        report_cell_worsen(cell, ERROR, why);
        report_cell_settle(cell);
        write_result(cell, result_fd);
    } else {
        ended = wait_worker(pidfd, signals,
                            monotonic_ns() + cell_timeout_ns(s->options, job) + GRACE_NS);
        if (ended)
            kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (ended != -EINTR)
            write_result(collect(s, job, &cfg, ended, status), result_fd);
    }
    process_kill_children();
    if (run_dir && !s->options->keep)
        remove_tree(run_dir);
    _exit(ended ? REPORT_HARNESS_ERROR : 0);
}
