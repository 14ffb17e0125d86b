/* SPDX-License-Identifier: MIT */
/*
 * Checks and expectations.
 *
 * A check reads like the statement it proves. It states whom it judges, which requirement it
 * proves and what it needs; its body drives the subject and evaluates expectations:
 *
 *     CHECK(split_used_len_covers_written,
 *           .judges = DEVICE,
 *           .proves = "split.used-ring.device.1",
 *           .needs  = NEED_BLK)
 *     {
 *         ...
 *         expect(t, MUST, len >= 513, "used length is %u, at least 513 bytes were written", len);
 *     }
 *
 * Outcome of a check: the worst of its expectations. A check that evaluates none is an ERROR,
 * and so is one that calls `error_out`. Checks register themselves; the registry is closed by
 * the linker, nothing has to be listed twice.
 */
#ifndef RP_CHECK_CHECK_H
#define RP_CHECK_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum check_level { MUST, SHOULD };

enum check_judges { DEVICE, DRIVER, TRANSPORT, HYPERVISOR, TOOLSTACK };

/* In order of severity. CRASH and KNOWN are given by the runner, never by a check. */
enum outcome { PASS, SKIP, KNOWN, WARN, FAIL, CRASH, ERROR };

const char *outcome_name(enum outcome o);

struct check_ctx; /* one run of one check; conformance/given.h hangs the subject onto it */

struct check {
    const char *name;   /* "split_used_len_covers_written" */
    const char *family; /* file's family: "split", "pci", "blk", "abi", ... (CHECK_FAMILY) */
    const char *file;
    int line;
    enum check_judges judges;
    const char *proves;  /* requirement ids, separated by spaces */
    uint64_t needs;      /* NEED_* bits; unmet: SKIP with the reason */
    const char *title;   /* optional, one line */
    unsigned timeout_ms; /* 0: the runner's default */
    void (*run)(struct check_ctx *t);
};

/* Each file of checks says once: #define CHECK_FAMILY "split" before including this header. */
#define CHECK(name_, ...)                                                                          \
    static void check_run_##name_(struct check_ctx *t);                                            \
    static const struct check check_##name_ = {.name = #name_,                                     \
                                               .family = CHECK_FAMILY,                             \
                                               .file = __FILE__,                                   \
                                               .line = __LINE__,                                   \
                                               .run = check_run_##name_,                           \
                                               __VA_ARGS__};                                       \
    static const struct check *const check_ref_##name_                                             \
        __attribute__((section("rp_checks"), used, retain)) = &check_##name_;                      \
    static void check_run_##name_(struct check_ctx *t)

/* Registry: sorted by family, then file order. */
const struct check *const *check_all(size_t *count);
const struct check *check_find(const char *family, const char *name);
/* "blk.*", "*", "pci.bar_*": fnmatch on "family.name". */
bool check_matches(const struct check *c, const char *pattern);

/* ---- expectations; the first failed one at a level is kept with file and line ---- */
void expect_at(struct check_ctx *t, enum check_level level, bool ok, const char *file, int line,
               const char *expr, const char *fmt, ...) __attribute__((format(printf, 7, 8)));
#define expect(t, level, cond, ...)                                                                \
    expect_at(t, level, (cond), __FILE__, __LINE__, #cond, __VA_ARGS__)

/* The same for equality, printing both values in hex and decimal. */
void expect_eq_at(struct check_ctx *t, enum check_level level, uint64_t got, uint64_t want,
                  const char *file, int line, const char *what);
#define expect_eq(t, level, got, want, what)                                                       \
    expect_eq_at(t, level, (uint64_t)(got), (uint64_t)(want), __FILE__, __LINE__, what)

/* Ends the check from inside (no return). */
void skip_check(struct check_ctx *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));
/* The harness cannot go on: ERROR, never a verdict on the subject. */
void error_out(struct check_ctx *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));
/* A MUST expectation failed so that the rest makes no sense (after expect). */
void stop_check(struct check_ctx *t) __attribute__((noreturn));

/*
 * Something observed, for the record: name and value, kept with the result. A scenario can make a
 * table of notes (its key `table`): the notes of a cell are a row, under their names. A check that
 * has several rows to tell begins each with note(t, "row", "%s", KEY): the notes after it, up to
 * the next of that name, are the row KEY; several checks of a cell may add to the same row.
 */
void note(struct check_ctx *t, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Run at the end of the check in any case, last registered first. */
void check_defer(struct check_ctx *t, void (*fn)(void *), void *arg);

/* ---- running (the agent does) ---- */
struct check_failure {
    enum check_level level;
    char file[128];
    int line;
    char text[512];
};

struct check_note {
    char name[64];
    char value[448];
};

struct check_result {
    enum outcome outcome;
    unsigned expectations;
    uint64_t duration_ns;
    char reason[512]; /* SKIP or ERROR */
    unsigned failure_count, note_count;
    struct check_failure failures[8];
    struct check_note notes[32];
    char trace[4096]; /* the last that was done before a check failed, lines; "" none */
};

/* `subject` is handed to the check through check_subject. */
void check_run(const struct check *c, void *subject, struct check_result *result);
void *check_subject(struct check_ctx *t);

#endif
