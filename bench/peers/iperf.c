/* SPDX-License-Identifier: MIT */
#include "peers/iperf.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

static double number_of(const json_t *o, const char *name)
{
    const json_t *n = json_object_get(o, name);

    return json_is_number(n) ? json_number_value(n) : NAN;
}

int iperf_read(const char *path, struct iperf_sum *sum, char why[201])
{
    json_t *o = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    const json_t *received = json_object_get(json_object_get(o, "end"), "sum_received");
    const char *error = json_string_value(json_object_get(o, "error"));
    int rc = 0;

    snprintf(why, 201, "%s", error ? error : "no result");
    sum->bytes = number_of(received, "bytes");
    sum->seconds = number_of(received, "seconds");
    if (error)
        rc = -EIO;
    else if (!(isfinite(sum->bytes) && isfinite(sum->seconds) && sum->bytes >= 1 &&
               sum->seconds > 0))
        rc = -EPROTO;
    json_decref(o);
    return rc;
}
