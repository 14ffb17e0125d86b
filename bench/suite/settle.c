/* SPDX-License-Identifier: MIT */
/* From what was measured to what may be said of it. */
#include <errno.h>
#include <math.h>

#include "suite/suite.h"

const char *suite_fate_name(enum suite_fate f)
{
    static const char *const names[SUITE_FATES] = {"kept",  "foreign-cpu", "steal",
                                                   "moved", "elsewhere",   "broken"};

    return names[f];
}

static double number_of(const json_t *o)
{
    return json_is_number(o) ? json_number_value(o) : NAN;
}

static bool read_two(const json_t *o, const char *name, double out[2])
{
    const json_t *a = json_object_get(o, name);

    if (!json_is_array(a) || json_array_size(a) != 2)
        return false;
    for (size_t i = 0; i < 2; i++)
        out[i] = number_of(json_array_get(a, i));
    return isfinite(out[0]) && isfinite(out[1]);
}

/* Of a member that may be there: a reference of the value's own, once it is what it has to be. */
static int take_optional(const json_t *o, const char *name, int (*check)(const json_t *v),
                         json_t **out)
{
    json_t *v = json_object_get(o, name);

    if (v && check(v))
        return -EPROTO;
    *out = json_incref(v);
    return 0;
}

static int latency_check(const json_t *latency)
{
    struct histogram h = {0};

    return suite_latency_add(latency, &h);
}

int suite_value_read(const char *line, const struct suite_work *work, struct suite_value *v)
{
    json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    int ret = 0;

    v->latency = v->per_unit = NULL;
    v->ns = number_of(json_object_get(o, "ns_per_unit"));
    if (!(isfinite(v->ns) && v->ns > 0))
        ret = -EPROTO;
    v->own_cpu[0] = v->own_cpu[1] = 0;
    if ((!work->loose || json_object_get(o, "own_cpu")) && !read_two(o, "own_cpu", v->own_cpu))
        ret = -EPROTO;
    if (!work->loose && (!read_two(o, "round_trip_ns", v->round_trip_ns) ||
                         v->round_trip_ns[0] <= 0 || v->round_trip_ns[1] <= 0))
        ret = -EPROTO;
    if (ret == 0)
        ret = take_optional(o, "latency", latency_check, &v->latency);
    if (ret == 0)
        ret = take_optional(o, "per_unit", suite_per_unit_check, &v->per_unit);
    if (ret)
        suite_value_fini(v);
    json_decref(o);
    return ret;
}

void suite_value_fini(struct suite_value *v)
{
    json_decref(v->latency);
    json_decref(v->per_unit);
    v->latency = v->per_unit = NULL;
}

static bool round_near(const struct suite_round *r)
{
    return r->values[0].round_trip_ns[0] < SUITE_NEAR_NS;
}

/* Had others a CPU that the variant could have used? */
static bool disturbed(const struct suite_work *work, const struct suite_value *v)
{
    bool foreign = v->foreign > SUITE_FOREIGN_MAX;
    bool waited = fmin(v->own_cpu[0], v->own_cpu[1]) < 1 - SUITE_FOREIGN_MAX;

    if (work->sleeps)
        return foreign;
    return work->loose ? foreign && waited : waited;
}

enum suite_fate suite_round_fate(const struct suite_row *row, const struct suite_round *round,
                                 unsigned count)
{
    double least = INFINITY, most = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct suite_value *v = &round->values[i];

        if (v->steal > SUITE_STEAL_MAX)
            return SUITE_STEAL;
        if (disturbed(&row->work, v))
            return SUITE_FOREIGN;
        for (unsigned k = 0; k < 2; k++) {
            least = fmin(least, v->round_trip_ns[k]);
            most = fmax(most, v->round_trip_ns[k]);
        }
    }
    return most > (row->work.loose ? SUITE_MOVED_LOOSE : SUITE_MOVED_MAX) * least ? SUITE_MOVED
                                                                                  : SUITE_KEPT;
}

/* Whether most rounds that could be kept have CPUs that share a cache, and how many. */
static unsigned majority(const struct suite_row *row, bool *near)
{
    unsigned count[2] = {0, 0};

    for (unsigned i = 0; i < row->round_count; i++) {
        const struct suite_round *r = &row->rounds[i];

        if (r->fate == SUITE_KEPT || r->fate == SUITE_ELSEWHERE)
            count[round_near(r)]++;
    }
    *near = count[1] > count[0];
    return count[*near];
}

unsigned suite_kept(const struct suite_row *row)
{
    bool near;

    return majority(row, &near);
}

int suite_settle(struct suite_row *row)
{
    double values[SUITE_VARIANTS][SUITE_ATTEMPTS];
    double trips[SUITE_ATTEMPTS];
    unsigned kept = 0;
    int ret = 0;

    (void)majority(row, &row->near);
    for (unsigned f = 0; f < SUITE_FATES; f++)
        row->fates[f] = 0;
    for (unsigned i = 0; i < row->round_count; i++) {
        struct suite_round *r = &row->rounds[i];

        if (r->fate == SUITE_KEPT || r->fate == SUITE_ELSEWHERE)
            r->fate = round_near(r) == row->near ? SUITE_KEPT : SUITE_ELSEWHERE;
        row->fates[r->fate]++;
        if (r->fate != SUITE_KEPT)
            continue;
        for (unsigned k = 0; k < row->work.variant_count; k++)
            values[k][kept] = r->values[k].ns;
        trips[kept] = (r->values[0].round_trip_ns[0] + r->values[0].round_trip_ns[1]) / 2;
        kept++;
    }
    ret = sample_take(trips, kept, &row->round_trip);
    if (ret == 0)
        ret = sample_ratio(values[0], trips, kept, &row->to_round_trip);
    for (unsigned k = 0; k < row->work.variant_count && ret != -ENOMEM; k++) {
        ret = sample_take(values[k], kept, &row->values[k]);
        if (ret == 0)
            ret = sample_ratio(values[0], values[k], kept, &row->ratios[k]);
    }
    return ret == -ENOMEM ? ret : 0;
}
