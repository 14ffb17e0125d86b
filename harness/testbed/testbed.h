/* SPDX-License-Identifier: MIT */
/*
 * A testbed: a place where a domain, a backend and an agent can run.
 *
 * The runner opens one *cell* (one simulation, one boot), starts the backend and an agent in it,
 * and talks to the agent in lines. What a scenario's cell means is bound here: its address map,
 * its devices, the backend's command line. The runner knows none of that, and a testbed knows
 * nothing of checks.
 *
 *     open -> domain_create -> backend_start -> agent_start -> lines ... -> close
 *
 * A cell lives in one process; all functions are called from its one thread. Functions return 0
 * or -errno, and on an error leave a message for people in cell->why. Nothing of a cell remains
 * after close but files in the run folder: no process, no shared memory.
 */
#ifndef RP_TESTBED_TESTBED_H
#define RP_TESTBED_TESTBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "profile/profile.h"
#include "scenario/scenario.h"
#include "testbed/map.h"
#include "testbed/process.h"

struct testbed_cell;
struct testbed_world;

/* Where things are, and what the user asked for. Borrowed by a cell. */
struct testbed_config {
    const char *bin_dir;     /* the harness's own programs: simxen-hv, simxenctl, ... */
    const char *sim_dir;     /* drop-in libraries for those */
    const char *backend_bin; /* the subject */
    /* Another backend than ours: how it is started. NULL: backend_bin takes our own options. */
    const struct profile *profile;
    const char *backend_sim_dir; /* drop-in libraries for it (sanitised ones for a sanitised one) */
    const char *agent_bin;
    const char *agent_sim_dir;
    const char *agent_lib_dir; /* the agent's platform plugins */
    const char *lib_dir;       /* the harness's own plugins: fio's engine and platform */
    const char *mutant;        /* RINGPROOF_MUTANT of the backend, or NULL */
    bool mutant_everywhere;    /* of all processes: the testbed itself carries it */
    const char *run_dir;       /* an empty folder, for all that the cell leaves; the caller's */
    bool verbose;              /* the backend logs at level debug */
    const char *trace;         /* file for all that the driver does; NULL: none */
    unsigned slowness;         /* as wanted by the user; 0: the testbed's */
    bool icount; /* qemu: the machine counts instructions, its clock is their number */
    /* What cells share, made by world_open; NULL for testbeds that share nothing. */
    struct testbed_world *world;
};

/* What was asked of Xen since the domain began, whoever asked. */
struct testbed_costs {
    uint64_t traps;      /* accesses of the guest that trapped */
    uint64_t events;     /* notifications that the backend's domain sent */
    uint64_t interrupts; /* messages and changes of lines */
    uint64_t pages_mapped, pages_unmapped;
    uint64_t frames_mapped;        /* of pages_mapped: by number, not by grant */
    uint64_t copies, bytes_copied; /* by grant */
};

/*
 * What is in use of the machine, whoever has it: looked at from outside, before and after something
 * that has to leave nothing behind.
 */
struct testbed_use {
    uint64_t grants;      /* references of the domain that somebody has mapped */
    uint64_t mappings;    /* of granted pages, that processes hold */
    uint64_t frames;      /* mapped by processes, of domains or of resources */
    uint64_t ports;       /* event channels of both domains */
    uint64_t ioservers;   /* IOREQ servers of the domain */
    uint64_t processes;   /* that talk to the hypervisor */
    uint64_t descriptors; /* of the hypervisor's and the store's own processes */
    uint64_t nodes;       /* of the store */
};
/* Its members by name, for messages; NULL after the last. */
const char *testbed_use_member(const struct testbed_use *u, unsigned i, uint64_t *value);

/* What the backend's process holds. */
struct testbed_audit {
    uint64_t grants_mapped, foreign_frames, resource_frames, ports, ioservers, fds;
};

