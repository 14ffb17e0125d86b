/* SPDX-License-Identifier: MIT */
/*
 * What a check may ask the testbed, and the answers:
 *
 *   backend.start, .stop, .kill, .restart  {}      -> {}
 *   backend.alive   {}                             -> {alive}
 *   backend.audit   {}                             -> {grants_mapped, foreign_frames,
 *                                                      resource_frames, ports, ioservers, fds}
 *   store.read      {path}                         -> {value}
 *   store.write     {path, value}                  -> {}
 *   device.info     {}                             -> {count, type, sbdf, ro, queues, queue_size,
 *                                                      serial, filled, size_bytes, backing}
 *                                                      of a console: ports, cols, rows, name1, ...
 *   console.open, .close  {port}                   -> {}      the host end of a port
 *   console.write   {port, data}                   -> {}
 *   console.read    {port, bytes, ms}              -> {data, ended}
 *   console.manage  {command}                      -> {}      such as "resize 80 25"
 *   domain.pause, domain.unpause  {}               -> {}
 *
 * (`peer` goes to the other agent, see session.h.) Anything else is refused with an error that
 * begins "not supported", which a check turns into a skip.
 */
#ifndef RP_RUNNER_ASKS_H
#define RP_RUNNER_ASKS_H

#include "runner/session.h"

/* Fills reply->ok and value (an owned reference) or error. */
void asks_handle(struct session *s, const struct wire_call *ask, struct wire_call *reply);

#endif
