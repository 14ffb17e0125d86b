/* SPDX-License-Identifier: MIT */
/* ringproof bench: the rows of bench/suite, measured in rounds, to results/. */
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "runner/bench_designs.h"
#include "runner/bench_files.h"
#include "runner/bench_instructions.h"
#include "runner/bench_measure.h"
#include "runner/runner.h"
#include "scenario/units.h"
#include "suite/compare.h"
#include "suite/suite.h"

/* Beside those that are enough, in a first look at a row and when it is tried again. A round of
 * cells takes ten times as long. */
#define SPARE_ROUNDS      3u
#define SPARE_CELL_ROUNDS 1u
/* Of rows that never gave a value: then something is wrong, and will be so the next time. */
#define BROKEN_ROUNDS 3u
/* A cell takes as long as so many programs. */
#define CELL_WEIGHT 9.0
/* No row is tried again after that, and after more none is begun. */
static const struct limits {
    uint64_t again_ns, end_ns;
} short_form = {270000000000u, 330000000000u}, short_form_peers = {480000000000u, 540000000000u},
  full_form = {3600000000000u, 3 * 3600000000000u};

/* An installed tree has no program without checks: rows do without that variant there. */
static void drop_missing(const struct install *in, struct suite_row *row)
{
    unsigned kept = 1;

    for (unsigned k = 1; k < row->work.variant_count; k++) {
        const char *program = row->work.variants[k].program;
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", in->variant_bin_dir, program ? program : "");
        if (!program || access(path, X_OK) == 0)
            row->work.variants[kept++] = row->work.variants[k];
    }
    row->work.variant_count = kept;
}

/* Whoever has enough gets what there is. */
static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    stopped = signal_number;
}

static bool row_broken(const struct suite_row *row)
{
    for (unsigned i = 0; i < row->round_count; i++)
        if (row->rounds[i].fate != SUITE_BROKEN)
            return false;
    return row->round_count >= BROKEN_ROUNDS;
}

static bool row_lacks(const struct suite_row *row)
{
    return !row->skipped && !row_broken(row) && row->round_count < SUITE_ATTEMPTS &&
           suite_kept(row) < row->enough;
}

/* Variant `k` of the row's last round, again where it was disturbed. */
static int measure_value(const struct run_options *o, const struct install *in,
                         struct suite_row *row, unsigned k, char *why, size_t why_size)
{
    struct suite_round *r = &row->rounds[row->round_count - 1];
    int ret = bench_measure(o, in, &row->work, k, &r->values[k], why, why_size);

    for (unsigned i = 1;
         i < SUITE_TRIES && ret == 0 && !stopped && suite_round_fate(row, r, k + 1) != SUITE_KEPT;
         i++) {
        row->again++;
        suite_value_fini(&r->values[k]);
        ret = bench_measure(o, in, &row->work, k, &r->values[k], why, why_size);
    }
    return ret;
}

/* Some rounds more, while there are too few and there is time. 0 or -EINTR. */
static int measure_row(const struct run_options *o, const struct install *in, struct suite_row *row,
                       uint64_t end_ns)
{
    const unsigned most =
        row->enough + (row->work.variants[0].program ? SPARE_ROUNDS : SPARE_CELL_ROUNDS);

    for (unsigned i = 0; i < most && row_lacks(row) && monotonic_ns() < end_ns; i++) {
        struct suite_round *r = &row->rounds[row->round_count++];
        char why[1024] = "";
        int ret = 0;

        r->fate = SUITE_KEPT;
        for (unsigned k = 0; k < row->work.variant_count && r->fate == SUITE_KEPT; k++) {
            ret = measure_value(o, in, row, k, why, sizeof(why));
            r->fate = ret ? SUITE_BROKEN : suite_round_fate(row, r, k + 1);
        }
        if (ret == -EINTR || stopped) {
            row->round_count--; /* it was not seen through */
            for (unsigned k = 0; k < row->work.variant_count; k++)
                suite_value_fini(&r->values[k]);
            return -EINTR;
        }
        if (ret == -EOPNOTSUPP)
            row->skipped = strdup(why);
        else if (ret)
            command_complain("bench", why);
    }
    return 0;
}

/* Only the rows that are asked for. Returns how many are left. */
static unsigned keep_rows(const struct run_options *o, struct suite_row *rows, unsigned count)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++)
        if (!o->filter || !fnmatch(o->filter, rows[i].work.name, 0))
            rows[kept++] = rows[i]; /* nothing was measured yet: a copy owns nothing */
    return kept;
}

