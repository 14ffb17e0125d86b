/* SPDX-License-Identifier: MIT */
/* agent/run.h, agent/link.h: however a check ends, the runner hears of it. */
#define CHECK_FAMILY "unit"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/link.h"
#include "agent/run.h"
#include "unit/run.h"

CHECK(fine, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, true, "x");
}

CHECK(hangs, .judges = DEVICE, .proves = "unit.1", .timeout_ms = 50)
{
    expect(t, MUST, true, "x");
    for (;;)
        pause();
}

CHECK(spins, .judges = DEVICE, .proves = "unit.1")
{
    volatile bool on = true;

    while (on)
        expect(t, MUST, true, "x");
}

CHECK(faults, .judges = DEVICE, .proves = "unit.1")
{
    volatile uintptr_t at = 0x1230;

    *(volatile int *)at = 1;
}

CHECK(aborts, .judges = DEVICE, .proves = "unit.1")
{
    abort();
}

/* The text behind "reason": asked of the other side. */
CHECK(asks, .judges = DEVICE, .proves = "unit.1")
{
    json_t *v = NULL;
    char why[128];
    int err = link_ask(check_subject(t), "device.info", NULL, &v, why, sizeof(why));

    note(t, "err", "%d", err);
    note(t, "why", "%s", why);
    expect(t, MUST, err != 0 || json_is_true(v), "another value");
    json_decref(v);
}

static bool met_not(void *subject, uint64_t needs, char *why, size_t why_bytes)
{
    (void)subject;
    (void)needs;
    snprintf(why, why_bytes, "no device");
    return false;
}

static bool met_hangs(void *subject, uint64_t needs, char *why, size_t why_bytes)
{
    (void)subject;
    (void)needs;
    (void)why;
    (void)why_bytes;
    for (volatile bool on = true; on;)
        pause();
    return true;
}

/*
 * Run a check in a child whose stdin is `input`, and decode the one result that it sends.
 * Returns the child's exit status.
 */
static int run_child(const char *name, const char *input,
                     bool (*met)(void *, uint64_t, char *, size_t), uint32_t timeout_ms,
                     struct wire_event *out)
{
    int in[2], outp[2], status, results = 0;
    struct wire_reader *r = wire_reader_create(true);
    const char *text;
    enum wire_line k;
    char why[256];
    size_t len, space;
    ssize_t n;
    pid_t pid;

    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(outp, O_CLOEXEC), 0);
    ck_assert_int_eq(write(in[1], input, strlen(input)), (ssize_t)strlen(input));
    close(in[1]);
    pid = fork();
    if (pid == 0) {
        const struct run_hooks hooks = {.met = met};
        struct link l;
        struct run *run;

        dup2(in[0], STDIN_FILENO);
        dup2(outp[1], STDOUT_FILENO);
        if (link_init(&l) < 0 || !(run = run_create(&l)))
            _exit(99);
        printf("noise of the process itself\n");
        fflush(stdout);
        if (run_check(run, check_find("unit", name), &l, &hooks, timeout_ms) < 0)
            _exit(98);
        run_destroy(run);
        link_fini(&l);
        _exit(AGENT_EXIT_OK);
    }
    close(in[0]);
    close(outp[1]);
    for (;;) {
        k = wire_reader_next(r, &text, &len);
        if (k == WIRE_MESSAGE) {
            ck_assert_msg(wire_event_decode(text, len, out, why, sizeof(why)) == 0, "%s: %.*s", why,
                          (int)len, text);
            results += out->ev == WIRE_RESULT;
            wire_event_fini(out);
        } else if (k == WIRE_LOG_LINE) {
            ck_assert_msg(len == 0, "noise in the protocol: %.*s", (int)len, text);
        } else {
            void *p = wire_reader_space(r, &space);

            n = read(outp[0], p, space);
            if (n <= 0)
                break;
            wire_reader_fed(r, (size_t)n);
        }
    }
    close(outp[0]);
    wire_reader_destroy(r);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "the child ended by signal %d", WTERMSIG(status));
    ck_assert_int_eq(results, 1);
    return WEXITSTATUS(status);
}

