/* SPDX-License-Identifier: MIT */
/*
 * The keeper of machines with the loop of a dom0, without a machine: what is booted is this program
 * again, which does what a dom0 does on its control channel.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/client.h"
#include "machine/keeper.h"
#include "machine/loop.h"
#include "testbed/process.h"
#include "unit/run.h"

#define SOON_NS 40000000000ull

static char dir[64], sock[80], script[80];
static pid_t keeper;

/* What `boot` of an image would be. The text decides how it ends. */
static void make_boot(const char *text)
{
    FILE *f = fopen(script, "w");

    ck_assert_ptr_nonnull(f);
    fprintf(f, "#!/bin/sh\necho begin >>\"$2/console.log\"\n%s\n", text);
    fclose(f);
    ck_assert_int_eq(chmod(script, 0755), 0);
}

static const char *up(void)
{
    static char text[5000];
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[n > 0 ? n : 0] = 0;
    snprintf(text, sizeof(text), "echo noise; echo '@rp-boot dom0 ready {}'; exec '%s' --as-dom0",
             self);
    return text;
}

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/rp-keeper-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(sock, sizeof(sock), "%s/s", dir);
    snprintf(script, sizeof(script), "%s/boot", dir);
    make_boot(up());
    keeper = fork();
    if (keeper == 0) {
        const struct keeper_options o = {
            .socket = sock,
            .dir = dir,
            .machines = {{"one", script, "/dev/null"}, {"two", script, "/dev/null"}},
            .machine_count = 2,
            .boot_limit_s = 8,
            .boots_max = 2,
            .quiet_limit_s = 4,
        };
        _exit(keeper_main(&o));
    }
    for (int i = 0; i < 1000 && access(sock, F_OK); i++)
        poll(NULL, 0, 10);
}

static void teardown(void)
{
    int status = -1;

    kill(keeper, SIGTERM);
    waitpid(keeper, &status, 0);
    remove_tree(dir);
    ck_assert_int_eq(status, 0);
}

static int use(const char *name, char *text)
{
    return machine_use(sock, name, SOON_NS, text, 2048);
}

static int must_use(const char *name)
{
    char text[2048];
    int lease = use(name, text);

    ck_assert_msg(lease >= 0, "%s", text);
    return lease;
}

/* A program "in dom0", by a process here: its output and its wait status. */
static struct process run_there(const char *command, int stdin_fd, int *out)
{
    struct words argv = {0}, env = {0};
    struct process p;
    char self[4096], log[96];
    int fds[2];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[n > 0 ? n : 0] = 0;
    snprintf(log, sizeof(log), "%s/log", dir);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    words_add(&argv, self);
    words_add(&argv, "--exec");
    words_add(&argv, sock);
    words_add(&argv, "NAME=value");
    words_add(&argv, "sh");
    words_add(&argv, "-c");
    words_add(&argv, command);
    words_add_environment(&env);
    const struct process_start start = {.argv = &argv,
                                        .env = &env,
                                        .log = log,
                                        .stdin_fd = stdin_fd,
                                        .stdout_fd = fds[1],
                                        .pass_fd = -1};
    ck_assert_int_eq(process_spawn(&start, &p), 0);
    close(fds[1]);
    words_fini(&argv);
    words_fini(&env);
    *out = fds[0];
    return p;
}

static size_t read_end(int fd, char *buf, size_t size)
{
    size_t used = 0;
    ssize_t n;

    while (used < size && (n = read(fd, buf + used, size - used)) > 0)
        used += (size_t)n;
    close(fd);
    return used;
}

START_TEST(programs_run_with_their_streams)
{
    char text[2048], buf[256] = "";
    int lease = use("one", text), out, in[2];

    ck_assert_msg(lease >= 0, "%s", text);
    ck_assert_str_eq(text, "booted");
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    struct process p = run_there("echo $NAME; cat; echo error >&2; exit 7", in[0], &out);
    close(in[0]);
    ck_assert_int_eq(write(in[1], "input\n", 6), 6);
    close(in[1]);
    buf[read_end(out, buf, sizeof(buf) - 1)] = 0;
    ck_assert_str_eq(buf, "value\ninput\n");
    ck_assert_int_eq(process_wait(&p, SOON_NS), 0);
    ck_assert(WIFEXITED(p.status));
    ck_assert_int_eq(WEXITSTATUS(p.status), 7);
    close(lease);
}
END_TEST

