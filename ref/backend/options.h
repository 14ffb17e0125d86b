/* SPDX-License-Identifier: MIT */
/*
 * The command line. One table in options.c serves the parser and --help.
 */
#ifndef RP_BACKEND_OPTIONS_H
#define RP_BACKEND_OPTIONS_H

#include "backend/bridge.h"
#include "backend/device_spec.h"
#include "backend/slots.h"
#include "util/log.h"
#include "xen/gmem_strategy.h"

#define ANNOUNCE_BYTES 256u /* of --announce's path, with its NUL */
#define DEVICES_MAX    256u /* given on the command line */

struct backend_options {
    uint16_t domid;
    bool has_domid;
    struct host_bridge bridges[BRIDGES_MAX];
    unsigned bridge_count;
    struct root_port ports[SLOTS_MAX];
    unsigned port_count;
    enum bridge_claim claim;
    const char *link;        /* borrowed from argv; NULL: the bridges are ours */
    const char *link_listen; /* borrowed from argv; NULL: all functions are ours */
    uint32_t intx_line;      /* BRIDGE_NO_LINE: by device and pin */
    const char *memory;      /* name of a strategy, static */
    struct gmem_bank banks[GMEM_BANKS_MAX];
    unsigned bank_count;
    struct device_spec *devices;
    unsigned device_count;
    bool xenstore;
    const char *announce; /* borrowed from argv; NULL: nowhere */
    uint32_t wait_ms;
    int ready_fd;      /* -1: none */
    const char *stats; /* borrowed from argv; NULL: none; "-": standard output */
    enum log_level log;
    bool help, version; /* say so and stop; the rest is not checked */
};

/*
 * Parse and check the whole command line. On an error one line about it, which names the option,
 * has been logged, and -EINVAL (usage) or -ENOMEM is returned. `o` is to be given to fini in any
 * case.
 */
int backend_options_parse(struct backend_options *o, int argc, char **argv);
void backend_options_fini(struct backend_options *o);
void backend_options_help(FILE *out);

#endif
