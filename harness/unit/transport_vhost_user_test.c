/* SPDX-License-Identifier: MIT */
/* A vhost-user back-end: a session as it should be, and front-ends that say anything. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "device/rng.h"
#include "device/vhost_message.h"
#include "transport/vhost_user.h"
#include "unit/device_rig.h"
#include "util/bits.h"

#define WAIT_NS 5000000000ull
#define DOMID   7

static struct rig g;
static struct vhost_back_end *back;
static struct gmem *shared; /* NULL: memory as on Xen */
static bool gone;
static char dir[] = "/tmp/vhost-user-XXXXXX";
static char path[64];
static int listener = -1;

/* What the front-end, a thread, does when the session is its own. */
static struct front {
    int fd;
    void (*script)(int fd);
    pthread_t thread;
} front;

static void front_end_gone(void *ctx)
{
    gone = true;
}

static uint64_t ask(int fd, struct vhost_message *m)
{
    uint32_t request = m->h.request;

    ck_assert_int_eq(vhost_message_send(fd, m), 0);
    ck_assert_int_eq(vhost_message_recv(fd, m, WAIT_NS), 0);
    ck_assert_uint_eq(m->h.request, request);
    ck_assert_uint_eq(m->h.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
    return m->p.u64;
}

static uint64_t ask_number(int fd, uint32_t request)
{
    struct vhost_message m = {.h = {.request = request}};

    return ask(fd, &m);
}

static uint64_t tell(int fd, uint32_t request, uint32_t size, uint64_t value, int descriptor)
{
    struct vhost_message m = {
        .h = {.request = request, .flags = VHOST_USER_NEED_REPLY, .size = size},
        .p.u64 = value,
        .fds = {descriptor},
        .fd_count = descriptor >= 0};

    return ask(fd, &m);
}

static uint64_t tell_memory(int fd, uint32_t domid, unsigned fds)
{
    struct vhost_message m = {.h = {.request = VHOST_USER_SET_MEM_TABLE,
                                    .flags = VHOST_USER_NEED_REPLY,
                                    .size = VHOST_USER_MEMORY_HEAD + 40},
                              .p.memory = {.count = 1,
                                           .regions = {{.guest_addr = RIG_BASE,
                                                        .size = RIG_BYTES,
                                                        .user_addr = RIG_BASE,
                                                        .xen_flags = VHOST_USER_XEN_FOREIGN,
                                                        .xen_domid = domid}}},
                              .fds = {fd},
                              .fd_count = fds};

    return ask(fd, &m);
}

static void begin(int fd)
{
    ck_assert(ask_number(fd, VHOST_USER_GET_FEATURES) & VIRTIO_F(VHOST_USER_F_PROTOCOL_FEATURES));
    uint64_t protocol = ask_number(fd, VHOST_USER_GET_PROTOCOL_FEATURES);
    ck_assert_int_eq(!(protocol & BIT64(VHOST_USER_PROTOCOL_F_XEN_MMAP)), shared != NULL);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_PROTOCOL_FEATURES, 8, protocol, -1), 0);
    ck_assert_uint_eq(ask_number(fd, VHOST_USER_GET_QUEUE_NUM), 1);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_OWNER, 0, 0, -1), 0);
}

static void *front_run(void *arg)
{
    front.fd = accept(listener, NULL, NULL);
    ck_assert_int_ge(front.fd, 0);
    begin(front.fd);
    front.script(front.fd);
    close(front.fd);
    return NULL;
}

static void remove_path(void)
{
    unlink(path);
    rmdir(dir);
}

