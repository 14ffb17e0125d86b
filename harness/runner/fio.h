/* SPDX-License-Identifier: MIT */
/* A stock fio as a guest: its start, and what its own JSON says when it has ended. */
#ifndef RP_RUNNER_FIO_H
#define RP_RUNNER_FIO_H

#include "runner/guest.h"

/* In the domain of g->cell, as g->process. An error is in the result. */
int fio_start(struct guest_run *g, const struct scenario_fio *f);
/* Adds what was read and written; each job's error, and fio's own, is in the result. `told_to_end`:
 * by SIGINT. */
void fio_judge(struct guest_run *g, bool told_to_end, uint64_t *read, uint64_t *written);

#endif
