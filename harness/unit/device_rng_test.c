/* SPDX-License-Identifier: MIT */
/* The entropy device: its sources, its rate, and drivers that go while a request waits. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device/rng.h"
#include "unit/device_rig.h"

static struct rig g;
static char dir[] = "/tmp/device-rng-XXXXXX";
static char path[64];
static char error[256];
/* A kernel without entropy: it gathers some while somebody waits, and has it when that is posted.
 */
static atomic_bool unseeded;
static atomic_uint waiters;
static sem_t gathered;

ssize_t getrandom(void *buf, size_t bytes, unsigned flags)
{
    if (atomic_load(&unseeded) && flags & GRND_NONBLOCK) {
        errno = EAGAIN;
        return -1;
    }
    if (atomic_load(&unseeded)) {
        atomic_fetch_add(&waiters, 1);
        while (sem_wait(&gathered))
            ;
        atomic_store(&unseeded, false);
    }
    return syscall(SYS_getrandom, buf, bytes, flags);
}

static void make_unseeded(void)
{
    ck_assert_int_eq(sem_init(&gathered, 0, 0), 0);
    atomic_store(&unseeded, true);
}

static void make(const struct rng_options *o)
{
    struct vdev_config config = rig_setup(&g);
    struct vdev *d = NULL;

    ck_assert_int_eq(rng_create(&config, o, &d, error, sizeof(error)), 0);
    rig_attach(&g, d);
}

static void remove_path(void)
{
    unlink(path);
    rmdir(dir);
}

/* A name for a source. */
static void make_path(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/source", dir);
    atexit(remove_path);
}

static uint32_t used_len(unsigned slot)
{
    return virtq_raw_used_get(&g.rings[0], slot).len;
}

static void ask(uint32_t offset, uint32_t bytes)
{
    const struct rig_seg seg = {RIG_BASE + RIG_DATA + offset, bytes, true};

    rig_add(&g, 0, &seg, 1);
    vdev_queue_notify(g.dev, 0);
}

START_TEST(kernel_fills_what_it_says)
{
    make(&(struct rng_options){0});
    rig_start(&g, RIG_MIN);
    ask(0, 4096);
    ask(8192, 3 * RNG_REQUEST_BYTES_MAX);
    rig_wait_used(&g, 0, 2);
    ck_assert_uint_ge(used_len(0), 1);
    ck_assert_uint_le(used_len(0), 4096);
    ck_assert_uint_le(used_len(1), RNG_REQUEST_BYTES_MAX);
    ck_assert_uint_gt(g.interrupts[0], 0);
    rig_teardown(&g);
}
END_TEST

START_TEST(file_begins_anew)
{
    FILE *f;

    make_path();
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs("abcde", f);
    fclose(f);
    make(&(struct rng_options){.path = path});
    rig_start(&g, RIG_MIN);
    for (unsigned i = 0; i < 3; i++) {
        ask(i * 16, 16);
        rig_wait_used(&g, 0, (uint16_t)(i + 1));
        ck_assert_uint_eq(used_len(i), 5);
        ck_assert_int_eq(memcmp(g.mem + RIG_DATA + i * 16, "abcde", 5), 0);
    }
    rig_teardown(&g);
}
END_TEST

START_TEST(source_without_bytes_holds_the_request)
{
    int fd;

    make_path();
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    make(&(struct rng_options){.path = path});
    rig_start(&g, RIG_MIN);
    ask(0, 16);
    ask(16, 16);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(evloop_once(g.loop, 1000000), 0);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 0);
    fd = open(path, O_WRONLY | O_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "xyz", 3), 3);
    rig_wait_used(&g, 0, 1);
    ck_assert_uint_eq(used_len(0), 3);
    /* The other one still waits, and a reset takes it away. */
    vdev_set_status(g.dev, 0);
    ck_assert_uint_eq(g.gmem->leases_out, 0);
    rig_start(&g, RIG_MIN);
    ask(0, 16);
    ck_assert_int_eq(write(fd, "uvw", 3), 3);
    rig_wait_used(&g, 0, 1);
    close(fd);
    rig_teardown(&g);
}
END_TEST

