/* SPDX-License-Identifier: MIT */
#include "platform_linux/linux.h"

#include <errno.h>
#include <sys/mman.h>

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

/* Where an address is mapped. Windows are never unmapped before the end, so the lock covers the
 * table alone. */
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
    pthread_mutex_lock(&l->lock);
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
    pthread_mutex_unlock(&l->lock);
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

static int access_once(struct lx *l, unsigned vcpu, uint64_t addr, unsigned bytes, bool write,
                       uint64_t *value)
{
    volatile void *at;
    int rc;

    if (vcpu >= l->platform.nr_vcpus)
        return -EINVAL;
    rc = locate(l, addr, bytes, &at);
    if (rc)
        return rc;
    if (l->pinned)
        rc = move_to(vcpu);
    if (rc)
        return rc;
    /* What the driver wrote into memory before is there when the device looks. */
    BARRIER();
    if (write)
        store(at, bytes, *value);
    else
        *value = load(at, bytes);
    BARRIER();
    return l->pinned ? move_to(l->home) : 0;
}

int lx_mmio_read(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                 uint64_t *value)
{
    *value = 0;
    return access_once(lx_of(p), vcpu, addr, bytes, false, value);
}

int lx_mmio_write(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                  uint64_t value)
{
    return access_once(lx_of(p), vcpu, addr, bytes, true, &value);
}

void lx_mmio_fini(struct lx *l)
{
    for (unsigned i = 0; i < l->window_count; i++)
        munmap((void *)l->windows[i].va, MMIO_WINDOW_BYTES);
    l->window_count = 0;
}
