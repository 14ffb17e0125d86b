/* SPDX-License-Identifier: MIT */
/*
 * The loop of a booted machine's dom0: with the control channel as standard input and output it
 * starts programs as frames ask (machine/frame.h), and carries their streams.
 *
 * A program that is killed is waited for before another one is started, so that what it held has
 * been given back then, as for a process that is reaped.
 */
#ifndef RP_MACHINE_LOOP_H
#define RP_MACHINE_LOOP_H

/* Until the channel ends: -EPIPE; -EPROTO when it carries something that is no frame. */
int loop_serve(void);

#endif