/* Runs until the connection has ended, by either side. */
static void session(void (*script)(int fd))
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct vdev_config config = rig_setup(&g);
    uint64_t deadline = evloop_now_ns() + 2 * WAIT_NS;
    char error[128];

    if (shared)
        config.gmem = shared;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    atexit(remove_path);
    strcpy(at.sun_path, path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(rng_create(&config, &(struct rng_options){0}, &g.dev, error, sizeof(error)),
                     0);
    const struct vhost_back_end_config c = {.loop = g.loop,
                                            .path = path,
                                            .wait_ms = 5000,
                                            .vdev = g.dev,
                                            .domid = DOMID,
                                            .shared = shared,
                                            .gone = front_end_gone};
    front.script = script;
    ck_assert_int_eq(pthread_create(&front.thread, NULL, front_run, NULL), 0);
    ck_assert_int_eq(vhost_back_end_create(&c, &back), 0);
    while (!gone && evloop_now_ns() < deadline)
        ck_assert_int_ge(evloop_once(g.loop, 10000000), 0);
    ck_assert(gone);
    vhost_back_end_destroy(back);
    pthread_join(front.thread, NULL);
    rig_teardown(&g);
    close(listener);
}

/* Everything but ENABLE. */
static void prepare(int fd, int kick, int call)
{
    const uint64_t features = VIRTIO_F(VIRTIO_F_VERSION_1);
    struct vhost_message addr = {
        .h = {.request = VHOST_USER_SET_VRING_ADDR, .flags = VHOST_USER_NEED_REPLY, .size = 40},
        .p.addr = {.desc = RIG_BASE, .avail = RIG_BASE + 0x4000, .used = RIG_BASE + 0x8000}};

    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_FEATURES, 8, features, -1), 0);
    ck_assert_uint_eq(tell_memory(fd, DOMID, 1), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_NUM, 8, 8ull << 32, -1), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_BASE, 8, 0, -1), 0);
    ck_assert_uint_eq(ask(fd, &addr), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_KICK, 8, 0, kick), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_CALL, 8, 0, call), 0);
}

static void use_a_queue(int fd)
{
    struct virtq_raw raw = {
        .format = VIRTQ_SPLIT, .size = 8, .areas = {g.mem, g.mem + 0x4000, g.mem + 0x8000}};
    struct vhost_message base = {.h = {.request = VHOST_USER_GET_VRING_BASE, .size = 8}};
    int kick = eventfd(0, EFD_CLOEXEC), call = eventfd(0, EFD_CLOEXEC);
    const uint64_t one = 1;
    uint64_t count = 0;

    prepare(fd, kick, call);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 1ull << 32, -1), 0);
    g.rings[0] = raw;
    const struct rig_seg seg = {RIG_BASE + RIG_DATA, 64, true};
    rig_add(&g, 0, &seg, 1);
    ck_assert_int_eq(write(kick, &one, sizeof(one)), sizeof(one));
    ck_assert_int_eq(poll(&(struct pollfd){.fd = call, .events = POLLIN}, 1, 5000), 1);
    ck_assert_int_eq(read(call, &count, sizeof(count)), sizeof(count));
    ck_assert_uint_eq(virtq_raw_used_get(&g.rings[0], 0).len, 64);
    (void)ask(fd, &base);
    ck_assert_uint_eq(base.p.state.num, 1);
    ck_assert_uint_eq(tell(fd, VHOST_USER_RESET_DEVICE, 0, 0, -1), 0);
    close(kick);
    close(call);
}

/* Where interrupts go is a pipe that is full, and where doorbells come from says two bytes. */
static void have_odd_events(int fd)
{
    struct vhost_message base = {.h = {.request = VHOST_USER_GET_VRING_BASE, .size = 8}};
    int call[2], kick[2];

    ck_assert_int_eq(pipe(call), 0);
    ck_assert_int_eq(pipe(kick), 0);
    ck_assert_int_eq(fcntl(call[1], F_SETFL, O_NONBLOCK), 0);
    while (write(call[1], "12345678", 8) == 8)
        ;
    ck_assert_int_eq(fcntl(call[1], F_SETFL, 0), 0);
    prepare(fd, kick[0], call[1]);
    g.rings[0] = (struct virtq_raw){
        .format = VIRTQ_SPLIT, .size = 8, .areas = {g.mem, g.mem + 0x4000, g.mem + 0x8000}};
    const struct rig_seg seg = {RIG_BASE + RIG_DATA, 64, true};
    rig_add(&g, 0, &seg, 1);
    /* The queue is looked into when it begins; the interrupt for it finds no room. */
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 1ull << 32, -1), 0);
    ck_assert_int_eq(write(kick[1], "ab", 2), 2);
    (void)ask(fd, &base);
    for (unsigned i = 0; i < 2; i++) {
        close(call[i]);
        close(kick[i]);
    }
}

