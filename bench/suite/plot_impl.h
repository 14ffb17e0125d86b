/* SPDX-License-Identifier: MIT */
/* What pictures share. */
#ifndef RP_SUITE_PLOT_IMPL_H
#define RP_SUITE_PLOT_IMPL_H

#include "plot/script.h"
#include "suite/plot.h"

#define SERIES_MAX       PLOT_STYLES
#define NAME_BYTES       64u
#define SUITE_PLACEMENTS 2u

/* Where two CPUs may be: rows of one are never in a panel with those of the other. */
struct suite_placement {
    const char *name, *title;
};
extern const struct suite_placement suite_placements[SUITE_PLACEMENTS];

/* The script's beginning. `height` 0: the picture's own; `testbed`: where all of it was measured.
 */
void suite_plot_head(const json_t *o, enum suite_plot p, unsigned height, const char *testbed,
                     FILE *f);

unsigned suite_plot_designs(const json_t *o, FILE *f);
unsigned suite_plot_scaling(const json_t *o, FILE *f);

#endif
