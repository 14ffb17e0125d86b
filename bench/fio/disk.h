/* SPDX-License-Identifier: MIT */
/*
 * What the fio engine does, without fio: virtio-blk devices shared by the jobs of one process.
 *
 * A *session* is the process as one guest: a platform and a host bridge. It exists while a disk
 * is held. A *disk* is one virtio-blk device, held by every job that names it. A *job* is one
 * thread with a queue of the disk for itself; its buffers are granted once, as a pool, and every
 * request has to lie in them.
 *
 * The backend may be killed and started again while requests are in flight. A job that hears
 * nothing for DISK_SILENCE_NS asks whether the device is still the one it started; if not, all
 * jobs are held, the device is initialised again, and each job submits again what had not been
 * answered. Nothing that was reported as done is done again, and nothing that was not is lost.
 *
 * Functions return 0 or -errno and explain errors of configuration on stderr.
 */
#ifndef RP_FIOENGINE_DISK_H
#define RP_FIOENGINE_DISK_H

#include "frontend/blk.h"
#include "util/types.h"

#define DISK_SILENCE_NS 100000000ull

/* Texts as the user wrote them; NULL takes the default. */
struct disk_config {
    const char *platform;    /* "simxen", as fe_platform_open takes it */
    const char *host_bridge; /* util/host_bridge.h; default: what x86 guests of simxen have */
    const char *sbdf;        /* "0000:00:01.0" */
    const char *mmio;        /* util/mmio_window.h; the disk is there, not at `sbdf` */
    const char *addressing;  /* "grants" or "foreign" */
    const char *completion;  /* "irq" or "poll" */
    const char *ring;        /* "split" or "packed" */
    unsigned backend_domid;
    unsigned patience_s; /* without any progress for so long a job gives up */
};

struct disk;
struct job;

/*
 * Hold the disk, opening it for the first. Jobs that name the same place share the disk and
 * must agree in everything else; the platform and the host bridge are the same for all disks.
 */
int disk_get(const struct disk_config *cfg, struct disk **out);
/* The last one resets the device and closes it; says so when the backend still maps memory. */
void disk_put(struct disk *d); /* NULL is allowed */

const struct fe_blk_info *disk_info(const struct disk *d);

enum request_op {
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_FLUSH,
    REQUEST_TRIM,
};

/* Caller storage, one for each request that can be in flight; borrowed from submit to reap. */
struct request {
    enum request_op op;
    uint64_t offset_bytes;
    uint32_t bytes;
    void *buffer; /* within the job's memory */
    void *user;
    int result; /* after reap: 0 or -errno */

    /* private to the job */
    unsigned slot;
    struct request *next;
};

/*
 * Take a free queue of the disk for up to `depth` requests. -EBUSY: more jobs at once than the
 * device has queues. `depth` beyond what a queue holds is allowed: submit then says -EAGAIN.
 */
int job_create(struct disk *d, unsigned depth, struct job **out);
void job_destroy(struct job *j); /* NULL is allowed */

/* The job's pool: page-aligned, granted once. One at a time. */
int job_memory_alloc(struct job *j, size_t bytes, void **va);
void job_memory_free(struct job *j);

/* Give request number `slot` (< depth) its place; once, before it is submitted. */
void job_request_init(struct job *j, struct request *r, unsigned slot);

/*
 * Queue a request. 1: queued; 0: done at once, see r->result; -EAGAIN: full, reap first. An error
 * of the request itself (-EFAULT: not in the pool, -EINVAL: does not fit the device, -EROFS,
 * -EOPNOTSUPP) is a result, not an error of the job.
 */
int job_submit(struct job *j, struct request *r);
/* Tell the device what was queued. */
int job_commit(struct job *j);
/*
 * Wait for at least `min` and take at most `max` requests, or until timeout_ns have passed.
 * Returns how many, or an error that ends the job: -ETIMEDOUT without progress, -EPROTO when the
 * device breaks the rules of the ring, -ESHUTDOWN when the domain is gone.
 */
int job_reap(struct job *j, unsigned min, unsigned max, uint64_t timeout_ns, struct request **done);

#endif
