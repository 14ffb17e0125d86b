/* SPDX-License-Identifier: MIT */
#include "runner/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/asks.h"
#include "runner/host_ends.h"
#include "runner/wire_end.h"
#include "util/bits.h"

#define HELLO_NS 20000000000ull
#define WRITE_NS 5000000000ull
/* What an agent gets to say what it saw of the backend's death. */
#define DEATH_NS 5000000000ull
/* Of an agent that is told nothing (agent/run.h). */
#define CHECK_DEFAULT_MS 30000u

static int fail(struct session *s, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct session *s, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(s->why, sizeof(s->why), fmt, ap);
    va_end(ap);
    return err;
}

static const char *role_name(enum testbed_role role)
{
    return role == AGENT_DOM0 ? "dom0" : "domu";
}

/* ---- lines ---- */

static int link_write(struct session *s, enum testbed_role role, const struct wire_request *q)
{
    int fd = s->links[role].agent->to_fd;
    uint64_t deadline = monotonic_ns() + WRITE_NS;
    size_t len = 0, done = 0;
    char *line = wire_request_encode(q, &len);
    int ret = 0;

    if (!line)
        return fail(s, -EPROTO, "a request to the agent cannot be encoded: %s", strerror(errno));
    while (!ret && done < len) {
        ssize_t n = write(fd, line + done, len - done);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = {.fd = fd, .events = POLLOUT};
            if (poll(&pfd, 1, poll_timeout_ms(deadline)) == 0)
                ret = fail(s, -ETIMEDOUT, "the agent does not read its input");
        } else if (n < 0 && errno != EINTR) {
            ret = fail(s, -EPIPE, "the agent does not read its input: %s", strerror(errno));
        }
    }
    free(line);
    return ret;
}

static int agent_ended(struct session *s, enum testbed_role role)
{
    struct process *p = &s->links[role].agent->process;
    char end[96] = "its output is closed";
    char *log;

    if (!process_wait(p, 2000000000u))
        process_describe_end(p, end, sizeof(end));
    log = testbed_log_tail(s->cell, role == AGENT_DOM0 ? "agent-dom0.log" : "agent.log");
    fail(s, -EPIPE, "the %s agent died (%s)%s%.300s", role_name(role), end,
         log && log[0] ? ": " : "", log ? log : "");
    free(log);
    return -EPIPE;
}

/* The next event of one agent. */
static int link_event(struct session *s, enum testbed_role role, uint64_t deadline,
                      struct wire_event *ev)
{
    struct agent_link *l = &s->links[role];
    const char *text;
    char why[256];
    bool died = false;
    size_t len;

