/* SPDX-License-Identifier: MIT */
/* Processes with limits, trees that are removed, images that say where they are. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testbed/image.h"
#include "testbed/process.h"
#include "unit/run.h"

static char dir[64];

static void setup(void)
{
    strcpy(dir, "/tmp/rp-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    remove_tree(dir);
    ck_assert_int_eq(access(dir, F_OK), -1);
}

static int spawn(struct process *p, const char *script, int out, int pass)
{
    struct words argv = {0}, env = {0};
    char log[96];

    words_add(&argv, "/bin/sh");
    words_add(&argv, "-c");
    words_add(&argv, script);
    words_add(&env, "PATH=/bin:/usr/bin");
    snprintf(log, sizeof(log), "%s/log", dir);
    const struct process_start s = {.argv = &argv,
                                    .env = &env,
                                    .cwd = dir,
                                    .log = log,
                                    .stdin_fd = -1,
                                    .stdout_fd = out,
                                    .pass_fd = pass};
    int ret = process_spawn(&s, p);
    words_fini(&argv);
    words_fini(&env);
    return ret;
}

START_TEST(ends_and_says_how)
{
    struct process p;
    char text[96], *tail;

    ck_assert_int_eq(spawn(&p, "echo first; echo second >&2; exit 3", -1, -1), 0);
    ck_assert_int_eq(process_wait(&p, 5000000000u), 0);
    ck_assert(!process_running(&p));
    ck_assert_str_eq(process_describe_end(&p, text, sizeof(text)), "exit status 3");
    snprintf(text, sizeof(text), "%s/log", dir);
    tail = file_tail(text, 1000);
    ck_assert_str_eq(tail, "first\nsecond\n");
    free(tail);
    tail = file_tail(text, 9); /* begins at a whole line */
    ck_assert_str_eq(tail, "second\n");
    free(tail);
}
END_TEST

START_TEST(limit_and_kill)
{
    struct process p;
    char text[96];

    ck_assert_int_eq(spawn(&p, "trap '' TERM; while :; do read x; sleep 100; done", -1, -1), 0);
    ck_assert(process_running(&p));
    ck_assert_int_eq(process_wait(&p, 20000000), -ETIMEDOUT);
    ck_assert_int_eq(process_end(&p, SIGKILL, 1000000000u), 0);
    ck_assert(WIFSIGNALED(p.status));
    ck_assert_ptr_nonnull(strstr(process_describe_end(&p, text, sizeof(text)), "signal 9"));
    ck_assert_int_eq(process_end(&p, SIGTERM, 0), 0); /* nothing to do */
}
END_TEST

START_TEST(only_given_descriptors)
{
    struct process p;
    int leak = open("/dev/null", O_RDONLY), out[2], pass[2];
    char text[256] = "";

    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(pass, O_CLOEXEC), 0);
    ck_assert_int_ge(leak, 0);
    ck_assert_int_eq(spawn(&p,
                           "echo ready >&3; for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] "
                           "&& echo $i; done",
                           out[1], pass[1]),
                     0);
    close(out[1]);
    close(pass[1]);
    ck_assert_int_eq(read(pass[0], text, sizeof(text)), 6);
    ck_assert_int_eq(process_wait(&p, 5000000000u), 0);
    ssize_t n = read(out[0], text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    text[n] = 0;
    ck_assert_str_eq(text, "0\n1\n2\n3\n");
    close(out[0]);
    close(pass[0]);
    close(leak);
}
END_TEST

