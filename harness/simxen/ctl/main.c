/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simxen/ctl/internal.h"

static const char usage[] =
    "usage: simxenctl [--run-dir DIR] COMMAND\n"
    "DIR is the simulation's folder ($SIMXEN_DIR).\n"
    "\n"
    "  start                  run a simulation in the foreground until Ctrl-C or `stop`;\n"
    "                         without --run-dir in a temporary folder, removed at the end\n"
    "  create NAME [options]  create a domain and print its domid\n"
    "      --memory MiB (64)  --vcpus N (1)  --arch x86|arm (x86)  --paused  --privileged\n"
    "      --unclaimed ones|abort (ones on x86, abort on arm)\n"
    "      --ecam BASE+SIZE[@SEGMENT]   a host bridge in the hypervisor\n"
    "  destroy ID | pause ID | unpause ID\n"
    "  set-target ID TARGET   let domain ID be a device model for TARGET\n"
    "  ports ID N|all         event channels that domain ID may have beside those that it has\n"
    "  list                   all domains\n"
    "  audit [PID]            what the simulation's processes (or one) hold\n"
    "  env ID                 the environment of a process in domain ID, for eval\n"
    "  stop                   end the simulation\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

struct ctx {
    const char *run_dir;
    char lib_dir[PATH_MAX], bin_dir[PATH_MAX];
    char why[512];
    int argc; /* what follows the command */
    char **argv;
};

static int bad_usage(const char *what)
{
    fprintf(stderr, "simxenctl: %s\n%s", what, usage);
    return 2;
}

static int failed(const char *what, int rc)
{
    fprintf(stderr, "simxenctl: %s: %s\n", what, strerror(-rc));
    return 1;
}

static bool number(const char *s, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(s, &end, 0);
    return !errno && end != s && !*end && *s != '-' && *out <= max;
}

/* Beside the program: <out>/bin/simxenctl and <out>/simxen/ in the build tree. */
static int find_dirs(struct ctx *c)
{
    ssize_t n = readlink("/proc/self/exe", c->bin_dir, sizeof(c->bin_dir) - 1);
    char *slash, path[PATH_MAX + 16];

    if (n < 0)
        return -errno;
    c->bin_dir[n] = 0;
    slash = strrchr(c->bin_dir, '/');
    if (!slash)
        return -EINVAL;
    *slash = 0;
    snprintf(path, sizeof(path), "%s/../simxen", c->bin_dir);
    return realpath(path, c->lib_dir) ? 0 : -errno;
}

static int attach(struct ctx *c, struct simxen **s)
{
    int rc;

    if (!c->run_dir) {
        fprintf(stderr, "simxenctl: no simulation named: give --run-dir or set SIMXEN_DIR\n");
        return 2;
    }
    rc = simxen_attach(c->run_dir, c->lib_dir, c->bin_dir, s, c->why, sizeof(c->why));
    if (rc)
        fprintf(stderr, "simxenctl: %s\n", c->why);
    return rc ? 1 : 0;
}

static void print_var(void *ctx, const char *name, const char *value)
{
    const char *at;

    printf("export %s='", name);
    for (at = value; *at; at++)
        if (*at == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*at);
    puts("'");
}

static void wait_for_end(struct simxen *s, const sigset_t *set, char *why, size_t size)
{
    int sig;

    do {
        sig = sigwaitinfo(set, NULL);
    } while ((sig < 0 && errno == EINTR) || (sig == SIGCHLD && !simxen_alive(s, why, size)));
}

static int cmd_start(struct ctx *c)
{
    char made[] = "/tmp/simxen-XXXXXX";
    struct simxen_start cfg = {
        .run_dir = c->run_dir, .lib_dir = c->lib_dir, .bin_dir = c->bin_dir, .xenstored = true};
    struct simxen *s;
    sigset_t set;
    int rc;

    if (c->argc)
        return bad_usage("start takes no arguments");
    if (!cfg.run_dir) {
        cfg.run_dir = mkdtemp(made);
        if (!cfg.run_dir)
            return failed(made, -errno);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);

    rc = simxen_start(&cfg, &s, c->why, sizeof(c->why));
    if (rc) {
        fprintf(stderr, "simxenctl: %s\n", c->why);
    } else {
        simxen_env(s, 0, c->lib_dir, print_var, NULL);
        fflush(stdout);
        wait_for_end(s, &set, c->why, sizeof(c->why));
        simxen_stop(s);
    }
    if (!c->run_dir) {
        static const char *const logs[] = {"hv.log", "xenstored.log", "xenbus.log"};
        char path[64];
        size_t i;

        for (i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
            snprintf(path, sizeof(path), "%s/%s", made, logs[i]);
            unlink(path);
        }
        rmdir(made);
    }
    return rc ? 1 : 0;
}