START_TEST(odd_events)
{
    session(have_odd_events);
}
END_TEST

START_TEST(a_session)
{
    session(use_a_queue);
}
END_TEST

/* It says no, and goes on. */
static void be_refused(int fd)
{
    int event = eventfd(0, EFD_CLOEXEC);

    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_FEATURES, 8, UINT64_MAX, -1), 1);
    ck_assert_uint_eq(tell_memory(fd, DOMID + 1, 1), 1);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 1ull << 32, -1), 1);
    prepare(fd, event, event);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_NUM, 8, 5ull << 32, -1), 1);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 0, -1), 1);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_BASE, 8, 3ull << 32, -1), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 1ull << 32, -1), 1);
    ck_assert_uint_eq(tell(fd, 99, 0, 0, -1), 1);
    close(event);
}

START_TEST(refusals)
{
    session(be_refused);
}
END_TEST

/* ---- without Xen: the front-end's memory ---- */

#define SHARED_GUEST  0x10000u
#define SHARED_USER   0x7f0000000000ull
#define SHARED_OFFSET 4096u
#define SHARED_BYTES  0x10000u

static uint64_t tell_shared(int fd, int memory, uint64_t offset, uint64_t bytes)
{
    struct vhost_message m = {.h = {.request = VHOST_USER_SET_MEM_TABLE,
                                    .flags = VHOST_USER_NEED_REPLY,
                                    .size = VHOST_USER_MEMORY_HEAD + 32},
                              .p.plain_memory = {.count = 1,
                                                 .regions = {{.guest_addr = SHARED_GUEST,
                                                              .size = bytes,
                                                              .user_addr = SHARED_USER,
                                                              .mmap_offset = offset}}},
                              .fds = {memory},
                              .fd_count = 1};

    return ask(fd, &m);
}

static uint64_t tell_areas(int fd, uint64_t desc, uint64_t avail, uint64_t used)
{
    struct vhost_message m = {
        .h = {.request = VHOST_USER_SET_VRING_ADDR, .flags = VHOST_USER_NEED_REPLY, .size = 40},
        .p.addr = {.desc = desc, .avail = avail, .used = used}};

    return ask(fd, &m);
}

/* What cannot be mapped, then a ring in what can: its areas by the front-end's own addresses, its
 * descriptors by the guest's. */
