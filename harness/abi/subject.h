/* SPDX-License-Identifier: MIT */
/* What the agent hands to a check of family "abi" (check_subject). Needs no libxen header. */
#ifndef RP_ABI_SUBJECT_H
#define RP_ABI_SUBJECT_H

#include <stddef.h>

#include <jansson.h>

struct abi_held;

struct abi_subject {
    void *ctx;
    /*
     * Ask the testbed and wait. `args` is taken over and may be NULL. 0: *value is an owned
     * reference or NULL; -EREMOTEIO: the other side said no, its text is in `why`; another
     * negative errno: no answer will come.
     */
    int (*ask)(void *ctx, const char *what, json_t *args, json_t **value, char *why,
               size_t why_bytes);
    struct abi_held *held; /* private to abi.c: what the running check has open */
};

#endif
