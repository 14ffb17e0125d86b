/* SPDX-License-Identifier: MIT */
#include "ringbench/shared.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"

#define PAGE_BYTES 4096u
#define HUGE_BYTES (2u << 20)
#define PING_END   UINT64_MAX
#define PING_CHUNK 256u /* round trips between two looks at the clock */
#define PING_MAX   4096u

/* VIRTIO 1.4, 2.7 */
#define DESC_ALIGN_BYTES 16u
#define USED_ALIGN_BYTES 4u

#define SPIN_MIN_NS 1000u
#define SPIN_MAX_NS 100000u

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* ---- memory ---- */

static void *map_shared(size_t bytes, bool *huge)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);

    *huge = p != MAP_FAILED;
    if (*huge)
        return p;
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int shared_init(struct shared *s, const struct row *r)
{
    enum virtq_format format = r->ring == ROW_PACKED ? VIRTQ_PACKED : VIRTQ_SPLIT;
    struct virtq_layout layout;
    size_t desc, driver, device, payload, tables;
    int rc = virtq_layout_init(&layout, format, r->size);

    *s = (struct shared){.row = r, .doorbell_fd = -1, .interrupt_fd = -1};
    if (rc < 0)
        return rc;
    if (r->ring == ROW_FLOOR)
        layout.desc_bytes = layout.driver_bytes = layout.device_bytes =
            (uint32_t)floor_area_bytes(r->size);
    s->payload_stride = (uint32_t)align_up(r->payload_bytes ? r->payload_bytes : 64, 64);
    desc = align_up(sizeof(struct shared_words), PAGE_BYTES);
    driver = desc + align_up(layout.desc_bytes, PAGE_BYTES);
    device = driver + align_up(layout.driver_bytes, PAGE_BYTES);
    if (r->compact) {
        driver = desc;
        device = driver + align_up(layout.driver_bytes, USED_ALIGN_BYTES);
        desc = align_up(device + layout.device_bytes, DESC_ALIGN_BYTES);
    }
    payload = align_up(max_u64(desc + layout.desc_bytes, device + layout.device_bytes), PAGE_BYTES);
    tables = payload + align_up((uint64_t)r->depth * s->payload_stride, PAGE_BYTES);
    s->bytes = align_up(tables + (uint64_t)r->depth * SHARED_TABLE_BYTES, HUGE_BYTES);
    s->base = map_shared(s->bytes, &s->huge);
    if (s->base == NULL)
        return -ENOMEM;
    s->words = s->base;
    s->areas = (struct virtq_areas){
        .desc = (char *)s->base + desc,
        .driver = (char *)s->base + driver,
        .device = (char *)s->base + device,
    };
    s->payload = (unsigned char *)s->base + payload;
    s->payload_bytes = s->bytes - payload;
    s->tables = (unsigned char *)s->base + tables;
    if (r->sleep) {
        s->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        s->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->doorbell_fd < 0 || s->interrupt_fd < 0) {
            rc = -errno;
            shared_fini(s);
            return rc;
        }
    }
    return 0;
}

void shared_fini(struct shared *s)
{
    if (s->base)
        munmap(s->base, s->bytes);
    if (s->doorbell_fd >= 0)
        close(s->doorbell_fd);
    if (s->interrupt_fd >= 0)
        close(s->interrupt_fd);
    *s = (struct shared){.doorbell_fd = -1, .interrupt_fd = -1};
}

gpa_t shared_guest_addr(const struct shared *s, const void *va)
{
    if (!ROW_CHECKED)
        return gpa_make((uintptr_t)va);
    return gpa_make(SHARED_GUEST_BASE + (uint64_t)((const unsigned char *)va - s->payload));
}

/* ---- the round trip of a cache line ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double shared_ping(struct shared *s, uint64_t duration_ns)
{
    struct shared_words *w = s->words;
    double *chunks = calloc(PING_MAX, sizeof(*chunks)), median = 0;
    uint64_t begin = wall_ns(), now = begin, value = 0;
    unsigned count = 0;

    while (chunks && count < PING_MAX && now - begin < duration_ns) {
        uint64_t from = now;

        for (unsigned i = 0; i < PING_CHUNK; i++) {
            __atomic_store_n(&w->ping, ++value, __ATOMIC_RELEASE);
            while (__atomic_load_n(&w->pong, __ATOMIC_ACQUIRE) != value)
                ;
        }
        now = wall_ns();
        chunks[count++] = (double)(now - from) / PING_CHUNK;
    }
    __atomic_store_n(&w->ping, PING_END, __ATOMIC_RELEASE);
    while (__atomic_load_n(&w->pong, __ATOMIC_ACQUIRE) != PING_END)
        ;
    if (count) {
        qsort(chunks, count, sizeof(*chunks), ascending);
        median = chunks[count / 2];
    }
    free(chunks);
    /* Ready for another; the device looks at ping first. */
    __atomic_store_n(&w->ping, 0, __ATOMIC_RELEASE);
    return median;
}

void shared_answer(struct shared *s)
{
    struct shared_words *w = s->words;
    uint64_t value;

    do {
        value = __atomic_load_n(&w->ping, __ATOMIC_ACQUIRE);
        __atomic_store_n(&w->pong, value, __ATOMIC_RELEASE);
    } while (value != PING_END);
    while (__atomic_load_n(&w->ping, __ATOMIC_ACQUIRE) == PING_END)
        ;
}

/* ---- doorbells ---- */

void patience_init(struct patience *p)
{
    p->spin_ns = SPIN_MAX_NS / 4;
}

void patience_learn(struct patience *p, bool came, uint64_t waited_ns)
{
    if (!came)
        p->spin_ns = max_u64(p->spin_ns / 2, SPIN_MIN_NS);
    else if (waited_ns > p->spin_ns / 2)
        p->spin_ns = min_u64(p->spin_ns * 2, SPIN_MAX_NS);
}

void doorbell_ring(int fd)
{
    const uint64_t one = 1;
    ssize_t done = write(fd, &one, sizeof(one)); /* one that is not waited for may add up */

    (void)done;
}

int doorbell_wait(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t count;

    if (poll(&p, 1, 1000) != 1)
        return -ETIMEDOUT;
    return read(fd, &count, sizeof(count)) == sizeof(count) ? 0 : -EAGAIN;
}
