/* SPDX-License-Identifier: MIT */
/*
 * A host with larger pages, for a backend that asks what its own are (LD_PRELOAD):
 * SIMXEN_PAGE_BYTES. Grants and frames are of 4 KiB on every host; who counts them in pages of its
 * own is wrong there. Mappings are where they are on any other host.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#define DEFAULT_BYTES 4096
#define EXPORT        __attribute__((visibility("default")))

static long page_bytes(void)
{
    const char *text = getenv("SIMXEN_PAGE_BYTES");
    long v = text ? strtol(text, NULL, 10) : 0;

    return v > 0 ? v : DEFAULT_BYTES;
}

EXPORT int getpagesize(void)
{
    return (int)page_bytes();
}

EXPORT long sysconf(int name)
{
    long (*real)(int);

    if (name == _SC_PAGESIZE)
        return page_bytes();
    *(void **)&real = dlsym(RTLD_NEXT, "sysconf");
    return real ? real(name) : -1;
}

EXPORT unsigned long getauxval(unsigned long type)
{
    unsigned long (*real)(unsigned long);

    if (type == AT_PAGESZ)
        return (unsigned long)page_bytes();
    *(void **)&real = dlsym(RTLD_NEXT, "getauxval");
    return real ? real(type) : 0;
}
