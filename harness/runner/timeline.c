/* SPDX-License-Identifier: MIT */
/*
 * A scenario's timeline beside a check. Steps are carried out by the thread that also answers the
 * agent, so that no two things happen to a cell at once; a step that waits for an access has the
 * guest stopped at it, so that what the guest sees does not depend on time.
 */
#include <errno.h>
#include <time.h>

#include "runner/asks.h"
#include "runner/runner.h"
#include "runner/session.h"

#define WAIT_NS 10000000000ull

uint64_t timeline_amount(const struct scenario_step *step, uint64_t seed, unsigned round)
{
    uint64_t x = seed + 0x9e3779b97f4a7c15u * (((uint64_t)step->line << 32) + round + 1);

    if (step->when != WHEN_WITHIN)
        return step->amount;
    /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return 1 + (x ^ (x >> 31)) % step->amount;
}

static int start(struct session *s)
{
    int ret = session_backend_start(s);

    s->backend_touched = true;
    if (!ret)
        s->backends[s->cell->selected].down = false;
    return ret;
}

static int end(struct session *s, bool kill)
{
    s->backend_touched = s->backends[s->cell->selected].down = true;
    return kill ? testbed_backend_kill(s->cell) : testbed_backend_stop(s->cell);
}

/* With the backend that it is about selected. */
static int act(struct session *s, const struct scenario_step *step)
{
    struct testbed_cell *c = s->cell;
    int ret;

    switch (step->action) {
    case ACTION_KILL_BACKEND:
        return end(s, true);
    case ACTION_STOP_BACKEND:
        return end(s, false);
    case ACTION_START_BACKEND:
        return start(s);
    case ACTION_RESTART_BACKEND:
        ret = end(s, true);
        return ret ? ret : start(s);
    case ACTION_UPGRADE_BACKEND:
        ret = end(s, false);
        return ret ? ret : start(s);
    case ACTION_ATTACH_DEVICE:
        return testbed_device_attach(c, step->object, NULL);
    case ACTION_DETACH_DEVICE:
        return testbed_device_detach(c, step->object);
    case ACTION_PAUSE_DOMAIN:
        return c->ops->domain_pause(c, true);
    case ACTION_UNPAUSE_DOMAIN:
        return c->ops->domain_pause(c, false);
    case ACTION_PAUSE_GUEST: /* not beside checks */
    case ACTION_UNPAUSE_GUEST:
        break;
    }
    return testbed_fail(c, -EINVAL, "a step that is not for checks");
}

/* Which backend a step moves: with one process for all, that one. */
static unsigned backend_of(const struct scenario_cell *plan, const struct scenario_step *step)
{
    if (step->action == ACTION_ATTACH_DEVICE || step->action == ACTION_DETACH_DEVICE)
        return scenario_cell_backend_of(plan, step->object);
    return step->object < scenario_cell_backends(plan) ? step->object : 0;
}

/* 0: now; -EAGAIN: not yet. */
static int due(struct session *s, const struct scenario_step *step)
{
    struct testbed_cell *c = s->cell;
    struct timeline *t = &s->timeline;
    uint64_t accesses = 0, bus;
    bool stopped = false;
    int ret;

    switch (step->when) {
    case WHEN_START:
        return 0;
    case WHEN_AFTER:
        return monotonic_ns() - t->from_ns >= step->amount ? 0 : -EAGAIN;
    case WHEN_ACCESSES:
    case WHEN_WITHIN:
        ret = c->ops->domain_accesses(c, &accesses);
        if (ret)
            return ret;
        return accesses - t->from_accesses >= timeline_amount(step, s->seed, t->round) ? 0
                                                                                       : -EAGAIN;
    case WHEN_BYTES: /* beside a transfer only (runner/guest.c) */
        return -EINVAL;
    case WHEN_CONFIG_READ:
        break;
    }
    if (!c->ops->domain_stop_at)
        return testbed_fail(c, -EOPNOTSUPP, "this testbed cannot stop a guest at an access");
    if (!testbed_map_bus(&c->map, step->amount, &bus))
        return testbed_fail(c, -EINVAL, "bus %u is behind no bridge", (unsigned)step->amount);
    if (!t->armed) {
        t->armed = true;
        ret = c->ops->domain_stop_at(c, bus, bus + ECAM_BYTES_PER_BUS - 1);
        return ret ? ret : -EAGAIN;
    }
    ret = c->ops->domain_stopped(c, &stopped);
    return ret ? ret : stopped ? 0 : -EAGAIN;
}

int timeline_advance(struct session *s)
{
    const struct scenario *sc = s->cell->plan.scenario;
    struct timeline *t = &s->timeline;

    while (t->step < sc->timeline_count) {
        const struct scenario_step *step = &sc->timeline[t->step];
        int ret = due(s, step);

        if (ret)
            return ret;
        unsigned before = testbed_select(s->cell, backend_of(&s->cell->plan, step));
        ret = act(s, step);
        testbed_select(s->cell, before);
        if (ret)
            return ret == -EAGAIN ? -EIO : ret;
        if (++t->round == step->times) {
            t->step++;
            t->round = 0;
        }
        /* Straight from one place to the next, so that it cannot be missed. */
        if (t->armed &&
            (t->step == sc->timeline_count || sc->timeline[t->step].when != WHEN_CONFIG_READ))
            s->cell->ops->domain_go(s->cell);
        t->armed = false;
        t->from_ns = monotonic_ns();
        ret = s->cell->ops->domain_accesses(s->cell, &t->from_accesses);
        if (ret)
            return ret;
    }
    return 0;
}

void timeline_begin(struct session *s)
{
    s->timeline = (struct timeline){.from_ns = monotonic_ns()};
    if (s->cell->plan.scenario->timeline_count)
        (void)s->cell->ops->domain_accesses(s->cell, &s->timeline.from_accesses);
    /* Before the check begins; an error comes again when it runs. */
    (void)timeline_advance(s);
}

void timeline_end(struct session *s)
{
    const struct testbed_cell *c = s->cell;

    if (c->plan.scenario->timeline_count && c->ops->domain_go)
        c->ops->domain_go(s->cell);
    s->timeline.armed = false;
}

/* The check has seen all that it wanted to: the rest happens now. */
int timeline_wait(struct session *s, const json_t *args, json_t **value)
{
    uint64_t deadline = monotonic_ns() + WAIT_NS * testbed_cell_slowness(s->cell);
    const struct timespec look = {.tv_nsec = TIMELINE_LOOK_NS};
    int ret;

    while ((ret = timeline_advance(s)) == -EAGAIN) {
        if (monotonic_ns() >= deadline)
            return testbed_fail(s->cell, -ETIMEDOUT, "step %u of the timeline does not come",
                                s->timeline.step + 1);
        nanosleep(&look, NULL);
    }
    return ret;
}
