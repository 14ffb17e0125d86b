/* SPDX-License-Identifier: MIT */
/*
 * A certificate: what a backend was found to do, requirement by requirement, in one JSON document
 * (results/schema/certificate.schema.json) that others can check and run again.
 *
 *     certificate.json      the document
 *     certificate.json.sig  an SSH signature of its bytes (ssh-keygen -Y), namespace "ringproof"
 *     certificate.html      the same as a page that needs nothing else
 *
 * The document holds the whole profile, what was run (selection, seed, testbed), what it ran on
 * (versions and hashes), and of each requirement of the catalogue that this run touched the verdict
 * with its evidence. A verdict is the worst outcome of the checks that prove the requirement, over
 * all cells in which they were not skipped; one that was skipped in every cell is a hole.
 */
#ifndef RP_CERTIFY_CERTIFICATE_H
#define RP_CERTIFY_CERTIFICATE_H

#include <stdio.h>

#include <jansson.h>

#include "catalog/catalog.h"
#include "profile/profile.h"
#include "report/report.h"

#define CERTIFICATE_FORMAT    1
#define CERTIFICATE_BYTES_MAX (64u << 20)

/* All borrowed. */
struct certificate_parts {
    const struct report *report;
    const struct catalog *catalog;
    const struct profile *profile;
    const char *profile_text;    /* of the file, as it was read */
    const char *subject_version; /* what its version command said; "" nothing */
    const char *subject_sha256;  /* of the program */
    const char *catalog_sha256;  /* of all its files */
};

/* A new document, or NULL without memory. */
json_t *certificate_make(const struct certificate_parts *p);

/*
 * One from a file that may hold anything: is it a certificate, complete and consistent with itself?
 * 0, or -errno with a sentence.
 */
int certificate_load(const char *path, json_t **out, char *why, size_t why_size);

/*
 * How the verdicts of two certificates differ: each requirement in which they do, on a line. The
 * number of such lines.
 */
unsigned certificate_differences(const json_t *old, const json_t *new, FILE *f);

/* For a terminal: counts, what failed, and "Test result: ..." as the last line. */
void certificate_write_summary(const json_t *certificate, FILE *f);
/* "SUCCESS", "SKIP", "ERROR", "FAILURE": as XTF has them. */
const char *certificate_result(const json_t *certificate);

/* As one self-contained HTML page. */
void certificate_write_page(const json_t *certificate, FILE *f);

#endif
