/* SPDX-License-Identifier: MIT */
/*
 * A toolstack's few words with xenstored. libxenstore finds its daemon through the environment,
 * of which a process has one; a runner has several simulations, so the protocol is spoken here.
 */
#ifndef SIMXEN_CTL_STORE_H
#define SIMXEN_CTL_STORE_H

#include <stdint.h>

/* A connection to the daemon whose socket is `path`, or -errno. */
int store_connect(const char *path);

/* All of these: 0, or -errno (xenstored's own error, -EPROTO for nonsense, -EPIPE). `domid` gets
 * what `perm` says ('r' read, beside dom0 who owns it; 'n' owner) unless perm is 0. */
int store_write(int fd, const char *path, const char *value);
int store_mkdir(int fd, const char *path);
int store_rm(int fd, const char *path);
int store_perm(int fd, const char *path, uint16_t domid, char perm);
int store_introduce(int fd, uint16_t domid, uint64_t gfn, uint32_t port);
int store_release(int fd, uint16_t domid);
int store_watch(int fd, const char *path, const char *token);
int store_unwatch(int fd, const char *path, const char *token);
int store_transaction(int fd, uint32_t *tx);
int store_abort(int fd, uint32_t tx);

#endif
