/* SPDX-License-Identifier: MIT */
/* A bridge's end of links to other processes: what it lets in, and what a wrong peer costs. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/link.h"
#include "unit/run.h"
#include "util/bits.h"

#define DOMID 7u
#define FIRST 0xe0008000ull
#define LAST  0xe0008fffull
#define TAKEN 0xe0000000ull

static struct evloop *loop;
static struct link_hub *hub;
static char folder[] = "/tmp/link-XXXXXX", path[64];
static unsigned messages;
static int pins_up;

static int allowed(void *ctx, uint64_t first, uint64_t last)
{
    return first == TAKEN ? -EEXIST : first < TAKEN ? -EINVAL : 0;
}

static int msi(void *ctx, uint64_t addr, uint32_t data)
{
    messages++;
    return 0;
}

static void pin(void *ctx, sbdf_t from, unsigned which, bool level)
{
    pins_up += level ? 1 : -1;
}

static const struct link_hub_ops ops = {.allowed = allowed, .msi = msi, .pin = pin};

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/l", folder);
    ck_assert_int_eq(evloop_create(&loop), 0);
    ck_assert_int_eq(link_hub_create(loop, path, DOMID, &ops, NULL, &hub), 0);
}

static void teardown(void)
{
    link_hub_destroy(hub);
    evloop_destroy(loop);
    ck_assert_int_ne(access(path, F_OK), 0);
    rmdir(folder);
}

/* Let the hub do what there is to do. */
static void turn(void)
{
    for (unsigned i = 0; i < 4; i++)
        (void)evloop_once(loop, 1000000);
}

static int come(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(at.sun_path, path);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    turn();
    return fd;
}

