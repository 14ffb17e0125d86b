/* SPDX-License-Identifier: MIT */
/* How fast the rings are meant to be, with all their checks. */
#include <string.h>

#include "suite/suite.h"
#include "util/bits.h"

#define FASTER(percent)  (100.0 / (100.0 + (percent)))
#define AS_FAST(percent) (100.0 / (percent))
#define ROUND_TRIP       "round trip"

/* Of a peer ten per cent are gained. The floor does nothing of what a virtqueue does; and a request
 * cannot come back sooner than a cache line does. */
static const struct suite_goal goals[] = {
    {"split batch=1 beside ringtest", "ringtest", FASTER(10)},
    {"split in_order batch=1 beside ringtest", "ringtest", FASTER(10)},
    {"packed batch=1 beside ringtest", "ringtest", FASTER(10)},
    {"packed batch=1 beside ringtest", "floor", 3.0},
    {"split one outstanding beside ringtest", ROUND_TRIP, 1.2},
    {"split in_order one outstanding beside ringtest", ROUND_TRIP, 1.2},
    {"packed one outstanding beside ringtest", ROUND_TRIP, 1.2},
    {"split one outstanding in one line", ROUND_TRIP, 1.2},
    {"split payload=64 copied beside testpmd", "testpmd", FASTER(10)},
    {"packed in_order payload=64 copied beside testpmd", "testpmd", FASTER(10)},
    {"blk 4 KiB reads, 32 outstanding, no data", "qemu-storage-daemon", FASTER(10)},
    {"blk 4 KiB reads, 32 outstanding, copied", "memcpy", AS_FAST(70)},
    {"iperf3 one stream beside TAPs and veth", "two TAPs, offloads", AS_FAST(100)},
    {"iperf3 one stream beside TAPs and veth", "veth", AS_FAST(75)},
};

const struct suite_goal *suite_goals(unsigned *count)
{
    *count = ARRAY_LENGTH(goals);
    return goals;
}

bool suite_goal_for(const char *row)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(goals); i++)
        if (!strcmp(goals[i].row, row))
            return true;
    return false;
}

const char *suite_reached_name(enum suite_reached r)
{
    static const char *const names[] = {"reached", "missed", "unsure", "not measured"};

    return names[r];
}

static const struct sample *measured(const struct suite_goal *g, const struct suite_row *row)
{
    if (!strcmp(g->than, ROUND_TRIP))
        return &row->to_round_trip;
    for (unsigned k = 1; k < row->work.variant_count; k++)
        if (!strcmp(row->work.variants[k].name, g->than))
            return &row->ratios[k];
    return NULL;
}

enum suite_reached suite_goal_judge(const struct suite_goal *g, const struct suite_row *rows,
                                    unsigned count, struct sample *ratio)
{
    const struct sample *s = NULL;

    for (unsigned i = 0; i < count && !s; i++)
        if (!strcmp(rows[i].work.name, g->row))
            s = measured(g, &rows[i]);
    *ratio = s ? *s : (struct sample){0};
    if (ratio->count < SAMPLE_PAIRS_MIN)
        return SUITE_UNMEASURED;
    if (ratio->high <= g->at_most)
        return SUITE_REACHED;
    return ratio->low > g->at_most ? SUITE_MISSED : SUITE_UNSURE;
}
