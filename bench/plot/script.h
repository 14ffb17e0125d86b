/* SPDX-License-Identifier: MIT */
/*
 * What scripts for gnuplot begin with. A script draws an SVG, with form='png' a PNG, into `out` or
 * <name>.<form> here. Colours are Okabe's and Ito's, which colour-blind readers can tell apart;
 * line styles 1 to PLOT_STYLES differ by the form of their points, too.
 */
#ifndef RP_PLOT_SCRIPT_H
#define RP_PLOT_SCRIPT_H

#include <stdio.h>

#define PLOT_STYLES 8u

/* Sizes are in pixels. */
void plot_begin(const char *name, unsigned width, unsigned height, FILE *f);

/* A text that is anybody's: of it letters, digits and a few signs are left. */
void plot_text(const char *text, FILE *f);
/* The same as a string of gnuplot's, in which nothing is that could end it. */
void plot_quoted(const char *text, FILE *f);

#endif