START_TEST(large_output_arrives_whole)
{
    static char buf[2000000];
    int lease = must_use("one"), out;
    struct process p = run_there("head -c 1500000 /dev/zero", -1, &out);

    ck_assert_uint_eq(read_end(out, buf, sizeof(buf)), 1500000);
    ck_assert_int_eq(process_wait(&p, SOON_NS), 0);
    ck_assert_int_eq(p.status, 0);
    close(lease);
}
END_TEST

START_TEST(signals_and_ends_by_signal_pass_through)
{
    int lease = must_use("one"), out;
    char byte;
    struct process p =
        run_there("trap 'exit 3' TERM; echo x; while :; do sleep 0.01; done", -1, &out);

    ck_assert_int_eq(read(out, &byte, 1), 1);
    kill(p.pid, SIGTERM);
    ck_assert_int_eq(process_wait(&p, SOON_NS), 0);
    ck_assert_int_eq(WEXITSTATUS(p.status), 3);
    close(out);
    p = run_there("kill -9 $$", -1, &out);
    ck_assert_int_eq(process_wait(&p, SOON_NS), 0);
    ck_assert(WIFSIGNALED(p.status));
    ck_assert_int_eq(WTERMSIG(p.status), SIGKILL);
    close(out);
    close(lease);
}
END_TEST

/* What is killed here is gone there before the next program starts. */
START_TEST(who_is_killed_here_is_killed_there)
{
    int lease = must_use("one"), out;
    char command[128], buf[16] = "";

    snprintf(command, sizeof(command), "echo $$ >%s/pid; echo; exec sleep 60", dir);
    struct process p = run_there(command, -1, &out);
    ck_assert_int_eq(read(out, buf, 1), 1);
    close(out);
    process_end(&p, SIGKILL, SOON_NS);
    snprintf(command, sizeof(command),
             "kill -0 $(cat %s/pid) 2>/dev/null && echo there || echo gone", dir);
    p = run_there(command, -1, &out);
    buf[read_end(out, buf, sizeof(buf) - 1)] = 0;
    ck_assert_str_eq(buf, "gone\n");
    process_wait(&p, SOON_NS);
    close(lease);
}
END_TEST

START_TEST(a_boot_that_fails_once_is_tried_again_and_told)
{
    char text[2048], once[6000];

    snprintf(once, sizeof(once), "[ -e %s/tried ] || { touch %s/tried; exit 1; }\n%s", dir, dir,
             up());
    make_boot(once);
    int lease = use("one", text);
    ck_assert_msg(lease >= 0, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "attempt 2"));
    ck_assert_ptr_nonnull(strstr(text, "it ended while it booted"));
    close(lease);
}
END_TEST

static void expect_no_boot(const char *boot, const char *why)
{
    char text[2048];

    make_boot(boot);
    ck_assert_int_lt(use("one", text), 0);
    ck_assert_msg(strstr(text, why) != NULL, "'%s'", text);
    ck_assert_msg(strstr(text, "begin") != NULL, "no end of the console: '%s'", text);
}

START_TEST(a_boot_that_fails_twice_says_why)
{
    expect_no_boot("echo '@rp-boot dom0 failed xenstored'; sleep 60", "failed: xenstored");
}
END_TEST

START_TEST(a_silent_boot_is_given_up)
{
    expect_no_boot("exec sleep 60", "it says nothing any more");
}
END_TEST

START_TEST(a_talking_boot_without_end_is_given_up)
{
    expect_no_boot("while :; do echo x >>\"$2/console.log\"; sleep 0.1; done", "within the limit");
}
END_TEST

