/* SPDX-License-Identifier: MIT */
/*
 * The catalogue: every requirement that a check can prove, and every mutant that proves a check.
 *
 * It is data, in tab-separated files with a header line that names the columns; lines that begin
 * with '#' are comments:
 *
 *     virtio.tsv   normative statements of VIRTIO 1.4 (CS01): id area role keyword section
 *                  paraphrase
 *     xen.tsv      rules of Xen under virtio: grants, IOREQ, ECAM, discovery, lifecycle
 *     abi.tsv      what the libxen libraries promise to a device model
 *                  both: id level role source paraphrase
 *     unobservable.tsv  those that nobody outside can observe: id reason
 *     mutants.tsv  mutant program check description (README of the columns in its comment)
 *
 * The text of VIRTIO statements is not copied here: the paraphrase says what a statement demands,
 * and its section and its number there find it. Ids are unique over all files.
 */
#ifndef RP_CATALOG_CATALOG_H
#define RP_CATALOG_CATALOG_H

#include <stddef.h>

struct requirement {
    const char *id;           /* "blk.device-operation.device.38" */
    const char *area;         /* the id's first part: "blk", "xen", "abi" */
    const char *role;         /* "device", "driver", "hypervisor", ... */
    const char *level;        /* "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "SHALL" */
    const char *source;       /* "VIRTIO 1.4 CS01, <section>", or a file and function */
    const char *text;         /* paraphrase in our own words; "" when the file has none */
    const char *unobservable; /* why nobody outside can see whether it holds; NULL: one can */
};

struct catalog_mutant {
    const char *name;        /* as in MUTANT(name) */
    const char *program;     /* "backend" or "simxen": which program carries the fault */
    const char *check;       /* "family.name" of a check that must fail */
    const char *description; /* what is broken, one sentence */
};

struct catalog;

/*
 * Load all files of a folder. `dir` NULL: look in $RINGPROOF_DATADIR/harness/catalog, the
 * installed place and the source tree, relative to the running program, and in the current
 * folder. 0, or with a sentence in `why`: -ENOENT (no folder or a file is missing), -EINVAL (a
 * file is malformed: named with its line), -ENOMEM.
 */
int catalog_load(const char *dir, struct catalog **out, char *why, size_t why_bytes);
void catalog_destroy(struct catalog *c); /* NULL is allowed */

/* Borrowed from the catalogue, sorted by id; NULL when there is none. */
const struct requirement *catalog_find(const struct catalog *c, const char *id);
const struct requirement *catalog_requirements(const struct catalog *c, size_t *count);

/* Borrowed, in the file's order; a mutant of several checks is there once for each. */
const struct catalog_mutant *catalog_mutants(const struct catalog *c, size_t *count);

#endif
