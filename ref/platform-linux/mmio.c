/* SPDX-License-Identifier: MIT */
#include "platform_linux/linux.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * One instruction with plain addressing each. Compilers make post-indexed loads of volatile
 * accesses on arm64, which have no syndrome that a hypervisor could decode them by, and may split
 * or merge accesses elsewhere.
 */
#if defined(__x86_64__)
#define LOAD(suffix, type)                                                                         \
    ({                                                                                             \
        type v_;                                                                                   \
        __asm__ volatile("mov" suffix " %1, %0" : "=r"(v_) : "m"(*(const volatile type *)at));     \
        v_;                                                                                        \
    })
#define STORE(suffix, type)                                                                        \
    __asm__ volatile("mov" suffix " %1, %0" : "=m"(*(volatile type *)at) : "r"((type)value))
#define LOAD8     LOAD("b", uint8_t)
#define LOAD16    LOAD("w", uint16_t)
#define LOAD32    LOAD("l", uint32_t)
#define LOAD64    LOAD("q", uint64_t)
#define STORE8    STORE("b", uint8_t)
#define STORE16   STORE("w", uint16_t)
#define STORE32   STORE("l", uint32_t)
#define STORE64   STORE("q", uint64_t)
#define BARRIER() __asm__ volatile("mfence" ::: "memory")
#elif defined(__aarch64__)
#define LOAD(insn, mod)                                                                            \
    ({                                                                                             \
        uint64_t v_;                                                                               \
        __asm__ volatile(insn " %" mod "0, [%1]" : "=r"(v_) : "r"(at) : "memory");                 \
        v_;                                                                                        \
    })
#define STORE(insn, mod)                                                                           \
    __asm__ volatile(insn " %" mod "0, [%1]" : : "r"(value), "r"(at) : "memory")
#define LOAD8     LOAD("ldrb", "w")
#define LOAD16    LOAD("ldrh", "w")
#define LOAD32    LOAD("ldr", "w")
#define LOAD64    LOAD("ldr", "x")
#define STORE8    STORE("strb", "w")
#define STORE16   STORE("strh", "w")
#define STORE32   STORE("str", "w")
#define STORE64   STORE("str", "x")
#define BARRIER() __asm__ volatile("dsb sy" ::: "memory")
#else
#error "no single-instruction accesses for this architecture"
#endif

static uint64_t load(const volatile void *at, unsigned bytes)
{
    switch (bytes) {
    case 1:
        return LOAD8;
    case 2:
        return LOAD16;
    case 4:
        return LOAD32;
    default:
        return LOAD64;
    }
}

static void store(volatile void *at, unsigned bytes, uint64_t value)
{
    switch (bytes) {
    case 1:
        STORE8;
        break;
    case 2:
        STORE16;
        break;
    case 4:
        STORE32;
        break;
    default:
        STORE64;
        break;
    }
}

/* Where an address is mapped. Windows are never unmapped before the end. */
static int locate(struct lx *l, uint64_t addr, unsigned bytes, volatile void **at)
{
    uint64_t base = addr & ~(MMIO_WINDOW_BYTES - 1);
    volatile void *va = NULL;
    void *map;
    int rc = 0;

    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
        return -EINVAL;
    if (addr + bytes - base > MMIO_WINDOW_BYTES || addr + bytes < addr)
        return -EINVAL;
    for (unsigned i = 0; i < l->window_count && !va; i++) {
        if (l->windows[i].base == base)
            va = l->windows[i].va;
    }
    if (!va && l->window_count == MMIO_WINDOWS_MAX)
        rc = -ENOSPC;
    if (!va && !rc) {
        map = mmap(NULL, MMIO_WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, l->mem_fd,
                   (off_t)base);
        if (map == MAP_FAILED) {
            rc = -errno;
        } else {
            va = map;
            l->windows[l->window_count++] = (struct mmio_window){.base = base, .va = va};
        }
    }
    *at = va ? (volatile char *)va + (addr - base) : NULL;
    return rc;
}