static void share_memory(int fd)
{
    int memory = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int kick = eventfd(0, EFD_CLOEXEC), call = eventfd(0, EFD_CLOEXEC);
    struct vhost_message base = {.h = {.request = VHOST_USER_GET_VRING_BASE, .size = 8}};
    uint64_t count;
    char *at;

    ck_assert_int_eq(ftruncate(memory, SHARED_OFFSET + SHARED_BYTES), 0);
    ck_assert_uint_eq(tell_shared(fd, memory, SHARED_OFFSET, SHARED_BYTES), 1); /* not sealed */
    ck_assert_int_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    at = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, SHARED_OFFSET);
    ck_assert_ptr_ne(at, MAP_FAILED);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_FEATURES, 8, VIRTIO_F(VIRTIO_F_VERSION_1), -1), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_NUM, 8, 8ull << 32, -1), 0);
    ck_assert_uint_eq(tell_shared(fd, memory, SHARED_OFFSET, SHARED_BYTES + 1), 1);
    ck_assert_uint_eq(tell_shared(fd, kick, 0, 4096), 1);
    ck_assert_uint_eq(tell_shared(fd, memory, SHARED_OFFSET, 0), 1);
    ck_assert_uint_eq(tell_areas(fd, SHARED_USER, SHARED_USER, SHARED_USER), 1);
    ck_assert_uint_eq(tell_shared(fd, memory, SHARED_OFFSET, SHARED_BYTES), 0);
    ck_assert_uint_eq(tell_areas(fd, SHARED_USER, SHARED_USER, SHARED_USER + SHARED_BYTES), 1);
    ck_assert_uint_eq(tell_areas(fd, SHARED_USER - 1, SHARED_USER, SHARED_USER), 1);
    ck_assert_uint_eq(tell_areas(fd, SHARED_USER, SHARED_USER + 0x1000, SHARED_USER + 0x2000), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_BASE, 8, 0, -1), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_KICK, 8, 0, kick), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_CALL, 8, 0, call), 0);
    g.rings[0] = (struct virtq_raw){
        .format = VIRTQ_SPLIT, .size = 8, .areas = {at, at + 0x1000, at + 0x2000}};
    const struct rig_seg seg = {SHARED_GUEST + 0x4000, 64, true};
    rig_add(&g, 0, &seg, 1);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 1ull << 32, -1), 0);
    ck_assert_int_eq(poll(&(struct pollfd){.fd = call, .events = POLLIN}, 1, 5000), 1);
    ck_assert_int_eq(read(call, &count, sizeof(count)), sizeof(count));
    ck_assert_uint_eq(virtq_raw_used_get(&g.rings[0], 0).len, 64);
    for (unsigned i = 0, any = 0; i < 64; i++) {
        any |= (unsigned char)at[0x4000 + i];
        ck_assert(any || i < 63); /* random bytes */
    }
    (void)ask(fd, &base);
    ck_assert_uint_eq(tell(fd, VHOST_USER_RESET_DEVICE, 0, 0, -1), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 1ull << 32, -1), 1);
    munmap(at, SHARED_BYTES);
    close(memory);
    close(kick);
    close(call);
}

START_TEST(memory_of_the_front_end)
{
    ck_assert_int_eq(gmem_regions_create(&shared), 0);
    session(share_memory);
    ck_assert_uint_eq(shared->leases_out, 0);
    gmem_destroy(shared);
    shared = NULL;
}
END_TEST

/* While a queue runs its memory stays. */
static void share_it_again(int fd)
{
    int memory = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING),
        event = eventfd(0, EFD_CLOEXEC);
    struct vhost_message m = {
        .h = {.request = VHOST_USER_SET_MEM_TABLE, .size = VHOST_USER_MEMORY_HEAD}};

    ck_assert_int_eq(ftruncate(memory, SHARED_BYTES), 0);
    ck_assert_int_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_FEATURES, 8, VIRTIO_F(VIRTIO_F_VERSION_1), -1), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_NUM, 8, 8ull << 32, -1), 0);
    ck_assert_uint_eq(tell_shared(fd, memory, 0, SHARED_BYTES), 0);
    ck_assert_uint_eq(tell_areas(fd, SHARED_USER, SHARED_USER + 0x1000, SHARED_USER + 0x2000), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_KICK, 8, 0, event), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_CALL, 8, 0, event), 0);
    ck_assert_uint_eq(tell(fd, VHOST_USER_SET_VRING_ENABLE, 8, 1ull << 32, -1), 0);
    ck_assert_int_eq(vhost_message_send(fd, &m), 0);
    ck_assert_int_eq(vhost_message_recv(fd, &m, WAIT_NS), -EPIPE);
    close(memory);
    close(event);
}

START_TEST(memory_in_use_stays)
{
    ck_assert_int_eq(gmem_regions_create(&shared), 0);
    session(share_it_again);
    gmem_destroy(shared);
    shared = NULL;
}
END_TEST

