/* SPDX-License-Identifier: MIT */
#include "simxen/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xen/grant_table.h>
#include <xen/hvm/params.h>

#include "simxen/core/core.h"
#include "simxen/ctl/internal.h"
#include "simxen/ctl/spawn.h"
#include "simxen/ctl/store.h"

#define LIMIT_DEFAULT_NS  UINT64_C(10000000000)
#define DOM0_RAM_DEFAULT  (UINT64_C(256) << 20)
#define STORE_SOCKET      "xenstored/socket"
#define XENSTORED_PATTERN "/usr/lib/xen-*/bin/xenstored"

/* A domain's xenbus that this process started. */
struct bus {
    uint16_t domid;
    pid_t pid; /* 0: not our child */
    struct bus *next;
    char name[]; /* of the domain */
};

struct simxen {
    char *run_dir, *lib_dir, *bin_dir;
    bool started; /* by us; else attached to */
    bool store;
    struct spawner *spawner;
    pid_t hv, xenstored;  /* 0: not ours, or ended */
    pthread_mutex_t lock; /* of the two connections and the list */
    int conn, xs;         /* xs -1: none */
    struct bus *buses;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

__attribute__((format(printf, 4, 5))) static int explain(int rc, char *why, size_t size,
                                                         const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, size, fmt, ap);
    va_end(ap);
    return rc;
}

static char *path_of(const struct simxen *s, const char *name)
{
    char *p;

    return asprintf(&p, "%s/%s", s->run_dir, name) < 0 ? NULL : p;
}

/* The last line of a program's log: what it had to say when it ended. */
static void last_words(const struct simxen *s, const char *log, char *out, size_t size)
{
    char *path = path_of(s, log), line[160];
    FILE *f = path ? fopen(path, "re") : NULL;

    snprintf(out, size, "see %s", log);
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        if (*line)
            snprintf(out, size, "%s", line);
    }
    if (f)
        fclose(f);
    free(path);
}