/* What becomes of xenstored. */
enum testbed_store {
    STORE_RUNS,
    STORE_PAUSED,
    STORE_ENDED,
    STORE_NEW, /* after its end: another one, to which the toolstack has introduced the domains */
};

/* How a domain ends. */
enum testbed_end {
    END_DESTROY, /* by the toolstack, in the middle of whatever it does */
    END_CRASH,   /* by itself; the toolstack destroys it then */
    END_REBOOT,
    END_COUNT
};

/* What Xen or xenstored lets a domain have only so much of. The last three are the selected
 * backend's domain's, as are the first. */
enum testbed_scarce {
    SCARCE_PORTS,
    SCARCE_GUEST_PORTS, /* event channels of the driver's domain */
    SCARCE_NODES,
    SCARCE_WATCHES,
    SCARCE_TRANSACTIONS,
    SCARCE_COUNT
};
#define TESTBED_PLENTY UINT32_MAX

enum testbed_role { AGENT_DOMU, AGENT_DOM0, TESTBED_ROLES };

/* An agent that was started: descriptors to its standard streams, owned by the cell. */
struct testbed_agent {
    struct process process;
    int to_fd, from_fd; /* -1: not running */
};

/* A backend of a cell that is not the one that is looked at. */
struct testbed_backend {
    struct process process;
    uint16_t domid;
    unsigned starts;
};

/* The part of a cell that every testbed has. */
struct testbed_cell {
    const struct testbed_ops *ops;
    const struct testbed_config *config;
    struct scenario_cell plan;
    struct testbed_map map; /* the guest's addresses */
    /* As the domain has them: what the scenario asks for, and what this testbed needs itself. */
    unsigned domain_vcpus;
    uint64_t domain_bytes;
    const char *run_dir;   /* logs; config->run_dir */
    const char *image_dir; /* disk images, as the backend sees it */
    struct process backend;
    uint16_t backend_domid; /* the domain that it is in */
    unsigned backend_starts;
    /* Which of the cell's backends these three are of (testbed_select), and the others'. Between
     * calls it is the first. */
    unsigned selected;
    struct testbed_backend others[SCENARIO_BACKENDS_MAX];
    /* With a TAP for a wire: the guest's network namespace, 0: it has none. The backend's is this
     * process's own, which has nothing else in it. */
    int guest_netns;
    struct testbed_agent agents[TESTBED_ROLES];
    char boot[1024]; /* "" or what a reader of the results has to know about the boot */
    char why[1024];
};

struct testbed_ops {
    const char *name;
    const char *note;     /* one sentence on what times measured here mean */
    unsigned slowness;    /* limits on time are so many times as long as on sim; 0: as long */
    bool one_at_a_time;   /* cells share one machine */
    bool backend_is_near; /* its files and sockets are this process's, too, and the agent's */
    bool kernel_boots;    /* a domain's boot data are where Linux shows them */
    bool hung_is_costly;  /* domain_hung is for those who got no answer */
    uint64_t open_ns;     /* how long open may take beside the cell's own time */

    /*
     * What all cells share: started once, in the runner's own process, with a folder for what it
     * leaves. NULL where there is nothing. On an error the text says what, nothing is left.
     */
    int (*world_open)(const struct testbed_config *cfg, const char *dir, struct testbed_world **out,
                      char *why, size_t why_size);
    void (*world_close)(struct testbed_world *w); /* NULL is allowed */

    /* Can this cell run here at all? NULL: any can. False with the reason. */
    bool (*supports)(const struct scenario_cell *plan, char *why, size_t why_size);

    /* Names and versions of what the results depend on. */
    void (*versions)(const struct testbed_config *cfg,
                     void (*add)(void *ctx, const char *name, const char *value), void *ctx);

    /* Start the world: a hypervisor, a store. *out may be set on errors, too, and is to be
     * closed then. */
    int (*open)(const struct testbed_config *cfg, const struct scenario_cell *plan,
                struct testbed_cell **out, char *why, size_t why_size);
    void (*close)(struct testbed_cell *c); /* NULL is allowed */