static bool parse_ecam(const char *arg, struct sim_dom_config *cfg, unsigned slot)
{
    char text[96], *plus, *at;
    uint64_t base, bytes, segment = 0;

    if (slot >= 4 || strlen(arg) >= sizeof(text))
        return false;
    memcpy(text, arg, strlen(arg) + 1);
    at = strchr(text, '@');
    if (at)
        *at++ = 0;
    plus = strchr(text, '+');
    if (!plus)
        return false;
    *plus++ = 0;
    if (!number(text, UINT64_MAX, &base) || !number(plus, UINT64_C(1) << 28, &bytes) || !bytes ||
        (at && !number(at, 0xffff, &segment)))
        return false;
    cfg->ecam[slot].base = base;
    cfg->ecam[slot].bytes = bytes;
    cfg->ecam[slot].segment = (uint32_t)segment;
    return true;
}

static int cmd_create(struct ctx *c)
{
    static const struct option options[] = {
        {"memory", required_argument, NULL, 'm'}, {"vcpus", required_argument, NULL, 'v'},
        {"arch", required_argument, NULL, 'a'},   {"paused", no_argument, NULL, 'p'},
        {"privileged", no_argument, NULL, 'P'},   {"unclaimed", required_argument, NULL, 'u'},
        {"ecam", required_argument, NULL, 'e'},   {NULL, 0, NULL, 0},
    };
    struct sim_dom_config cfg = {.nr_vcpus = 1, .ram_bytes = UINT64_C(64) << 20};
    bool unclaimed_given = false, ok = true;
    unsigned ecams = 0;
    struct simxen *s;
    uint16_t domid;
    uint64_t n;
    int opt, rc;

    optind = 0;
    while ((opt = getopt_long(c->argc + 1, c->argv - 1, "", options, NULL)) != -1) {
        switch (opt) {
        case 'm':
            ok &= number(optarg, 1 << 20, &n);
            cfg.ram_bytes = n << 20;
            break;
        case 'v':
            ok &= number(optarg, SIM_VCPUS_MAX, &n);
            cfg.nr_vcpus = (uint32_t)n;
            break;
        case 'a':
            cfg.arch = !strcmp(optarg, "arm") ? SIM_ARCH_ARM : SIM_ARCH_X86;
            ok &= cfg.arch == SIM_ARCH_ARM || !strcmp(optarg, "x86");
            break;
        case 'p':
            cfg.paused = 1;
            break;
        case 'P':
            cfg.privileged = 1;
            break;
        case 'u':
            cfg.unclaimed = !strcmp(optarg, "abort") ? SIM_UNCLAIMED_ABORT : SIM_UNCLAIMED_ONES;
            ok &= cfg.unclaimed == SIM_UNCLAIMED_ABORT || !strcmp(optarg, "ones");
            unclaimed_given = true;
            break;
        case 'e':
            ok &= parse_ecam(optarg, &cfg, ecams++);
            break;
        default:
            ok = false;
        }
    }
    if (!ok || optind != c->argc)
        return bad_usage("create: wrong arguments");
    if (!unclaimed_given && cfg.arch == SIM_ARCH_ARM)
        cfg.unclaimed = SIM_UNCLAIMED_ABORT;
    rc = attach(c, &s);
    if (rc)
        return rc;
    rc = simxen_dom_create(s, (c->argv - 1)[optind], &cfg, &domid);
    if (rc)
        rc = failed("create", rc);
    else
        printf("%u\n", domid);
    simxen_stop(s);
    return rc;
}

static int one_domain(struct ctx *c, const char *what, int (*op)(struct simxen *s, uint16_t domid))
{
    struct simxen *s;
    uint64_t domid;
    int rc;

    if (c->argc != 1 || !number(c->argv[0], DOMID_FIRST_RESERVED - 1, &domid))
        return bad_usage("a domid is needed");
    rc = attach(c, &s);
    if (rc)
        return rc;
    rc = op(s, (uint16_t)domid);
    simxen_stop(s);
    return rc ? failed(what, rc) : 0;
}

static int cmd_destroy(struct ctx *c)
{
    return one_domain(c, "destroy", simxen_dom_destroy);
}

static int cmd_pause(struct ctx *c)
{
    return one_domain(c, "pause", simxen_dom_pause);
}

static int cmd_unpause(struct ctx *c)
{
    return one_domain(c, "unpause", simxen_dom_unpause);
}

static int cmd_set_target(struct ctx *c)
{
    uint64_t domid, target;
    struct simxen *s;
    int rc;

    if (c->argc != 2 || !number(c->argv[0], DOMID_FIRST_RESERVED - 1, &domid) ||
        !number(c->argv[1], DOMID_FIRST_RESERVED - 1, &target))
        return bad_usage("set-target takes two domids");
    rc = attach(c, &s);
    if (rc)
        return rc;
    rc = simxen_dom_set_target(s, (uint16_t)domid, (uint16_t)target);
    simxen_stop(s);
    return rc ? failed("set-target", rc) : 0;
}

