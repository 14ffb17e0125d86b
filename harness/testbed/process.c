/* SPDX-License-Identifier: MIT */
#include "testbed/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- words ---- */

static void words_take(struct words *w, char *text)
{
    char **items =
        text && !w->failed ? reallocarray(w->items, w->count + 2, sizeof(*w->items)) : NULL;
    if (!items) {
        free(text);
        w->failed = true;
        return;
    }
    w->items = items;
    w->items[w->count++] = text;
    w->items[w->count] = NULL;
}

void words_add(struct words *w, const char *text)
{
    words_take(w, strdup(text));
}

void words_addf(struct words *w, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    words_take(w, text);
}

void words_set(struct words *w, const char *name, const char *value)
{
    size_t n = strlen(name);

    for (unsigned i = 0; i < w->count; i++) {
        if (strncmp(w->items[i], name, n) || w->items[i][n] != '=')
            continue;
        free(w->items[i]);
        memmove(&w->items[i], &w->items[i + 1], (w->count - i) * sizeof(*w->items));
        w->count--;
        break;
    }
    words_addf(w, "%s=%s", name, value);
}

void words_add_environment(struct words *w)
{
    static const char *const left_out[] = {"SIMXEN_", "XENSTORED_", "RINGPROOF_MUTANT="};

    for (char **e = environ; e && *e; e++) {
        bool skip = false;
        for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
            skip |= !strncmp(*e, left_out[i], strlen(left_out[i]));
        if (!skip)
            words_add(w, *e);
    }
}

void words_fini(struct words *w)
{
    for (unsigned i = 0; i < w->count; i++)
        free(w->items[i]);
    free(w->items);
    *w = (struct words){0};
}

/* ---- processes ---- */

/* In the child, between fork and exec. Reports errno through `report` and ends. */
static void __attribute__((noreturn))
child(const struct process_start *s, int log_fd, int null_fd, int report, pid_t parent)
{
    int in = s->stdin_fd >= 0 ? s->stdin_fd : null_fd;
    int out = s->stdout_fd >= 0 ? s->stdout_fd : log_fd;
    int high[5], err;
    sigset_t none;

    /* Before anything else, so that a starter that dies now takes us along. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        goto fail;
    if (getppid() != parent)
        _exit(127);

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    /* Out of the way of the numbers they are to get. */
    const int given[5] = {in, out, log_fd, s->pass_fd, report};
    for (int i = 0; i < 5; i++) {
        high[i] = given[i] < 0 ? -1 : fcntl(given[i], F_DUPFD_CLOEXEC, 10);
        if (given[i] >= 0 && high[i] < 0)
            goto fail;
    }
    report = high[4];
    for (int i = 0; i < 4; i++)
        if (high[i] >= 0 && dup2(high[i], i) < 0)
            goto fail;
    if (high[3] < 0)
        close(3);
    /* What others left open without close-on-exec ends here, too. */
    (void)syscall(SYS_close_range, 4u, (unsigned)INT_MAX, 4u /* CLOSE_RANGE_CLOEXEC */);

    if (s->netns_fd > 0 && setns(s->netns_fd, CLONE_NEWNET))
        goto fail;
    if (s->cwd && chdir(s->cwd))
        goto fail;
    execve(s->argv->items[0], s->argv->items, s->env->items);
fail:
    err = errno;
    ssize_t n = write(report, &err, sizeof(err));
    (void)n;
    _exit(127);
}

/* A descriptor for a child that was started; without one it is ended again. */
static int watch(pid_t pid, struct process *p)
{
    int ret;

    p->pid = pid;
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->pidfd >= 0) {
        fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
        return 0;
    }
    ret = -errno;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    p->pid = 0;
    return ret;
}

int process_spawn(const struct process_start *s, struct process *p)
{
    int report[2] = {-1, -1}, log_fd = -1, null_fd = -1, err = 0, ret = 0;
    pid_t parent = getpid(), pid;

    *p = PROCESS_INIT;
    if (s->argv->failed || s->env->failed || !s->argv->count)
        return -ENOMEM;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    log_fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (null_fd < 0 || log_fd < 0 || pipe2(report, O_CLOEXEC)) {
        ret = -errno;
        goto out;
    }
    pid = fork();
    if (pid < 0) {
        ret = -errno;
        goto out;
    }
    if (pid == 0)
        child(s, log_fd, null_fd, report[1], parent);

    close(report[1]);
    report[1] = -1;
    ssize_t n;
    do
        n = read(report[0], &err, sizeof(err));
    while (n < 0 && errno == EINTR);
    if (n != 0) { /* exec closes the pipe; anything else is a failure */
        waitpid(pid, NULL, 0);
        ret = n == (ssize_t)sizeof(err) ? -err : -EIO;
        goto out;
    }
    ret = watch(pid, p);
out:
    if (report[0] >= 0)
        close(report[0]);
    if (report[1] >= 0)
        close(report[1]);
    if (log_fd >= 0)
        close(log_fd);
    if (null_fd >= 0)
        close(null_fd);
    return ret;
}