START_TEST(missing_program)
{
    struct words argv = {0}, env = {0};
    struct process p;

    words_add(&argv, "/nonexistent/program");
    words_add(&env, "A=b");
    const struct process_start s = {.argv = &argv,
                                    .env = &env,
                                    .log = "/dev/null",
                                    .stdin_fd = -1,
                                    .stdout_fd = -1,
                                    .pass_fd = -1};
    ck_assert_int_eq(process_spawn(&s, &p), -ENOENT);
    ck_assert_int_eq(p.pid, 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
    words_fini(&argv);
    words_fini(&env);
}
END_TEST

/* An orphan comes to the subreaper and is ended there. */
START_TEST(orphans_are_ended)
{
    struct process p;
    int out[2];
    char text[32] = "";

    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(spawn(&p, "sh -c 'echo $$; exec sleep 1000' & exit 0", out[1], -1), 0);
    close(out[1]);
    ck_assert_int_eq(process_wait(&p, 5000000000u), 0);
    ck_assert_int_gt(read(out[0], text, sizeof(text) - 1), 0);
    pid_t orphan = atoi(text);
    ck_assert_int_eq(kill(orphan, 0), 0);
    process_kill_children();
    ck_assert_int_eq(kill(orphan, 0), -1);
    close(out[0]);
}
END_TEST

START_TEST(settings_replace)
{
    struct words w = {0};

    setenv("SIMXEN_DIR", "elsewhere", 1);
    setenv("RINGPROOF_MUTANT", "m", 1);
    words_add_environment(&w);
    for (unsigned i = 0; i < w.count; i++)
        ck_assert(strncmp(w.items[i], "SIMXEN_", 7) && strncmp(w.items[i], "RINGPROOF_M", 11));
    unsigned before = w.count;
    words_set(&w, "XYZ", "1");
    words_set(&w, "XYZ", "2");
    words_set(&w, "XY", "3");
    ck_assert_uint_eq(w.count, before + 2);
    ck_assert_str_eq(w.items[before], "XYZ=2");
    ck_assert_str_eq(w.items[before + 1], "XY=3");
    ck_assert_ptr_null(w.items[before + 2]);
    words_fini(&w);
}
END_TEST

START_TEST(tree_and_links)
{
    char path[128], outside[64] = "/tmp/rp-unit-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(outside));
    snprintf(path, sizeof(path), "%s/a", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/a/link", dir);
    ck_assert_int_eq(symlink(outside, path), 0);
    snprintf(path, sizeof(path), "%s/keep", outside);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof(path), "%s/a", dir);
    remove_tree(path);
    ck_assert_int_eq(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "%s/keep", outside);
    ck_assert_int_eq(access(path, F_OK), 0); /* a link is removed, not followed */
    remove_tree(outside);
}
END_TEST

START_TEST(images)
{
    char path[128];
    struct stat st;
    uint64_t words[IMAGE_SECTOR_BYTES / 8];

    snprintf(path, sizeof(path), "%s/sparse", dir);
    ck_assert_int_eq(image_create(path, 1ull << 34, false), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 1ll << 34);
    ck_assert_int_lt(st.st_blocks, 100);
    ck_assert_int_eq(image_create(path, 512, false), -EEXIST);

    snprintf(path, sizeof(path), "%s/filled", dir);
    const uint64_t sectors = 2048 + 3; /* a last block that is not whole */
    ck_assert_int_eq(image_create(path, sectors * IMAGE_SECTOR_BYTES, true), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, (long long)(sectors * IMAGE_SECTOR_BYTES));
    int fd = open(path, O_RDONLY);
    for (uint64_t s = 0; s < sectors; s++) {
        ck_assert_int_eq(pread(fd, words, sizeof(words), (off_t)(s * sizeof(words))),
                         sizeof(words));
        for (unsigned i = 0; i < 64; i++)
            ck_assert_uint_eq(le64toh(words[i]), s ^ IMAGE_FILL_XOR);
    }
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("testbed");
    TCase *tc = tcase_create("process");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, ends_and_says_how);
    tcase_add_test(tc, limit_and_kill);
    tcase_add_test(tc, only_given_descriptors);
    tcase_add_test(tc, missing_program);
    tcase_add_test(tc, orphans_are_ended);
    tcase_add_test(tc, settings_replace);
    tcase_add_test(tc, tree_and_links);
    tcase_add_test(tc, images);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
