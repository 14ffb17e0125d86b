/* SPDX-License-Identifier: MIT */
/*
 * ringproof-blk: measures a vhost-user-blk back-end by the reads of a driver that polls, and prints
 * one line of JSON. The back-end is a process of its own on a CPU of its own: ours, QEMU's storage
 * daemon, or whoever listens at a socket. The driver is the same for all of them.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "blkbench/load.h"
#include "peers/peer.h"
#include "peers/thread.h"
#include "ringbench/cpu.h"
#include "spec/virtio_blk.h"
#include "testbed/process.h"
#include "util/bits.h"
#include "util/parse.h"
#include "util/unix_socket.h"

#define NAME      "ringproof-blk"
#define GRACE_S   40u
#define START_MS  10000u
#define END_NS    3000000000u
#define FOLDER    "/tmp/ringproof-blk-XXXXXX"
#define STORE_MIB 64u
#define QEMU      "/usr/bin/qemu-storage-daemon"

enum who { OURS, THEIRS, ANYBODY, MEMCPY };

struct options {
    struct peer common;
    enum who who;
    const char *connect; /* of ANYBODY */
    bool copied;         /* the store has data, in memory */
    bool packed;
    struct load_config load;
    unsigned size;
};

struct session {
    struct options *o;
    char folder[sizeof(FOLDER)];
    char socket[sizeof(FOLDER) + 8], log[sizeof(FOLDER) + 8];
    struct process back_end;
    struct front front;
    struct load *load;
};

/* ---- the back-end ---- */

static void add_ours(const struct session *s, struct words *argv)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    words_addf(argv, "%s/ringproof-backend", self);
    words_add(argv, "--device");
    words_addf(argv, "blk,sbdf=0000:00:01.0,memory=shared,queue-size=%u,path=%s:%uM,vhost=%s%s",
               s->o->size, s->o->copied ? "memory" : "untouched", STORE_MIB, s->socket,
               s->o->packed ? ",features=+packed" : "");
}

static void add_theirs(const struct session *s, struct words *argv)
{
    words_add(argv, QEMU);
    words_add(argv, "--blockdev");
    words_addf(argv, "null-co,node-name=disk,size=%u,read-zeroes=off", STORE_MIB << 20);
    words_add(argv, "--export");
    words_addf(argv,
               "vhost-user-blk,id=export,node-name=disk,writable=on,num-queues=1,addr.type=unix,"
               "addr.path=%s",
               s->socket);
}

/* On the device's CPU, which it inherits. */
static int spawn(struct session *s)
{
    struct words argv = {0}, env = {0};
    int rc;

    if (s->o->who == OURS)
        add_ours(s, &argv);
    else
        add_theirs(s, &argv);
    words_add_environment(&env);
    const struct process_start start = {
        .argv = &argv, .env = &env, .log = s->log, .stdin_fd = -1, .stdout_fd = -1, .pass_fd = -1};
    rc = argv.failed || env.failed ? -ENOMEM : cpu_pin(s->o->common.device_cpu);
    if (!rc)
        rc = process_spawn(&start, &s->back_end);
    words_fini(&argv);
    words_fini(&env);
    return rc;
}

/* Ours comes to a socket of the front-end's. */
static int await(int listener, int *fd)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};

    if (poll(&p, 1, START_MS) != 1)
        return -ETIMEDOUT;
    *fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

static int reach(struct session *s, int *fd)
{
    int listener = -1;
    int rc = 0;

    if (s->o->who == ANYBODY)
        return unix_connect(s->o->connect, SOCK_STREAM, START_MS, fd);
    if (s->o->who == OURS)
        rc = unix_listen(s->socket, SOCK_STREAM, 1, &listener);
    if (!rc)
        rc = spawn(s);
    if (!rc)
        rc = s->o->who == OURS ? await(listener, fd)
                               : unix_connect(s->socket, SOCK_STREAM, START_MS, fd);
    if (listener >= 0)
        close(listener);
    return rc;
}

