/* SPDX-License-Identifier: MIT */
/*
 * Shared by disk.c and job.c.
 *
 * Locks, outermost first: the session's (opening and closing), a disk's `world` (the list of
 * jobs, recovery), a job's `inside` (its queue), a vCPU's. Whoever holds `world` and every
 * `inside` is alone with the device and may use its control vCPU; a doorbell takes the lock of
 * its vCPU, since queues can outnumber vCPUs.
 */
#ifndef RP_FIOENGINE_DISK_IMPL_H
#define RP_FIOENGINE_DISK_IMPL_H

#include <pthread.h>

#include "fioengine/disk.h"
#include "frontend/place.h"

#define DISK_VCPUS_MAX 64

/* Memory that could not be taken back when its job ended. */
struct disk_orphan {
    struct fe_dma dma;
    struct disk_orphan *next;
};

struct disk {
    struct disk *next; /* in the session */
    unsigned users;
    struct disk_config cfg; /* its texts are not kept */
    struct fe_place place;
    char *label; /* the place in words, owned */
    bool interrupts, packed;
    uint64_t patience_ns;
    struct fe_memory memory;
    struct fe_virtio *virtio;
    struct fe_blk *blk;
    unsigned vcpus;

    pthread_mutex_t world;
    struct job *jobs;
    bool queue_taken[FE_BLK_QUEUES_MAX];
    uint64_t generation; /* initialisations of the device; read under any job's `inside` */
    struct disk_orphan *orphans;
    pthread_mutex_t vcpu_lock[DISK_VCPUS_MAX];
};

struct job {
    struct job *next; /* in the disk */
    struct disk *disk;
    unsigned queue, depth;
    struct fe_dma pool;
    struct fe_dma segments; /* one discard segment for each request */
    pthread_mutex_t inside;
    uint64_t generation; /* of the disk, at the last look */
    unsigned in_flight;  /* submitted, and not yet handed out by reap */
    bool suspect;        /* a doorbell failed: look at the device without waiting */
    bool unkicked;
    struct request *again, **again_tail; /* to be submitted again, in order */
    uint64_t looked_ns;                  /* when the device last gave a sign of life */
    uint64_t progress_ns;                /* when something was last completed or begun */
};

/*
 * See whether the device is still the one that the caller knew as `generation`, and initialise
 * it again if not. Called without `inside`. 0, or an error that ends the job.
 */
int disk_recover(struct disk *d, uint64_t generation);

#endif
