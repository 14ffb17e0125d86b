/* SPDX-License-Identifier: MIT */
#include "util/mmio_window.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/bits.h"
#include "util/parse.h"

#define TEXT_BYTES 96

int mmio_window_parse(const char *text, struct mmio_window *w, char error[MMIO_WINDOW_ERROR_BYTES])
{
    struct mmio_window parsed = {0};
    char copy[TEXT_BYTES];
    char *cursor = copy, *name, *value;
    bool base = false, line = false;
    int rc;

    if (strlen(text) >= sizeof(copy)) {
        snprintf(error, MMIO_WINDOW_ERROR_BYTES, "longer than %zu characters", sizeof(copy) - 1);
        return -EINVAL;
    }
    memcpy(copy, text, strlen(text) + 1);
    while ((rc = parse_next_item(&cursor, &name, &value)) > 0) {
        bool is_base = strcmp(name, "base") == 0;

        if (!is_base && strcmp(name, "irq") != 0) {
            snprintf(error, MMIO_WINDOW_ERROR_BYTES, "unknown key \"%.40s\" (known: base, irq)",
                     name);
            return -EINVAL;
        }
        if (is_base ? base : line) {
            snprintf(error, MMIO_WINDOW_ERROR_BYTES, "\"%s\" is given twice", name);
            return -EINVAL;
        }
        rc = -EINVAL;
        if (value != NULL)
            rc = is_base ? parse_u64(value, 0, UINT64_MAX, &parsed.base)
                         : parse_u32(value, 0, UINT16_MAX, &parsed.line);
        if (rc < 0 || (is_base && !is_aligned(parsed.base, 4))) {
            snprintf(error, MMIO_WINDOW_ERROR_BYTES, "bad value for \"%s\": \"%.40s\"", name,
                     value != NULL ? value : "");
            return -EINVAL;
        }
        *(is_base ? &base : &line) = true;
    }
    if (rc < 0 || !base || !line) {
        snprintf(error, MMIO_WINDOW_ERROR_BYTES, "%s",
                 rc < 0  ? "an empty item"
                 : !base ? "\"base\" is missing"
                         : "\"irq\" is missing");
        return -EINVAL;
    }
    *w = parsed;
    return 0;
}
