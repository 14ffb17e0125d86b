/* SPDX-License-Identifier: MIT */
/*
 * What travels between the harness and a booted machine's dom0: frames on one byte stream, so that
 * many programs can run in dom0 at once, each with streams of its own.
 *
 *     testbed --(unix socket)--> ringproof-machine --(serial port)--> ringproof-dom0-loop
 *
 * The same frames are used on both ways; on a socket there is one program a connection and the
 * channel is 0. A frame is a header of 8 bytes and up to FRAME_BYTES_MAX of payload. A stream that
 * loses a byte cannot be used any longer: the magic number finds that out.
 *
 * To dom0                            payload
 *     SPAWN      start a program     words, each with its NUL; leading NAME=value are settings
 *     INPUT      for its stdin       bytes
 *     INPUT_END
 *     SIGNAL                         one byte; SIGKILL goes to its process group
 *     WAKE       nothing (channel 0) -
 * From dom0
 *     HELLO      once (channel 0)    -
 *     OUTPUT, ERRORS                 bytes of stdout, stderr
 *     EXIT       last of a channel   wait status, le32
 * On the socket alone
 *     USE        boot this machine   its name ("x86"); the machine stays until the socket closes
 *     READY      answer              a text: how it was booted
 *     FAILED     answer              a text: why not
 */
#ifndef RP_MACHINE_FRAME_H
#define RP_MACHINE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 8u
#define FRAME_BYTES_MAX    16384u

enum frame_type {
    FRAME_SPAWN = 1,
    FRAME_INPUT,
    FRAME_INPUT_END,
    FRAME_SIGNAL,
    FRAME_WAKE,
    FRAME_HELLO,
    FRAME_OUTPUT,
    FRAME_ERRORS,
    FRAME_EXIT,
    FRAME_USE,
    FRAME_READY,
    FRAME_FAILED,
};

struct frame {
    enum frame_type type;
    uint32_t channel;
    const uint8_t *payload; /* lies in the reader */
    uint32_t bytes;
};

/* Bytes to frames. */
struct frame_reader {
    uint32_t start, used;
    uint8_t buf[2 * (FRAME_HEADER_BYTES + FRAME_BYTES_MAX)];
};

/* Room to read(2) into, at least 1 byte after all frames have been taken; then say how many. */
void *frame_reader_space(struct frame_reader *r, size_t *bytes);
void frame_reader_fed(struct frame_reader *r, size_t bytes);
/* 1: *f, valid until the next call of a reader's function; 0: feed more; -EPROTO: this is no
 * stream of frames. */
int frame_next(struct frame_reader *r, struct frame *f);

/* The header of a frame with so much payload. */
void frame_header(uint8_t h[FRAME_HEADER_BYTES], enum frame_type type, uint32_t channel,
                  uint32_t bytes);

/* Writes a whole frame, waiting as long as it takes; longer payloads become several frames.
 * 0 or -errno. */
int frame_write(int fd, enum frame_type type, uint32_t channel, const void *payload, size_t bytes);

#endif
