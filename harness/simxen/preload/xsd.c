/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into xenstored: /proc/xen/xsd_kva (dom0's own ring page, which the kernel would show)
 * and /proc/xen/xsd_port (its event channel) are files of the run folder instead,
 * $SIMXEN_DIR/xenstored/xsd_kva and xsd_port. Every other path goes where it went.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define PROC_XEN "/proc/xen/"

#define EXPORT __attribute__((visibility("default")))

/* With _FORTIFY_SOURCE these calls arrive under other names. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags);
EXPORT int __openat_2(int dirfd, const char *path, int flags);
EXPORT int __openat64_2(int dirfd, const char *path, int flags);

#undef open
#undef open64
#undef openat
#undef openat64
#undef fopen
#undef fopen64

static const char *redirect(const char *path, char room[PATH_MAX])
{
    const char *dir, *name;
    int n;

    if (!path || strncmp(path, PROC_XEN, sizeof(PROC_XEN) - 1) != 0)
        return path;
    name = path + sizeof(PROC_XEN) - 1;
    dir = getenv("SIMXEN_DIR");
    if (!dir || (strcmp(name, "xsd_kva") != 0 && strcmp(name, "xsd_port") != 0))
        return path;
    n = snprintf(room, PATH_MAX, "%s/xenstored/%s", dir, name);
    return n > 0 && n < PATH_MAX ? room : path;
}

static void *next(const char *symbol)
{
    void *f = dlsym(RTLD_NEXT, symbol);

    if (!f)
        abort();
    return f;
}

static int real_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    int (*f)(int, const char *, int, ...);
    char room[PATH_MAX];

    *(void **)&f = next("openat64");
    return f(dirfd, redirect(path, room), flags, mode);
}

/* The mode is there only when the call may create. */
#define MODE(flags, mode)                                                                          \
    do {                                                                                           \
        if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                   \
            va_list ap;                                                                            \
                                                                                                   \
            va_start(ap, flags);                                                                   \
            (mode) = (mode_t)va_arg(ap, int);                                                      \
            va_end(ap);                                                                            \
        }                                                                                          \
    } while (0)

EXPORT int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE(flags, mode);
    return real_openat(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE(flags, mode);
    return real_openat(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE(flags, mode);
    return real_openat(dirfd, path, flags, mode);
}

EXPORT int openat64(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE(flags, mode);
    return real_openat(dirfd, path, flags, mode);
}

int __open_2(const char *path, int flags)
{
    return real_openat(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return real_openat(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dirfd, const char *path, int flags)
{
    return real_openat(dirfd, path, flags, 0);
}

int __openat64_2(int dirfd, const char *path, int flags)
{
    return real_openat(dirfd, path, flags, 0);
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
    FILE *(*f)(const char *, const char *);
    char room[PATH_MAX];

    *(void **)&f = next("fopen64");
    return f(redirect(path, room), mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
    FILE *(*f)(const char *, const char *);
    char room[PATH_MAX];

    *(void **)&f = next("fopen64");
    return f(redirect(path, room), mode);
}