int process_fork(int (*run)(void *arg), void *arg, int netns_fd, struct process *p)
{
    pid_t parent = getpid(), pid = fork();

    *p = PROCESS_INIT;
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent ||
            (netns_fd > 0 && setns(netns_fd, CLONE_NEWNET)))
            _exit(127);
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        _exit(run(arg));
    }
    return watch(pid, p);
}

static void reap(struct process *p)
{
    while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
        ;
    close(p->pidfd);
    p->pid = 0;
    p->pidfd = -1;
}

uint64_t process_cpu_ns(const struct process *p)
{
    struct timespec t;
    clockid_t clock;

    if (!p->pid || clock_getcpuclockid(p->pid, &clock) || clock_gettime(clock, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t process_own_bytes(const struct process *p)
{
    unsigned long long kib = 0;
    char path[64], line[128];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)p->pid);
    f = p->pid ? fopen(path, "re") : NULL;
    while (f && fgets(line, sizeof(line), f) && sscanf(line, "Anonymous: %llu kB", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return kib * 1024;
}

bool process_running(struct process *p)
{
    return p->pid && process_wait(p, 0) == -ETIMEDOUT;
}

int process_signal(struct process *p, int signal)
{
    if (!process_running(p))
        return -ESRCH;
    return kill(p->pid, signal) ? -errno : 0;
}

int process_wait(struct process *p, uint64_t timeout_ns)
{
    uint64_t deadline = monotonic_ns() + timeout_ns;

    if (!p->pid)
        return 0;
    for (;;) {
        struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
        int n = poll(&pfd, 1, timeout_ns ? poll_timeout_ms(deadline) : 0);
        if (n > 0) {
            reap(p);
            return 0;
        }
        if (monotonic_ns() >= deadline)
            return -ETIMEDOUT;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

int process_end(struct process *p, int signal, uint64_t timeout_ns)
{
    if (!p->pid)
        return 0;
    kill(p->pid, signal);
    int ret = process_wait(p, timeout_ns);
    if (ret) {
        kill(p->pid, SIGKILL);
        reap(p);
    }
    return ret;
}

const char *process_describe_end(const struct process *p, char *buf, size_t size)
{
    if (WIFEXITED(p->status))
        snprintf(buf, size, "exit status %d", WEXITSTATUS(p->status));
    else
        snprintf(buf, size, "killed by signal %d (%s)", WTERMSIG(p->status),
                 strsignal(WTERMSIG(p->status)));
    return buf;
}

int process_count_fds(pid_t pid)
{
    char path[64];
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    if (!d)
        return -errno;
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

void process_kill_children(void)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    for (;;) {
        FILE *f = fopen(path, "re");
        bool any = false;
        int pid;
        while (f && fscanf(f, "%d", &pid) == 1) {
            kill(pid, SIGKILL);
            any = true;
        }
        if (f)
            fclose(f);
        /* Each child that ends may leave children of its own to us. */
        pid_t gone = waitpid(-1, NULL, any ? 0 : WNOHANG);
        if (gone < 0 && errno == ECHILD)
            return;
        if (gone == 0 && !any)
            return;
    }
}

/* ---- files ---- */

char *file_tail(const char *path, size_t max_bytes)
{
    char *text = calloc(1, max_bytes + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (text && fd >= 0 && !fstat(fd, &st)) {
        off_t from = st.st_size > (off_t)max_bytes ? st.st_size - (off_t)max_bytes : 0;
        ssize_t n = pread(fd, text, max_bytes, from);
        text[n > 0 ? n : 0] = 0;
        char *line = from && n > 0 ? strchr(text, '\n') : NULL;
        if (line) /* begin at a whole line */
            memmove(text, line + 1, strlen(line + 1) + 1);
    }
    if (fd >= 0)
        close(fd);
    return text;
}

static void remove_at(int dir_fd, const char *name)
{
    if (!unlinkat(dir_fd, name, 0) || (errno != EISDIR && errno != EPERM))
        return;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            remove_at(fd, e->d_name);
    closedir(d);
    unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void remove_tree(const char *path)
{
    remove_at(AT_FDCWD, path);
}

uint64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int poll_timeout_ms(uint64_t deadline_ns)
{
    uint64_t now = monotonic_ns();
    uint64_t ms = now >= deadline_ns ? 0 : (deadline_ns - now + 999999) / 1000000;

    return ms > INT_MAX ? INT_MAX : (int)ms;
}
