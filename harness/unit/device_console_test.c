/* SPDX-License-Identifier: MIT */
/* The console device: its host ends, what waits for whom, and what it says about its ports. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "device/console.h"
#include "spec/virtio_console.h"
#include "unit/device_rig.h"

#define MULTIPORT (RIG_MIN | VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT))
#define IN        (RIG_BASE + RIG_DATA)
#define OUT       (RIG_BASE + RIG_DATA + 0x100000)

static struct rig g;
static char dir[] = "/tmp/device-console-XXXXXX";
static char sockets[3][64];
static char error[256];

static void remove_dir(void)
{
    for (unsigned i = 0; i < 3; i++)
        unlink(sockets[i]);
    rmdir(dir);
}

static void make_dir(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (unsigned i = 0; i < 3; i++)
        snprintf(sockets[i], sizeof(sockets[i]), "%s/%u", dir, i);
    atexit(remove_dir);
}

static void make(const struct console_options *o)
{
    struct vdev_config config = rig_setup(&g);
    struct vdev *d = NULL;
    int rc = console_create(&config, o, &d, error, sizeof(error));

    ck_assert_msg(rc == 0, "%s", error);
    rig_attach(&g, d);
}

/* Two ports with sockets, and the third socket for management. */
static void make_two(void)
{
    make_dir();
    make(&(struct console_options){
        .ports = {{.kind = CONSOLE_END_UNIX, .path = sockets[0], .console = true},
                  {.kind = CONSOLE_END_UNIX, .path = sockets[1], .name = "second"}},
        .ports_max = 3,
        .multiport = true,
        .cols = 80,
        .rows = 25,
        .manage = sockets[2],
    });
}

