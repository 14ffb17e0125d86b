/* SPDX-License-Identifier: MIT */
#include "platform_linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE          4096u
#define PAGEMAP_FRAME ((1ull << 55) - 1) /* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_THERE (1ull << 63)

struct found {
    uint64_t gfn;
    char *va;
};

static int by_gfn(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return x->gfn < y->gfn ? -1 : x->gfn > y->gfn;
}

static int frame_of(int pagemap_fd, const void *va, uint64_t *gfn)
{
    uint64_t entry;

    if (pread(pagemap_fd, &entry, sizeof(entry), (off_t)((uintptr_t)va / PAGE * sizeof(entry))) !=
        (ssize_t)sizeof(entry))
        return -EIO;
    *gfn = entry & PAGEMAP_FRAME;
    /* Without CAP_SYS_ADMIN the kernel says 0. */
    return entry & PAGEMAP_THERE && *gfn ? 0 : -EPERM;
}

/* Moves the pages to where they lie in the order of their frames, whole runs at once. */
static int arrange(struct pool *pool, struct found *f, unsigned n)
{
    for (unsigned i = 0, run; i < n; i += run) {
        void *to = pool->va + (size_t)i * PAGE;

        for (run = 1; i + run < n; run++) {
            if (f[i + run].va != f[i].va + (size_t)run * PAGE)
                break;
        }
        if (mremap(f[i].va, (size_t)run * PAGE, (size_t)run * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                   to) == MAP_FAILED)
            return -errno;
        for (unsigned k = 0; k < run; k++)
            pool->gfns[i + k] = f[i + k].gfn;
    }
    return 0;
}

/* The kernel may still move locked pages to make room for large ones: ask it not to. */
static void forbid_compaction(void)
{
    int fd = open("/proc/sys/vm/compact_unevictable_allowed", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return; /* built without compaction */
    if (write(fd, "0", 1) != 1)
        fprintf(stderr, "platform linux: compact_unevictable_allowed: %s\n", strerror(errno));
    close(fd);
}

int lx_pool_init(struct lx *l, unsigned pages)
{
    struct pool *pool = &l->pool;
    size_t bytes = (size_t)pages * PAGE;
    struct found *f = calloc(pages, sizeof(*f));
    char *raw = MAP_FAILED, *to;
    int rc = 0;

    forbid_compaction();
    pool->gfns = calloc(pages, sizeof(*pool->gfns));
    pool->used = calloc(pages, sizeof(*pool->used));
    pool->taken = calloc(pages, sizeof(*pool->taken));
    pool->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (!f || !pool->gfns || !pool->used || !pool->taken) {
        rc = -ENOMEM;
        goto out;
    }
    if (pool->pagemap_fd < 0) {
        rc = -errno;
        goto out;
    }
    raw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    to = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to != MAP_FAILED) {
        pool->va = to;
        pool->count = pages;
    }
    if (raw == MAP_FAILED || to == MAP_FAILED) {
        rc = -errno;
        goto out;
    }
    madvise(raw, bytes, MADV_NOHUGEPAGE); /* fails where there are none: as well */
    if (mlock(raw, bytes) || madvise(raw, bytes, MADV_DONTFORK)) {
        rc = -errno;
        goto out;
    }
    for (unsigned i = 0; i < pages && !rc; i++) {
        f[i].va = raw + (size_t)i * PAGE;
        *(volatile char *)f[i].va = 0;
        rc = frame_of(pool->pagemap_fd, f[i].va, &f[i].gfn);
    }
    if (rc)
        goto out;
    qsort(f, pages, sizeof(*f), by_gfn);
    rc = arrange(pool, f, pages);
out:
    if (rc && raw != MAP_FAILED)
        munmap(raw, bytes);
    free(f);
    return rc;
}

void lx_pool_fini(struct lx *l)
{
    struct pool *pool = &l->pool;

    if (pool->va)
        munmap(pool->va, (size_t)pool->count * PAGE);
    if (pool->pagemap_fd >= 0)
        close(pool->pagemap_fd);
    free(pool->gfns);
    free(pool->used);
    free(pool->taken);
    *pool = (struct pool){.pagemap_fd = -1};
}

static bool fits(const struct pool *pool, unsigned at, unsigned n, bool contiguous)
{
    for (unsigned i = 0; i < n; i++) {
        if (pool->taken[at + i])
            return false;
        if (contiguous && pool->gfns[at + i] != pool->gfns[at] + i)
            return false;
    }
    return true;
}

int lx_pages_alloc(struct fe_platform *p, unsigned n, unsigned flags, void **va)
{
    struct pool *pool = &lx_of(p)->pool;
    int rc = -ENOMEM;

    if (!n)
        return -EINVAL;
    pthread_mutex_lock(&lx_of(p)->lock);
    for (unsigned at = 0; rc && n <= pool->count && at <= pool->count - n; at++) {
        if (!fits(pool, at, n, flags & FE_PAGES_CONTIGUOUS))
            continue;
        memset(&pool->taken[at], true, n * sizeof(*pool->taken));
        pool->used[at] = n;
        *va = pool->va + (size_t)at * PAGE;
        rc = 0;
    }
    pthread_mutex_unlock(&lx_of(p)->lock);
    if (!rc)
        memset(*va, 0, (size_t)n * PAGE);
    return rc;
}

void lx_pages_free(struct fe_platform *p, void *va, unsigned n)
{
    struct pool *pool = &lx_of(p)->pool;
    size_t at;

    if (!va)
        return;
    at = (size_t)((char *)va - pool->va) / PAGE;
    pthread_mutex_lock(&lx_of(p)->lock);
    if (at < pool->count && pool->used[at] == n) {
        memset(&pool->taken[at], false, n * sizeof(*pool->taken));
        pool->used[at] = 0;
    }
    pthread_mutex_unlock(&lx_of(p)->lock);
}

int lx_gfn(struct fe_platform *p, const void *va, uint64_t *gfn)
{
    const struct pool *pool = &lx_of(p)->pool;
    size_t at = (size_t)((const char *)va - pool->va) / PAGE;
    uint64_t now;
    int rc;

    if ((const char *)va < pool->va || at >= pool->count || !pool->taken[at])
        return -EINVAL;
    rc = frame_of(pool->pagemap_fd, va, &now);
    if (rc)
        return rc;
    if (now != pool->gfns[at])
        return -ESTALE;
    *gfn = now;
    return 0;
}