static int call(struct simxen *s, struct sim_msg *msg)
{
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = sim_connection_call(s->conn, msg, NULL, NULL);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- start and end ---- */

static void simxen_free(struct simxen *s)
{
    while (s->buses) {
        struct bus *b = s->buses;

        s->buses = b->next;
        free(b);
    }
    if (s->conn >= 0)
        close(s->conn);
    if (s->xs >= 0)
        close(s->xs);
    spawner_destroy(s->spawner);
    pthread_mutex_destroy(&s->lock);
    free(s->run_dir);
    free(s->lib_dir);
    free(s->bin_dir);
    free(s);
}

static int simxen_new(const char *run_dir, const char *lib_dir, const char *bin_dir,
                      struct simxen **out, char *why, size_t why_size)
{
    struct sockaddr_un sa;
    struct simxen *s = calloc(1, sizeof(*s));
    int rc;

    *out = NULL;
    if (!s)
        return explain(-ENOMEM, why, why_size, "out of memory");
    s->conn = s->xs = -1;
    pthread_mutex_init(&s->lock, NULL);
    s->run_dir = realpath(run_dir, NULL);
    if (!s->run_dir) {
        rc = explain(-errno, why, why_size, "%s: %s", run_dir, strerror(errno));
        goto out;
    }
    s->lib_dir = realpath(lib_dir, NULL);
    s->bin_dir = realpath(bin_dir, NULL);
    if (!s->lib_dir || !s->bin_dir) {
        rc = explain(-errno, why, why_size, "%s: %s", s->lib_dir ? bin_dir : lib_dir,
                     strerror(errno));
        goto out;
    }
    /* libxenstore connects by the full name, which has to fit into a socket address. */
    if (strlen(s->run_dir) + sizeof("/" STORE_SOCKET) > sizeof(sa.sun_path)) {
        rc =
            explain(-ENAMETOOLONG, why, why_size,
                    "the run folder's name is too long for a socket: %s (%zu bytes, at most %zu)",
                    s->run_dir, strlen(s->run_dir), sizeof(sa.sun_path) - sizeof("/" STORE_SOCKET));
        goto out;
    }
    rc = spawner_create(&s->spawner);
    if (rc)
        rc = explain(rc, why, why_size, "thread: %s", strerror(-rc));
out:
    if (rc)
        simxen_free(s);
    else
        *out = s;
    return rc;
}

/* Start a program that says when it is ready. */
static int run_ready(struct simxen *s, struct spawn_args *a, uint64_t deadline, pid_t *pid,
                     char *why, size_t why_size)
{
    const char *name = strrchr(a->argv[0], '/') + 1, *log = strrchr(a->log, '/') + 1;
    struct pollfd p = {.events = POLLIN};
    char words[192], line[16];
    int rc, fds[2];
    uint64_t now;

    if (pipe2(fds, O_CLOEXEC))
        return explain(-errno, why, why_size, "pipe: %s", strerror(errno));
    a->ready_fd = fds[1];
    rc = spawner_run(s->spawner, a, pid);
    close(fds[1]);
    if (rc) {
        explain(rc, why, why_size, "%s: %s", a->argv[0], strerror(-rc));
        goto out;
    }
    now = now_ns();
    p.fd = fds[0];
    while ((rc = poll(&p, 1, now < deadline ? (int)((deadline - now) / 1000000) + 1 : 0)) < 0 &&
           errno == EINTR)
        ;
    if (rc == 1 && read(fds[0], line, sizeof(line)) > 0) {
        rc = 0;
        goto out;
    }
    last_words(s, log, words, sizeof(words));
    rc = rc == 0 ? explain(-ETIMEDOUT, why, why_size, "%s was not ready in time", name)
                 : explain(-EIO, why, why_size, "%s ended: %s", name, words);
    if (!a->detached)
        spawn_end(*pid);
out:
    close(fds[0]);
    return rc;
}

static int hv_start(struct simxen *s, const struct simxen_start *cfg, uint64_t deadline, char *why,
                    size_t why_size)
{
    uint64_t ram = cfg->dom0_ram_bytes ? cfg->dom0_ram_bytes : DOM0_RAM_DEFAULT;
    char *prog = NULL, *log = path_of(s, "hv.log"), bytes[24];
    const char *argv[] = {NULL,
                          "--run-dir",
                          s->run_dir,
                          "--dom0-ram",
                          bytes,
                          "--dom0-arch",
                          cfg->dom0_arch == SIM_ARCH_ARM ? "arm" : "x86",
                          "--ready-fd",
                          "3",
                          NULL};
    struct spawn_args a = {.argv = argv, .log = log, .ready_fd = -1};
    int rc;

    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)ram);
    if (!log || asprintf(&prog, "%s/simxen-hv", s->bin_dir) < 0) {
        prog = NULL;
        rc = explain(-ENOMEM, why, why_size, "out of memory");
        goto out;
    }
    argv[0] = prog;
    rc = run_ready(s, &a, deadline, &s->hv, why, why_size);
    if (rc) {
        s->hv = 0;
        goto out;
    }
    s->conn = sim_connect(s->run_dir, 0);
    if (s->conn < 0)
        rc = explain(s->conn, why, why_size, "hv.sock: %s", strerror(-s->conn));
out:
    free(prog);
    free(log);
    return rc;
}