START_TEST(rate_is_kept)
{
    struct rng_stats s;
    uint64_t start;

    make(&(struct rng_options){.rate_bytes_per_s = 1000});
    rig_start(&g, RIG_MIN);
    start = evloop_now_ns();
    for (unsigned i = 0; i < 3; i++)
        ask(i * 4096, 4096);
    rig_wait_used(&g, 0, 3);
    /* Three portions of 100 bytes, the first at once. */
    ck_assert_uint_ge(evloop_now_ns() - start, 190000000);
    rng_get_stats(g.dev, &s);
    ck_assert_uint_eq(s.bytes, 300);
    ck_assert_uint_ge(s.waits, 1);
    rig_teardown(&g);
}
END_TEST

START_TEST(request_without_room_is_a_fault)
{
    const struct rig_seg seg = {RIG_BASE + RIG_DATA, 16, false};

    make(&(struct rng_options){0});
    rig_start(&g, RIG_MIN);
    rig_add(&g, 0, &seg, 1);
    vdev_queue_notify(g.dev, 0);
    rig_wait_fault(&g, "rng-no-room");
    rig_teardown(&g);
}
END_TEST

START_TEST(kernel_without_entropy_is_waited_for)
{
    make_unseeded();
    make(&(struct rng_options){0});
    rig_start(&g, RIG_MIN);
    ask(0, 16);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(evloop_once(g.loop, 1000000), 0);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 0);
    sem_post(&gathered);
    rig_wait_used(&g, 0, 1);
    ck_assert_uint_ge(used_len(0), 1);
    ck_assert_uint_eq(atomic_load(&waiters), 1);
    /* That was all: a driver that comes now is served at once. */
    vdev_set_status(g.dev, 0);
    rig_start(&g, RIG_MIN);
    ask(0, 16);
    rig_wait_used(&g, 0, 1);
    rig_teardown(&g);
}
END_TEST

START_TEST(device_goes_while_entropy_is_waited_for)
{
    make_unseeded();
    make(&(struct rng_options){0});
    rig_start(&g, RIG_MIN);
    ask(0, 16);
    vdev_set_status(g.dev, 0);
    rig_teardown(&g);
    sem_post(&gathered);
    while (atomic_load(&unseeded))
        sched_yield();
}
END_TEST

START_TEST(sources_that_are_none)
{
    struct vdev_config config = rig_setup(&g);
    struct rng_options o = {.path = "/nonexistent/source"};
    struct vdev *d = NULL;
    FILE *f;

    ck_assert_int_eq(rng_create(&config, &o, &d, error, sizeof(error)), -ENOENT);
    ck_assert_ptr_nonnull(strstr(error, "/nonexistent/source"));
    o.path = "/";
    ck_assert_int_eq(rng_create(&config, &o, &d, error, sizeof(error)), -EINVAL);
    make_path();
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    o.path = path;
    ck_assert_int_eq(rng_create(&config, &o, &d, error, sizeof(error)), -EINVAL);
    gmem_destroy(g.gmem);
    evloop_destroy(g.loop);
    free(g.mem);
    free(g.ro);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device_rng");
    TCase *t = tcase_create("rng");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, kernel_fills_what_it_says);
    tcase_add_test(t, file_begins_anew);
    tcase_add_test(t, source_without_bytes_holds_the_request);
    tcase_add_test(t, rate_is_kept);
    tcase_add_test(t, request_without_room_is_a_fault);
    tcase_add_test(t, kernel_without_entropy_is_waited_for);
    tcase_add_test(t, device_goes_while_entropy_is_waited_for);
    tcase_add_test(t, sources_that_are_none);
    suite_add_tcase(s, t);
    return rig_main(s);
}