static bool compares_designs(const struct suite_row *rows, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(rows[i].work.family, SUITE_DESIGNS))
            return true;
    return false;
}

/* What the peers are, as their folder says. malloc'd; NULL after an explanation. */
static char *peers_version(const char *dir)
{
    char *path = NULL, *line = NULL;
    size_t size = 0;
    FILE *f = NULL;

    if (asprintf(&path, "%s/version", dir) < 0)
        return NULL;
    f = fopen(path, "re");
    if (!f || getline(&line, &size, f) <= 0) {
        command_complain("bench", "--peers: no folder of bench/peers/build.sh");
        free(line);
        line = NULL;
    } else {
        line[strcspn(line, "\n")] = '\0';
    }
    if (f)
        fclose(f);
    free(path);
    return line;
}

static char *cpu_name(void)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char *line = NULL, *name = NULL;
    size_t size = 0;

    while (f && !name && getline(&line, &size, f) > 0)
        if (!strncmp(line, "model name", 10) && strstr(line, ": "))
            name = strndup(strstr(line, ": ") + 2, strcspn(strstr(line, ": ") + 2, "\n"));
    free(line);
    if (f)
        fclose(f);
    return name;
}

/* What a round of a row takes, in parts of one of the rings'. */
static double weight(const struct suite_row *row)
{
    double one = row->work.variants[0].program ? 1 : CELL_WEIGHT;

    return row->skipped || row_broken(row) ? 0 : one * row->work.variant_count;
}

/* When the first look at a row ends at the latest, so that none takes the time of those behind it:
 * what rows before it left is its own. */
static uint64_t share_ns(const struct suite_row *rows, unsigned index, unsigned count,
                         uint64_t all_ns)
{
    double until = 0, all = 0;

    for (unsigned i = 0; i < count; i++) {
        all += weight(&rows[i]);
        until += i <= index ? weight(&rows[i]) : 0;
    }
    return all > 0 ? (uint64_t)((double)all_ns * until / all) : all_ns;
}

/* `spent_ns` 0: nothing is said of the time that is left. */
static void show_row(const struct suite_row *rows, unsigned index, unsigned count,
                     uint64_t spent_ns)
{
    const struct suite_row *row = &rows[index];
    double done = 0, left = 0;
    char text[32];

    fprintf(stderr, "%3u/%u %-44s ", index + 1, count, row->work.name);
    if (row->skipped)
        fprintf(stderr, "not here: %s", row->skipped);
    else
        fprintf(stderr, "%2u of %u rounds", suite_kept(row), row->round_count);
    for (unsigned i = 0; i < count; i++)
        *(i <= index ? &done : &left) += weight(&rows[i]);
    if (spent_ns && done > 0 && left > 0)
        fprintf(
            stderr, ", about %s left",
            units_format_ns((uint64_t)((double)spent_ns * left / done) / 1000000000u * 1000000000u,
                            text, sizeof(text)));
    putc('\n', stderr);
}

/*
 * Every row, with progress; those that have too few rounds then again, and again: who is busy now
 * may not be so in a minute. The number of rows of which nothing could be kept, though they can be
 * measured here, or -errno.
 */
static int measure_all(const struct run_options *o, const struct install *in,
                       struct suite_row *rows, unsigned count)
{
    const struct limits *l = o->full ? &full_form : o->peers ? &short_form_peers : &short_form;
    uint64_t begin = monotonic_ns();
    unsigned lacking = count;
    int lost = 0;

    for (unsigned pass = 0; lacking && (pass == 0 || monotonic_ns() - begin < l->again_ns);
         pass++) {
        lacking = 0;
        for (unsigned i = 0; i < count; i++) {
            int ret;

            if (pass && (!row_lacks(&rows[i]) || monotonic_ns() - begin >= l->again_ns))
                continue;
            if (pass == 0)
                drop_missing(in, &rows[i]);
            ret = measure_row(o, in, &rows[i],
                              begin + (pass ? l->end_ns : share_ns(rows, i, count, l->end_ns)));
            if (ret)
                goto out;
            lacking += row_lacks(&rows[i]);
            if (!o->quiet)
                show_row(rows, i, count, pass == 0 ? monotonic_ns() - begin : 0);
        }
    }
out:
    for (unsigned i = 0; i < count; i++) {
        if (suite_settle(&rows[i]))
            return -ENOMEM;
        lost += !rows[i].skipped && rows[i].values[0].count == 0;
    }
    return lost;
}