    for (;;) {
        switch (wire_reader_next(l->reader, &text, &len)) {
        case WIRE_MESSAGE:
            if (!wire_event_decode(text, len, ev, why, sizeof(why)))
                return 0;
            return fail(s, -EPROTO, "the %s agent broke the protocol: %s", role_name(role), why);
        case WIRE_LOG_LINE:
            if (l->console)
                fprintf(l->console, "%.*s\n", (int)len, text);
            continue;
        case WIRE_OVERLONG:
            return fail(s, -EPROTO, "the %s agent sent a line that is too long", role_name(role));
        case WIRE_NO_LINE:
            break;
        }
        /* First: a backend that it kills is no news. */
        int later = s->checking ? timeline_advance(s) : 0;
        if (later && later != -EAGAIN)
            return fail(s, later, "%s", s->cell->why);
        struct pollfd pfd[1 + SCENARIO_BACKENDS_MAX] = {
            {.fd = l->agent->from_fd, .events = POLLIN}};
        unsigned backends = scenario_cell_backends(&s->cell->plan);
        for (unsigned b = 0; b < backends; b++) {
            bool news = !died && s->checking && !s->backends[b].down;
            pfd[1 + b].fd = news ? testbed_backend_process(s->cell, b)->pidfd : -1;
            pfd[1 + b].events = POLLIN;
        }
        uint64_t look = monotonic_ns() + TIMELINE_LOOK_NS;
        bool soon = later && look < deadline;
        int n = poll(pfd, 1 + backends, poll_timeout_ms(soon ? look : deadline));
        if (n == 0 && soon)
            continue;
        if (n == 0 && monotonic_ns() >= deadline)
            return fail(s, -ETIMEDOUT, "%sthe %s agent gave no answer in time",
                        died ? "the backend died, then " : "", role_name(role));
        for (unsigned b = 0; n > 0 && !died && b < backends; b++) {
            if (!pfd[1 + b].revents)
                continue;
            /* The guest may wait for it for ever. */
            uint64_t end = monotonic_ns() + DEATH_NS * testbed_cell_slowness(s->cell);
            died = true;
            deadline = end < deadline ? end : deadline;
        }
        if (n <= 0 || !pfd[0].revents)
            continue;
        size_t room;
        void *space = wire_reader_space(l->reader, &room);
        ssize_t got = read(l->agent->from_fd, space, room);
        if (got > 0)
            wire_reader_fed(l->reader, (size_t)got);
        else if (got == 0)
            return agent_ended(s, role);
        else if (errno != EINTR && errno != EAGAIN)
            return fail(s, -EPIPE, "reading from the agent: %s", strerror(errno));
    }
}

static int link_open(struct session *s, enum testbed_role role, uint64_t deadline)
{
    struct agent_link *l = &s->links[role];
    struct wire_event ev;
    char path[256];
    int ret = s->cell->ops->agent_start(s->cell, role);

    if (ret)
        return fail(s, ret, "%s", s->cell->why);
    l->agent = &s->cell->agents[role];
    fcntl(l->agent->to_fd, F_SETFL, fcntl(l->agent->to_fd, F_GETFL) | O_NONBLOCK);
    l->reader = wire_reader_create(true);
    snprintf(path, sizeof(path), "%s/console-%s.log", s->cell->run_dir, role_name(role));
    l->console = fopen(path, "ae");
    if (l->console) /* its end is looked at while it is written */
        setvbuf(l->console, NULL, _IOLBF, 0);
    if (!l->reader)
        return fail(s, -ENOMEM, "out of memory");
    uint64_t hello = monotonic_ns() + HELLO_NS * testbed_cell_slowness(s->cell);
    ret = link_event(s, role, hello < deadline ? hello : deadline, &ev);
    if (ret)
        return ret;
    if (ev.ev != WIRE_HELLO)
        ret = fail(s, -EPROTO, "the %s agent did not begin with hello", role_name(role));
    else if (strcmp(wire_role_name(ev.hello.role), testbed_agent_role(s->cell, role)))
        ret = fail(s, -EPROTO, "the agent started as %s says that it is %s",
                   testbed_agent_role(s->cell, role), wire_role_name(ev.hello.role));
    wire_event_fini(&ev);
    return ret;
}

/* ---- the session ---- */

void session_init(struct session *s, struct testbed_cell *cell, uint64_t seed)
{
    bool dom0 = cell->plan.scenario->runs_in == RUNS_IN_DOM0;

    *s = (struct session){.cell = cell, .seed = seed, .runs = dom0 ? AGENT_DOM0 : AGENT_DOMU};
}

int session_open(struct session *s, uint64_t deadline_ns)
{
    int ret = link_open(s, AGENT_DOMU, deadline_ns);

    if (!ret && s->runs == AGENT_DOM0)
        ret = link_open(s, AGENT_DOM0, deadline_ns);
    return ret;
}

int session_close(struct session *s)
{
    int ret = 0;

    for (unsigned i = 0; i < TESTBED_ROLES; i++) {
        struct agent_link *l = &s->links[i];
        int end = l->agent ? testbed_agent_stop(s->cell, (enum testbed_role)i) : 0;
        if (end && !ret)
            ret = fail(s, end, "%s", s->cell->why);
        wire_reader_destroy(l->reader);
        if (l->console)
            fclose(l->console);
        *l = (struct agent_link){0};
    }
    free(s->checks);
    s->checks = NULL;
    s->check_count = 0;
    return ret;
}

