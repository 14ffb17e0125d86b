/* SPDX-License-Identifier: MIT */
#include "simxen/ctl/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct spawner {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool quit;
    const struct spawn_args *job; /* one at a time */
    bool done;
    int rc;
    pid_t pid;
};

static bool same_name(const char *entry, const char *name)
{
    size_t n = strlen(name);

    return !strncmp(entry, name, n) && entry[n] == '=';
}

/* environ with the changes; all of it in memory of its own, freed with env_free. */
static char **env_make(const struct spawn_var *vars)
{
    size_t nr = 0, at = 0;
    const struct spawn_var *v;
    char **env, **e;

    for (e = environ; *e; e++)
        nr++;
    for (v = vars; v && v->name; v++)
        nr++;
    env = calloc(nr + 1, sizeof(*env));
    if (!env)
        return NULL;
    for (e = environ; *e; e++) {
        for (v = vars; v && v->name && !same_name(*e, v->name); v++)
            ;
        if (!v || !v->name)
            env[at++] = strdup(*e);
    }
    for (v = vars; v && v->name; v++)
        if (v->value && asprintf(&env[at++], "%s=%s", v->name, v->value) < 0)
            env[at - 1] = NULL;
    return env;
}

static void env_free(char **env)
{
    char **e;

    for (e = env; e && *e; e++)
        free(*e);
    free(env);
}

/* After fork, in a process that may have threads: only calls that a signal handler may make. */
static void child_exec(const struct spawn_args *a, char **env, int null_fd, int log_fd, int err_fd,
                       pid_t parent)
{
    int err, ready_fd = a->ready_fd;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (a->detached) {
        setsid();
    } else {
        /* A terminal's Ctrl-C is for the starter, which ends the rest in order. */
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(127);
    }
    /* Above what is to be used, so that no dup2 overwrites a source. */
    err_fd = fcntl(err_fd, F_DUPFD_CLOEXEC, 10);
    null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 10);
    log_fd = fcntl(log_fd, F_DUPFD_CLOEXEC, 10);
    if (ready_fd >= 0)
        ready_fd = fcntl(ready_fd, F_DUPFD_CLOEXEC, 10);
    dup2(null_fd, 0);
    dup2(log_fd, 1);
    dup2(log_fd, 2);
    if (ready_fd >= 0)
        dup2(ready_fd, 3);
    execve(a->argv[0], (char *const *)(uintptr_t)a->argv, env);
    err = errno;
    if (write(err_fd, &err, sizeof(err)) < 0)
        _exit(126);
    _exit(127);
}

/* The child of a detached one's first fork: leaves, and init takes over. */
static int fork_program(const struct spawn_args *a, char **env, int null_fd, int log_fd, int err_fd,
                        pid_t *pid)
{
    pid_t parent = getpid();

    *pid = fork();
    if (*pid < 0)
        return -errno;
    if (*pid)
        return 0;
    if (a->detached) {
        pid_t second = fork();

        if (second)
            _exit(second < 0 ? 127 : 0);
    }
    child_exec(a, env, null_fd, log_fd, err_fd, parent);
    return 0;
}

static int spawn(const struct spawn_args *a, pid_t *pid)
{
    int err = 0, rc = 0, pipefd[2] = {-1, -1}, null_fd = -1, log_fd = -1;
    char **env = env_make(a->vars);
    ssize_t n;

    if (!env)
        return -ENOMEM;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    log_fd = open(a->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (null_fd < 0 || log_fd < 0 || pipe2(pipefd, O_CLOEXEC))
        rc = -errno;
    if (!rc)
        rc = fork_program(a, env, null_fd, log_fd, pipefd[1], pid);
    if (rc)
        goto out;
    close(pipefd[1]);
    pipefd[1] = -1;
    do
        n = read(pipefd[0], &err, sizeof(err));
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(err))
        rc = -err;
    if (rc || a->detached)
        waitpid(*pid, NULL, 0);
out:
    if (null_fd >= 0)
        close(null_fd);
    if (log_fd >= 0)
        close(log_fd);
    if (pipefd[0] >= 0)
        close(pipefd[0]);
    if (pipefd[1] >= 0)
        close(pipefd[1]);
    env_free(env);
    return rc;
}

static void *spawner_main(void *arg)
{
    struct spawner *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        if (s->job && !s->done) {
            s->rc = spawn(s->job, &s->pid);
            s->done = true;
            pthread_cond_broadcast(&s->changed);
        }
        pthread_cond_wait(&s->changed, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int spawner_create(struct spawner **out)
{
    struct spawner *s = calloc(1, sizeof(*s));
    sigset_t all, old;
    int rc;

    if (!s)
        return -ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    /* Signals are for the program's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&s->thread, NULL, spawner_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        free(s);
        return -rc;
    }
    *out = s;
    return 0;
}

void spawner_destroy(struct spawner *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int spawner_run(struct spawner *s, const struct spawn_args *args, pid_t *pid)
{
    int rc;

    pthread_mutex_lock(&s->lock);
    while (s->job)
        pthread_cond_wait(&s->changed, &s->lock);
    s->job = args;
    s->done = false;
    pthread_cond_broadcast(&s->changed);
    while (!s->done)
        pthread_cond_wait(&s->changed, &s->lock);
    rc = s->rc;
    if (!rc && pid)
        *pid = s->pid;
    s->job = NULL;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

bool spawn_wait(pid_t pid, uint64_t limit_ns)
{
    struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    bool ended;

    if (p.fd < 0)
        return waitpid(pid, NULL, WNOHANG) != 0;
    while (poll(&p, 1, (int)(limit_ns / 1000000)) < 0 && errno == EINTR)
        ;
    close(p.fd);
    ended = p.revents & POLLIN;
    if (ended)
        waitpid(pid, NULL, 0);
    return ended;
}

void spawn_end(pid_t pid)
{
    kill(pid, SIGTERM);
    if (spawn_wait(pid, UINT64_C(1000000000)))
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
