/* SPDX-License-Identifier: MIT */
#include "report/rows_file.h"

#include <string.h>

void rows_file_write(const json_t *contents, unsigned digits, FILE *f)
{
    const size_t flags = JSON_REAL_PRECISION(digits);
    const json_t *v, *row;
    const char *name, *comma = "{";
    size_t i;

    json_object_foreach((json_t *)contents, name, v)
    {
        fprintf(f, "%s\n\"%s\": ", comma, name);
        comma = ",";
        if (strcmp(name, "rows") != 0) {
            json_dumpf(v, f, flags | JSON_ENCODE_ANY);
            continue;
        }
        putc('[', f);
        json_array_foreach(v, i, row)
        {
            fputs(i ? ",\n" : "\n", f);
            json_dumpf(row, f, flags);
        }
        fputs("\n]", f);
    }
    fputs("\n}\n", f);
}