/* It sleeps when there is nothing to do: what it lost is the time in which it wanted to run. */
static int device_waited_ns(const struct session *s, uint64_t *ns)
{
    const struct thread_time t = {s->back_end.pid, s->back_end.pid};

    *ns = 0;
    return s->o->who == ANYBODY ? 0 : thread_waited_ns(&t, ns);
}

/* ---- measuring ---- */

static int begin(struct session *s)
{
    const struct front_config config = {.format = s->o->packed ? VIRTQ_PACKED : VIRTQ_SPLIT,
                                        .size = s->o->size,
                                        .event_idx = true,
                                        .data_bytes = load_data_bytes(&s->o->load)};
    struct virtio_blk_config disk = {.capacity = le64_make(0)};
    int fd = -1, rc = front_init(&s->front, &config);

    if (!rc)
        rc = reach(s, &fd);
    if (!rc)
        rc = front_negotiate(&s->front, fd);
    if (rc)
        return rc;
    memcpy(&disk, s->front.device_config, sizeof(s->front.device_config));
    s->o->load.blocks = le64_get(disk.capacity) / (s->o->load.bytes / VIRTIO_BLK_SECTOR_BYTES);
    if (s->o->load.blocks == 0)
        return -ENOSPC;
    return load_create(&s->front, &s->o->load, &s->load);
}

static int measure(struct session *s, struct load_result *r, double own[2])
{
    uint64_t before, after, wall;
    int rc = cpu_pin(s->o->common.driver_cpu);

    if (!rc && s->o->copied)
        rc = load_fill(s->load);
    if (!rc)
        rc = device_waited_ns(s, &before);
    wall = wall_ns();
    if (!rc)
        rc = load_read(s->load, s->o->common.measure_ns, r);
    wall = wall_ns() - wall;
    if (!rc)
        rc = device_waited_ns(s, &after);
    if (!rc && s->o->copied)
        rc = load_verify(s->load);
    if (!rc)
        rc = front_stop(&s->front);
    if (!rc && r->requests == 0)
        rc = -ETIMEDOUT;
    if (rc)
        return rc;
    own[0] = (double)r->cpu_ns / (double)r->wall_ns;
    own[1] = after - before < wall ? 1 - (double)(after - before) / (double)wall : 0;
    return 0;
}

static int measure_back_end(struct options *o, struct load_result *r, double own[2])
{
    struct session s = {.o = o, .folder = FOLDER, .back_end = PROCESS_INIT};
    int rc;

    if (!mkdtemp(s.folder)) {
        rc = -errno;
        fprintf(stderr, NAME ": %s: %s\n", s.folder, strerror(-rc));
        return rc;
    }
    snprintf(s.socket, sizeof(s.socket), "%s/socket", s.folder);
    snprintf(s.log, sizeof(s.log), "%s/log", s.folder);
    rc = begin(&s);
    if (!rc)
        rc = measure(&s, r, own);
    load_destroy(s.load);
    front_fini(&s.front);
    if (s.back_end.pid)
        (void)process_end(&s.back_end, SIGTERM, END_NS);
    if (rc) {
        char *tail = file_tail(s.log, 1024);

        fprintf(stderr, NAME ": %s\n%s", strerror(-rc), tail ? tail : "");
        free(tail);
    }
    remove_tree(s.folder);
    return rc;
}

static int measure_memcpy(struct options *o, struct load_result *r, double own[2])
{
    int rc = cpu_pin(o->common.device_cpu);

    o->load.blocks = ((uint64_t)STORE_MIB << 20) / o->load.bytes;
    if (!rc)
        load_memcpy(&o->load, o->common.measure_ns, r);
    if (!rc && r->requests == 0)
        rc = -ENOMEM;
    if (rc)
        fprintf(stderr, NAME ": %s\n", strerror(-rc));
    else
        own[0] = own[1] = (double)r->cpu_ns / (double)r->wall_ns;
    return rc;
}