/* Pictures and page of a run that is there already, into a folder. Exit status. */
static int redraw(const struct run_options *o, int argc, char **argv)
{
    struct report *r = NULL;
    json_t *contents = NULL;
    char *dir = NULL, why[1024];
    int status = REPORT_BAD_USAGE;

    if (suite_load(o->redraw, &contents, why, sizeof(why))) {
        command_complain("bench", why);
        goto out;
    }
    status = REPORT_HARNESS_ERROR;
    r = command_report_create("bench", argc, argv);
    dir = run_results_dir(o, r);
    if (dir && bench_files_draw(contents, dir) == 0) {
        printf("drawn in %s\n", dir);
        status = REPORT_PASSED;
    }
out:
    free(dir);
    report_destroy(r);
    json_decref(contents);
    return status;
}

int command_bench(int argc, char **argv)
{
    struct run_options o;
    struct install in = {0};
    struct suite_row *rows = NULL;
    struct report *r = NULL;
    json_t *contents = NULL;
    struct utsname uts;
    struct suite_variant variants[DESIGNS_MAX];
    struct designs designs = {.count = 0};
    json_t *costs = NULL;
    char *dir = NULL, *cpu = NULL, *peers = NULL;
    unsigned count = 0;
    int status = REPORT_BAD_USAGE;

    int ret = options_parse("bench", argc, argv, &o);
    if (ret || (!o.instructions && (o.name_count || o.boots)) ||
        (o.instructions && (o.filter || o.peers || (o.redraw && o.name_count)))) {
        if (!ret)
            command_complain("bench", o.instructions
                                          ? "--instructions takes cells, -o, --boots, --redraw"
                                          : "takes no names and no --boots");
        goto out;
    }
    if (o.instructions) {
        status = bench_instructions(&o, argc, argv);
        goto out;
    }
    if (o.redraw) {
        status = redraw(&o, argc, argv);
        goto out;
    }
    status = REPORT_HARNESS_ERROR;
    if (install_find(&o, false, &in))
        goto out;
    if (o.peers) {
        peers = peers_version(o.peers);
        if (!peers)
            goto out;
    }
    if (bench_designs_load(&in, &designs))
        goto out;
    bench_designs_variants(&designs, variants);
    const struct suite_choice choice = {.peers = o.peers != NULL,
                                        .full = o.full,
                                        .designs = variants,
                                        .design_count = designs.count};
    rows = suite_rows(&choice, &count);
    if (!rows)
        goto out;
    count = keep_rows(&o, rows, count);
    if (count == 0) {
        command_complain("bench", "no row matches --filter");
        status = REPORT_BAD_USAGE;
        goto out;
    }
    r = command_report_create("bench", argc, argv);
    dir = run_results_dir(&o, r);
    cpu = cpu_name();
    if (!dir || uname(&uts))
        goto out;
    uint64_t begin = monotonic_ns();
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    if (compares_designs(rows, count))
        ret = bench_designs_costs(&o, &in, &designs, &costs);
    if (!ret)
        ret = measure_all(&o, &in, rows, count);
    if (ret < 0) {
        fprintf(stderr, "ringproof bench: %s\n", strerror(-ret));
        goto out;
    }
    const struct suite_run run = {.id = r->run.id,
                                  .started = r->run.started,
                                  .version = r->run.versions.items[0].value,
                                  .cpu = cpu ? cpu : "unknown",
                                  .kernel = uts.release,
                                  .peers = peers,
                                  .designs = costs,
                                  .cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
                                  .duration_s = (double)(monotonic_ns() - begin) / 1e9};
    contents = suite_to_json(&run, rows, count);
    if (!contents || bench_files_write(contents, dir) || bench_files_draw(contents, dir))
        goto out;
    suite_write_markdown(contents, stdout);
    printf("\nresults in %s\n", dir);
    status = ret ? REPORT_HARNESS_ERROR : REPORT_PASSED;
out:
    json_decref(contents);
    json_decref(costs);
    designs_fini(&designs);
    free(dir);
    free(cpu);
    free(peers);
    suite_rows_free(rows, count);
    report_destroy(r);
    install_fini(&in);
    free(o.names);
    return ret == 1 && !rows ? 0 : status;
}