static void say(int fd, struct link_msg m)
{
    ck_assert_int_eq(send(fd, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
    turn();
}

/* The error of an answer that is there. */
static int answer(int fd)
{
    struct link_msg m;

    ck_assert_int_eq(recv(fd, &m, sizeof(m), MSG_DONTWAIT), sizeof(m));
    ck_assert_uint_eq(m.kind, LINK_DONE);
    return m.error;
}

static bool dropped(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static int greeted(void)
{
    int fd = come();

    say(fd, (struct link_msg){.kind = LINK_HELLO, .a = LINK_VERSION, .b = DOMID});
    ck_assert_int_eq(answer(fd), 0);
    return fd;
}

static int claim(int fd, uint64_t first, uint64_t last)
{
    say(fd, (struct link_msg){.kind = LINK_CLAIM, .a = first, .b = last});
    return answer(fd);
}

START_TEST(claims_are_apart)
{
    int one = greeted(), two = greeted();

    ck_assert_int_eq(claim(one, FIRST, LAST), 0);
    ck_assert_int_eq(claim(two, LAST, LAST + 1), -EEXIST);
    ck_assert_int_eq(claim(one, FIRST, LAST), -EEXIST);
    ck_assert_int_eq(claim(two, LAST, FIRST), -EINVAL);
    ck_assert_int_eq(claim(two, 0, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(claim(two, TAKEN, TAKEN + 0xfff), -EEXIST);
    say(one, (struct link_msg){.kind = LINK_UNCLAIM, .a = FIRST, .b = LAST});
    ck_assert_int_eq(claim(two, FIRST, LAST), 0);
    for (unsigned i = 1; i < LINK_RANGES_MAX; i++)
        ck_assert_int_eq(claim(two, LAST + i, LAST + i), 0);
    ck_assert_int_eq(claim(two, LAST + LINK_RANGES_MAX, LAST + LINK_RANGES_MAX), -ENOSPC);
    close(one);
    close(two);
}
END_TEST

/* What it claimed and held up is nobody's then; the next one can have it. */
START_TEST(end_of_a_peer_gives_all_back)
{
    int fd = greeted();
    uint64_t value = 0;

    ck_assert(!link_hub_read(hub, FIRST, 4, &value));
    ck_assert_int_eq(claim(fd, FIRST, LAST), 0);
    say(fd, (struct link_msg){.kind = LINK_PIN, .a = 0x8, .b = 1, .bytes = 1});
    say(fd, (struct link_msg){.kind = LINK_PIN, .a = 0x8, .b = 1, .bytes = 1});
    say(fd, (struct link_msg){.kind = LINK_MSI, .a = 0xfee00000, .b = 0x41});
    ck_assert_int_eq(pins_up, 1);
    ck_assert_uint_eq(messages, 1);
    close(fd);
    ck_assert(link_hub_read(hub, FIRST, 4, &value));
    ck_assert_uint_eq(value, UINT64_MAX);
    ck_assert(!link_hub_write(hub, FIRST, 4, 0));
    ck_assert_int_eq(pins_up, 0);
    fd = greeted();
    ck_assert_int_eq(claim(fd, FIRST, LAST), 0);
    close(fd);
}
END_TEST

/* No answer is not waited for longer than the limit; an access beyond the claim asks nobody. */
START_TEST(silent_peer_is_dropped)
{
    int fd = greeted();
    uint64_t value = 0, start;

    ck_assert_int_eq(claim(fd, FIRST, LAST), 0);
    ck_assert(link_hub_read(hub, LAST - 1, 4, &value));
    ck_assert_uint_eq(value, UINT64_MAX);
    start = evloop_now_ns();
    ck_assert(link_hub_read(hub, FIRST, 4, &value));
    ck_assert_uint_eq(value, UINT64_MAX);
    ck_assert_uint_lt(evloop_now_ns() - start, 5 * LINK_ANSWER_NS);
    ck_assert(!link_hub_read(hub, FIRST, 4, &value));
    close(fd);
}
END_TEST

static const struct link_msg wrong[] = {
    {.kind = LINK_CLAIM, .a = FIRST, .b = LAST}, /* before hello */
    {.kind = 0},
    {.kind = 99},
    {.kind = LINK_READ, .a = FIRST, .bytes = 4},
    {.kind = LINK_DONE},
    {.kind = LINK_MSI, .a = 0xfee00000, .b = 1ull << 32},
    {.kind = LINK_PIN, .a = 8, .b = 5, .bytes = 1},
    {.kind = LINK_PIN, .a = 1ull << 32, .b = 1, .bytes = 1},
    {.kind = LINK_PIN, .a = 8, .b = 1, .bytes = 2},
};

START_TEST(wrong_message_ends_the_link)
{
    int fd = _i ? greeted() : come();

    say(fd, wrong[_i]);
    ck_assert(dropped(fd));
    ck_assert_uint_eq(messages, 0);
    ck_assert_int_eq(pins_up, 0);
    close(fd);
}
END_TEST

START_TEST(wrong_hello_is_refused)
{
    int fd = come();

    say(fd, (struct link_msg){.kind = LINK_HELLO, .a = LINK_VERSION + 1, .b = DOMID});
    ck_assert_int_eq(answer(fd), -EPROTO);
    say(fd, (struct link_msg){.kind = LINK_HELLO, .a = LINK_VERSION, .b = DOMID + 1});
    ck_assert_int_eq(answer(fd), -EINVAL);
    ck_assert_int_eq(send(fd, "short", 5, MSG_NOSIGNAL), 5);
    turn();
    ck_assert(dropped(fd));
    close(fd);
}
END_TEST

START_TEST(peers_have_a_limit)
{
    int fds[LINK_PEERS_MAX + 1];

    for (unsigned i = 0; i <= LINK_PEERS_MAX; i++)
        fds[i] = come();
    ck_assert(!dropped(fds[0]));
    ck_assert(dropped(fds[LINK_PEERS_MAX]));
    for (unsigned i = 0; i <= LINK_PEERS_MAX; i++)
        close(fds[i]);
    turn();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("link");
    TCase *c = tcase_create("hub");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, claims_are_apart);
    tcase_add_test(c, end_of_a_peer_gives_all_back);
    tcase_add_test(c, silent_peer_is_dropped);
    tcase_add_loop_test(c, wrong_message_ends_the_link, 0, ARRAY_LENGTH(wrong));
    tcase_add_test(c, wrong_hello_is_refused);
    tcase_add_test(c, peers_have_a_limit);
    suite_add_tcase(s, c);
    return unit_run(s);
}
