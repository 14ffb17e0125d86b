/* SPDX-License-Identifier: MIT */
#include "frontend/platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where `make install` puts plugins unless the build says otherwise. */
#ifndef RP_LIBDIR
#define RP_LIBDIR "/usr/local/lib/ringproof"
#endif

#define PLATFORM_SYMBOL "fe_platform_plugin"

/* <folder of the executable>/../lib; -ENAMETOOLONG or an error of readlink. */
static int platform_exe_libdir(char *dir, size_t size)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    char *slash;

    if (n < 0)
        return -errno;
    exe[n] = '\0';
    slash = strrchr(exe, '/');
    if (!slash)
        return -ENOENT;
    *slash = '\0';
    if (snprintf(dir, size, "%.*s/../lib", (int)(size - 8), exe) >= (int)size)
        return -ENAMETOOLONG;
    return 0;
}

static int platform_path(const char *name, char *path, size_t size)
{
    char exe_dir[PATH_MAX] = "";
    const char *dirs[3] = {getenv("RINGPROOF_LIBDIR"), NULL, RP_LIBDIR};

    if (name[0] == '/')
        return snprintf(path, size, "%s", name) < (int)size ? 0 : -ENAMETOOLONG;

    if (platform_exe_libdir(exe_dir, sizeof(exe_dir)) == 0)
        dirs[1] = exe_dir;
    for (unsigned i = 0; i < 3; i++) {
        if (!dirs[i] || !dirs[i][0])
            continue;
        if (snprintf(path, size, "%s/platform-%s.so", dirs[i], name) >= (int)size)
            continue;
        if (access(path, R_OK) == 0)
            return 0;
    }
    fprintf(stderr,
            "platform %s: no platform-%s.so in $RINGPROOF_LIBDIR (%s), beside this program (%s) or "
            "in %s\n",
            name, name, dirs[0] ? dirs[0] : "unset", dirs[1] ? dirs[1] : "unknown", RP_LIBDIR);
    return -ENOENT;
}

int fe_platform_open(const char *spec, struct fe_platform **out)
{
    char name[PATH_MAX], path[PATH_MAX];
    const struct fe_platform_plugin *plugin;
    const char *colon = strchr(spec, ':');
    size_t len = colon ? (size_t)(colon - spec) : strlen(spec);
    void *handle;
    int rc;

    *out = NULL;
    if (len == 0 || len >= sizeof(name)) {
        fprintf(stderr, "platform \"%s\": a name or a path is expected\n", spec);
        return -EINVAL;
    }
    memcpy(name, spec, len);
    name[len] = '\0';

    rc = platform_path(name, path, sizeof(path));
    if (rc)
        return rc;

    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        fprintf(stderr, "platform %s: %s\n", name, dlerror());
        return -ELIBACC;
    }
    plugin = dlsym(handle, PLATFORM_SYMBOL);
    if (!plugin || plugin->abi != FE_PLATFORM_ABI || !plugin->open) {
        fprintf(stderr, "platform %s: %s is no platform plugin of this version\n", name, path);
        dlclose(handle);
        return -ELIBBAD;
    }

    /* The library stays loaded: it has threads and thread-local state of its own, and is opened
     * once in a process. */
    rc = plugin->open(colon ? colon + 1 : NULL, out);
    if (rc) {
        fprintf(stderr, "platform %s: %s\n", name, strerror(-rc));
        *out = NULL;
    }
    return rc;
}

void fe_platform_close(struct fe_platform *p)
{
    if (p)
        p->ops->close(p);
}
