/* SPDX-License-Identifier: MIT */
#include "platform_linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/xen.h>
#include <xencall.h>

#define PAGE         4096u
#define FRAMES_OURS  16u
#define REFS_A_FRAME (PAGE / (unsigned)sizeof(grant_entry_v1_t))
#define REFS_OURS    (FRAMES_OURS * REFS_A_FRAME)

/*
 * Where the frames go. Arm: the region that the device tree gives to the grant table, at our
 * frames' own places in it. x86: below the ECAM window, above any RAM of a small domain.
 */
#if defined(__aarch64__)
#define GRANT_BASE_DEFAULT 0x38000000ull
#else
#define GRANT_BASE_DEFAULT 0xdf000000ull
#endif

struct grants {
    xencall_handle *call;
    grant_entry_v1_t *table; /* entry of `first` */
    uint32_t first;          /* the first reference that is ours */
    uint32_t next;           /* where to look first, relative */
    bool taken[REFS_OURS];
};

/* flags and domid as Xen changes them: in one 32-bit word, flags in the lower half. */
static _Atomic uint32_t *word_of(struct grants *g, uint32_t ref)
{
    return (_Atomic uint32_t *)(void *)&g->table[ref - g->first];
}

static int table_size(struct grants *g, void *buffer, uint32_t *frames_max)
{
    struct gnttab_query_size *q = buffer;

    *q = (struct gnttab_query_size){.dom = DOMID_SELF};
    if (xencall3(g->call, __HYPERVISOR_grant_table_op, GNTTABOP_query_size, (uintptr_t)q, 1))
        return -errno;
    if (q->status != GNTST_okay || q->max_nr_frames < FRAMES_OURS)
        return -EIO;
    *frames_max = q->max_nr_frames;
    return 0;
}

static int frame_place(struct grants *g, void *buffer, uint32_t index, uint64_t gfn)
{
    struct xen_add_to_physmap *a = buffer;

    *a = (struct xen_add_to_physmap){
        .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = index, .gpfn = gfn};
    return xencall2(g->call, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uintptr_t)a) ? -errno
                                                                                          : 0;
}

/* Entries that an earlier process of this domain left. What is still mapped stays taken. */
static void clear_old(struct grants *g)
{
    for (uint32_t i = 0; i < REFS_OURS; i++) {
        _Atomic uint32_t *word = word_of(g, g->first + i);
        uint32_t old = atomic_load(word);

        while (old && !(old & (GTF_reading | GTF_writing)) &&
               !atomic_compare_exchange_weak(word, &old, 0))
            ;
        g->taken[i] = (old & (GTF_reading | GTF_writing)) != 0;
    }
}

int lx_grants_init(struct lx *l, uint64_t base)
{
    struct grants *g = calloc(1, sizeof(*g));
    const char *step = "open /dev/xen/privcmd";
    void *buffer = NULL, *map;
    uint32_t frames = 0, from;
    int fd = -1, rc = 0;

    if (!g)
        return -ENOMEM;
    if (!base)
        base = GRANT_BASE_DEFAULT;
    g->call = xencall_open(NULL, 0);
    if (!g->call) {
        rc = -errno;
        goto out;
    }
    buffer = xencall_alloc_buffer(g->call, PAGE);
    if (!buffer) {
        rc = -ENOMEM;
        goto out;
    }
    step = "ask Xen for the size of the grant table (a kernel that restricts hypercalls needs "
           "xen_privcmd.unrestricted=1)";
    rc = table_size(g, buffer, &frames);
    if (rc)
        goto out;
    step = "put grant table frames into the physical map";
    from = frames - FRAMES_OURS;
    for (uint32_t i = 0; i < FRAMES_OURS && !rc; i++)
        rc = frame_place(g, buffer, from + i, base / PAGE + from + i);
    if (rc)
        goto out;
    step = "map them from /dev/mem";
    fd = open("/dev/mem", O_RDWR | O_CLOEXEC); /* without O_SYNC: cached, as Xen's mapping */
    map = fd < 0 ? MAP_FAILED
                 : mmap(NULL, FRAMES_OURS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        (off_t)(base + (uint64_t)from * PAGE));
    if (map == MAP_FAILED) {
        rc = -errno;
        goto out;
    }
    g->table = map;
    g->first = from * REFS_A_FRAME;
    clear_old(g);
    l->grants = g;
    g = NULL;
out:
    if (fd >= 0)
        close(fd);
    if (buffer)
        xencall_free_buffer(g ? g->call : l->grants->call, buffer);
    if (rc)
        fprintf(stderr, "platform linux: no grants: cannot %s: %s\n", step, strerror(-rc));
    if (g) {
        if (g->call)
            xencall_close(g->call);
        free(g);
    }
    return rc;
}

void lx_grants_fini(struct lx *l)
{
    struct grants *g = l->grants;

    if (!g)
        return;
    clear_old(g);
    munmap(g->table, FRAMES_OURS * PAGE);
    xencall_close(g->call);
    free(g);
    l->grants = NULL;
}

