/* SPDX-License-Identifier: MIT */
/* Members of a file's contents, which may be anybody's: "" and 0 where there is none. */
#ifndef RP_REPORT_MEMBERS_H
#define RP_REPORT_MEMBERS_H

#include <jansson.h>

static inline const char *text_of(const json_t *o, const char *name)
{
    const char *t = json_string_value(json_object_get(o, name));

    return t ? t : "";
}

static inline double number_of(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name));
}

#endif