int session_list(struct session *s, uint64_t deadline_ns)
{
    struct wire_request q = {.op = WIRE_LIST};
    struct wire_event ev;
    int ret = link_write(s, s->runs, &q);

    while (!ret) {
        ret = link_event(s, s->runs, deadline_ns, &ev);
        if (ret)
            break;
        enum wire_ev kind = ev.ev;
        if (kind == WIRE_CHECK) {
            struct wire_check *more =
                reallocarray(s->checks, s->check_count + 1, sizeof(*s->checks));
            if (more) {
                s->checks = more;
                s->checks[s->check_count++] = ev.check;
            } else {
                ret = fail(s, -ENOMEM, "out of memory");
            }
        } else if (kind != WIRE_END) {
            ret = fail(s, -EPROTO, "the agent sent something else than its checks");
        }
        wire_event_fini(&ev);
        if (kind == WIRE_END)
            break;
    }
    return ret;
}

/* A peer call: to the other domain's agent, and its reply back. */
static int forward_peer(struct session *s, const struct wire_call *ask, uint64_t deadline,
                        struct wire_call *reply)
{
    enum testbed_role other = s->runs == AGENT_DOM0 ? AGENT_DOMU : AGENT_DOM0;
    struct wire_request q = {.op = WIRE_PEER_CALL};
    const char *call = json_string_value(json_object_get(ask->args, "call"));
    struct wire_event ev = {0};

    if (!s->links[other].agent || !call || strlen(call) >= sizeof(q.call.name)) {
        snprintf(reply->error, sizeof(reply->error),
                 s->links[other].agent ? "peer needs a call" : "there is no other agent");
        return 0;
    }
    q.call.id = ask->id;
    strcpy(q.call.name, call);
    q.call.args = json_object_get(ask->args, "args");
    int ret = link_write(s, other, &q);
    if (ret)
        return ret;
    ret = link_event(s, other, deadline, &ev);
    if (ret)
        return ret;
    if (ev.ev == WIRE_PEER_REPLY && ev.call.id == ask->id) {
        reply->ok = ev.call.ok;
        reply->value = json_incref(ev.call.value);
        memcpy(reply->error, ev.call.error, sizeof(reply->error));
    } else {
        ret = fail(s, -EPROTO, "the peer's agent did not answer the call");
    }
    wire_event_fini(&ev);
    return ret;
}

static int answer(struct session *s, const struct wire_call *ask, uint64_t deadline)
{
    struct wire_request q = {.op = WIRE_ANSWER, .call = {.id = ask->id}};
    int ret = 0;

    if (!strcmp(ask->name, "peer"))
        ret = forward_peer(s, ask, deadline, &q.call);
    else
        asks_handle(s, ask, &q.call);
    if (!ret && !s->domain_ended)
        ret = link_write(s, s->runs, &q);
    json_decref(q.call.value);
    return ret;
}

/* What the first holds because another has come, such as a connection, is no leftover. */
static int raise_first_baseline(struct session *s)
{
    unsigned other = testbed_select(s->cell, 0);
    struct testbed_audit now;
    int ret = 0;

    if (other && s->backends[0].has_baseline && process_running(&s->cell->backend)) {
        ret = testbed_backend_audit(s->cell, &now);
        if (!ret && now.fds > s->backends[0].baseline.fds)
            s->backends[0].baseline.fds = now.fds;
    }
    testbed_select(s->cell, other);
    return ret;
}

