/* SPDX-License-Identifier: MIT */
/* What the files of this folder share. */
#ifndef RP_CERTIFY_INTERNAL_H
#define RP_CERTIFY_INTERNAL_H

#include <jansson.h>

#include "check/check.h"

/* The outcome of this name, or -EINVAL. */
int certificate_outcome(const json_t *value);
/* SKIP stands for nothing: any judgement is worse. */
static inline enum outcome certificate_worse(enum outcome a, enum outcome b)
{
    if (a == SKIP)
        return b;
    if (b == SKIP)
        return a;
    return a > b ? a : b;
}

#endif
