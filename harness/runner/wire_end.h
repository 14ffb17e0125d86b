/* SPDX-License-Identifier: MIT */
/*
 * What a check may ask of the other end of a network device's wire (harness/runner/asks.h), which
 * only the testbed can reach. It is plugged in anew for each check, and pulled at its end.
 */
#ifndef RP_RUNNER_WIRE_END_H
#define RP_RUNNER_WIRE_END_H

#include "runner/session.h"

int wire_end_send(struct session *s, const json_t *args, json_t **value);
int wire_end_recv(struct session *s, const json_t *args, json_t **value);
int wire_end_link(struct session *s, const json_t *args, json_t **value);

int wire_end_plug_in(struct session *s);
void wire_end_unplug(struct session *s);

#endif
