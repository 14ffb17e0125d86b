/* SPDX-License-Identifier: MIT */
/*
 * Archives that Linux unpacks as (a part of) an initial ramdisk: "newc" of cpio, uncompressed. The
 * same content gives the same bytes; entries belong to root. Padded to 512 bytes, so that archives
 * can be joined.
 */
#ifndef RP_MACHINE_ARCHIVE_H
#define RP_MACHINE_ARCHIVE_H

struct archive;

/* The file is made anew. NULL with errno. */
struct archive *archive_create(const char *path);
/* Each name is relative, its folder was added before. 0 or -errno. */
int archive_add_folder(struct archive *a, const char *name);
int archive_add_file(struct archive *a, const char *name, const char *from, unsigned mode);
int archive_add_text(struct archive *a, const char *name, const char *text, unsigned mode);
/* Writes the end and closes. 0 or the first error of all. */
int archive_finish(struct archive *a);

#endif
