/* SPDX-License-Identifier: MIT */
#include "testbed/guest_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *guest_image_arch(enum scenario_arch arch)
{
    return arch == ARCH_ARM ? "arm64" : "x86";
}

/* What ci/images has made: "image-x86/kernel". */
static char *made_path(const char *what, enum scenario_arch arch, const char *name)
{
    const char *given = getenv("RINGPROOF_IMAGES"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    int n;

    if (given)
        n = asprintf(&path, "%s/%s-%s/%s", given, what, guest_image_arch(arch), name);
    else if (cache)
        n = asprintf(&path, "%s/ringproof/images/%s-%s/%s", cache, what, guest_image_arch(arch),
                     name);
    else
        n = asprintf(&path, "%s/.cache/ringproof/images/%s-%s/%s", home ? home : "", what,
                     guest_image_arch(arch), name);
    return n < 0 ? NULL : path;
}

char *guest_image_path(enum scenario_arch arch, const char *name)
{
    return made_path("image", arch, name);
}

char *guest_emulator(enum scenario_arch arch)
{
    return arch == ARCH_ARM ? strdup("qemu-system-aarch64")
                            : made_path("emulator", arch, "qemu-system-x86_64");
}
