/* SPDX-License-Identifier: MIT */
#include "conformance/plug.h"

#include <stdio.h>

#define ARGS_BYTES 96u

void need_pluggable(struct check_ctx *t, unsigned index)
{
    char args[ARGS_BYTES], folder[80] = "";

    snprintf(args, sizeof(args), "{\"index\": %u}", index);
    given_ask_text(t, "device.info", args, "store", folder, sizeof(folder));
    if (!folder[0])
        skip_check(t, "the device is not described in the store");
}

static void plug(struct check_ctx *t, const char *what, const char *args, const char *verb)
{
    char why[256] = "";
    int rc = given_try(t, what, args, why, sizeof(why));

    expect(t, MUST, rc == 0, "the device does not %s: %s", verb, why);
    if (rc)
        stop_check(t);
}

void plug_in(struct check_ctx *t, unsigned index, const char *type)
{
    char args[ARGS_BYTES];

    if (type)
        snprintf(args, sizeof(args), "{\"index\": %u, \"type\": \"%.16s\"}", index, type);
    else
        snprintf(args, sizeof(args), "{\"index\": %u}", index);
    plug(t, "device.attach", args, "come");
}

void plug_out(struct check_ctx *t, unsigned index)
{
    char args[ARGS_BYTES];

    snprintf(args, sizeof(args), "{\"index\": %u}", index);
    plug(t, "device.detach", args, "go");
}