static int move_to(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

static void perform(volatile void *at, unsigned bytes, bool write, uint64_t *value)
{
    /* What the driver wrote into memory before is there when the device looks. */
    BARRIER();
    if (write)
        store(at, bytes, *value);
    else
        *value = load(at, bytes);
    BARRIER();
}

#if defined(__x86_64__)

/* What nobody claims reads all ones: an access always ends well, or stops the vCPU. */
static int access_once(struct lx *l, unsigned vcpu, uint64_t addr, unsigned bytes, bool write,
                       uint64_t *value)
{
    volatile void *at;
    int rc;

    pthread_mutex_lock(&l->lock);
    rc = locate(l, addr, bytes, &at);
    pthread_mutex_unlock(&l->lock);
    if (!rc && l->pinned)
        rc = move_to(vcpu);
    if (rc)
        return rc;
    perform(at, bytes, write, value);
    return l->pinned ? move_to(l->home) : 0;
}

static void accessors_fini(struct lx *l)
{
    (void)l;
}

#else

/*
 * What nobody claims is an abort, and Linux ends the process with a SIGKILL then. So a process of
 * its own makes the accesses of a vCPU, and another one takes its place when it is gone.
 */
struct request {
    uint64_t addr, value;
    uint32_t bytes, write;
    int32_t rc;
};

static void __attribute__((noreturn)) accessor_run(struct lx *l, unsigned vcpu, int fd)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGABRT, SIGALRM};
    struct request r;

    /* No death signal: it would come with the end of the thread that made the first access. */
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        signal(faults[i], SIG_DFL);
    if (l->pinned)
        move_to(vcpu);
    while (recv(fd, &r, sizeof(r), 0) == (ssize_t)sizeof(r)) {
        volatile void *at;

        r.rc = locate(l, r.addr, r.bytes, &at);
        if (!r.rc)
            perform(at, r.bytes, r.write, &r.value);
        if (send(fd, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r))
            break;
    }
    _exit(0);
}

/* Under the lock. */
static int accessor_start(struct lx *l, unsigned vcpu)
{
    struct accessor *a = &l->accessors[vcpu];
    int pair[2];

    if (a->pid)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return -errno;
    a->pid = fork();
    if (a->pid == 0) {
        close(pair[0]);
        /* The other ends of other accessors, which have to see when this agent ends. */
        for (unsigned i = 0; i < ACCESSORS_MAX; i++)
            if (i != vcpu && l->accessors[i].pid)
                close(l->accessors[i].fd);
        accessor_run(l, vcpu, pair[1]);
    }
    close(pair[1]);
    if (a->pid < 0) {
        int err = -errno;

        close(pair[0]);
        a->pid = 0;
        return err;
    }
    a->fd = pair[0];
    return 0;
}

/* It has ended: how? */
static int accessor_end(struct accessor *a)
{
    int status = 0;

    while (waitpid(a->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(a->fd);
    a->pid = 0;
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGBUS)
               ? -EFAULT
               : -EIO;
}

static int access_once(struct lx *l, unsigned vcpu, uint64_t addr, unsigned bytes, bool write,
                       uint64_t *value)
{
    struct request r = {.addr = addr, .value = *value, .bytes = bytes, .write = write};
    struct accessor *a = &l->accessors[vcpu];
    ssize_t n;
    int rc;

    pthread_mutex_lock(&l->lock);
    rc = accessor_start(l, vcpu);
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return rc;
    if (send(a->fd, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r))
        return -EIO;
    do
        n = recv(a->fd, &r, sizeof(r), 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(r)) {
        pthread_mutex_lock(&l->lock);
        rc = accessor_end(a);
        pthread_mutex_unlock(&l->lock);
        return rc;
    }
    *value = r.value;
    return r.rc;
}

static void accessors_fini(struct lx *l)
{
    for (unsigned i = 0; i < ACCESSORS_MAX; i++) {
        if (!l->accessors[i].pid)
            continue;
        kill(l->accessors[i].pid, SIGKILL);
        accessor_end(&l->accessors[i]);
    }
}

#endif

int lx_mmio_read(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                 uint64_t *value)
{
    *value = 0;
    return vcpu < p->nr_vcpus ? access_once(lx_of(p), vcpu, addr, bytes, false, value) : -EINVAL;
}

int lx_mmio_write(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                  uint64_t value)
{
    return vcpu < p->nr_vcpus ? access_once(lx_of(p), vcpu, addr, bytes, true, &value) : -EINVAL;
}

void lx_mmio_fini(struct lx *l)
{
    accessors_fini(l);
    for (unsigned i = 0; i < l->window_count; i++)
        munmap((void *)l->windows[i].va, MMIO_WINDOW_BYTES);
    l->window_count = 0;
}
