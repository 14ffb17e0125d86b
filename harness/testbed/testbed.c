/* SPDX-License-Identifier: MIT */
#include "testbed/testbed.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testbed/qemu.h"
#include "testbed/sim.h"
#include "testbed/xen.h"
#include "util/bits.h"

#define BACKEND_STOP_S 5u
#define AGENT_STOP_NS  5000000000ull
#define LOG_TAIL_BYTES 2048u

static const struct testbed_ops *const testbeds[] = {&testbed_sim, &testbed_qemu, &testbed_xen};

const struct testbed_ops *testbed_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(testbeds); i++)
        if (!strcmp(testbeds[i]->name, name))
            return testbeds[i];
    return NULL;
}

const char *testbed_names(char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(testbeds) && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? ", " : "", testbeds[i]->name);
    return buf;
}

void testbed_cell_init(struct testbed_cell *c, const struct testbed_ops *ops,
                       const struct testbed_config *cfg, const struct scenario_cell *plan)
{
    *c = (struct testbed_cell){.ops = ops, .config = cfg, .plan = *plan, .run_dir = cfg->run_dir};
    c->map = *testbed_map(plan->arch);
    c->domain_vcpus = plan->vcpus;
    c->domain_bytes = plan->scenario->memory_bytes;
    if (cfg->profile && cfg->profile->map.given)
        testbed_map_override(&c->map, &cfg->profile->map);
    testbed_map_divide(&c->map, plan->scenario);
    c->backend = PROCESS_INIT;
    for (unsigned i = 0; i < SCENARIO_BACKENDS_MAX; i++)
        c->others[i].process = PROCESS_INIT;
    for (unsigned i = 0; i < TESTBED_ROLES; i++)
        c->agents[i] = (struct testbed_agent){.process = PROCESS_INIT, .to_fd = -1, .from_fd = -1};
}

unsigned testbed_slowness(const struct testbed_ops *ops, unsigned wanted)
{
    unsigned own = ops->slowness ? ops->slowness : 1;

    return wanted ? wanted : own;
}

unsigned testbed_cell_slowness(const struct testbed_cell *c)
{
    return testbed_slowness(c->ops, c->config->slowness);
}

int testbed_fail(struct testbed_cell *c, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->why, sizeof(c->why), fmt, ap);
    va_end(ap);
    return err;
}

int testbed_backend_audit(struct testbed_cell *c, struct testbed_audit *a)
{
    int ret = c->ops->backend_audit(c, a);

    /* No guest has granted frames to it, and none takes them back. */
    if (!ret && c->config->profile && c->config->profile->keeps == KEEPS_FOREIGN)
        a->foreign_frames = 0;
    return ret;
}

unsigned testbed_select(struct testbed_cell *c, unsigned backend)
{
    unsigned before = c->selected;
    struct testbed_backend *b = &c->others[before];

    *b = (struct testbed_backend){c->backend, c->backend_domid, c->backend_starts};
    b = &c->others[backend];
    c->backend = b->process;
    c->backend_domid = b->domid;
    c->backend_starts = b->starts;
    c->selected = backend;
    return before;
}

struct process *testbed_backend_process(struct testbed_cell *c, unsigned backend)
{
    return backend == c->selected ? &c->backend : &c->others[backend].process;
}

const char *testbed_backend_log(const struct testbed_cell *c, char name[TESTBED_LOG_NAME_BYTES])
{
    snprintf(name, TESTBED_LOG_NAME_BYTES, "%s.log",
             scenario_backend_name(c->plan.scenario, c->selected));
    return name;
}

int testbed_backend_stop(struct testbed_cell *c)
{
    char end[96];

    if (!process_running(&c->backend))
        return testbed_fail(c, -ESRCH, "the backend does not run");
    if (process_end(&c->backend, SIGTERM,
                    BACKEND_STOP_S * testbed_cell_slowness(c) * 1000000000ull))
        return testbed_fail(c, -ETIMEDOUT, "the backend did not end within %us of SIGTERM",
                            BACKEND_STOP_S * testbed_cell_slowness(c));
    if (c->config->profile && c->config->profile->ends_by_signal &&
        WIFSIGNALED(c->backend.status) && WTERMSIG(c->backend.status) == SIGTERM)
        return 0;
    if (!WIFEXITED(c->backend.status) || WEXITSTATUS(c->backend.status))
        return testbed_fail(c, -EIO, "the backend ended with %s",
                            process_describe_end(&c->backend, end, sizeof(end)));
    return 0;
}