/* Each ends the connection. */
static const struct {
    uint32_t request, flags, size;
    unsigned fds;
    uint64_t value;
} malformed[] = {
    {VHOST_USER_GET_FEATURES, VHOST_USER_REPLY, 0, 0, 0},
    {VHOST_USER_GET_FEATURES, 0, 8, 0, 0},
    {VHOST_USER_SET_FEATURES, 0, 4, 0, 0},
    {VHOST_USER_SET_PROTOCOL_FEATURES, 0, 8, 0, UINT64_MAX},
    {VHOST_USER_SET_VRING_NUM, 0, 8, 0, 64},             /* no such queue */
    {VHOST_USER_SET_VRING_NUM, 0, 8, 0, 65536ull << 32}, /* no size at all */
    {VHOST_USER_SET_VRING_BASE, 0, 8, 0, UINT32_MAX},
    {VHOST_USER_GET_VRING_BASE, 0, 8, 0, 1},
    {VHOST_USER_SET_VRING_ADDR, 0, 40, 0, 9},
    {VHOST_USER_SET_VRING_KICK, 0, 8, 0, 0}, /* without a descriptor */
    {VHOST_USER_SET_VRING_KICK, 0, 8, 0, VHOST_USER_VRING_NO_FD},
    {VHOST_USER_SET_VRING_KICK, 0, 8, 2, 0},
    {VHOST_USER_SET_VRING_CALL, 0, 8, 1, 200},
    {VHOST_USER_SET_VRING_ERR, 0, 8, 1, 1ull << 40},
    {VHOST_USER_SET_MEM_TABLE, 0, 8, 3, 3}, /* regions that are not there */
    {VHOST_USER_SET_MEM_TABLE, 0, 8, 0, UINT32_MAX},
    {VHOST_USER_SET_MEM_TABLE, 0, 48, 0, 1},       /* a region without a descriptor */
    {VHOST_USER_GET_CONFIG, 0, 12, 0, 1ull << 32}, /* more than is there */
    {VHOST_USER_SET_CONFIG, 0, 4, 0, 0},
};

static unsigned row;

static void say_it_wrongly(int fd)
{
    struct vhost_message m = {.h = {.request = malformed[row].request,
                                    .flags = malformed[row].flags,
                                    .size = malformed[row].size},
                              .p.u64 = malformed[row].value,
                              .fds = {fd, fd},
                              .fd_count = malformed[row].fds};

    ck_assert_int_eq(vhost_message_send(fd, &m), 0);
    /* Nothing comes but the end. */
    ck_assert_int_eq(vhost_message_recv(fd, &m, WAIT_NS), -EPIPE);
}

START_TEST(malformed_ends_it)
{
    row = (unsigned)_i;
    session(say_it_wrongly);
}
END_TEST

/* Not even a message: a header that promises too much, and one that is not finished. */
static void say_bytes(int fd)
{
    const struct vhost_user_header h = {VHOST_USER_SET_CONFIG, VHOST_USER_VERSION, 1u << 30};

    ck_assert_int_eq(send(fd, &h, row ? 5 : sizeof(h), MSG_NOSIGNAL), row ? 5 : sizeof(h));
    if (row)
        return; /* and goes */
    struct vhost_message m;
    ck_assert_int_eq(vhost_message_recv(fd, &m, WAIT_NS), -EPIPE);
}

START_TEST(no_message_ends_it)
{
    row = (unsigned)_i;
    session(say_bytes);
}
END_TEST

START_TEST(nobody_listens)
{
    struct vdev_config config = rig_setup(&g);
    char error[128];

    ck_assert_int_eq(rng_create(&config, &(struct rng_options){0}, &g.dev, error, sizeof(error)),
                     0);
    const struct vhost_back_end_config c = {.loop = g.loop,
                                            .path = "/nowhere/at/all",
                                            .wait_ms = 50,
                                            .vdev = g.dev,
                                            .gone = front_end_gone};
    ck_assert_int_eq(vhost_back_end_create(&c, &back), -ETIMEDOUT);
    rig_teardown(&g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost_user");
    TCase *tc = tcase_create("back-end");

    log_set_level(LOG_LEVEL_ERROR);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, a_session);
    tcase_add_test(tc, odd_events);
    tcase_add_test(tc, refusals);
    tcase_add_test(tc, memory_of_the_front_end);
    tcase_add_test(tc, memory_in_use_stays);
    tcase_add_loop_test(tc, malformed_ends_it, 0, ARRAY_LENGTH(malformed));
    tcase_add_loop_test(tc, no_message_ends_it, 0, 2);
    tcase_add_test(tc, nobody_listens);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
