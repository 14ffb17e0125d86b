/* SPDX-License-Identifier: MIT */
/*
 * Disk images made for a cell.
 *
 * A *filled* image says in every sector where it is: 64 copies of the little-endian 64-bit value
 * (sector number ^ 0x5bd1e995a5a5a5a5). A check can so tell a wrong sector from a wrong byte.
 */
#ifndef RP_TESTBED_IMAGE_H
#define RP_TESTBED_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_SECTOR_BYTES 512u
#define IMAGE_FILL_XOR     0x5bd1e995a5a5a5a5ull

/* A sparse file that must not exist yet; filled: with the pattern above. 0 or -errno. */
int image_create(const char *path, uint64_t bytes, bool filled);

#endif
