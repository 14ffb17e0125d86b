/* SPDX-License-Identifier: MIT */
/*
 * Services that a domU's agent offers to checks in another domain: its own pages and grants, its
 * vCPUs' accesses, its interrupts. Call names, arguments (defaults in parentheses), values:
 *
 *   domain.info  {}                                 -> {domid, nr_vcpus, arm, platform, window}
 *   reset        {}                                 -> {}   all that the calls below left
 *   pages.alloc  {pages(1), pattern(0)}             -> {id, gfns:[...]}
 *   pages.free   {id}                               -> {}
 *   pages.read   {id, offset, bytes (at most 256)}  -> {hex}
 *   pages.write  {id, offset, hex}                  -> {}
 *   page.gfn     {id, page(0)}                      -> {gfn}
 *   grant.share  {pages(1), pattern(0), domid(0), readonly(false)} -> {id, ref, gfn}
 *   grant.add    {id, domid(0), readonly(false)}    -> {ref}    one more grant of the same pages
 *   grant.at     {id, ref, domid(0), readonly(false)} -> {ref}  at references of one's choice
 *   grant.revoke {ref}                              -> {}
 *   grant.in_use {ref}                              -> {in_use}
 *   mmio.read    {addr, bytes, vcpu(0)}             -> {value}
 *   mmio.write   {addr, bytes, value, vcpu(0)}      -> {}
 *   mmio.start   {addr, bytes, vcpu(0)[, value]}    -> {id}     without value a read
 *   mmio.wait    {id, timeout_ms}                   -> {done[, value, errno]}
 *   irq.msi      {vcpu(0)}                          -> {irq, addr, data}
 *   irq.intx     {sbdf, pin}                        -> {irq}
 *   irq.wait     {irq, timeout_ms}                  -> {fired}
 *   irq.free     {irq}                              -> {}
 *
 * Addresses and values travel as text ("0x..."), since JSON integers end at 2^63. A call that the
 * platform refuses answers with the name of the errno as error ("EBUSY") and nothing else; a
 * call that is wrong answers with a sentence.
 */
#ifndef RP_AGENT_PEER_H
#define RP_AGENT_PEER_H

#include "check/wire.h"
#include "frontend/platform.h"

struct peer;

/* All pointers are borrowed. `window`: see domain.info; 64 KiB that no device uses. NULL without
 * memory. */
struct peer *peer_create(struct fe_platform *p, uint64_t window);
/* Gives back what it can. NULL is allowed. */
void peer_destroy(struct peer *p);

/* For struct link: ctx is a struct peer. */
void peer_serve_call(void *ctx, const struct wire_call *call, struct wire_call *reply);

#endif
