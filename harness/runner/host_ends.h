/* SPDX-License-Identifier: MIT */
/*
 * What a check may ask of the host ends of a console's ports (harness/runner/asks.h), which only
 * the testbed can reach. A connection lives until it is closed or the check ends.
 */
#ifndef RP_RUNNER_HOST_ENDS_H
#define RP_RUNNER_HOST_ENDS_H

#include "runner/session.h"

#define HOST_END_READ_MAX 32768

int host_end_open(struct session *s, const json_t *args, json_t **value);
int host_end_close(struct session *s, const json_t *args, json_t **value);
int host_end_write(struct session *s, const json_t *args, json_t **value);
int host_end_read(struct session *s, const json_t *args, json_t **value);
int host_end_manage(struct session *s, const json_t *args, json_t **value);

/* The check is over. */
void host_ends_close(struct session *s);

#endif