static int cmd_ports(struct ctx *c)
{
    uint64_t id, left = UINT64_MAX;
    struct simxen *s;
    int rc;

    if (c->argc != 2 || !number(c->argv[0], UINT16_MAX, &id) ||
        (strcmp(c->argv[1], "all") && !number(c->argv[1], UINT32_MAX, &left)))
        return bad_usage("ports takes a domid and a number, or `all`");
    rc = attach(c, &s);
    if (rc)
        return rc;
    rc = simxen_dom_ports(s, (uint16_t)id, left);
    simxen_stop(s);
    return rc ? failed("ports", rc) : 0;
}

static int cmd_list(struct ctx *c)
{
    struct sim_dom_info i;
    uint32_t domid = 0;
    struct simxen *s;
    int rc;

    rc = attach(c, &s);
    if (rc)
        return rc;
    printf("%5s %-5s %9s %6s %-8s %10s %8s %8s\n", "domid", "arch", "memory", "vcpus", "state",
           "guest pid", "granted", "foreign");
    for (; !(rc = simxen_next_domain(s, &domid, &i)); domid++)
        printf("%5u %-5s %5" PRIu64 " MiB %6u %c%c%c%-5s %10u %8" PRIu64 " %8" PRIu64 "\n", domid,
               i.arch == SIM_ARCH_ARM ? "arm" : "x86", i.ram_bytes >> 20, i.nr_vcpus,
               i.flags & SIM_DOM_PAUSED ? 'p' : '-', i.flags & SIM_DOM_SHUTDOWN ? 's' : '-',
               i.flags & SIM_DOM_DYING ? 'd' : '-', "", i.guest_pid, i.refs_grants, i.refs_foreign);
    simxen_stop(s);
    return rc == -ESRCH ? 0 : failed("list", rc);
}

static int cmd_audit(struct ctx *c)
{
    struct sim_audit a;
    struct simxen *s;
    uint64_t pid = 0;
    int rc;

    if (c->argc > 1 || (c->argc && !number(c->argv[0], INT32_MAX, &pid)))
        return bad_usage("audit takes one process id at most");
    rc = attach(c, &s);
    if (rc)
        return rc;
    rc = simxen_audit(s, (pid_t)pid, &a);
    simxen_stop(s);
    if (rc)
        return failed("audit", rc);
    printf("processes %" PRIu64 "\ngrants_mapped %" PRIu64 "\nforeign_frames %" PRIu64
           "\nresource_frames %" PRIu64 "\npages_shared %" PRIu64 "\nports %" PRIu64
           "\nhandles %" PRIu64 "\nioservers %" PRIu64 "\n",
           a.processes, a.grants_mapped, a.foreign_frames, a.resource_frames, a.pages_shared,
           a.ports, a.handles, a.ioservers);
    return 0;
}

static int cmd_env(struct ctx *c)
{
    struct simxen *s;
    uint64_t domid;
    int rc;

    if (c->argc != 1 || !number(c->argv[0], DOMID_FIRST_RESERVED - 1, &domid))
        return bad_usage("a domid is needed");
    rc = attach(c, &s);
    if (rc)
        return rc;
    simxen_env(s, (uint16_t)domid, c->lib_dir, print_var, NULL);
    simxen_stop(s);
    return 0;
}

static int cmd_stop(struct ctx *c)
{
    struct simxen *s;
    int rc = attach(c, &s);

    if (rc)
        return rc;
    rc = simxen_quit(s, UINT64_C(5000000000));
    simxen_stop(s);
    return rc ? failed("stop", rc) : 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct ctx *c);
    } commands[] = {
        {"start", cmd_start}, {"create", cmd_create},   {"destroy", cmd_destroy},
        {"pause", cmd_pause}, {"unpause", cmd_unpause}, {"set-target", cmd_set_target},
        {"ports", cmd_ports}, {"list", cmd_list},       {"audit", cmd_audit},
        {"env", cmd_env},     {"stop", cmd_stop},
    };
    static const struct option options[] = {
        {"run-dir", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct ctx c = {.run_dir = NULL};
    size_t i;
    int opt;

    while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (opt) {
        case 'r':
            c.run_dir = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            return bad_usage("unknown option");
        }
    }
    if (optind == argc)
        return bad_usage("no command");
    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        int rc;

        if (strcmp(argv[optind], commands[i].name) != 0)
            continue;
        rc = find_dirs(&c);
        if (rc)
            return failed("/proc/self/exe", rc);
        /* `start` in a shell that still has the variables of another simulation makes its own. */
        if (!c.run_dir && strcmp(commands[i].name, "start") != 0)
            c.run_dir = getenv("SIMXEN_DIR");
        c.argc = argc - optind - 1;
        c.argv = argv + optind + 1;
        return commands[i].run(&c);
    }
    return bad_usage("unknown command");
}
