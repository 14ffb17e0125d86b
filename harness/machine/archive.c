/* SPDX-License-Identifier: MIT */
#include "machine/archive.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PADDING 512u
#define TRAILER "TRAILER!!!"

struct archive {
    FILE *f;
    uint64_t bytes;
    unsigned inode;
    int err; /* the first one */
};

static int note(struct archive *a, int err)
{
    if (!a->err)
        a->err = err;
    return err;
}

static int put(struct archive *a, const void *data, size_t n)
{
    errno = 0;
    if (n && fwrite(data, 1, n, a->f) != n)
        return note(a, errno ? -errno : -EIO);
    a->bytes += n;
    return 0;
}

static int pad(struct archive *a, unsigned to)
{
    static const char zeroes[PADDING];

    return put(a, zeroes, (to - a->bytes % to) % to);
}

static int header(struct archive *a, const char *name, unsigned mode, size_t bytes)
{
    char text[111];
    int rc;

    if (bytes > UINT32_MAX)
        return note(a, -EFBIG);
    /* magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize
     * check, from Documentation/driver-api/early-userspace/buffer-format.rst of Linux */
    snprintf(text, sizeof(text), "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
             ++a->inode, mode, 0u, 0u, 1u, 0u, (unsigned)bytes, 0u, 0u, 0u, 0u,
             (unsigned)strlen(name) + 1, 0u);
    rc = put(a, text, 110);
    if (!rc)
        rc = put(a, name, strlen(name) + 1);
    return rc ? rc : pad(a, 4);
}

struct archive *archive_create(const char *path)
{
    struct archive *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->f = fopen(path, "we");
    if (a->f)
        return a;
    free(a);
    return NULL;
}

int archive_add_folder(struct archive *a, const char *name)
{
    return header(a, name, S_IFDIR | 0755, 0);
}

static int add_bytes(struct archive *a, const char *name, const void *data, size_t n, unsigned mode)
{
    int rc = header(a, name, S_IFREG | mode, n);

    if (!rc)
        rc = put(a, data, n);
    return rc ? rc : pad(a, 4);
}

int archive_add_text(struct archive *a, const char *name, const char *text, unsigned mode)
{
    return add_bytes(a, name, text, strlen(text), mode);
}

int archive_add_file(struct archive *a, const char *name, const char *from, unsigned mode)
{
    FILE *f = fopen(from, "re");
    struct stat st;
    char *data = NULL;
    int rc;

    if (!f)
        return note(a, -errno);
    if (fstat(fileno(f), &st)) {
        rc = note(a, -errno);
        goto out;
    }
    data = malloc((size_t)st.st_size + 1);
    if (!data)
        rc = note(a, -ENOMEM);
    else if (fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
        rc = note(a, -EIO);
    else
        rc = add_bytes(a, name, data, (size_t)st.st_size, mode);
out:
    free(data);
    fclose(f);
    return rc;
}

int archive_finish(struct archive *a)
{
    int rc;

    header(a, TRAILER, 0, 0);
    pad(a, PADDING);
    if (fclose(a->f))
        note(a, -errno);
    rc = a->err;
    free(a);
    return rc;
}
