/* SPDX-License-Identifier: MIT */
/*
 * Processes that a testbed starts: they die with their starter, write their log into the run
 * folder, and are waited for with a limit.
 *
 * Each one gets SIGKILL when the starter ends in whatever way (PR_SET_PDEATHSIG), inherits no
 * descriptor but those it is given, and has default signal dispositions.
 */
#ifndef RP_TESTBED_PROCESS_H
#define RP_TESTBED_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A list of words or of NAME=value settings that grows. NULL-terminated for exec. */
struct words {
    char **items;
    unsigned count;
    bool failed; /* out of memory; everything after is ignored */
};

void words_add(struct words *w, const char *text);
void words_addf(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets NAME in a list of settings, replacing an earlier value. */
void words_set(struct words *w, const char *name, const char *value);
/* This process's environment, without what names another simulation or a mutant. */
void words_add_environment(struct words *w);
void words_fini(struct words *w);

struct process {
    pid_t pid;  /* 0: none */
    int pidfd;  /* -1: none; readable when the process has ended */
    int status; /* of waitpid, once it was reaped */
};

#define PROCESS_INIT ((struct process){.pid = 0, .pidfd = -1})

struct process_start {
    const struct words *argv; /* argv[0] is the path */
    const struct words *env;
    const char *cwd; /* NULL: this one's */
    const char *log; /* file for stderr, and for stdout when that is not given; appended */
    int stdin_fd;    /* borrowed; -1: /dev/null */
    int stdout_fd;   /* borrowed; -1: the log */
    int pass_fd;     /* borrowed; -1: none; becomes descriptor 3 of the process */
    int netns_fd;    /* borrowed; network namespace, 0: this one's */
};

/* 0, or -errno: what exec or fork said, -ENOENT for a program that does not exist. */
int process_spawn(const struct process_start *s, struct process *p);
/* The same without a program: `run` is called in the child, which then ends with what it returns.
 * It has the starter's memory and descriptors as they are now, and no thread of it. */
int process_fork(int (*run)(void *arg), void *arg, int netns_fd, struct process *p);
bool process_running(struct process *p);
/* The time for which it has had a CPU, with all its threads; 0 of one that does not run. */
uint64_t process_cpu_ns(const struct process *p);
/* Its own memory that is resident: not what it shares, nor what files give back. 0 where that is
 * not told. */
uint64_t process_own_bytes(const struct process *p);
/* -ESRCH: it has ended. (That kill(2) takes no pid for a group of processes, ours, must not be.) */
int process_signal(struct process *p, int signal);
/* 0 when the process ended (and was reaped), -ETIMEDOUT when it still runs. */
int process_wait(struct process *p, uint64_t timeout_ns);
/* Sends `signal`, waits, and kills what did not end. Returns 0, or -ETIMEDOUT when it had to be
 * killed. Nothing to do for a process that is not there. */
int process_end(struct process *p, int signal, uint64_t timeout_ns);
/* "exit status 1", "killed by signal 11 (Segmentation fault)". Returns buf. */
const char *process_describe_end(const struct process *p, char *buf, size_t size);

/* Descriptors that a process has open; -errno when it cannot be seen. */
int process_count_fds(pid_t pid);

/* Kills and reaps every process that has this one as its parent (orphans come to it when it is a
 * child subreaper), again until there is none. */
void process_kill_children(void);

/* The last lines of a file: malloc'd, at most max_bytes; "" when there is nothing. */
char *file_tail(const char *path, size_t max_bytes);
/* Removes a folder with all that is in it, without following links. Best effort. */
void remove_tree(const char *path);

uint64_t monotonic_ns(void);
/* Whole milliseconds for poll(2) until a deadline, rounded up, at least 0. */
int poll_timeout_ms(uint64_t deadline_ns);

#endif
