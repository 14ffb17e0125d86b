/* SPDX-License-Identifier: MIT */
/*
 * A store that holds requests back for as long as somebody wants: while a file exists. They are in
 * flight then, as at a disk that does not answer, until the file is removed or the driver resets.
 * For whoever tests what ends them.
 */
#ifndef RP_DEVICE_BLK_HOLD_H
#define RP_DEVICE_BLK_HOLD_H

#include <stdbool.h>

#include "util/evloop.h"

struct blk_hold;

/* `let_go` is called from the loop each time that the file has gone. 0, -ENOMEM, -EMFILE, or an
 * error of the file's folder. */
int blk_hold_create(struct evloop *loop, const char *path, void (*let_go)(void *ctx), void *ctx,
                    struct blk_hold **out);
void blk_hold_destroy(struct blk_hold *h); /* NULL is allowed */
/* Is the file there now? NULL: no. */
bool blk_hold_on(const struct blk_hold *h);

#endif