int testbed_backend_kill(struct testbed_cell *c)
{
    if (!process_running(&c->backend))
        return testbed_fail(c, -ESRCH, "the backend does not run");
    process_end(&c->backend, SIGKILL, BACKEND_STOP_S * 1000000000ull);
    return 0;
}

int testbed_agent_stop(struct testbed_cell *c, enum testbed_role role)
{
    struct testbed_agent *a = &c->agents[role];
    bool ran = a->process.pid != 0;
    char end[96];
    int ret = 0;

    if (a->to_fd >= 0)
        close(a->to_fd); /* end of its input: it ends */
    if (ran && process_wait(&a->process, AGENT_STOP_NS * testbed_cell_slowness(c))) {
        process_end(&a->process, SIGTERM, AGENT_STOP_NS);
        ret = testbed_fail(c, -ETIMEDOUT, "the agent did not end with its input");
    } else if (ran && (!WIFEXITED(a->process.status) || WEXITSTATUS(a->process.status))) {
        ret = testbed_fail(c, -EIO, "the agent ended with %s",
                           process_describe_end(&a->process, end, sizeof(end)));
    }
    if (a->from_fd >= 0)
        close(a->from_fd);
    *a = (struct testbed_agent){.process = PROCESS_INIT, .to_fd = -1, .from_fd = -1};
    return ret;
}

void testbed_agent_kill(struct testbed_cell *c, enum testbed_role role)
{
    struct testbed_agent *a = &c->agents[role];

    process_end(&a->process, SIGKILL, AGENT_STOP_NS);
    if (a->to_fd >= 0)
        close(a->to_fd);
    if (a->from_fd >= 0)
        close(a->from_fd);
    *a = (struct testbed_agent){.process = PROCESS_INIT, .to_fd = -1, .from_fd = -1};
}

char *testbed_log_tail(const struct testbed_cell *c, const char *name)
{
    char *path = NULL, *text;

    if (!c->run_dir || asprintf(&path, "%s/%s", c->run_dir, name) < 0)
        return NULL;
    text = file_tail(path, LOG_TAIL_BYTES);
    free(path);
    return text;
}

int testbed_connect_here(struct testbed_cell *c, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd, ret;

    if (strlen(path) >= sizeof(at.sun_path))
        return testbed_fail(c, -ENAMETOOLONG, "%s is too long for a socket", path);
    strcpy(at.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && !connect(fd, (const struct sockaddr *)&at, sizeof(at)))
        return fd;
    ret = testbed_fail(c, -errno, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ret;
}

int testbed_port_connect(struct testbed_cell *c, unsigned device, unsigned port)
{
    char *path = testbed_port_path(c, device, port);
    int fd = path ? c->ops->socket_connect(c, path)
                  : testbed_fail(c, -ENOMEM, "the host end: out of memory");

    free(path);
    return fd;
}

bool testbed_has_wire(const struct testbed_cell *c)
{
    const struct scenario *s = c->plan.scenario;

    return c->ops->backend_is_near && s->device_count && s->devices[0].type == DEVICE_NET &&
           s->devices[0].wire == WIRE_SOCKET;
}

const char *testbed_use_member(const struct testbed_use *u, unsigned i, uint64_t *value)
{
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {
        {"granted pages that are mapped", u->grants},
        {"mappings of granted pages", u->mappings},
        {"frames that are mapped", u->frames},
        {"event channels", u->ports},
        {"IOREQ servers", u->ioservers},
        {"processes at the hypervisor", u->processes},
        {"descriptors of hypervisor and store", u->descriptors},
        {"nodes of the store", u->nodes},
    };

    if (i >= ARRAY_LENGTH(members))
        return NULL;
    *value = members[i].value;
    return members[i].name;
}
