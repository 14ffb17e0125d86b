/* SPDX-License-Identifier: MIT */
/* ringproof-backend: see --help, and backend/run.h. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/options.h"
#include "backend/run.h"
#include "util/log.h"

#ifndef RP_VERSION /* of the sources, given by the build */
#define RP_VERSION "unknown"
#endif

int main(int argc, char **argv)
{
    struct backend_options o;
    int status = 2;

    log_set_prefix("ringproof-backend");
    if (!backend_options_parse(&o, argc, argv)) {
        log_set_level(o.log);
        if (o.help) {
            backend_options_help(stdout);
            status = 0;
        } else if (o.version) {
            puts("ringproof-backend " RP_VERSION);
            status = 0;
        } else {
            status = backend_run(&o);
        }
    }
    backend_options_fini(&o);
    return status;
}