    /* Another cell in the same world, with a domain and a backend of its own; `dir` is for what it
     * leaves. Closed before `c` is. NULL where a world has one. */
    int (*beside)(struct testbed_cell *c, const char *dir, struct testbed_cell **out);

    /* A fresh domain; the old one, with backend and agents, is gone afterwards. */
    int (*domain_create)(struct testbed_cell *c);
    /* The driver's domain ends, its agent with it; backends and their domains stay. *domid was it.
     * NULL where that cannot be had. */
    int (*domain_end)(struct testbed_cell *c, enum testbed_end how, uint16_t *domid);
    /* Frames of a domain that has ended which somebody still has; 0: nothing is left of it. */
    int (*domain_left)(struct testbed_cell *c, uint16_t domid, uint64_t *frames);
    int (*domain_pause)(struct testbed_cell *c, bool paused);
    uint16_t (*domid)(const struct testbed_cell *c);
    /* Accesses of the guest that trapped, doorbells above all: how far it has come. */
    int (*domain_accesses)(struct testbed_cell *c, uint64_t *count);
    /* Stops the guest at its next read from first to last; `stopped` says whether it has got there,
     * and domain_go lets it go on (or forgets the place). NULL where a guest cannot be stopped. */
    int (*domain_stop_at)(struct testbed_cell *c, uint64_t first, uint64_t last);
    int (*domain_stopped)(struct testbed_cell *c, bool *stopped);
    void (*domain_go)(struct testbed_cell *c);
    /* NULL where nobody counts. */
    int (*domain_costs)(struct testbed_cell *c, struct testbed_costs *costs);
    /* Is this cell's counted? NULL: every one is. */
    bool (*domain_is_counted)(const struct testbed_cell *c);
    /* Requests to Xenstore that the selected backend has made, as its domain's ring saw them;
     * NULL or -EOPNOTSUPP where nobody counts. */
    int (*backend_store_requests)(struct testbed_cell *c, uint64_t *count);
    /* Interrupts that were lost on purpose (lose-interrupts); NULL where none can be. */
    int (*domain_lost_interrupts)(struct testbed_cell *c, uint64_t *count);
    /* Does a vCPU wait for an answer that does not come? */
    int (*domain_hung)(struct testbed_cell *c, bool *hung);

    /* Returns when it is ready to serve. -EALREADY when it runs. */
    int (*backend_start)(struct testbed_cell *c);
    int (*backend_audit)(struct testbed_cell *c, struct testbed_audit *a);
    /* NULL where the machine cannot be looked into. */
    int (*use)(struct testbed_cell *c, struct testbed_use *u);

    int (*agent_start)(struct testbed_cell *c, enum testbed_role role);

    /* Start a program in the domain, as its guest kernel (argv[0] is a path). */
    int (*guest_spawn)(struct testbed_cell *c, const struct words *argv, const struct words *extra,
                       int stdout_fd, struct process *p);

    /* A stream to a Unix socket of the backend's: a descriptor for send and recv, or -errno. */
    int (*socket_connect)(struct testbed_cell *c, const char *path);

    /*
     * Waits until the store has this value at a path, the process has ended (-ECHILD) or the time
     * is over (-ETIMEDOUT). NULL: a backend with a profile cannot be run here.
     */
    int (*store_wait)(struct testbed_cell *c, const char *path, const char *value,
                      struct process *p, uint64_t deadline_ns);
    /* The store as dom0 sees it. *value is malloc'd. */
    int (*store_read)(struct testbed_cell *c, const char *path, char **value);
    int (*store_write)(struct testbed_cell *c, const char *path, const char *value);
    /* A folder, made if it is not there, and what comes under it from now on belong to `owner`; the
     * frontend may read. NULL: backends are in dom0, to which all belongs. */
    int (*store_give)(struct testbed_cell *c, const char *path, uint16_t owner);