static struct wire_event *room(void)
{
    struct wire_event *e = calloc(1, sizeof(*e));

    ck_assert_ptr_nonnull(e);
    return e;
}

START_TEST(ordinary_end)
{
    struct wire_event *e = room();

    ck_assert_int_eq(run_child("fine", "", NULL, 0, e), AGENT_EXIT_OK);
    ck_assert_str_eq(e->result.check, "unit.fine");
    ck_assert_int_eq(e->result.r.outcome, PASS);
    ck_assert_int_eq(run_child("fine", "", met_not, 0, e), AGENT_EXIT_OK);
    ck_assert_int_eq(e->result.r.outcome, SKIP);
    ck_assert_str_eq(e->result.r.reason, "no device");
    free(e);
}
END_TEST

START_TEST(time_runs_out)
{
    static const struct {
        const char *check;
        uint32_t timeout_ms;
        bool (*met)(void *, uint64_t, char *, size_t);
    } table[] = {{"hangs", 0, NULL}, {"spins", 50, NULL}, {"fine", 50, met_hangs}};
    struct wire_event *e = room();

    ck_assert_int_eq(run_child(table[_i].check, "", table[_i].met, table[_i].timeout_ms, e),
                     AGENT_EXIT_TIMEOUT);
    ck_assert_int_eq(e->result.r.outcome, FAIL);
    ck_assert_uint_eq(e->result.r.failure_count, 1);
    ck_assert_ptr_nonnull(strstr(e->result.r.failures[0].text, "50 ms"));
    free(e);
}
END_TEST

START_TEST(faults_are_errors)
{
    struct wire_event *e = room();

    ck_assert_int_eq(run_child("faults", "", NULL, 0, e), AGENT_EXIT_FAULT);
    ck_assert_int_eq(e->result.r.outcome, ERROR);
    ck_assert_str_eq(e->result.check, "unit.faults");
    ck_assert_str_eq(e->result.r.reason, "the check faulted: SIGSEGV at 0x1230");
    ck_assert_int_eq(run_child("aborts", "", NULL, 0, e), AGENT_EXIT_FAULT);
    ck_assert_str_eq(e->result.r.reason, "the check faulted: SIGABRT");
    free(e);
}
END_TEST

/* What stands on the agent's stdin when a check asks (the first question has id 1). */
static const struct {
    const char *input, *err, *why;
} answers[] = {
    {"{\"op\":\"answer\",\"id\":1,\"ok\":true,\"value\":true}\n", "0", ""},
    {"garbage\n{\"op\":\"answer\",\"id\":2,\"ok\":true}\n{\"op\":\"list\"}\n"
     "{\"op\":\"answer\",\"id\":1,\"ok\":true,\"value\":true}\n",
     "0", ""},
    {"{\"op\":\"peer\",\"id\":5,\"call\":\"x\"}\n"
     "{\"op\":\"answer\",\"id\":1,\"ok\":false,\"error\":\"EBUSY\"}\n",
     "-121", "EBUSY"},
    {"{\"op\":\"answer\",\"id\":1,\"ok\":false,\"error\":\"not supported here\"}\n", "-95",
     "not supported here"},
    {"", "-32", NULL},
    {"{\"op\":\"quit\"}\n", "-32", NULL},
};

START_TEST(questions)
{
    struct wire_event *e = room();

    ck_assert_int_eq(run_child("asks", answers[_i].input, NULL, 5000, e), AGENT_EXIT_OK);
    ck_assert_int_eq(e->result.r.outcome, PASS);
    ck_assert_str_eq(e->result.r.notes[0].value, answers[_i].err);
    if (answers[_i].why)
        ck_assert_str_eq(e->result.r.notes[1].value, answers[_i].why);
    free(e);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent");
    TCase *c = tcase_create("run");

    tcase_set_timeout(c, 60);
    tcase_add_test(c, ordinary_end);
    tcase_add_loop_test(c, time_runs_out, 0, 3);
    tcase_add_test(c, faults_are_errors);
    tcase_add_loop_test(c, questions, 0, sizeof(answers) / sizeof(answers[0]));
    suite_add_tcase(s, c);
    return unit_run(s);
}