static int write_file(const struct simxen *s, const char *name, const void *data, size_t n)
{
    char *path = path_of(s, name);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    int rc = fd < 0 || write(fd, data, n) != (ssize_t)n ? -EIO : 0;

    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

/* What the kernel of dom0 would show in /proc/xen: its ring page and its port. */
static int xsd_files(struct simxen *s)
{
    static const char page[SIM_PAGE];
    struct sim_msg msg = {.op = SIM_OP_PARAM_GET, .a = {0, HVM_PARAM_STORE_EVTCHN}};
    char *dir = path_of(s, "xenstored"), port[16];
    int rc = dir ? 0 : -ENOMEM;

    if (!rc && mkdir(dir, 0700) && errno != EEXIST)
        rc = -errno;
    if (!rc)
        rc = call(s, &msg);
    if (!rc)
        rc = write_file(s, "xenstored/xsd_kva", page, sizeof(page));
    snprintf(port, sizeof(port), "%u", (unsigned)msg.a[0]);
    if (!rc)
        rc = write_file(s, "xenstored/xsd_port", port, strlen(port));
    free(dir);
    return rc;
}

static char *xenstored_find(void)
{
    const char *own = getenv("SIMXEN_XENSTORED");
    char *found = NULL;
    glob_t g;

    if (own && *own)
        return strdup(own);
    if (!glob(XENSTORED_PATTERN, 0, NULL, &g)) {
        found = strdup(g.gl_pathv[g.gl_pathc - 1]);
        globfree(&g);
    }
    return found;
}

/* The daemon says nothing when it is ready: its socket does. */
static int store_wait(struct simxen *s, uint64_t deadline, char *why, size_t why_size)
{
    char *path = path_of(s, STORE_SOCKET), words[192];
    int rc = path ? 0 : -ENOMEM;

    while (!rc) {
        s->xs = store_connect(path);
        if (s->xs >= 0)
            break;
        if (spawn_wait(s->xenstored, 2000000)) {
            s->xenstored = 0;
            last_words(s, "xenstored.log", words, sizeof(words));
            rc = explain(-EIO, why, why_size, "xenstored ended: %s", words);
        } else if (now_ns() >= deadline) {
            rc = explain(-ETIMEDOUT, why, why_size, "xenstored was not ready in time");
        }
    }
    free(path);
    return rc;
}

static int store_start(struct simxen *s, uint64_t deadline, char *why, size_t why_size)
{
    char *prog = xenstored_find(), *log = path_of(s, "xenstored.log");
    char *dir = path_of(s, "xenstored"), *preload = NULL;
    const char *argv[] = {prog, "-N", "--internal-db", NULL};
    struct spawn_var vars[] = {
        {"SIMXEN_DIR", s->run_dir},
        {"SIMXEN_DOMID", "0"},
        {"LD_LIBRARY_PATH", s->lib_dir},
        {"LD_PRELOAD", NULL},
        {"XENSTORED_PATH", NULL},
        {"XENSTORED_RUNDIR", dir},
        {"RINGPROOF_MUTANT", NULL}, /* the store has to work under every mutant */
        {NULL, NULL},
    };
    struct spawn_args a = {.argv = argv, .vars = vars, .log = log, .ready_fd = -1};
    int rc;

    if (!prog) {
        rc = explain(-ENOENT, why, why_size, "no xenstored (%s): install xen-utils",
                     XENSTORED_PATTERN);
        goto out;
    }
    if (!log || !dir || asprintf(&preload, "%s/xenstored-preload.so", s->lib_dir) < 0) {
        preload = NULL;
        rc = explain(-ENOMEM, why, why_size, "out of memory");
        goto out;
    }
    vars[3].value = preload;
    rc = xsd_files(s);
    if (rc) {
        explain(rc, why, why_size, "%s: %s", dir, strerror(-rc));
        goto out;
    }
    rc = spawner_run(s->spawner, &a, &s->xenstored);
    if (rc) {
        s->xenstored = 0;
        explain(rc, why, why_size, "%s: %s", prog, strerror(-rc));
        goto out;
    }
    rc = store_wait(s, deadline, why, why_size);
    if (!rc) {
        store_write(s->xs, "/local/domain/0/name", "Domain-0");
        rc = store_write(s->xs, "/local/domain/0/domid", "0");
        if (rc)
            explain(rc, why, why_size, "xenstored: %s", strerror(-rc));
    }
out:
    free(prog);
    free(log);
    free(dir);
    free(preload);
    return rc;
}

int simxen_start(const struct simxen_start *cfg, struct simxen **out, char *why, size_t why_size)
{
    uint64_t deadline = now_ns() + (cfg->timeout_ns ? cfg->timeout_ns : LIMIT_DEFAULT_NS);
    struct simxen *s;
    int rc = simxen_new(cfg->run_dir, cfg->lib_dir, cfg->bin_dir, &s, why, why_size);

    if (!s)
        return rc;
    s->started = true;
    rc = hv_start(s, cfg, deadline, why, why_size);
    if (!rc && cfg->xenstored)
        rc = store_start(s, deadline, why, why_size);
    if (rc)
        simxen_stop(s);
    else
        *out = s;
    return rc;
}

int simxen_attach(const char *run_dir, const char *lib_dir, const char *bin_dir,
                  struct simxen **out, char *why, size_t why_size)
{
    struct simxen *s;
    char *path;
    int rc = simxen_new(run_dir, lib_dir, bin_dir, &s, why, why_size);

    if (!s)
        return rc;
    s->conn = sim_connect(s->run_dir, 0);
    if (s->conn < 0) {
        rc = explain(s->conn, why, why_size, "no simulation runs in %s", s->run_dir);
        simxen_free(s);
        return rc;
    }
    path = path_of(s, STORE_SOCKET);
    s->xs = path ? store_connect(path) : -1;
    free(path);
    *out = s;
    return 0;
}

static void remove_file(const struct simxen *s, const char *name)
{
    char *path = path_of(s, name);

    if (path)
        remove(path);
    free(path);
}

/* Of buses that others than this process started: they end with hv, in their own time. */
static void remove_bus_sockets(const struct simxen *s)
{
    char *pattern = path_of(s, "dom*.xenbus");
    glob_t g = {0};

    if (pattern && !glob(pattern, GLOB_NOESCAPE, NULL, &g)) {
        for (size_t i = 0; i < g.gl_pathc; i++)
            remove(g.gl_pathv[i]);
        globfree(&g);
    }
    free(pattern);
}

void simxen_stop(struct simxen *s)
{
    struct bus *b;

    if (!s)
        return;
    if (s->started) {
        /* xenstored first: it takes hv's end for an error. */
        if (s->xenstored)
            spawn_end(s->xenstored);
        if (s->hv)
            spawn_end(s->hv);
        /* The buses end by themselves when hv does. */
        for (b = s->buses; b; b = b->next)
            if (b->pid && !spawn_wait(b->pid, 1000000000))
                spawn_end(b->pid);
    }
    /* What a killed hv left; one that never answered may have stood in another's folder. */
    if (s->started && s->conn >= 0) {
        remove_file(s, "xenstored/socket");
        remove_file(s, "xenstored/xsd_kva");
        remove_file(s, "xenstored/xsd_port");
        remove_file(s, "xenstored");
        remove_file(s, "hv.sock");
        remove_bus_sockets(s);
    }
    simxen_free(s);
}

/* Without reaping: simxen_stop does. */
static bool child_runs(pid_t pid)
{
    siginfo_t si = {0};

    return pid && waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && !si.si_pid;
}

int simxen_alive(struct simxen *s, char *why, size_t why_size)
{
    char words[192];

    if (s->started && !child_runs(s->hv)) {
        last_words(s, "hv.log", words, sizeof(words));
        return explain(-ESHUTDOWN, why, why_size, "simxen-hv has ended: %s", words);
    }
    if (s->started && s->xs >= 0 && !child_runs(s->xenstored)) {
        last_words(s, "xenstored.log", words, sizeof(words));
        return explain(-ESHUTDOWN, why, why_size, "xenstored has ended: %s", words);
    }
    return 0;
}

pid_t simxen_hv_pid(const struct simxen *s)
{
    return s->hv ? s->hv : -1;
}

int simxen_quit(struct simxen *s, uint64_t limit_ns)
{
    struct sim_msg msg = {.op = SIM_OP_QUIT};
    struct pollfd p = {.fd = s->conn, .events = POLLIN};
    int rc = call(s, &msg);

    if (rc)
        return rc;
    rc = poll(&p, 1, (int)(limit_ns / 1000000));
    return rc == 1 ? 0 : rc < 0 ? -errno : -ETIMEDOUT;
}

/* ---- domains ---- */

static int node(struct simxen *s, uint16_t domid, const char *name, const char *value, char perm)
{
    char path[128];
    int rc;

    snprintf(path, sizeof(path), "/local/domain/%u%s%s", domid, *name ? "/" : "", name);
    rc = value ? store_write(s->xs, path, value) : store_mkdir(s->xs, path);
    return rc ? rc : store_perm(s->xs, path, domid, perm);
}

/* The nodes that libxl gives every domain, with its permissions. */
static int store_nodes(struct simxen *s, const char *name, const struct sim_dom_info *i)
{
    static const char *const owned[] = {"data", "drivers", "feature", "attr", "error"};
    uint16_t domid = (uint16_t)i->domid;
    char number[24];
    size_t n;
    int rc;

    rc = node(s, domid, "", NULL, 'r');
    if (!rc)
        rc = node(s, domid, "name", name, 'r');
    snprintf(number, sizeof(number), "%u", domid);
    if (!rc)
        rc = node(s, domid, "domid", number, 'r');
    if (!rc)
        rc = node(s, domid, "device", NULL, 'r');
    if (!rc)
        rc = node(s, domid, "control", NULL, 'r');
    if (!rc)
        rc = node(s, domid, "control/shutdown", "", 'n');
    for (n = 0; !rc && n < sizeof(owned) / sizeof(owned[0]); n++)
        rc = node(s, domid, owned[n], NULL, 'n');
    snprintf(number, sizeof(number), "%llu", (unsigned long long)(i->ram_bytes / 1024));
    if (!rc)
        rc = node(s, domid, "memory", NULL, 'r');
    if (!rc)
        rc = node(s, domid, "memory/static-max", number, 'r');
    if (!rc)
        rc = node(s, domid, "memory/target", number, 'r');
    snprintf(number, sizeof(number), "%u", i->xenstore_port);
    if (!rc)
        rc = node(s, domid, "store", NULL, 'r');
    if (!rc)
        rc = node(s, domid, "store/port", number, 'r');
    snprintf(number, sizeof(number), "%llu", (unsigned long long)i->xenstore_gfn);
    if (!rc)
        rc = node(s, domid, "store/ring-ref", number, 'r');
    return rc;
}

static int bus_start(struct simxen *s, uint16_t domid, const char *name)
{
    char *prog = NULL, *log = path_of(s, "xenbus.log"), *sock = NULL, number[8], why[256];
    const char *argv[] = {NULL, "--domid", number, "--socket", NULL, "--ready-fd", "3", NULL};
    struct spawn_var vars[] = {
        {"SIMXEN_DIR", s->run_dir}, {"RINGPROOF_MUTANT", NULL}, {NULL, NULL}};
    struct spawn_args a = {
        .argv = argv, .vars = vars, .log = log, .ready_fd = -1, .detached = !s->started};
    struct bus *b = calloc(1, sizeof(*b) + strlen(name) + 1);
    int rc = -ENOMEM;

    snprintf(number, sizeof(number), "%u", domid);
    if (asprintf(&prog, "%s/simxen-xenbus", s->bin_dir) < 0)
        prog = NULL;
    if (asprintf(&sock, "%s/dom%u.xenbus", s->run_dir, domid) < 0)
        sock = NULL;
    if (!b || !log || !prog || !sock)
        goto out;
    argv[0] = prog;
    argv[4] = sock;
    unlink(sock);
    rc = run_ready(s, &a, now_ns() + LIMIT_DEFAULT_NS, &b->pid, why, sizeof(why));
    if (rc)
        goto out;
    if (a.detached)
        b->pid = 0;
    b->domid = domid;
    strcpy(b->name, name);
    b->next = s->buses;
    s->buses = b;
    b = NULL;
out:
    free(b);
    free(prog);
    free(log);
    free(sock);
    return rc;
}

static void bus_ended(struct simxen *s, uint16_t domid)
{
    struct bus **at;

    for (at = &s->buses; *at && (*at)->domid != domid; at = &(*at)->next)
        ;
    if (*at) {
        struct bus *b = *at;

        *at = b->next;
        if (b->pid && !spawn_wait(b->pid, 1000000000))
            spawn_end(b->pid);
        free(b);
    }
}

static int introduce(struct simxen *s, const char *name, const struct sim_dom_info *i)
{
    int rc = store_nodes(s, name, i);

    return rc ? rc : store_introduce(s->xs, (uint16_t)i->domid, i->xenstore_gfn, i->xenstore_port);
}

int simxen_dom_create(struct simxen *s, const char *name, const struct sim_dom_config *cfg,
                      uint16_t *domid)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_CREATE, .u.dom_config = *cfg};
    struct sim_dom_info info;
    int rc;

    /* Names are looked up in paths and listed in tables. */
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
                               ".+") != strlen(name))
        return -EINVAL;
    rc = call(s, &msg);
    if (rc)
        return rc;
    *domid = (uint16_t)msg.a[0];
    if (s->xs < 0)
        return 0;
    rc = simxen_dom_info(s, *domid, &info);
    pthread_mutex_lock(&s->lock);
    if (!rc)
        rc = introduce(s, name, &info);
    if (!rc)
        rc = bus_start(s, *domid, name);
    pthread_mutex_unlock(&s->lock);
    if (rc)
        simxen_dom_destroy(s, *domid);
    return rc;
}

