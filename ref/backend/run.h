/* SPDX-License-Identifier: MIT */
/*
 * The life of a backend process: wait for the domain, claim, make the devices, become (part of)
 * the domain's machine, serve until a signal or the domain's end, give everything back.
 *
 * After a kill -9 a new process with the same options takes over: the image lock and all mappings
 * have gone with the old process; its IOREQ server is adopted (backend/claim.h), so that a vCPU
 * that waits in an access gets an answer and the guest goes on.
 *
 * What a successor does *not* inherit is the state of the devices: they start as after power-on,
 * status 0, BARs 0, memory decoding off. That is deliberate. Ring indices, features and vectors
 * would have to be stored at each change to be trusted after a crash, while a device that was
 * reset under its driver is a case that a driver has to handle: it reads all ones where its BAR
 * was (VIRTIO 2.1.2: a driver that finds its device gone or in need of a reset starts over),
 * enumerates the function again, programs the BARs and initialises. A request that was not
 * acknowledged before is then submitted again by the driver; one that was acknowledged is on the
 * disk as far as FLUSH promises.
 */
#ifndef RP_BACKEND_RUN_H
#define RP_BACKEND_RUN_H

#include "backend/options.h"

/* Returns the exit status: 0 or 1. Everything that went wrong has been logged. */
int backend_run(const struct backend_options *o);

#endif
