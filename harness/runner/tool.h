/* SPDX-License-Identifier: MIT */
/* Programs of others that commands call: their output is an answer, and it has a limit. */
#ifndef RP_RUNNER_TOOL_H
#define RP_RUNNER_TOOL_H

#include <stdint.h>

#include "testbed/process.h"

/*
 * Runs argv[0] (found in PATH) to its end. *output, the caller's, is what it wrote to stdout and
 * stderr, at most 64 KiB. Returns its exit status, or -errno: -ETIMEDOUT, -EINTR (a signal ended
 * it), -ENOENT. `stdin_path` NULL: nothing to read.
 */
int tool_run(const struct words *argv, const char *stdin_path, uint64_t limit_ns, char **output);

/* Of a file: 64 hexadecimal digits. 0 or -errno after an explanation on stderr. */
int tool_sha256(const char *path, char digest[65]);

#endif
