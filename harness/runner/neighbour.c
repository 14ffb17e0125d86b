/* SPDX-License-Identifier: MIT */
#include "runner/neighbour.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "runner/fio.h"

/* fio writes its result when it is told to end, once what is in flight has come back. */
#define END_NS 20000000000u
/* Whoever stands still has written no more than this, and compared nothing. */
#define MOVED_MIN_BYTES (1u << 20)
#define MOVED_LIMIT_NS  20000000000u

struct neighbour {
    struct guest_run g;
    struct testbed_cell *cell;
    char dir[300];
    size_t own; /* the place of its result among the cell's, which moves */
};

static int serve(struct neighbour *n, struct testbed_cell *beside)
{
    int ret = beside->ops->beside(beside, n->dir, &n->cell);

    if (ret) {
        report_cell_worsen(n->g.report, ERROR, beside->why);
        return ret;
    }
    ret = n->cell->ops->domain_create(n->cell);
    if (!ret)
        ret = n->cell->ops->backend_start(n->cell);
    if (ret)
        report_cell_worsen(n->g.report, cell_start_outcome(n->cell, ret), n->cell->why);
    return ret;
}

struct neighbour *neighbour_begin(const struct run_options *o, struct testbed_cell *c,
                                  const struct job *job, uint64_t deadline_ns,
                                  struct report_cell *report)
{
    const struct scenario *s = job->plan.scenario;
    struct neighbour *n;

    if (!s->neighbour.job)
        return NULL;
    n = calloc(1, sizeof(*n));
    if (!n) {
        report_cell_worsen(report, ERROR, "out of memory");
        return NULL;
    }
    n->g = (struct guest_run){.name = "the neighbour's fio",
                              .options = o,
                              .scenario = s,
                              .report = report,
                              .process = PROCESS_INIT,
                              .start_ns = monotonic_ns(),
                              .deadline_ns = deadline_ns};
    snprintf(n->dir, sizeof(n->dir), "%.280s/neighbour", c->run_dir);
    if (mkdir(n->dir, 0755)) {
        report_cell_worsen(report, ERROR, strerror(errno));
    } else if (!serve(n, c)) {
        n->own = report->check_count;
        n->g.cell = n->cell;
        n->g.check = report_cell_add_check(report, SCENARIO_NEIGHBOUR_RESULT, PASS);
        report_set(&n->g.check->title,
                   "Another domain's fio writes and verifies, and notices nothing");
        report_set(&n->g.check->proves, "xen.lifecycle.neighbour.1");
        n->g.check->judges = DEVICE;
        if (!fio_start(&n->g, &s->neighbour))
            return n;
    }
    n->g.check = NULL;
    neighbour_end(n);
    return NULL;
}

/*
 * What is beside it may be over before its fio has begun to write, or to read back, which is some
 * hundred KiB behind. The image of its disk, of which nothing was there, tells.
 */
static void wait_until_moved(struct neighbour *n)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t deadline = monotonic_ns() + MOVED_LIMIT_NS * testbed_cell_slowness(n->cell);
    char *image = testbed_image_path(n->cell, 0);
    struct stat st;

    while (image && !stat(image, &st) && (uint64_t)st.st_blocks * 512 < 2 * MOVED_MIN_BYTES &&
           process_running(&n->g.process) && monotonic_ns() < deadline)
        nanosleep(&pause, NULL);
    free(image);
}

static void judge(struct neighbour *n)
{
    struct guest_run *g = &n->g;
    uint64_t read = 0, written = 0;
    bool told = false;
    char text[256], end[96];

    if (!process_running(&n->cell->backend)) {
        snprintf(text, sizeof(text), "the neighbour's backend has ended: %s",
                 process_describe_end(&n->cell->backend, end, sizeof(end)));
        guest_broken(g, FAIL, text);
        return;
    }
    wait_until_moved(n);
    told = process_signal(&g->process, SIGINT) == 0;
    if (!told) {
        snprintf(text, sizeof(text), "the neighbour's fio has ended: %s",
                 process_describe_end(&g->process, end, sizeof(end)));
        guest_broken(g, FAIL, text);
    } else {
        if (process_wait(&g->process, END_NS)) {
            guest_broken(g, FAIL,
                         "the neighbour's fio does not come to an end: its requests stand");
            return;
        }
    }
    fio_judge(g, told, &read, &written);
    g->check->expectations++;
    if (read < MOVED_MIN_BYTES || written < MOVED_MIN_BYTES) {
        snprintf(text, sizeof(text),
                 "the neighbour has written %" PRIu64 " bytes, and read %" PRIu64, written, read);
        guest_broken(g, FAIL, text);
    }
}

void neighbour_end(struct neighbour *n)
{
    if (!n)
        return;
    if (n->g.check) {
        n->g.check = &n->g.report->checks[n->own];
        judge(n);
        guest_end(&n->g);
    }
    if (n->cell)
        n->cell->ops->close(n->cell);
    free(n);
}