static int attach(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    strcpy(at.sun_path, path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void turns(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(evloop_once(g.loop, 1000000), 0);
}

static void give(unsigned queue, uint64_t addr, uint32_t bytes, bool write)
{
    const struct rig_seg seg = {addr, bytes, write};

    rig_add(&g, queue, &seg, 1);
    vdev_queue_notify(g.dev, queue);
}

static unsigned used(unsigned queue)
{
    return virtq_raw_used_idx_get(&g.rings[queue]);
}

static uint32_t used_len(unsigned queue, unsigned slot)
{
    return virtq_raw_used_get(&g.rings[queue], slot).len;
}

static void start(uint64_t features, unsigned queues)
{
    rig_features(&g, features);
    for (unsigned i = 0; i < queues; i++)
        rig_queue(&g, i, RIG_QUEUE_SIZE);
    rig_driver_ok(&g);
}

/* ---- bytes ---- */

START_TEST(bytes_go_both_ways)
{
    char text[16] = "";
    int fd;

    make_two();
    start(RIG_MIN, 2);
    fd = attach(sockets[0]);
    turns(2);
    memcpy(g.mem + RIG_DATA + 0x100000, "to the host", 11);
    give(1, OUT, 11, false);
    rig_wait_used(&g, 1, 1);
    ck_assert_uint_eq(used_len(1, 0), 0);
    ck_assert_int_eq(read(fd, text, sizeof(text)), 11);
    ck_assert_int_eq(memcmp(text, "to the host", 11), 0);

    ck_assert_int_eq(write(fd, "to the guest", 12), 12);
    turns(3);
    ck_assert_uint_eq(used(0), 0);
    give(0, IN, 5, true);
    give(0, IN + 64, 64, true);
    rig_wait_used(&g, 0, 2);
    ck_assert_uint_eq(used_len(0, 0), 5);
    ck_assert_uint_eq(used_len(0, 1), 7);
    ck_assert_int_eq(memcmp(g.mem + RIG_DATA, "to th", 5), 0);
    ck_assert_int_eq(memcmp(g.mem + RIG_DATA + 64, "e guest", 7), 0);
    close(fd);
    rig_teardown(&g);
}
END_TEST

START_TEST(slow_reader_holds_the_sender_up)
{
    enum { BUFFERS = 16, BYTES = 65536 };
    unsigned char *got = malloc(BYTES);
    size_t have = 0;
    int fd;

    make_two();
    start(RIG_MIN, 2);
    fd = attach(sockets[0]);
    turns(2);
    for (unsigned i = 0; i < BYTES; i++)
        g.mem[RIG_DATA + 0x100000 + i] = (unsigned char)(i * 7 + i / 256);
    for (unsigned i = 0; i < BUFFERS; i++)
        give(1, OUT, BYTES, false);
    turns(5);
    ck_assert_uint_lt(used(1), BUFFERS);
    /* A reset in between would take the rest away; here all of it comes. */
    for (unsigned i = 0; i < BUFFERS; i++) {
        uint64_t end = evloop_now_ns() + RIG_WAIT_NS;

        for (have = 0; have < BYTES && evloop_now_ns() < end;) {
            ssize_t n = read(fd, got + have, BYTES - have);

            if (n > 0)
                have += (size_t)n;
            else
                turns(1);
        }
        ck_assert_uint_eq(have, BYTES);
        ck_assert_int_eq(memcmp(got, g.mem + RIG_DATA + 0x100000, BYTES), 0);
    }
    rig_wait_used(&g, 1, BUFFERS);
    free(got);
    close(fd);
    rig_teardown(&g);
}
END_TEST

START_TEST(nobody_there_drops)
{
    struct console_stats s;

    make_two();
    start(RIG_MIN, 2);
    give(1, OUT, 100, false);
    rig_wait_used(&g, 1, 1);
    console_get_stats(g.dev, &s);
    ck_assert_uint_eq(s.dropped_bytes, 100);
    rig_teardown(&g);
}
END_TEST

START_TEST(reset_takes_what_waits)
{
    int fd;

    make_two();
    start(RIG_MIN, 2);
    fd = attach(sockets[0]);
    turns(2);
    for (unsigned i = 0; i < 32; i++)
        give(1, OUT, 65536, false);
    turns(5);
    ck_assert_uint_lt(used(1), 32);
    ck_assert_uint_gt(g.gmem->leases_out, 2);
    vdev_set_status(g.dev, 0);
    ck_assert_uint_eq(g.gmem->leases_out, 0);
    close(fd);
    rig_teardown(&g);
}
END_TEST

START_TEST(terminal_is_open_while_somebody_has_it)
{
    char text[16] = "", link[80];
    struct console_stats s;
    int fd;

    make_dir();
    snprintf(link, sizeof(link), "%s/0", dir);
    make(&(struct console_options){
        .ports = {{.kind = CONSOLE_END_PTY, .path = link, .console = true}}, .ports_max = 1});
    start(RIG_MIN, 2);
    ck_assert_ptr_nonnull(console_port_terminal(g.dev, 0));
    give(1, OUT, 7, false);
    rig_wait_used(&g, 1, 1);
    console_get_stats(g.dev, &s);
    ck_assert_uint_eq(s.dropped_bytes, 7);

    fd = open(link, O_RDWR | O_NOCTTY | O_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    turns(3);
    memcpy(g.mem + RIG_DATA + 0x100000, "a\nb\r", 4);
    give(1, OUT, 4, false);
    rig_wait_used(&g, 1, 2);
    ck_assert_int_eq(read(fd, text, sizeof(text)), 4);
    ck_assert_int_eq(memcmp(text, "a\nb\r", 4), 0); /* raw: nothing is made of line ends */
    ck_assert_int_eq(write(fd, "x\n\x03", 3), 3);
    give(0, IN, 64, true);
    rig_wait_used(&g, 0, 1);
    ck_assert_uint_eq(used_len(0, 0), 3);
    close(fd);
    turns(3);
    give(1, OUT, 9, false);
    rig_wait_used(&g, 1, 3);
    console_get_stats(g.dev, &s);
    ck_assert_uint_eq(s.dropped_bytes, 16);

    fd = open(link, O_RDWR | O_NOCTTY | O_NONBLOCK);
    turns(3);
    give(1, OUT, 4, false);
    rig_wait_used(&g, 1, 4);
    ck_assert_int_eq(read(fd, text, sizeof(text)), 4);
    close(fd);
    rig_teardown(&g);
    ck_assert_int_eq(access(link, F_OK), -1);
}
END_TEST

START_TEST(full_terminal_holds_the_sender_up)
{
    size_t have = 0;
    char text[4096], link[80];
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;
    int fd;

    make_dir();
    snprintf(link, sizeof(link), "%s/0", dir);
    make(&(struct console_options){.ports = {{.kind = CONSOLE_END_PTY, .path = link}},
                                   .ports_max = 1});
    start(RIG_MIN, 2);
    fd = open(link, O_RDWR | O_NOCTTY | O_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    turns(3);
    for (unsigned i = 0; i < 8; i++)
        give(1, OUT, 65536, false);
    turns(5);
    ck_assert_uint_lt(used(1), 8);
    while (have < 8 * 65536 && evloop_now_ns() < end) {
        ssize_t n = read(fd, text, sizeof(text));

        if (n > 0)
            have += (size_t)n;
        else
            turns(1);
    }
    ck_assert_uint_eq(have, 8 * 65536);
    rig_wait_used(&g, 1, 8);
    close(fd);
    rig_teardown(&g);
}
END_TEST

START_TEST(file_is_appended_to)
{
    char text[16] = "";
    FILE *f;

    make_dir();
    for (unsigned i = 0; i < 2; i++) {
        make(&(struct console_options){.ports = {{.kind = CONSOLE_END_FILE, .path = sockets[0]}},
                                       .ports_max = 1});
        start(RIG_MIN, 2);
        memcpy(g.mem + RIG_DATA + 0x100000, i ? "two" : "one", 3);
        give(1, OUT, 3, false);
        rig_wait_used(&g, 1, 1);
        rig_teardown(&g);
    }
    f = fopen(sockets[0], "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fread(text, 1, sizeof(text), f), 6);
    ck_assert_str_eq(text, "onetwo");
    fclose(f);
}
END_TEST

/* ---- control messages ---- */

static unsigned heard; /* messages that were looked at */

static void give_control(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        give(VIRTIO_CONSOLE_CONTROL_RX, IN + 0x1000 + i * 64ull, 64, true);
}

static void say(uint32_t port, uint16_t event, uint16_t value)
{
    const struct virtio_console_control m = {le32_make(port), le16_make(event), le16_make(value)};
    uint16_t before = (uint16_t)used(VIRTIO_CONSOLE_CONTROL_TX);

    memcpy(g.mem + RIG_DATA + 0x100000, &m, sizeof(m));
    give(VIRTIO_CONSOLE_CONTROL_TX, OUT, sizeof(m), false);
    rig_wait_used(&g, VIRTIO_CONSOLE_CONTROL_TX, (uint16_t)(before + 1));
}

/* The next message is this one; its bytes behind the head are returned. */
static const char *hear(uint32_t port, uint16_t event, uint16_t value, uint32_t bytes)
{
    const struct virtq_raw *r = &g.rings[VIRTIO_CONSOLE_CONTROL_RX];
    struct virtio_console_control m;
    struct virtq_raw_used u;
    const unsigned char *at;
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;

    while (virtq_raw_used_idx_get(r) == heard && evloop_now_ns() < end)
        turns(1);
    ck_assert_uint_gt(virtq_raw_used_idx_get(r), heard);
    u = virtq_raw_used_get(r, heard % r->size);
    at = g.mem + (virtq_raw_desc_get(r, u.id).addr - RIG_BASE);
    heard++;
    memcpy(&m, at, sizeof(m));
    ck_assert_uint_eq(le16_get(m.event), event);
    ck_assert_uint_eq(le32_get(m.id), port);
    ck_assert_uint_eq(le16_get(m.value), value);
    ck_assert_uint_eq(u.len, sizeof(m) + bytes);
    return (const char *)at + sizeof(m);
}

static void hear_nothing(void)
{
    turns(3);
    ck_assert_uint_eq(used(VIRTIO_CONSOLE_CONTROL_RX), heard);
}

START_TEST(ports_are_told_in_order)
{
    struct virtio_console_resize size;
    int fd;

    make_two();
    start(MULTIPORT, 6);
    give_control(32);
    hear_nothing();
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    hear(0, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    hear(1, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    hear_nothing();
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    hear_nothing();
    fd = attach(sockets[1]);
    hear_nothing();
    say(0, VIRTIO_CONSOLE_PORT_READY, 1);
    hear(0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, 0);
    memcpy(&size, hear(0, VIRTIO_CONSOLE_RESIZE, 0, sizeof(size)), sizeof(size));
    ck_assert_uint_eq(le16_get(size.cols), 80);
    ck_assert_uint_eq(le16_get(size.rows), 25);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    ck_assert_int_eq(memcmp(hear(1, VIRTIO_CONSOLE_PORT_NAME, 1, 6), "second", 6), 0);
    hear(1, VIRTIO_CONSOLE_PORT_OPEN, 1, 0);
    close(fd);
    hear(1, VIRTIO_CONSOLE_PORT_OPEN, 0, 0);
    console_resize(g.dev, 100, 50);
    hear(0, VIRTIO_CONSOLE_RESIZE, 0, sizeof(size));
    ck_assert_uint_gt(g.config_interrupts, 0);
    hear_nothing();
    rig_teardown(&g);
}
END_TEST

/* States between two looks are not told one by one, but a port that went goes first. */
START_TEST(late_buffers_get_what_is_true)
{
    int fd;

    make_two();
    start(MULTIPORT, 6);
    give_control(2);
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    hear(0, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    hear(1, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(console_port_remove(g.dev, 1), 0);
        ck_assert_int_eq(console_port_remove(g.dev, 1), -EALREADY);
        ck_assert_int_eq(console_port_add(g.dev, 1), 0);
    }
    ck_assert_int_eq(console_port_remove(g.dev, 2), -ENOENT);
    ck_assert_int_eq(console_port_add(g.dev, 7), -ENOENT);
    fd = attach(sockets[1]);
    turns(2);
    give_control(8);
    hear(1, VIRTIO_CONSOLE_DEVICE_REMOVE, 0, 0);
    hear(1, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    hear_nothing();
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    hear(1, VIRTIO_CONSOLE_PORT_NAME, 1, 6);
    hear(1, VIRTIO_CONSOLE_PORT_OPEN, 1, 0);
    close(fd);
    rig_teardown(&g);
}
END_TEST

/* Who wrote and left is gone when the driver has read it all, and not before. */
START_TEST(last_words_come_before_the_end)
{
    const unsigned rx = VIRTIO_CONSOLE_PORT_RX(1);
    int fd;

    make_two();
    start(MULTIPORT, 6);
    give_control(16);
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    hear(0, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    hear(1, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    hear(1, VIRTIO_CONSOLE_PORT_NAME, 1, 6);
    fd = attach(sockets[1]);
    hear(1, VIRTIO_CONSOLE_PORT_OPEN, 1, 0);
    ck_assert_int_eq(write(fd, "bye", 3), 3);
    close(fd);
    give(rx, IN, 16, true);
    give(rx, IN + 16, 16, true);
    hear_nothing();
    say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    hear(1, VIRTIO_CONSOLE_PORT_OPEN, 0, 0);
    ck_assert_uint_eq(used(rx), 1);
    ck_assert_uint_eq(used_len(rx, 0), 3);
    rig_teardown(&g);
}
END_TEST

START_TEST(small_control_buffers_go_back_empty)
{
    make_two();
    start(MULTIPORT, 6);
    give(VIRTIO_CONSOLE_CONTROL_RX, IN, 7, true);
    give(VIRTIO_CONSOLE_CONTROL_RX, IN, 16, false);
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    turns(2);
    ck_assert_uint_eq(used(VIRTIO_CONSOLE_CONTROL_RX), 2);
    ck_assert_uint_eq(used_len(VIRTIO_CONSOLE_CONTROL_RX, 0), 0);
    ck_assert_uint_eq(used_len(VIRTIO_CONSOLE_CONTROL_RX, 1), 0);
    heard = 2;
    give_control(2);
    hear(0, VIRTIO_CONSOLE_DEVICE_ADD, 0, 0);
    rig_teardown(&g);
}
END_TEST

START_TEST(driver_says_what_it_may_not)
{
    struct console_stats s;

    make_two();
    start(MULTIPORT, 6);
    give_control(16);
    say(0, VIRTIO_CONSOLE_PORT_READY, 1); /* before it was added */
    say(0xffffffff, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(2, VIRTIO_CONSOLE_PORT_OPEN, 1); /* not there */
    say(0, VIRTIO_CONSOLE_DEVICE_ADD, 1);
    say(0, 99, 1);
    give(VIRTIO_CONSOLE_CONTROL_TX, OUT, 7, false);
    give(VIRTIO_CONSOLE_CONTROL_TX, OUT, 8, true);
    rig_wait_used(&g, VIRTIO_CONSOLE_CONTROL_TX, 7);
    console_get_stats(g.dev, &s);
    ck_assert_uint_eq(s.control_refused, 7);
    ck_assert_uint_eq(s.control_sent, 0);
    ck_assert_uint_eq(vdev_status(g.dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET, 0);
    rig_teardown(&g);
}
END_TEST

START_TEST(removed_port_gives_everything_back)
{
    int fd;

    make_two();
    start(MULTIPORT, 6);
    give_control(16);
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    fd = attach(sockets[1]);
    turns(2);
    for (unsigned i = 0; i < 32; i++)
        give(VIRTIO_CONSOLE_PORT_TX(1), OUT, 65536, false);
    turns(5);
    ck_assert_uint_lt(used(VIRTIO_CONSOLE_PORT_TX(1)), 32);
    ck_assert_int_eq(console_port_remove(g.dev, 1), 0);
    rig_wait_used(&g, VIRTIO_CONSOLE_PORT_TX(1), 32);
    close(fd);
    rig_teardown(&g);
}
END_TEST

/* ---- configuration and management ---- */

START_TEST(emergency_writes_need_no_driver)
{
    const uint32_t wr = offsetof(struct virtio_console_config, emerg_wr);
    unsigned char word[4] = {'!', 1, 2, 3};
    char text[8];
    int fd;

    make_two();
    fd = attach(sockets[0]);
    turns(2);
    vdev_config_write(g.dev, wr, 4, word);
    vdev_config_write(g.dev, wr, 1, "?");
    vdev_config_write(g.dev, wr + 1, 1, "x");
    vdev_config_write(g.dev, 0, 4, "abcd");
    ck_assert_int_eq(read(fd, text, sizeof(text)), 2);
    ck_assert_int_eq(memcmp(text, "!?", 2), 0);
    close(fd);
    turns(2);
    vdev_config_write(g.dev, wr, 4, word);
    rig_teardown(&g);
}
END_TEST

static void command(int fd, const char *line, const char *expected)
{
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;
    char text[128] = "";
    ssize_t n = -1;

    ck_assert_int_eq(write(fd, line, strlen(line)), (ssize_t)strlen(line));
    while (n <= 0 && evloop_now_ns() < end) {
        turns(1);
        n = read(fd, text, sizeof(text) - 1);
    }
    ck_assert_msg(!strncmp(text, expected, strlen(expected)), "%s: %s", line, text);
}

START_TEST(management_takes_lines)
{
    struct virtio_console_config config;
    char end = 0;
    int fd;

    make_two();
    fd = attach(sockets[2]);
    command(fd, "resize 132 43\n", "ok\n");
    vdev_config_read(g.dev, 0, sizeof(config), &config);
    ck_assert_uint_eq(le16_get(config.cols), 132);
    ck_assert_uint_eq(le16_get(config.rows), 43);
    ck_assert_uint_eq(le32_get(config.max_nr_ports), 3);
    command(fd, "remove 1\n", "ok\n");
    command(fd, "remove 1\n", "error: ");
    command(fd, "add 1\nadd 1\n", "ok\nerror: ");
    command(fd, "remove 2\n", "error: ");
    command(fd, "remove 99999999999\n", "error: ");
    command(fd, "resize 0 5\n", "error: ");
    command(fd, "resize 1\n", "error: ");
    command(fd, "remove 1 1 1 1 1\n", "error: ");
    command(fd, "\n", "error: ");
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(write(fd, "x", 1), 1);
    turns(3);
    errno = 0;
    /* Too long for a line. */
    ck_assert_int_le(read(fd, &end, 1), 0);
    ck_assert_int_ne(errno, EAGAIN);
    close(fd);
    fd = attach(sockets[2]);
    command(fd, "resize 80 25\n", "ok\n");
    close(fd);
    rig_teardown(&g);
}
END_TEST

START_TEST(options_that_cannot_be)
{
    static const struct console_options bad[] = {
        {.ports_max = 0},
        {.ports_max = 17, .multiport = true},
        {.ports_max = 2},
        {.ports_max = 1},
        {.ports = {{.kind = CONSOLE_END_FILE}}, .ports_max = 1},
        {.ports = {{.kind = CONSOLE_END_NULL, .name = ""}}, .ports_max = 1},
        {.ports = {{.kind = CONSOLE_END_UNIX, .path = "/nonexistent/socket"}}, .ports_max = 1},
        {.ports = {{.kind = CONSOLE_END_NULL}, {.kind = CONSOLE_END_FILE, .path = "/"}},
         .ports_max = 2,
         .multiport = true},
    };
    struct vdev_config config = rig_setup(&g);
    struct vdev *d = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error[0] = '\0';
        ck_assert_int_lt(console_create(&config, &bad[i], &d, error, sizeof(error)), 0);
        ck_assert_str_ne(error, "");
    }
    gmem_destroy(g.gmem);
    evloop_destroy(g.loop);
    free(g.mem);
    free(g.ro);
}
END_TEST

/* One that nobody listens on any more is in the way of a restarted backend. */
START_TEST(stale_socket_is_replaced)
{
    int fd;

    make_dir();
    for (unsigned i = 0; i < 2; i++) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};

        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        strcpy(at.sun_path, sockets[0]);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        close(fd);
        make(&(struct console_options){.ports = {{.kind = CONSOLE_END_UNIX, .path = sockets[0]}},
                                       .ports_max = 1});
        fd = attach(sockets[0]);
        close(fd);
        rig_teardown(&g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device_console");
    TCase *t = tcase_create("console");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, bytes_go_both_ways);
    tcase_add_test(t, slow_reader_holds_the_sender_up);
    tcase_add_test(t, nobody_there_drops);
    tcase_add_test(t, reset_takes_what_waits);
    tcase_add_test(t, terminal_is_open_while_somebody_has_it);
    tcase_add_test(t, full_terminal_holds_the_sender_up);
    tcase_add_test(t, file_is_appended_to);
    tcase_add_test(t, ports_are_told_in_order);
    tcase_add_test(t, late_buffers_get_what_is_true);
    tcase_add_test(t, last_words_come_before_the_end);
    tcase_add_test(t, small_control_buffers_go_back_empty);
    tcase_add_test(t, driver_says_what_it_may_not);
    tcase_add_test(t, removed_port_gives_everything_back);
    tcase_add_test(t, emergency_writes_need_no_driver);
    tcase_add_test(t, management_takes_lines);
    tcase_add_test(t, options_that_cannot_be);
    tcase_add_test(t, stale_socket_is_replaced);
    suite_add_tcase(s, t);
    return rig_main(s);
}