    /* xenstored answers nobody, or has ended, or there is a new one; NULL where it cannot be had
     * so. */
    int (*store_halt)(struct testbed_cell *c, enum testbed_store store);

    /* From now on the domain gets no more than `left` of this beside what it has, and the calls
     * that ask for more fail as on Xen; TESTBED_PLENTY: as much as ever. A fresh domain has plenty.
     * -EOPNOTSUPP: not of this domain. NULL: of none. */
    int (*domain_scarce)(struct testbed_cell *c, enum testbed_scarce what, uint32_t left);

    /* -ESHUTDOWN with a message when the world itself has died. */
    int (*alive)(struct testbed_cell *c);
};

/* The testbeds that this build has; NULL for one that it has not. */
const struct testbed_ops *testbed_find(const char *name);
/* "sim": for messages. Returns buf. */
const char *testbed_names(char *buf, size_t size);

/* ---- the same for every testbed ---- */

void testbed_cell_init(struct testbed_cell *c, const struct testbed_ops *ops,
                       const struct testbed_config *cfg, const struct scenario_cell *plan);
/* How many times as long as on sim limits on time are, at least 1; `wanted` by the user or 0. */
unsigned testbed_slowness(const struct testbed_ops *ops, unsigned wanted);
unsigned testbed_cell_slowness(const struct testbed_cell *c);
/* Of a device's image, as the backend sees it; malloc'd, NULL without memory. */
char *testbed_image_path(const struct testbed_cell *c, unsigned device);

/*
 * Host ends of a console device's ports: sockets that the backend listens at. Port 0 is a console
 * without a name; others have one.
 */
#define TESTBED_PORT_MANAGE     UINT32_MAX /* where the device itself takes commands */
#define TESTBED_PORT_NAME_BYTES 32
const char *testbed_port_name(unsigned port, char name[TESTBED_PORT_NAME_BYTES]);
char *testbed_port_path(const struct testbed_cell *c, unsigned device, unsigned port);
/* Connect to one: a descriptor, or -errno. */
int testbed_port_connect(struct testbed_cell *c, unsigned device, unsigned port);
/* socket_connect where the backend's files are this process's. */
int testbed_connect_here(struct testbed_cell *c, const char *path);

/* Of the socket that a device with WIRE_SOCKET makes; malloc'd, NULL without memory. */
char *testbed_wire_path(const struct testbed_cell *c, unsigned device);
/* Interfaces of devices with WIRE_TAP: the number of the device follows. */
#define TESTBED_TAP_BACKEND  "rpback"
#define TESTBED_TAP_FRONTEND "rpfront"
/* Of the first such device's two ends, in a network of 24 bits that they have to themselves. */
#define TESTBED_NET_BACKEND  "10.9.0.1"
#define TESTBED_NET_FRONTEND "10.9.0.2"
/* Can checks of this cell have the other end of a wire? */
bool testbed_has_wire(const struct testbed_cell *c);
/* The backend's command line from the cell's plan; what it takes from the store is written there.
 * `argv` is the caller's on errors, too. */
int testbed_backend_arguments(struct testbed_cell *c, const char *program, int ready_fd,
                              struct words *argv);
/*
 * A device of the scenario comes or goes while the backend runs, as a toolstack has it: what it is,
 * `online` and `state` are written to its folder in the store, and the state that the backend then
 * reports is waited for. `type` NULL: the scenario's; else one that can be made of the same
 * settings. -EOPNOTSUPP: the cell has its devices not from the store.
 */
/*
 * Where a device is on PCI: where the scenario says, or in the slot of a root port, which then is
 * there (announce: slot-event). Returns text.
 */
#define TESTBED_SBDF_BYTES 16
const char *testbed_device_sbdf(const struct testbed_cell *c, unsigned index,
                                char text[TESTBED_SBDF_BYTES]);
