/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "conformance/given.h"

/* Asks, and gives the answer's value (NULL: none) or ends the check. */
static json_t *ask_value(struct check_ctx *t, const char *what, const char *args_json)
{
    const struct subject *s = check_subject(t);
    char error[256] = "";
    char *text = NULL;
    json_t *value = NULL;
    int rc;

    if (!s->ask)
        error_out(t, "%s: no testbed answers", what);
    rc = s->ask(s->ask_ctx, what, args_json, &text, error, sizeof(error));
    if (rc) {
        free(text);
        error_out(t, "the testbed could not do %s: %s", what, error[0] ? error : "no reason given");
    }
    if (text)
        value = json_loads(text, JSON_DECODE_ANY, NULL);
    free(text);
    return value;
}

void given_ask(struct check_ctx *t, const char *what, const char *args_json)
{
    json_decref(ask_value(t, what, args_json));
}

int given_try(struct check_ctx *t, const char *what, const char *args_json, char *why,
              size_t why_bytes)
{
    const struct subject *s = check_subject(t);
    char *text = NULL;
    int rc;

    if (!s->ask)
        error_out(t, "%s: no testbed answers", what);
    why[0] = '\0';
    rc = s->ask(s->ask_ctx, what, args_json, &text, why, why_bytes);
    free(text);
    if (rc == -EOPNOTSUPP)
        error_out(t, "the testbed could not do %s: %s", what, why);
    return rc;
}

void given_ask_numbers(struct check_ctx *t, const char *what, const char *const *members,
                       unsigned n, uint64_t *numbers)
{
    json_t *value = ask_value(t, what, NULL);
    unsigned found = 0;

    for (; found < n && json_is_integer(json_object_get(value, members[found])); found++)
        numbers[found] = (uint64_t)json_integer_value(json_object_get(value, members[found]));
    json_decref(value);
    if (found < n)
        error_out(t, "the testbed's answer to %s has no number %s", what, members[found]);
}

uint64_t given_ask_number(struct check_ctx *t, const char *what, const char *args_json,
                          const char *member)
{
    json_t *value = ask_value(t, what, args_json);
    json_t *m = member ? json_object_get(value, member) : value;
    uint64_t number;

    if (json_is_integer(m)) {
        number = (uint64_t)json_integer_value(m);
    } else if (json_is_boolean(m)) {
        number = json_is_true(m);
    } else {
        json_decref(value);
        error_out(t, "the testbed's answer to %s has no number %s", what, member ? member : "");
    }
    json_decref(value);
    return number;
}

void given_ask_text(struct check_ctx *t, const char *what, const char *args_json,
                    const char *member, char *text, size_t text_bytes)
{
    json_t *value = ask_value(t, what, args_json);
    const char *found = json_string_value(json_object_get(value, member));

    if (found)
        snprintf(text, text_bytes, "%s", found);
    json_decref(value);
    if (!found)
        error_out(t, "the testbed's answer to %s has no text %s", what, member);
}
