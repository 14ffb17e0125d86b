/* SPDX-License-Identifier: MIT */
/*
 * What a check may ask the testbed, and the answers:
 *
 *   backend.start, .stop, .kill, .restart  {}      -> {}
 *   backend.attempt {}                             -> {end: "serves", "error" when it ended by
 *                                                      itself and said so, or what became of it}
 *   backend.alive   {}                             -> {alive}
 *   backend.audit   {}                             -> {grants_mapped, foreign_frames,
 *                                                      resource_frames, ports, ioservers, fds}
 *   store.requests  {}                             -> {count}  of the backend's domain so far
 *   store.read      {path}                         -> {value}
 *   store.write     {path, value}                  -> {}
 *   store.pause, .unpause, .end  {}                -> {}      xenstored
 *   store.begin     {}                             -> {}      after its end: a new one, which knows
 *                                                      of the domains alone
 *   device.info     {}                             -> {count, type, sbdf, ro, queues, queue_size,
 *                                                      serial, filled, size_bytes, backing,
 *                                                      features: the edits of what is offered,
 *                                                      holds: device.hold can be asked}
 *                                                      slot: its number, 0 when it is in none
 *                                                      endpoint: of the IOMMU, -1 when it is
 *                                                      not behind it
 *                                                      of virtio-mmio: base, irq
 *                                                      of a console: ports, cols, rows, name1, ...
 *   device.attach   {type}                         -> {}      the first device, by the store;
 *                                                      it may come back as another type
 *   device.detach   {}                             -> {}
 *   device.hold, device.let-go  {}                 -> {}      its store holds requests back, or not
 *   device.ask-back {}                             -> {}      the guest is asked for it
 *   device.gone     {}                             -> {}      and has given it back
 *   console.open, .close  {port}                   -> {}      the host end of a port
 *   console.write   {port, data}                   -> {}
 *   console.read    {port, bytes, ms}              -> {data, ended}
 *   console.manage  {command}                      -> {}      such as "resize 80 25"
 *   backend.pause   {}                             -> {}      until domain.end
 *   domain.end      {how: destroy, crash, reboot}  -> never: the agent ends with its domain. What
 *                                                      the backend leaves of it is judged; then the
 *                                                      check is run again in the domain that comes
 *                                                      next, with the parameter "reborn"
 *   domain.pause, domain.unpause  {}               -> {}
 *   domain.costs    {}                             -> {traps, events, interrupts, pages_mapped,
 *                                                      pages_unmapped, frames_mapped, copies,
 *                                                      bytes_copied}
 *   quota.leave     {what, left}                   -> {}      no more than `left` ports, nodes,
 *                                                      watches or transactions for the backend's
 *                                                      domain; guest-ports: the driver's
 *   quota.restore   {what}                         -> {}      as many as ever
 *   machine.use     {}                             -> {all: a text, the same for the same use}
 *   net.send        {head, header, bytes, seed, count}  -> {sent, cut}
 *   net.recv        {timeout_ms}                   -> {bytes, header, head, sum, cut}
 *   net.link        {up}                           -> {}
 *
 * net.* is the other end of a network device's wire. A frame to send begins with `head` (hex) and
 * goes on, up to `bytes`, with byte i being (31 i + 7 (i >> 8) + seed) modulo 256; `header` is the
 * 12 bytes of struct virtio_net_hdr (zeroes when absent). The n-th of `count` frames (1 when
 * absent) has seed + n; fewer are sent when the wire is full. A received frame is told by its
 * length (0: none came), its header, its first 256 bytes, and the 64-bit FNV-1a hash of all of
 * them. `cut`: the device has closed its end.
 *
 * (`peer` goes to the other agent, see session.h.) Anything else is refused with an error that
 * begins "not supported", which a check turns into a skip.
 */
#ifndef RP_RUNNER_ASKS_H
#define RP_RUNNER_ASKS_H

#include "runner/session.h"

/* Fills reply->ok and value (an owned reference) or error. */
void asks_handle(struct session *s, const struct wire_call *ask, struct wire_call *reply);

/* timeline.wait: every step that is left is carried out when it is due. */
int timeline_wait(struct session *s, const json_t *args, json_t **value);

#endif