int simxen_dom_destroy(struct simxen *s, uint16_t domid)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_DESTROY, .a = {domid}};
    char path[64];
    int rc = call(s, &msg);

    if (rc)
        return rc;
    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    pthread_mutex_lock(&s->lock);
    if (s->xs >= 0) {
        store_rm(s->xs, path);
        /* xenstored may have seen the end already, and released it. */
        store_release(s->xs, domid);
    }
    bus_ended(s, domid);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int dom_op(struct simxen *s, enum sim_op op, uint16_t domid, uint64_t arg)
{
    struct sim_msg msg = {.op = op, .a = {domid, arg}};

    return call(s, &msg);
}

int simxen_dom_pause(struct simxen *s, uint16_t domid)
{
    return dom_op(s, SIM_OP_DOM_PAUSE, domid, 0);
}

int simxen_dom_unpause(struct simxen *s, uint16_t domid)
{
    return dom_op(s, SIM_OP_DOM_UNPAUSE, domid, 0);
}

int simxen_dom_shutdown(struct simxen *s, uint16_t domid, uint32_t reason)
{
    return dom_op(s, SIM_OP_DOM_SHUTDOWN, domid, reason);
}

int simxen_dom_set_target(struct simxen *s, uint16_t domid, uint16_t target)
{
    return dom_op(s, SIM_OP_DOM_TARGET, domid, target);
}

