/* SPDX-License-Identifier: MIT */
#include "runner/transfer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testbed/netns.h"

#define BLOCK_WORDS 8192u /* 64 KiB are made or looked at in one go */
#define BLOCK_BYTES (BLOCK_WORDS * 8u)
#define SIDE_END_NS 2000000000u

struct end {
    struct transfer *t;
    unsigned stream;
    bool receives;
    pthread_t thread;
};

struct transfer {
    struct transfer_plan plan;
    struct process process[TRANSFER_SIDES];
    unsigned count;
    struct transfer_stream *streams; /* shared with both processes */
    int *listen_fd;                  /* of each stream's receiver */
    uint16_t *port;
    enum transfer_side side; /* in a side's process */
};

/* ---- what a stream carries ---- */

/* xorshift64: cheap, and no two places of a stream are alike. */
static void fill(uint64_t *state, uint64_t *words)
{
    uint64_t x = *state;

    for (unsigned i = 0; i < BLOCK_WORDS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[i] = x;
    }
    *state = x;
}

static int io_error(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS ? -ETIMEDOUT : -errno;
}

/* A socket whose calls end when nothing moves. */
static int set_limits(int fd, uint64_t stall_ns)
{
    struct timeval limit = {.tv_sec = (time_t)(stall_ns / 1000000000u),
                            .tv_usec = (suseconds_t)(stall_ns % 1000000000u / 1000)};

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
        return -errno;
    return 0;
}

static int send_all(int fd, const uint8_t *data, uint64_t bytes)
{
    while (bytes) {
        ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return io_error();
        data += n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

static int send_stream(struct transfer *t, unsigned index, uint64_t *block)
{
    const struct transfer_stream *s = &t->streams[index];
    enum transfer_side to = s->from == TRANSFER_BACKEND ? TRANSFER_FRONTEND : TRANSFER_BACKEND;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(t->port[index])};
    uint64_t state = s->seed, left = t->plan.bytes;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

    if (fd < 0)
        return -errno;
    inet_pton(AF_INET, t->plan.address[to], &at.sin_addr);
    ret = set_limits(fd, t->plan.stall_ns);
    if (!ret && connect(fd, (const struct sockaddr *)&at, sizeof(at)))
        ret = io_error();
    while (!ret && left) {
        uint64_t part = left < BLOCK_BYTES ? left : BLOCK_BYTES;

        fill(&state, block);
        ret = send_all(fd, (const uint8_t *)block, part);
        left -= part;
    }
    /* The other side says that it has all by closing. */
    if (!ret && shutdown(fd, SHUT_WR))
        ret = -errno;
    if (!ret && recv(fd, block, 1, 0) < 0)
        ret = io_error();
    close(fd);
    return ret;
}

/* The first byte that differs, as a word's. */
static bool same(const uint64_t *a, const uint64_t *b, uint64_t bytes, uint64_t *at)
{
    if (!memcmp(a, b, bytes))
        return true;
    for (*at = 0; *at + 8 <= bytes && a[*at / 8] == b[*at / 8]; *at += 8)
        continue;
    return false;
}

static int receive_stream(struct transfer *t, unsigned index, uint64_t *block)
{
    struct transfer_stream *s = &t->streams[index];
    uint64_t *want = block + BLOCK_WORDS, state = s->seed, received = 0, start_ns, at;
    int fd = accept4(t->listen_fd[index], NULL, NULL, SOCK_CLOEXEC), ret;

    if (fd < 0)
        return io_error();
    start_ns = monotonic_ns();
    ret = set_limits(fd, t->plan.stall_ns);
    while (!ret && received < t->plan.bytes && !s->differs) {
        uint64_t left = t->plan.bytes - received;
        uint64_t part = left < BLOCK_BYTES ? left : BLOCK_BYTES, have = 0;

        while (!ret && have < part) {
            ssize_t n = recv(fd, (uint8_t *)block + have, part - have, 0);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                ret = io_error();
            else if (n == 0)
                ret = -ECONNRESET;
            else
                have += (uint64_t)n;
        }
        fill(&state, want);
        if (!ret && !same(block, want, part, &at)) {
            s->differs = true;
            part = at;
        }
        received += ret ? have : part;
        __atomic_store_n(&s->received_bytes, received, __ATOMIC_RELAXED);
    }
    s->took_ns = monotonic_ns() - start_ns;
    close(fd);
    return ret;
}

static void *run_end(void *arg)
{
    struct end *e = arg;
    struct transfer_stream *s = &e->t->streams[e->stream];
    uint64_t *block = malloc(2 * (size_t)BLOCK_BYTES);
    int ret = -ENOMEM;

    if (block)
        ret = e->receives ? receive_stream(e->t, e->stream, block)
                          : send_stream(e->t, e->stream, block);
    if (e->receives)
        s->receive_error = ret;
    else
        s->send_error = ret;
    free(block);
    return NULL;
}

/* ---- a side ---- */

static int run_side(void *arg)
{
    struct transfer *t = arg;
    struct end *ends = calloc(t->count, sizeof(*ends));
    unsigned started = 0;

    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; ends && i < t->count; i++) {
        ends[i] = (struct end){.t = t, .stream = i, .receives = t->streams[i].from != t->side};
        if (pthread_create(&ends[i].thread, NULL, run_end, &ends[i]))
            break;
        started++;
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(ends[i].thread, NULL);
    free(ends);
    return started == t->count ? 0 : 1;
}

struct listener {
    struct transfer *t;
    unsigned stream;
};

static int open_listener(void *arg)
{
    struct listener *l = arg;
    struct transfer *t = l->t;
    enum transfer_side from = t->streams[l->stream].from;
    enum transfer_side at = from == TRANSFER_BACKEND ? TRANSFER_FRONTEND : TRANSFER_BACKEND;
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    t->listen_fd[l->stream] = fd;
    if (inet_pton(AF_INET, t->plan.address[at], &in.sin_addr) != 1)
        return -EINVAL;
    if (bind(fd, (const struct sockaddr *)&in, sizeof(in)) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)&in, &len))
        return -errno;
    t->port[l->stream] = ntohs(in.sin_port);
    return set_limits(fd, t->plan.stall_ns);
}

