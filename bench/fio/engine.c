/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fio's side of the engine: the only file that includes fio's headers, which are GPL-2.0. What
 * it calls is in disk.h.
 *
 *     ioengine=external:/path/to/ringproof-fio.so
 *     thread=1
 *     platform=simxen  sbdf=0000:00:01.0  addressing=grants  completion=irq  ...
 *     (or mmio=base=0xfeb00000,irq=5 instead of sbdf)
 *
 * Options that a job leaves out come from the environment (RINGPROOF_PLATFORM and so on), then
 * from the defaults that `fio --enghelp=/path/to/ringproof-fio.so` shows.
 */
#include "fio.h"
#include "optgroup.h"

#include "fioengine/disk.h"
#include "util/parse.h"

#define DEFAULT_BACKEND_DOMID 0
#define DEFAULT_PATIENCE_S    30
#define DOMID_MAX             0x7fef /* the last id below the reserved ones of xen.h */
#define PATIENCE_MAX_S        3600
#define UNSET                 -1

struct engine_options {
    void *pad; /* fio takes an offset of 0 for "no option" */
    char *platform, *host_bridge, *sbdf, *mmio, *addressing, *completion, *ring;
    int backend_domid, patience;
};

static struct fio_option engine_option_table[] = {
    {
        .name = "platform",
        .lname = "Guest platform",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof(struct engine_options, platform),
        .help = "Plugin and its argument, NAME[:ARG]; $RINGPROOF_PLATFORM, then simxen",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "host_bridge",
        .lname = "Host bridge",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof(struct engine_options, host_bridge),
        .help = "seg=,bus=,ecam=,mem= as firmware describes it; $RINGPROOF_HOST_BRIDGE",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "sbdf",
        .lname = "PCI function",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof(struct engine_options, sbdf),
        .help = "Which function is the disk; $RINGPROOF_SBDF, then 0000:00:01.0",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "mmio",
        .lname = "virtio-mmio device",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof(struct engine_options, mmio),
        .help = "base=ADDR,irq=N: the disk is there and not on PCI; $RINGPROOF_MMIO",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "addressing",
        .lname = "Addressing",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof(struct engine_options, addressing),
        .help = "grants or foreign; $RINGPROOF_ADDRESSING, then grants",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "completion",
        .lname = "Completion",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof(struct engine_options, completion),
        .help = "irq or poll; $RINGPROOF_COMPLETION, then irq",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "ring",
        .lname = "Ring format",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof(struct engine_options, ring),
        .help = "split or packed; $RINGPROOF_RING, then split",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "backend_domid",
        .lname = "Backend domain",
        .type = FIO_OPT_INT,
        .off1 = offsetof(struct engine_options, backend_domid),
        .minval = UNSET,
        .maxval = DOMID_MAX,
        .def = "-1",
        .help = "Domain that buffers are granted to; $RINGPROOF_BACKEND_DOMID, then 0",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {
        .name = "patience",
        .lname = "Patience",
        .type = FIO_OPT_INT,
        .off1 = offsetof(struct engine_options, patience),
        .minval = UNSET,
        .maxval = PATIENCE_MAX_S,
        .def = "-1",
        .help = "Seconds without progress after which a job gives up; $RINGPROOF_PATIENCE, then 30",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_INVALID,
    },
    {.name = NULL},
};

struct engine_job {
    struct disk *disk;
    struct job *job;
    struct request *requests; /* iodepth of them */
    struct request **done;
    struct io_u **queued; /* since the last commit */
    unsigned depth, initialised, queued_count;
};

static const char *text_option(const char *option, const char *variable)
{
    const char *value = option != NULL && *option != '\0' ? option : getenv(variable);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* The option, else the variable, else `fallback`. -EINVAL: the variable is not such a number. */
static int number_option(int option, const char *variable, unsigned min, unsigned max,
                         unsigned fallback, unsigned *value)
{
    const char *text = getenv(variable);

    *value = option != UNSET ? (unsigned)option : fallback;
    if (option != UNSET || text == NULL || *text == '\0')
        return 0;
    if (parse_u32(text, min, max, value) < 0) {
        log_err("ringproof: %s=%s: a number from %u to %u is expected\n", variable, text, min, max);
        return -EINVAL;
    }
    return 0;
}

static void engine_cleanup(struct thread_data *td)
{
    struct engine_job *e = td->io_ops_data;

    if (e == NULL)
        return;
    td->io_ops_data = NULL;
    job_destroy(e->job);
    disk_put(e->disk);
    free(e->requests);
    free(e->done);
    free(e->queued);
    free(e);
}

/* For every job, in fio's main thread, before any of them runs. */
static int engine_setup(struct thread_data *td)
{
    const struct engine_options *o = td->eo;
    struct engine_job *e;
    struct disk_config cfg = {
        .platform = text_option(o->platform, "RINGPROOF_PLATFORM"),
        .host_bridge = text_option(o->host_bridge, "RINGPROOF_HOST_BRIDGE"),
        .sbdf = text_option(o->sbdf, "RINGPROOF_SBDF"),
        .mmio = text_option(o->mmio, "RINGPROOF_MMIO"),
        .addressing = text_option(o->addressing, "RINGPROOF_ADDRESSING"),
        .completion = text_option(o->completion, "RINGPROOF_COMPLETION"),
        .ring = text_option(o->ring, "RINGPROOF_RING"),
    };
    struct fio_file *f;

    if (td->io_ops_data != NULL)
        return 0;
    if (!td->o.use_thread) {
        log_err("ringproof: %s: thread=1 is needed: all jobs are one guest, and a guest is one "
                "process\n",
                td->o.name);
        return 1;
    }
    if (number_option(o->backend_domid, "RINGPROOF_BACKEND_DOMID", 0, DOMID_MAX,
                      DEFAULT_BACKEND_DOMID, &cfg.backend_domid) < 0 ||
        number_option(o->patience, "RINGPROOF_PATIENCE", 1, PATIENCE_MAX_S, DEFAULT_PATIENCE_S,
                      &cfg.patience_s) < 0)
        return 1;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return 1;
    td->io_ops_data = e;
    if (disk_get(&cfg, &e->disk) < 0) {
        engine_cleanup(td);
        return 1;
    }
    if (td_write(td) && disk_info(e->disk)->readonly) {
        log_err("ringproof: %s: the disk is read-only\n", td->o.name);
        engine_cleanup(td);
        return 1;
    }
    if (!td->files_index) {
        add_file(td, td->o.filename != NULL ? td->o.filename : "ringproof", 0, 0);
        td->o.nr_files = td->o.nr_files ? td->o.nr_files : 1;
        td->o.open_files++;
    }
    for (unsigned i = 0; i < td->files_index; i++) {
        f = td->files[i];
        f->filetype = FIO_TYPE_BLOCK;
        f->real_file_size = disk_info(e->disk)->capacity_sectors * FE_BLK_SECTOR_BYTES;
        fio_file_set_size_known(f);
    }
    return 0;
}

/* In the job's own thread, when it begins. */
static int engine_init(struct thread_data *td)
{
    struct engine_job *e = td->io_ops_data;

    if (e == NULL) /* fio asks each engine once while it parses, before setup */
        return 0;
    e->depth = td->o.iodepth;
    e->requests = calloc(e->depth, sizeof(struct request));
    e->done = calloc(e->depth, sizeof(struct request *));
    e->queued = calloc(e->depth, sizeof(struct io_u *));
    if (e->requests == NULL || e->done == NULL || e->queued == NULL)
        return 1;
    return job_create(e->disk, e->depth, &e->job) < 0;
}

static int engine_iomem_alloc(struct thread_data *td, size_t bytes)
{
    struct engine_job *e = td->io_ops_data;
    void *va;

    if (job_memory_alloc(e->job, bytes, &va) < 0)
        return 1;
    td->orig_buffer = va;
    return 0;
}

static void engine_iomem_free(struct thread_data *td)
{
    struct engine_job *e = td->io_ops_data;

    if (e != NULL && e->job != NULL)
        job_memory_free(e->job);
    td->orig_buffer = NULL;
}

static int engine_io_u_init(struct thread_data *td, struct io_u *io_u)
{
    struct engine_job *e = td->io_ops_data;
    struct request *r;

    if (e->initialised == e->depth)
        return 1;
    r = &e->requests[e->initialised];
    job_request_init(e->job, r, e->initialised);
    e->initialised++;
    r->user = io_u;
    io_u->engine_data = r;
    return 0;
}

static int engine_prep(struct thread_data *td, struct io_u *io_u)
{
    struct request *r = io_u->engine_data;

    r->offset_bytes = io_u->offset;
    r->bytes = (uint32_t)io_u->xfer_buflen;
    r->buffer = io_u->xfer_buf;
    switch (io_u->ddir) {
    case DDIR_READ:
        r->op = REQUEST_READ;
        break;
    case DDIR_WRITE:
        r->op = REQUEST_WRITE;
        break;
    case DDIR_TRIM:
        r->op = REQUEST_TRIM;
        break;
    default:
        r->op = REQUEST_FLUSH; /* fsync, fdatasync, sync_file_range */
        break;
    }
    return 0;
}

static void io_u_finish(struct io_u *io_u, const struct request *r)
{
    io_u->error = (unsigned)-r->result;
    io_u->resid = r->result != 0 ? io_u->xfer_buflen : 0;
}

static enum fio_q_status engine_queue(struct thread_data *td, struct io_u *io_u)
{
    struct engine_job *e = td->io_ops_data;
    struct request *r = io_u->engine_data;
    int rc;

    fio_ro_check(td, io_u);
    rc = job_submit(e->job, r);
    if (rc == 1) {
        e->queued[e->queued_count++] = io_u;
        return FIO_Q_QUEUED;
    }
    if (rc < 0)
        return FIO_Q_BUSY;
    io_u_finish(io_u, r);
    if (r->result != 0)
        td_verror(td, -r->result, "ringproof: submit");
    return FIO_Q_COMPLETED;
}

/* What was queued goes out now: submission latency ends, completion latency begins. */
static void mark_issued(struct thread_data *td, struct engine_job *e)
{
    struct timespec now;

    if (e->queued_count == 0)
        return;
    if (fio_fill_issue_time(td)) {
        fio_gettime(&now, NULL);
        for (unsigned i = 0; i < e->queued_count; i++) {
            e->queued[i]->issue_time = now;
            io_u_queued(td, e->queued[i]);
        }
    }
    io_u_mark_submit(td, e->queued_count);
    e->queued_count = 0;
}

static int engine_commit(struct thread_data *td)
{
    struct engine_job *e = td->io_ops_data;
    int rc;

    mark_issued(td, e);
    rc = job_commit(e->job);
    if (rc < 0)
        td_verror(td, -rc, "ringproof: doorbell");
    return rc;
}

static int engine_getevents(struct thread_data *td, unsigned int min, unsigned int max,
                            const struct timespec *t)
{
    struct engine_job *e = td->io_ops_data;
    uint64_t timeout_ns = UINT64_MAX;
    int rc;

    if (t != NULL)
        timeout_ns = (uint64_t)t->tv_sec * 1000000000ull + (uint64_t)t->tv_nsec;
    if (max > e->depth)
        max = e->depth;
    rc = job_reap(e->job, min < max ? min : max, max, timeout_ns, e->done);
    if (rc < 0) /* before fio does, which takes the number as it is: negative */
        td_verror(td, -rc, "ringproof: completion");
    return rc;
}

static struct io_u *engine_event(struct thread_data *td, int event)
{
    struct engine_job *e = td->io_ops_data;
    struct request *r = e->done[event];
    struct io_u *io_u = r->user;

    io_u_finish(io_u, r);
    return io_u;
}

static int engine_open_file(struct thread_data *td, struct fio_file *f)
{
    return 0;
}

static int engine_close_file(struct thread_data *td, struct fio_file *f)
{
    return 0;
}

static int engine_invalidate(struct thread_data *td, struct fio_file *f)
{
    return 0; /* a guest has no cache above its driver */
}

static struct ioengine_ops engine_ops = {
    .name = "ringproof",
    .version = FIO_IOOPS_VERSION,
    .flags = FIO_DISKLESSIO | FIO_RAWIO | FIO_NOEXTEND | FIO_NODISKUTIL | FIO_MEMALIGN |
             FIO_NO_OFFLOAD | FIO_ASYNCIO_SETS_ISSUE_TIME,
    .setup = engine_setup,
    .init = engine_init,
    .cleanup = engine_cleanup,
    .iomem_alloc = engine_iomem_alloc,
    .iomem_free = engine_iomem_free,
    .io_u_init = engine_io_u_init,
    .prep = engine_prep,
    .queue = engine_queue,
    .commit = engine_commit,
    .getevents = engine_getevents,
    .event = engine_event,
    .open_file = engine_open_file,
    .close_file = engine_close_file,
    .invalidate = engine_invalidate,
    .option_struct_size = sizeof(struct engine_options),
    .options = engine_option_table,
};

__attribute__((visibility("default"))) void get_ioengine(struct ioengine_ops **ops);

void get_ioengine(struct ioengine_ops **ops)
{
    *ops = &engine_ops;
}