int simxen_dom_ports(struct simxen *s, uint16_t domid, uint64_t left)
{
    return dom_op(s, SIM_OP_DOM_PORTS, domid, left);
}

int simxen_next_domain(struct simxen *s, uint32_t *domid, struct sim_dom_info *info)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_INFO, .a = {*domid}};
    int rc = call(s, &msg);

    if (rc)
        return rc;
    *info = msg.u.dom_info;
    *domid = info->domid;
    return 0;
}

int simxen_dom_info(struct simxen *s, uint16_t domid, struct sim_dom_info *info)
{
    uint32_t found = domid;
    int rc = simxen_next_domain(s, &found, info);

    return rc ? rc : found == domid ? 0 : -ESRCH;
}

int simxen_audit(struct simxen *s, pid_t pid, struct sim_audit *audit)
{
    struct sim_msg msg = {.op = SIM_OP_AUDIT, .a = {(uint64_t)pid}};
    int rc = call(s, &msg);

    if (!rc)
        *audit = msg.u.audit;
    return rc;
}

int simxen_store_pause(struct simxen *s, bool paused)
{
    if (!s->xenstored)
        return -ESRCH;
    return kill(s->xenstored, paused ? SIGSTOP : SIGCONT) ? -errno : 0;
}

int simxen_store_end(struct simxen *s)
{
    if (!s->xenstored)
        return -ESRCH;
    pthread_mutex_lock(&s->lock);
    kill(s->xenstored, SIGKILL);
    (void)spawn_wait(s->xenstored, UINT64_C(5000000000));
    s->xenstored = 0;
    if (s->xs >= 0)
        close(s->xs);
    s->xs = -1;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

int simxen_store_begin(struct simxen *s, char *why, size_t why_size)
{
    int rc;

    if (s->xenstored || !s->started)
        return explain(-EALREADY, why, why_size, "a xenstored runs already");
    rc = store_start(s, now_ns() + LIMIT_DEFAULT_NS, why, why_size);
    for (struct bus *b = s->buses; b && !rc; b = b->next) {
        struct sim_dom_info info;

        rc = simxen_dom_info(s, b->domid, &info);
        pthread_mutex_lock(&s->lock);
        if (!rc)
            rc = introduce(s, b->name, &info);
        pthread_mutex_unlock(&s->lock);
        if (rc)
            explain(rc, why, why_size, "introducing domain %u: %s", b->domid, strerror(-rc));
    }
    return rc;
}

void simxen_servants(const struct simxen *s, pid_t *hv, pid_t *xenstored)
{
    *hv = s->hv;
    *xenstored = s->xenstored;
}

void simxen_env(struct simxen *s, uint16_t domid, const char *lib_dir,
                void (*set)(void *ctx, const char *name, const char *value), void *ctx)
{
    char path[PATH_MAX], number[8];

    set(ctx, "LD_LIBRARY_PATH", lib_dir);
    set(ctx, "SIMXEN_DIR", s->run_dir);
    snprintf(number, sizeof(number), "%u", domid);
    set(ctx, "SIMXEN_DOMID", number);
    snprintf(path, sizeof(path), "%s/xenstored", s->run_dir);
    set(ctx, "XENSTORED_RUNDIR", path);
    if (domid)
        snprintf(path, sizeof(path), "%s/dom%u.xenbus", s->run_dir, domid);
    else
        snprintf(path, sizeof(path), "%s/" STORE_SOCKET, s->run_dir);
    set(ctx, "XENSTORED_PATH", path);
}