/* ---- the whole ---- */

static int start(struct transfer *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        struct transfer_stream *s = &t->streams[i];
        struct listener l = {t, i};
        int ret;

        s->from = i < t->plan.streams[TRANSFER_BACKEND] ? TRANSFER_BACKEND : TRANSFER_FRONTEND;
        s->seed = (t->plan.seed * 0x9e3779b97f4a7c15u + i) | 1; /* xorshift needs a bit */
        ret = netns_do(t->plan.netns[!s->from], open_listener, &l);
        if (ret)
            return ret;
    }
    for (unsigned i = 0; i < TRANSFER_SIDES; i++) {
        int ret;

        t->side = (enum transfer_side)i;
        ret = process_fork(run_side, t, t->plan.netns[i], &t->process[i]);
        if (ret)
            return ret;
    }
    return 0;
}

int transfer_start(const struct transfer_plan *plan, struct transfer **out, char *why,
                   size_t why_size)
{
    struct transfer *t = calloc(1, sizeof(*t));
    int ret = -ENOMEM;

    *out = NULL;
    if (!t)
        goto out;
    t->plan = *plan;
    t->count = plan->streams[TRANSFER_BACKEND] + plan->streams[TRANSFER_FRONTEND];
    for (unsigned i = 0; i < TRANSFER_SIDES; i++)
        t->process[i] = PROCESS_INIT;
    t->streams = mmap(NULL, t->count * sizeof(*t->streams), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t->streams == MAP_FAILED)
        t->streams = NULL;
    t->listen_fd = calloc(t->count, sizeof(*t->listen_fd));
    t->port = calloc(t->count, sizeof(*t->port));
    if (t->streams && t->listen_fd && t->port)
        ret = start(t);
out:
    if (ret) {
        snprintf(why, why_size, "the transfer cannot be started: %s", strerror(-ret));
        transfer_destroy(t);
        return ret;
    }
    *out = t;
    return 0;
}

uint64_t transfer_received(const struct transfer *t)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < t->count; i++)
        sum += __atomic_load_n(&t->streams[i].received_bytes, __ATOMIC_RELAXED);
    return sum;
}

struct process *transfer_process(struct transfer *t, enum transfer_side side)
{
    return &t->process[side];
}

const struct transfer_stream *transfer_streams(const struct transfer *t, unsigned *count)
{
    *count = t->count;
    return t->streams;
}

void transfer_destroy(struct transfer *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < TRANSFER_SIDES; i++)
        process_end(&t->process[i], SIGTERM, SIDE_END_NS);
    for (unsigned i = 0; t->listen_fd && i < t->count; i++)
        if (t->listen_fd[i])
            close(t->listen_fd[i]);
    if (t->streams)
        munmap(t->streams, t->count * sizeof(*t->streams));
    free(t->listen_fd);
    free(t->port);
    free(t);
}