START_TEST(a_machine_that_dies_is_noticed_by_all)
{
    int lease = must_use("one"), out;
    char text[2048];

    ck_assert_int_eq(machine_alive(lease, text, sizeof(text)), 0);
    struct process p = run_there("kill -9 $PPID; sleep 60", -1, &out);
    ck_assert_int_eq(process_wait(&p, SOON_NS), 0);
    ck_assert_int_eq(WEXITSTATUS(p.status), 255);
    struct pollfd f = {.fd = lease, .events = POLLIN};
    ck_assert_int_eq(poll(&f, 1, 10000), 1);
    ck_assert_int_eq(machine_alive(lease, text, sizeof(text)), -ESHUTDOWN);
    ck_assert_ptr_nonnull(strstr(text, "it ended"));
    close(out);
    close(lease);
    /* The next one gets another. */
    lease = use("one", text);
    ck_assert_msg(lease >= 0, "%s", text);
    close(lease);
}
END_TEST

START_TEST(one_machine_at_a_time)
{
    char text[2048];
    int one = use("one", text);

    ck_assert_int_ge(one, 0);
    ck_assert_int_lt(use("two", text), 0);
    ck_assert_ptr_nonnull(strstr(text, "in use"));
    ck_assert_int_lt(use("three", text), 0);
    close(one);
    int two = use("two", text);
    ck_assert_msg(two >= 0, "%s", text);
    close(two);
}
END_TEST

START_TEST(noise_on_the_channel_ends_the_machine)
{
    char text[2048];

    make_boot("echo '@rp-boot dom0 ready {}'; sleep 0.2; echo garbage garbage; sleep 60");
    int lease = use("one", text);
    ck_assert_int_ge(lease, 0);
    struct pollfd f = {.fd = lease, .events = POLLIN};
    ck_assert_int_eq(poll(&f, 1, 10000), 1);
    ck_assert_int_eq(machine_alive(lease, text, sizeof(text)), -ESHUTDOWN);
    ck_assert_ptr_nonnull(strstr(text, "no frame"));
    close(lease);
}
END_TEST

/* Nobody runs anything on it, and yet its serial port has an interrupt now and then. */
START_TEST(a_machine_that_is_up_is_woken)
{
    char text[2048];

    make_boot("echo '@rp-boot dom0 ready {}'; head -c 16 >/dev/null; exit 0");
    int lease = use("one", text);
    ck_assert_msg(lease >= 0, "%s", text);
    struct pollfd f = {.fd = lease, .events = POLLIN};
    ck_assert_int_eq(poll(&f, 1, 10000), 1);
    ck_assert_int_eq(machine_alive(lease, text, sizeof(text)), -ESHUTDOWN);
    ck_assert_ptr_nonnull(strstr(text, "it ended"));
    close(lease);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--as-dom0"))
        return loop_serve() == -EPIPE ? 0 : 1;
    if (argc > 2 && !strcmp(argv[1], "--exec"))
        return machine_exec(argv[2], argv + 3);

    Suite *s = suite_create("keeper");
    TCase *c = tcase_create("keeper");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, programs_run_with_their_streams);
    tcase_add_test(c, large_output_arrives_whole);
    tcase_add_test(c, signals_and_ends_by_signal_pass_through);
    tcase_add_test(c, who_is_killed_here_is_killed_there);
    tcase_add_test(c, a_boot_that_fails_once_is_tried_again_and_told);
    tcase_add_test(c, a_boot_that_fails_twice_says_why);
    tcase_add_test(c, a_silent_boot_is_given_up);
    tcase_add_test(c, a_talking_boot_without_end_is_given_up);
    tcase_add_test(c, a_machine_that_dies_is_noticed_by_all);
    tcase_add_test(c, one_machine_at_a_time);
    tcase_add_test(c, noise_on_the_channel_ends_the_machine);
    tcase_add_test(c, a_machine_that_is_up_is_woken);
    suite_add_tcase(s, c);
    return unit_run(s);
}