int testbed_device_attach(struct testbed_cell *c, unsigned index, const char *type);
int testbed_device_detach(struct testbed_cell *c, unsigned index);
/* Requests for its image wait from now on, or no longer. -EOPNOTSUPP: the scenario has it not so.
 */
int testbed_device_hold(struct testbed_cell *c, unsigned index, bool hold);
/* The guest is asked to give it back, which takes its time: testbed_device_wait_gone waits for it.
 */
int testbed_device_ask_back(struct testbed_cell *c, unsigned index);
int testbed_device_wait_gone(struct testbed_cell *c, unsigned index);
/* Waits for what it says when it serves, the line "ready" unless its profile has something else;
 * the end of the backend's process is an answer, too. */
int testbed_wait_ready(struct testbed_cell *c, int fd);
/*
 * Under the domain's home: there once a backend has told it that all of its windows are claimed.
 * Only where the domain runs before its backend (start: dom0less).
 */
#define TESTBED_TOLD_KEY "data/virtio-ready"
/* The device of which the cell's discovery speaks: the first, or, where that comes from outside of
 * Xen, the second. */
unsigned testbed_told_device(const struct testbed_cell *c);
/* Does the cell's discovery need something that the domain finds when it boots? */
bool testbed_has_boot_data(const struct testbed_cell *c);
/* Writes the data of a mechanism that has any into a file here; a device tree onto the partial one
 * in the file `onto` (NULL: one of its own). 0 or -errno with a message. */
int testbed_write_boot_data(struct testbed_cell *c, const char *path, const char *onto);
/* What a guest that runs is given of a host bridge that comes: an overlay of its device tree, in
 * `buf` of *bytes, which are then as many as it has. 0 or -errno with a message. */
int testbed_read_overlay(struct testbed_cell *c, unsigned bridge, uint8_t *buf, size_t *bytes);
/* Where it needs a key of the domain's, writes it; before the agent is started. */
int testbed_tell_by_store(struct testbed_cell *c);
/* Where the boot data of a domain lie for its agent, with a discovery that has such; malloc'd. */
char *testbed_boot_data_path(const struct testbed_cell *c);
/* The agent's own word for what it is: "domu", "dom0", "linux". */
const char *testbed_agent_role(const struct testbed_cell *c, enum testbed_role role);
/* An agent's arguments, without the program. `platform` is of one that is the driver. */
void testbed_agent_arguments(const struct testbed_cell *c, enum testbed_role role,
                             const char *platform, struct words *argv);

/* From here on backend, backend_domid and backend_starts are those of this backend of the cell, and
 * so are the functions that start, stop, kill or audit "the backend". Returns which it was before.
 */
unsigned testbed_select(struct testbed_cell *c, unsigned backend);
/* The process of one, selected or not. */
struct process *testbed_backend_process(struct testbed_cell *c, unsigned backend);
/* "backend.log", "NAME.log": of the selected one, in the run folder. */
#define TESTBED_LOG_NAME_BYTES 80
const char *testbed_backend_log(const struct testbed_cell *c, char name[TESTBED_LOG_NAME_BYTES]);

/* Stop with SIGTERM and wait; -ETIMEDOUT when it had to be killed, -EIO on an exit status that is
 * not 0 (both with a message). */
int testbed_backend_stop(struct testbed_cell *c);
int testbed_backend_kill(struct testbed_cell *c);
/* What it holds, without what its profile says that it keeps. */
int testbed_backend_audit(struct testbed_cell *c, struct testbed_audit *a);
/* By the end of its input; errors as above. Nothing to do when it does not run. */
int testbed_agent_stop(struct testbed_cell *c, enum testbed_role role);
/* With its domain: SIGKILL, and nothing of it is asked. */
void testbed_agent_kill(struct testbed_cell *c, enum testbed_role role);
/* The end of a log in the run folder ("backend.log"); malloc'd. */
char *testbed_log_tail(const struct testbed_cell *c, const char *name);
/* c->why from a format; returns err. */
int testbed_fail(struct testbed_cell *c, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
