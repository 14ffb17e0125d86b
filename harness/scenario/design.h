/* SPDX-License-Identifier: MIT */
/*
 * Designs: named points of the axes of scenarios, of which benchmarks compare how they do
 * (bench/designs.yaml). Reading is strict, as that of scenarios; a design that loads is one of
 * which a scenario can be made.
 */
#ifndef RP_SCENARIO_DESIGN_H
#define RP_SCENARIO_DESIGN_H

#include <stddef.h>

#define DESIGNS_MAX 12u

struct design {
    char *name, *title;
    char *words; /* of scenario/workload.h: "addressing=grants memory=grant-map" */
};

struct designs {
    struct design items[DESIGNS_MAX];
    unsigned count;
};

/* 0, or -errno with "file:line:column: message" in why. Nothing is to be freed on an error. */
int designs_load(const char *path, struct designs *d, char *why, size_t why_size);
int designs_parse(const char *path, const char *text, size_t length, struct designs *d, char *why,
                  size_t why_size);
void designs_fini(struct designs *d);

#endif
