/* SPDX-License-Identifier: MIT */
/*
 * A backend's profile: how a backend that we have never seen is started, what its vendor claims
 * for it, and which deviations are documented.
 *
 * Claims select what is run: a cell of a scenario is the backend's when every one of its axes and
 * devices is claimed. So a claim that does not hold is a failure, and what is not claimed is not
 * asked; the certificate says both. A deviation turns the failure of one check into a KNOWN one;
 * it needs a reason and a link, and one that does not show is reported, too.
 *
 * The command is a list of words (no shell). A word may have placeholders:
 *
 *     {name}         the value; a cell in which there is none cannot be run with this profile
 *     {name?text}    the text, when there is a value (an '@' in it stands for the value), or
 * nothing
 *     {{  }}         braces
 *
 * Of every command: domid, vcpus, arch, addressing, ring, packed (only when ring is), ecam.base,
 * ecam.size, mem.base, mem.size, bus.last, ram.base, ram.size, dir (a folder of the cell's own),
 * ready-fd. Of a device, beside its settings (scenarios/README.md: path, serial, ro, queues,
 * queue-size, mac, ...): index, sbdf, slot, function. A setting that a scenario makes and that no
 * placeholder takes makes the cell one that cannot be run: a disk that should be read-only and is
 * not would be judged for what it was not told.
 *
 * Reading is strict, as for scenarios: whatever is wrong is named with file, line and column.
 */
#ifndef RP_PROFILE_PROFILE_H
#define RP_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenario/scenario.h"

#define PROFILE_DEVIATIONS_MAX 256u
#define PROFILE_WORDS_MAX      256u
#define PROFILE_FEATURES_MAX   64u

/* How a backend says that it serves. */
enum profile_ready {
    READY_FD,    /* the line "ready" to the descriptor {ready-fd} */
    READY_STORE, /* a value in Xenstore */
};

/* What it keeps of the guest's memory while no request is there. */
enum profile_keeps {
    KEEPS_NOTHING,
    KEEPS_FOREIGN, /* frames, but no grant of a request: a cache of foreign mappings */
};

struct profile_words {
    char **words; /* templates */
    unsigned count;
};

/* Of a device type: what it is, as words behind the command, and the feature bits claimed. */
struct profile_device {
    bool claimed;
    struct profile_words arguments;
    uint8_t features[PROFILE_FEATURES_MAX]; /* numbers of bits that may be offered */
    unsigned feature_count;
};

#define PROFILE_DEVICE_TYPES 5u

struct profile_deviation {
    char *check;  /* "blk.flush_succeeds" */
    char *reason; /* what is observed, and why */
    char *where;  /* in the vendor's source; "" not said */
    char *effect; /* how bad it is for a guest; "" not said */
    char *link;
    unsigned line; /* of the check's name */
};

/* The guest's address map where it differs from the harness's own. */
struct profile_map {
    bool given;
    uint64_t ecam_base, ecam_bytes;
    uint64_t mem_base, mem_bytes;
    uint8_t bus_last;
};

struct profile {
    char *path; /* of the file, as given */
    char *name, *title, *vendor;
    char *program; /* the first word of the command, as written: what is certified */
    struct profile_words command;
    struct profile_words
        version; /* a command whose first line says which version it is; may be empty */
    enum profile_ready ready;
    char *ready_path, *ready_value; /* READY_STORE; the path has placeholders */
    bool ends_by_signal;            /* SIGTERM ends it without an exit status of 0 */
    struct profile_device devices[PROFILE_DEVICE_TYPES]; /* by enum scenario_device_type */
    struct profile_map map;
    enum profile_keeps keeps;
    /* Masks of 1 << value. */
    unsigned archs, transports, rings, addressings, topologies, testbeds;
    unsigned discoveries; /* bit 0: the driver is told by the harness, which needs no claim */
    bool restarts;        /* a second process takes over after the first has died */
    bool intx; /* pins reach the guest where the harness expects them (by device and pin) */
    struct profile_deviation *deviations;
    unsigned deviation_count;
};

/* 0 and a profile that the caller frees, or -errno with "file:line:column: message" in why. */
int profile_load(const char *path, struct profile **out, char *why, size_t why_size);
int profile_parse(const char *path, const char *text, size_t length, struct profile **out,
                  char *why, size_t why_size);
void profile_free(struct profile *p); /* NULL is allowed */

/* Is this cell within the claims? When not, one sentence. */
bool profile_covers(const struct profile *p, const struct scenario_cell *cell, char *why,
                    size_t why_size);

/* A feature bit of `offered` that the profile does not claim for the device, or -1. */
int profile_unclaimed_feature(const struct profile *p, enum scenario_device_type type,
                              uint64_t offered);

/* The deviation that is documented for a check, or NULL. */
const struct profile_deviation *profile_deviation(const struct profile *p, const char *check);

/* ---- templates ---- */

/* The value of a placeholder, or NULL: there is none. */
typedef const char *profile_lookup(void *ctx, const char *name);

/*
 * One word with its placeholders replaced; malloc'd. NULL: with -ENOMEM, or -ENOENT and the name
 * that has no value in `missing`. Templates of a profile that was loaded are well-formed.
 */
char *profile_expand(const char *word, profile_lookup *lookup, void *ctx, int *err, char *missing,
                     size_t missing_size);
/* Does any of the words have a placeholder of this name? */
bool profile_takes(const struct profile_words *w, const char *name);

#endif
