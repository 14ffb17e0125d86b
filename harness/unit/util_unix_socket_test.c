/* SPDX-License-Identifier: MIT */
/* What is at a path already, when a socket is to be there. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/run.h"
#include "util/unix_socket.h"

static char dir[] = "/tmp/unix-socket-XXXXXX";
static char path[64];

static void remove_path(void)
{
    unlink(path);
    rmdir(dir);
}

static void make_path(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    atexit(remove_path);
}

START_TEST(nothing_is_there)
{
    int fd = -1, other = -1;

    ck_assert_int_eq(unix_connect(path, SOCK_STREAM, 20, &other), -ETIMEDOUT);
    ck_assert_int_eq(unix_listen(path, SOCK_STREAM, 1, &fd), 0);
    ck_assert_int_eq(unix_connect(path, SOCK_STREAM, 0, &other), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ck_assert_int_eq(fcntl(other, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(other);
    close(fd);
}
END_TEST

START_TEST(nobody_listens_any_more)
{
    int fd = -1, type = _i ? SOCK_SEQPACKET : SOCK_STREAM;

    ck_assert_int_eq(unix_listen(path, SOCK_STREAM, 1, &fd), 0);
    close(fd);
    ck_assert_int_eq(unix_listen(path, type, 1, &fd), 0);
    close(fd);
}
END_TEST

/* Of the same type or not, and with a full backlog. */
START_TEST(somebody_listens)
{
    int fd = -1, second = -1, full[4];

    ck_assert_int_eq(unix_listen(path, SOCK_STREAM, 1, &fd), 0);
    ck_assert_int_eq(unix_listen(path, SOCK_STREAM, 1, &second), -EADDRINUSE);
    ck_assert_int_eq(unix_listen(path, SOCK_SEQPACKET, 1, &second), -EADDRINUSE);
    for (unsigned i = 0; i < 4; i++)
        (void)unix_connect(path, SOCK_STREAM | SOCK_NONBLOCK, 0, &full[i]);
    ck_assert_int_eq(unix_listen(path, SOCK_STREAM, 1, &second), -EADDRINUSE);
    ck_assert_int_eq(access(path, F_OK), 0);
    close(fd);
}
END_TEST

/* A user's mistake costs no file. */
START_TEST(a_file_is_there)
{
    struct stat st;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    ck_assert_int_eq(write(fd, "kept", 4), 4);
    close(fd);
    ck_assert_int_eq(unix_listen(path, SOCK_STREAM, 1, &fd), -EADDRINUSE);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 4);
}
END_TEST

START_TEST(names_are_short)
{
    char name[UNIX_PATH_BYTES + 1];
    int fd = -1;

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    ck_assert_int_eq(unix_listen(name, SOCK_STREAM, 1, &fd), -ENAMETOOLONG);
    ck_assert_int_eq(unix_connect(name, SOCK_STREAM, 0, &fd), -ENAMETOOLONG);
    ck_assert_int_eq(unix_listen("/nowhere/s", SOCK_STREAM, 1, &fd), -ENOENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unix_socket");
    TCase *tc = tcase_create("paths");

    tcase_add_checked_fixture(tc, make_path, NULL);
    tcase_add_test(tc, nothing_is_there);
    tcase_add_loop_test(tc, nobody_listens_any_more, 0, 2);
    tcase_add_test(tc, somebody_listens);
    tcase_add_test(tc, a_file_is_there);
    tcase_add_test(tc, names_are_short);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