int session_backend_start(struct session *s)
{
    const struct testbed_ops *ops = s->cell->ops;
    int ret = ops->backend_start(s->cell);

    struct session_backend *b = &s->backends[s->cell->selected];

    if (!ret && !b->has_baseline) {
        ret = testbed_backend_audit(s->cell, &b->baseline);
        b->has_baseline = ret == 0;
        if (!ret)
            ret = raise_first_baseline(s);
    }
    return ret;
}

int session_run(struct session *s, const struct wire_check *check, uint64_t deadline_ns,
                struct check_result *result)
{
    unsigned slowness = testbed_cell_slowness(s->cell);
    struct wire_request q = {.op = WIRE_RUN, .timeout_ms = check->timeout_ms};
    struct wire_event ev;
    int ret;

    if (slowness > 1)
        q.timeout_ms = (check->timeout_ms ? check->timeout_ms : CHECK_DEFAULT_MS) * slowness;

    s->backend_touched = s->domain_ended = false;
    /* One that has never been started is none that died. */
    for (unsigned i = 0; i < SCENARIO_BACKENDS_MAX; i++)
        s->backends[i].down = false;
    s->checking = true;
    timeline_begin(s);
    snprintf(q.check, sizeof(q.check), "%.63s.%.63s", check->family, check->name);
    /* Where the backend takes each address its own way a check may mix them. */
    const struct profile *p = s->cell->config->profile;
    const struct scenario_cell *plan = &s->cell->plan;
    const struct {
        const char *name;
        bool is;
    } params[] = {
        {"mixed", scenario_memory_mixes(plan->memory) && !plan->scenario->refuse_foreign},
        {"host_ends", true},
        {"wire", testbed_has_wire(s->cell)},
        {"unserved", !s->backends[0].has_baseline},
        {"restarts", !p || p->restarts},
        {"intx", !p || p->intx},
        {"takes_grants", plan->memory < MEMORY_FOREIGN_MAP || plan->memory == MEMORY_SHIM},
        {"dom0_serves", plan->backend == BACKEND_DOM0},
        {"outside", plan->backend == BACKEND_OUTSIDE},
        {"backends", scenario_cell_backends(plan) > 1},
        {"vhost_user", plan->topology == TOPOLOGY_VHOST_USER},
        {"timeline", plan->scenario->timeline_count > 0},
        {"background_zeroes", plan->background == BACKGROUND_ZEROES},
        {"foreign_refused", plan->scenario->refuse_foreign},
        {"mappings_limited", plan->scenario->max_mappings > 0},
        {"large_pages", plan->scenario->backend_page_bytes > 4096},
        {"costs", s->cell->ops->domain_costs && (!s->cell->ops->domain_is_counted ||
                                                 s->cell->ops->domain_is_counted(s->cell))},
        {"reborn", s->reborn},
        {"store_halts", s->cell->ops->store_halt != NULL},
    };
    q.params = json_pack("{s:I}", "seed", (json_int_t)s->seed);
    for (size_t i = 0; i < ARRAY_LENGTH(params); i++)
        json_object_set_new(q.params, params[i].name, json_boolean(params[i].is));
    /* A backend that does not listen is found out by the check. */
    if (testbed_has_wire(s->cell))
        (void)wire_end_plug_in(s);
    ret = link_write(s, s->runs, &q);
    json_decref(q.params);
    while (!ret) {
        bool over = false;
        ret = link_event(s, s->runs, deadline_ns, &ev);
        if (ret)
            break;
        if (ev.ev == WIRE_ASK) {
            ret = answer(s, &ev.call, deadline_ns);
            over = s->domain_ended;
        } else if (ev.ev == WIRE_RESULT && !strcmp(ev.result.check, q.check)) {
            *result = ev.result.r;
            over = true;
        } else {
            ret = fail(s, -EPROTO, "the agent sent something that is no result of %s", q.check);
        }
        wire_event_fini(&ev);
        if (over)
            break;
    }
    s->checking = false;
    timeline_end(s);
    host_ends_close(s);
    wire_end_unplug(s);
    return ret;
}