static bool is_free(const struct grants *g, uint32_t at, unsigned n)
{
    if (at > REFS_OURS || n > REFS_OURS - at)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (g->taken[at + i])
            return false;
    }
    return true;
}

/* Round and round, so that a reference is not used again at once. */
static int find_run(struct grants *g, unsigned n, uint32_t *at)
{
    for (uint32_t tried = 0; tried < REFS_OURS; tried++) {
        uint32_t candidate = (g->next + tried) % REFS_OURS;

        if (!is_free(g, candidate, n))
            continue;
        *at = candidate;
        g->next = (candidate + n) % REFS_OURS;
        return 0;
    }
    return -ENOSPC;
}

/* `at` relative to our first reference. Under the lock. */
static int fill(struct lx *l, uint32_t at, const char *va, unsigned n, uint16_t peer,
                unsigned flags)
{
    struct grants *g = l->grants;
    uint16_t bits = GTF_permit_access | (flags & FE_GRANT_READONLY ? GTF_readonly : 0);

    for (unsigned i = 0; i < n; i++) {
        uint64_t gfn;
        int rc = lx_gfn(&l->platform, va + (size_t)i * PAGE, &gfn);

        if (!rc && gfn > UINT32_MAX)
            rc = -ERANGE;
        if (rc)
            return rc;
        g->table[at + i].frame = (uint32_t)gfn;
    }
    /* The flags make an entry valid: after the frame, before the reference is told to anyone. */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < n; i++) {
        atomic_store(word_of(g, g->first + at + i), (uint32_t)peer << 16 | bits);
        g->taken[at + i] = true;
    }
    return 0;
}

int lx_grant(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
             gref_t *first)
{
    struct lx *l = lx_of(p);
    uint32_t at = 0;
    int rc;

    if (!l->grants)
        return -EOPNOTSUPP;
    if (!n || (uintptr_t)va % PAGE)
        return -EINVAL;
    pthread_mutex_lock(&l->lock);
    rc = find_run(l->grants, n, &at);
    if (!rc)
        rc = fill(l, at, va, n, peer, flags);
    if (!rc)
        *first = gref_make(l->grants->first + at);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

int lx_grant_at(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                gref_t first)
{
    struct lx *l = lx_of(p);
    int rc = -EOPNOTSUPP;

    if (!l->grants)
        return -EOPNOTSUPP;
    if (!n || (uintptr_t)va % PAGE)
        return -EINVAL;
    pthread_mutex_lock(&l->lock);
    if (first.raw >= l->grants->first && first.raw - l->grants->first < REFS_OURS)
        rc = is_free(l->grants, first.raw - l->grants->first, n)
                 ? fill(l, first.raw - l->grants->first, va, n, peer, flags)
                 : -EEXIST;
    pthread_mutex_unlock(&l->lock);
    return rc;
}

static int end_one(_Atomic uint32_t *word, uint32_t *old)
{
    *old = atomic_load(word);
    do {
        if (*old & (GTF_reading | GTF_writing))
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(word, old, 0));
    return 0;
}

int lx_revoke(struct fe_platform *p, gref_t first, unsigned n)
{
    struct lx *l = lx_of(p);
    struct grants *g = l->grants;
    uint32_t *old = calloc(n ? n : 1, sizeof(*old));
    unsigned done = 0;
    int rc = 0;

    if (!old)
        return -ENOMEM;
    pthread_mutex_lock(&l->lock);
    if (!g || !n || first.raw < g->first || first.raw - g->first >= REFS_OURS ||
        n > REFS_OURS - (first.raw - g->first))
        rc = -EINVAL;
    for (unsigned i = 0; i < n && !rc; i++) {
        if (!g->taken[first.raw - g->first + i])
            rc = -EINVAL;
    }
    while (!rc && done < n) {
        rc = end_one(word_of(g, first.raw + done), &old[done]);
        if (!rc)
            done++;
    }
    /* Rather all stay granted than some: the caller keeps the buffer as it is. */
    while (rc == -EBUSY && done > 0) {
        done--;
        atomic_store(word_of(g, first.raw + done), old[done]);
    }
    for (unsigned i = 0; i < n && !rc; i++)
        g->taken[first.raw - g->first + i] = false;
    pthread_mutex_unlock(&l->lock);
    free(old);
    return rc;
}

int lx_grant_in_use(struct fe_platform *p, gref_t ref, unsigned *in_use)
{
    struct grants *g = lx_of(p)->grants;
    uint32_t word;

    if (!g)
        return -EOPNOTSUPP;
    if (ref.raw < g->first || ref.raw - g->first >= REFS_OURS)
        return -EINVAL;
    word = atomic_load(word_of(g, ref.raw));
    *in_use = (word & GTF_reading ? 1u : 0) | (word & GTF_writing ? 2u : 0);
    return 0;
}