/* ---- options ---- */

enum { BACK_END = 1, CONNECT, COPIED, PACKED, SIZE, DEPTH, BYTES, HELP };

static void usage(FILE *f)
{
    fputs("usage: " NAME " [OPTION]...\n"
          "Measures the reads of a vhost-user-blk back-end; one line of JSON.\n"
          "  --back-end ringproof|qemu|memcpy  (default ringproof) qemu: its storage daemon, on\n"
          "                    null-co; memcpy: no back-end, what --copied costs at least\n"
          "  --connect PATH    whoever listens there instead\n"
          "  --copied          data is copied from a store in memory (ringproof, memcpy)\n"
          "  --packed          else split\n"
          "  --size N          of the ring, a power of two (default 256)\n"
          "  --depth N         requests outstanding (default 32)\n"
          "  --bytes N         of each, a multiple of 512 (default 4096)\n" PEER_USAGE,
          f);
}

static int take_back_end(struct options *o, const char *value)
{
    static const char *const names[] = {
        [OURS] = "ringproof", [THEIRS] = "qemu", [ANYBODY] = "", [MEMCPY] = "memcpy"};

    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
        if (*value && !strcmp(value, names[i])) {
            o->who = (enum who)i;
            return 0;
        }
    return -EINVAL;
}

static int take(void *to, int option, const char *value)
{
    struct options *o = to;

    switch (option) {
    case BACK_END:
        return take_back_end(o, value);
    case CONNECT:
        o->who = ANYBODY;
        o->connect = value;
        return 0;
    case COPIED:
        o->copied = true;
        return 0;
    case PACKED:
        o->packed = true;
        return 0;
    case SIZE:
        return parse_u32(value, 4, 1024, &o->size) || !is_pow2(o->size) ? -EINVAL : 0;
    case DEPTH:
        return parse_u32(value, 1, 256, &o->load.depth);
    case BYTES:
        return parse_u32(value, VIRTIO_BLK_SECTOR_BYTES, 65536, &o->load.bytes) ||
                       o->load.bytes % VIRTIO_BLK_SECTOR_BYTES
                   ? -EINVAL
                   : 0;
    default:
        return peer_take(&o->common, option, value);
    }
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {{"back-end", required_argument, NULL, BACK_END},
                                          {"connect", required_argument, NULL, CONNECT},
                                          {"copied", no_argument, NULL, COPIED},
                                          {"packed", no_argument, NULL, PACKED},
                                          {"size", required_argument, NULL, SIZE},
                                          {"depth", required_argument, NULL, DEPTH},
                                          {"bytes", required_argument, NULL, BYTES},
                                          PEER_OPTIONS,
                                          {"help", no_argument, NULL, HELP},
                                          {0}};
    const struct peer_parser parser = {table, HELP, take, usage};
    int rc;

    *o = (struct options){
        .common = PEER_DEFAULTS(NAME), .size = 256, .load = {.depth = 32, .bytes = 4096}};
    rc = peer_parse(&parser, argc, argv, o);
    /* A chain of three for each request. */
    if (rc ||
        (o->load.depth * 3 <= o->size && !(o->copied && (o->who == THEIRS || o->who == ANYBODY))))
        return rc;
    usage(stderr);
    return -EINVAL;
}

int main(int argc, char **argv)
{
    struct load_result r = {0};
    double own[2] = {0, 0};
    struct options o;
    int rc = parse(argc, argv, &o);

    if (rc)
        return rc == 1 ? 0 : 3;
    rc = peer_begin(&o.common, GRACE_S);
    if (!rc)
        rc = o.who == MEMCPY ? measure_memcpy(&o, &r, own) : measure_back_end(&o, &r, own);
    if (!rc)
        rc = peer_report(&o.common, (double)r.wall_ns / (double)r.requests, "requests", r.requests,
                         own);
    peer_end(&o.common);
    return rc ? 2 : 0;
}
