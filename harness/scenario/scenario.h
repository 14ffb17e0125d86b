/* SPDX-License-Identifier: MIT */
/*
 * Scenario files: what to run, on which devices, along which axes, and what is expected.
 *
 * A scenario selects, binds and expects; behaviour is C. Its axes span a matrix, and every cell
 * of the matrix is one simulation (or one boot) with a result of its own. scenarios/README.md
 * documents every key for authors; the tables beside this file are what it documents.
 *
 * Reading is strict: an unknown or repeated key, a wrong type, a value out of range, an axis that
 * nothing is bound to are errors that name file, line and column. A scenario that loads is
 * complete: nobody after this module has to check it again.
 */
#ifndef RP_SCENARIO_SCENARIO_H
#define RP_SCENARIO_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCENARIO_DEVICES_MAX  32
#define SCENARIO_LIST_MAX     64
#define SCENARIO_BACKENDS_MAX 8   /* of one cell, the first included */
#define SCENARIO_BRIDGES_MAX  4   /* host bridges of a domain */
#define SCENARIO_BUSES_MAX    64u /* behind all of them */
#define SCENARIO_PORTS_MAX    16u /* of a console */
#define SCENARIO_TIMELINE_MAX 256
#define SCENARIO_TIMES_MAX    10000
#define SCENARIO_CELLS_MAX    4096u
/* libxl has SPIs for so many, and x86 ISA IRQs. */
#define SCENARIO_MMIO_DEVICES_MAX 11

/* ---- what a scenario may run on ---- */
enum scenario_testbed { TESTBED_SIM, TESTBED_QEMU, TESTBED_XEN, SCENARIO_TESTBEDS };
const char *scenario_testbed_name(enum scenario_testbed t);

/* ---- axes: each is bound to an option of the domain, the backend or the agent ---- */
enum scenario_axis {
    AXIS_ARCH,       /* the guest's address map: x86, arm */
    AXIS_TOPOLOGY,   /* who answers ECAM: see enum scenario_topology */
    AXIS_BACKGROUND, /* unclaimed accesses: default of the arch, or what a background region has */
    AXIS_ADDRESSING, /* what the driver puts into descriptors: grants, foreign */
    AXIS_BUFFERS,    /* how long the driver grants: streaming, pool */
    AXIS_RING,       /* the format of rings that the driver negotiates: split, packed */
    AXIS_MEMORY,     /* how the backend reaches memory */
    AXIS_QUEUE_SIZE, /* every device's queue-size */
    AXIS_QUEUES,     /* every device's queues */
    AXIS_FEATURES,   /* every device's features: default, or edits such as -indirect */
    AXIS_CONFIG,     /* where the backend learns its devices: command-line, xenstore */
    AXIS_VCPUS,      /* of the domain */
    AXIS_TRANSPORT,  /* of every device: pci, mmio */
    AXIS_START,      /* who starts the domain: toolstack, dom0less */
    AXIS_FRONTEND,   /* the driver's domain: domu, dom0 */
    AXIS_BACKEND,    /* the backend's: dom0, driver, outside */
    AXIS_ANNOUNCE,   /* how a guest learns that a device comes or goes: silent, slot-event */
    AXIS_DISCOVERY,  /* how the driver learns whom to grant its memory to */
    SCENARIO_AXES
};
const char *scenario_axis_name(enum scenario_axis a);

enum scenario_arch { ARCH_X86, ARCH_ARM };
enum scenario_topology {
    TOPOLOGY_IOREQ_ONLY,        /* the backend claims the bridge's windows whole */
    TOPOLOGY_IOREQ_FUNCTIONS,   /* it claims what its functions need */
    TOPOLOGY_IOREQ_DISTRIBUTED, /* the first claims the windows, others are behind it by a socket */
    /* The same, with the others' transports too: they are vhost-user back-ends in its domain. */
    TOPOLOGY_VHOST_USER,
    TOPOLOGY_HYPERVISOR_BRIDGE, /* the hypervisor decodes ECAM, the backend has functions */
};
enum scenario_background { BACKGROUND_DEFAULT, BACKGROUND_ONES, BACKGROUND_ZEROES };
enum scenario_addressing { ADDRESSING_GRANTS, ADDRESSING_FOREIGN };
enum scenario_buffers { BUFFERS_STREAMING, BUFFERS_POOL };
enum scenario_ring { RING_SPLIT, RING_PACKED };
enum scenario_memory {
    MEMORY_AUTO,
    MEMORY_GRANT_MAP,
    MEMORY_GRANT_PERSISTENT,
    MEMORY_GRANT_COPY,
    MEMORY_FOREIGN_MAP,
    MEMORY_FOREIGN_BUCKETS,
    MEMORY_FOREIGN_WHOLE,
    MEMORY_FOREIGN_STATIC,
    MEMORY_SHIM,
};
/* As the axis and the reference backend call it. */
const char *scenario_memory_name(enum scenario_memory m);
/* Takes grants and frames, also in one request. */
bool scenario_memory_mixes(enum scenario_memory m);
enum scenario_config { CONFIG_COMMAND_LINE, CONFIG_XENSTORE };
enum scenario_transport { TRANSPORT_PCI, TRANSPORT_MMIO };
enum scenario_start {
    START_TOOLSTACK, /* the toolstack, when the backend serves */
    START_DOM0LESS,  /* Xen itself: the domain runs before there is a backend */
};

enum scenario_frontend { FRONTEND_DOMU, FRONTEND_DOM0 };
enum scenario_backend {
    BACKEND_DOM0,
    BACKEND_DRIVER,  /* a driver domain, which the toolstack lets serve the driver's */
    BACKEND_OUTSIDE, /* the machine around Xen, whose devices are nothing to Xen */
};

enum scenario_announce {
    ANNOUNCE_SILENT,     /* not at all: it has to look */
    ANNOUNCE_SLOT_EVENT, /* by the slot of a root port that the device is in */
};

enum scenario_discovery {
    DISCOVERY_GIVEN, /* the harness tells the agent */
    DISCOVERY_DEVICE_TREE,
    DISCOVERY_XENSTORE,
    DISCOVERY_BOOT_PARAMETER,
    DISCOVERY_VENDOR_CAPABILITY,
    DISCOVERY_ACPI,
    DISCOVERY_DEVICE_REGISTER,
    DISCOVERY_DUMMY_FUNCTION,
    DISCOVERY_ROOT_COMPLEX,
    DISCOVERY_MACHINE_TYPE,
    DISCOVERY_FEATURE_BIT,
    SCENARIO_DISCOVERIES
};
/* As the axis and the agent call it. */
const char *scenario_discovery_name(enum scenario_discovery d);
/* The guest finds it when it boots: in memory, or on its command line. */
bool scenario_discovery_is_boot_data(enum scenario_discovery d);

/* ---- parts ---- */
enum scenario_device_type { DEVICE_BLK, DEVICE_RNG, DEVICE_CONSOLE, DEVICE_NET, DEVICE_IOMMU };
const char *scenario_device_type_name(enum scenario_device_type t);

/* What a hot-plug slot need not have (PCI Express 7.5.3.9). */
enum scenario_slot_part { SLOT_BUTTON, SLOT_POWER, SLOT_INDICATORS, SLOT_COMMANDS, SLOT_PARTS };
/* As scenarios and the reference backend call it. */
const char *scenario_slot_part_name(enum scenario_slot_part p);

/* What a device keeps its data on, or takes it from. */
enum scenario_backing {
    BACKING_NONE,
    BACKING_IMAGE, /* a sparse image made for the cell, gone after it */
    BACKING_NULL,  /* the backend's null store */
    BACKING_PATH,  /* a file or block device of the user's */
};

/* What a network device's frames go to. */
enum scenario_wire {
    WIRE_SOCKET, /* checks have the other end */
    WIRE_TAP,    /* an interface of the backend's domain */
};

struct scenario_device {
    enum scenario_device_type type;
    unsigned backend;    /* whose it is: 0 the first, else one of scenario.backends */
    char *sbdf;          /* "0000:00:01.0"; NULL: never on PCI */
    unsigned slot_lacks; /* mask of 1 << enum scenario_slot_part */
    uint32_t queue_size; /* 0: the backend's default */
    bool has_endpoint;   /* it is behind its backend's IOMMU */
    uint32_t endpoint;   /* and what it is called there */
    char *features;      /* NULL: none; edits joined by ':', "-discard:-flush" */
    char *path;          /* NULL: none; as written, relative to the working folder */
    /* blk */
    enum scenario_backing backing;
    uint64_t size_bytes; /* image and null */
    bool filled;         /* image: every sector carries its number (see README), else zeroes */
    bool ro;
    bool holds;                             /* image: checks can have it hold requests back */
    uint32_t queues;                        /* blk and net (pairs); 0: the backend's default */
    char *serial;                           /* NULL: none */
    uint32_t zone_bytes, zone_append_bytes; /* 0: no zones; no appends to them */
    /* rng */
    uint32_t rate_bytes_per_s; /* 0: no limit */
    /* console: every port's host end is a socket of the testbed */
    uint32_t ports;      /* that there are at first, 1 or more */
    uint32_t ports_max;  /* that there may be; 0: as many */
    uint32_t cols, rows; /* 0: none is told */
    /* net */
    enum scenario_wire wire;
    char *mac;    /* NULL: the testbed's choice */
    uint32_t mtu; /* 0: the device does not say */
};

/* A process beside the first backend, in dom0 or a driver domain of its own. */
struct scenario_other {
    char *name;
    enum scenario_backend domain;
    bool late; /* not there when the checks begin */
};

/*
 * A host bridge of several. `backend` claims its windows where one process has a bridge whole
 * (topology: ioreq-only). A bridge of a backend that comes late is late, too: the guest hears of it
 * when it is there.
 */
struct scenario_bridge {
    uint16_t segment;
    uint8_t bus_first, bus_last;
    unsigned backend; /* 0 the first */
};

/* Who runs the checks. */
enum scenario_runs_in {
    RUNS_IN_DOMU,  /* an agent that is the driver */
    RUNS_IN_DOM0,  /* an agent in dom0, with one in the domU as its peer */
    RUNS_IN_LINUX, /* an agent in a stock Linux, whose kernel is the driver */
};

enum scenario_action {
    ACTION_KILL_BACKEND,    /* SIGKILL */
    ACTION_STOP_BACKEND,    /* SIGTERM, waits for its end */
    ACTION_START_BACKEND,   /* waits until it is ready */
    ACTION_RESTART_BACKEND, /* kill and start */
    ACTION_UPGRADE_BACKEND, /* stop and start */
    ACTION_ATTACH_DEVICE,
    ACTION_DETACH_DEVICE,
    ACTION_PAUSE_DOMAIN,
    ACTION_UNPAUSE_DOMAIN,
    ACTION_PAUSE_GUEST, /* the process that drives the device stands still */
    ACTION_UNPAUSE_GUEST,
};

/* When a step may begin; steps run strictly in order, each after the one before it. */
enum scenario_when {
    WHEN_START,       /* as soon as the subject runs */
    WHEN_AFTER,       /* so long after the step before (or the start) */
    WHEN_CONFIG_READ, /* when the guest is about to read configuration space of a bus: it waits */
    WHEN_ACCESSES,    /* after so many more trapped accesses of the guest (doorbells, mostly) */
    WHEN_WITHIN,      /* after a random number of them up to this, which the run's seed decides */
    WHEN_BYTES,       /* after so many more bytes of a transfer have come to their ends */
};

struct scenario_step {
    enum scenario_when when;
    uint64_t amount; /* ns, accesses, or a bus */
    enum scenario_action action;
    unsigned object; /* the number of a backend, or of a device */
    unsigned times;  /* it is carried out, each time anew; at least 1 */
    unsigned line;
};

enum scenario_metric {
    METRIC_DURATION, /* of the cell's run, ns */
    METRIC_CHECKS,   /* checks that passed, or failed as a profile explains */
    METRIC_READ,     /* bytes that the guest read: fio, or what runs on its interface */
    METRIC_WRITTEN,
    METRIC_RESTARTS, /* backend starts during the run, the first not counted */
    SCENARIO_METRICS
};
const char *scenario_metric_name(enum scenario_metric m);

enum scenario_relation { REL_AT_LEAST, REL_AT_MOST, REL_EQUAL };

struct scenario_expect {
    enum scenario_metric metric;
    enum scenario_relation relation;
    uint64_t value;
    char *text; /* as written, ">= 1GiB" */
    unsigned line;
};

/* A stock fio in the guest, through the external engine. */
struct scenario_fio {
    char *job; /* path, resolved against the scenario file's folder */
    char **options;
    unsigned option_count;
};

/* A stock iperf3 in each of two network namespaces, the client in the guest's. */
struct scenario_iperf3 {
    char **options; /* of the client */
    unsigned option_count;
};

enum scenario_direction { DIRECTION_TO_BACKEND, DIRECTION_TO_FRONTEND, DIRECTION_BOTH };

/* TCP streams between the same two, every byte of which is known and looked at. */
struct scenario_transfer {
    uint64_t bytes; /* of each stream */
    uint32_t streams;
    enum scenario_direction direction; /* both: so many streams each way */
};

/* What a scenario's cells run, and the name of the result that a run other than checks has. */
enum scenario_run { RUN_CHECKS, RUN_FIO, RUN_IPERF3, RUN_TRANSFER, SCENARIO_RUNS };
#define SCENARIO_NEIGHBOUR_RESULT "neighbour.verify"
const char *scenario_run_result(enum scenario_run run); /* "fio.verify"; NULL: RUN_CHECKS */

struct scenario {
    char *path; /* of the file, as given */
    char *name, *title;
    unsigned testbeds; /* mask of 1 << enum scenario_testbed */
    char **sets;
    unsigned set_count;
    struct scenario_device devices[SCENARIO_DEVICES_MAX];
    unsigned device_count; /* 0: no backend is started */
    /* From 1 on, so that numbers are those of devices and cells; 0 is the first backend. */
    struct scenario_other backends[SCENARIO_BACKENDS_MAX];
    unsigned backend_count; /* of those beside the first */
    struct scenario_bridge bridges[SCENARIO_BRIDGES_MAX];
    unsigned bridge_count; /* 0: one, which has all of the testbed's buses */
    char **checks;         /* patterns, "blk.*"; checks or fio, never both */
    unsigned check_count;
    enum scenario_run run;
    struct scenario_fio fio;
    /* In another domain of the same machine, with a backend of its own, beside checks. No job: none
     * is there. */
    struct scenario_fio neighbour;
    struct scenario_iperf3 iperf3;
    struct scenario_transfer transfer;
    enum scenario_runs_in runs_in;
    struct scenario_step timeline[SCENARIO_TIMELINE_MAX];
    unsigned timeline_count;
    struct scenario_expect expect[SCENARIO_METRICS];
    unsigned expect_count;
    char *table;    /* of the report, in which the cells are rows; NULL: none */
    char **columns; /* names of notes and metrics, with their units: "start-up [ms]" */
    unsigned column_count;
    uint64_t timeout_ns; /* of a cell */
    uint64_t memory_bytes;
    uint32_t vcpus;
    /* Faults: each N-th message-signalled interrupt, each N-th doorbell is lost; 0: none. */
    uint32_t lose_interrupts, lose_doorbells;
    bool refuse_foreign; /* nobody may map frames of the domain by their number */
    uint64_t
        backend_page_bytes; /* as large as the backend believes its host's to be; 0: they are */
    bool count_costs;       /* what the backend asks of Xen is counted, on the real one too */
    bool backend_unseeded;  /* its host's kernel has no entropy until somebody waits for it */
    uint32_t max_mappings;  /* granted pages that the backend's domain maps at once; 0: Xen's own */
    /* The matrix: values as written; an absent axis has none and its default applies. */
    char **axis_values[SCENARIO_AXES];
    unsigned axis_count[SCENARIO_AXES];
    enum scenario_axis axis_order[SCENARIO_AXES]; /* as in the file: the last turns fastest */
    unsigned axes;
};

/* Does another backend take the place of one, by its timeline? */
bool scenario_kills_backend(const struct scenario *s);

/* 0 and a scenario owned by the caller, or -errno with "file:line:column: message" in why. */
int scenario_load(const char *path, struct scenario **out, char *why, size_t why_size);
int scenario_parse(const char *path, const char *text, size_t length, struct scenario **out,
                   char *why, size_t why_size);
void scenario_free(struct scenario *s); /* NULL is allowed */

bool scenario_in_set(const struct scenario *s, const char *set);

/* ---- cells ---- */

/* One point of the matrix, with every axis bound. */
struct scenario_cell {
    const struct scenario *scenario; /* borrowed */
    /* The axes that the scenario names, in its order; borrowed from it. */
    unsigned axes;
    enum scenario_axis axis[SCENARIO_AXES];
    const char *value[SCENARIO_AXES];
    /* bound */
    enum scenario_arch arch;
    enum scenario_topology topology;
    enum scenario_background background;
    enum scenario_addressing addressing;
    enum scenario_buffers buffers;
    enum scenario_ring ring;
    enum scenario_memory memory;
    enum scenario_config config;
    enum scenario_transport transport;
    enum scenario_start start;
    enum scenario_frontend frontend;
    enum scenario_backend backend;
    enum scenario_announce announce;
    enum scenario_discovery discovery;
    uint32_t vcpus;
    uint32_t queues, queue_size; /* 0: what each device says */
    const char *features;        /* NULL: what each device says */
};

/* A domain is nobody's device model for itself: a backend that tries is refused by Xen. */
static inline bool scenario_cell_serves_itself(const struct scenario_cell *cell)
{
    return cell->frontend == FRONTEND_DOM0 && cell->backend == BACKEND_DOM0;
}
/* How many backend processes the cell has, at least 1: with topology ioreq-only a process has whole
 * bridges, with every device there. */
unsigned scenario_cell_backends(const struct scenario_cell *cell);
/* Which of them has a device. */
unsigned scenario_cell_backend_of(const struct scenario_cell *cell, unsigned device);
/* Does the guest hear of it only at run time? */
bool scenario_bridge_late(const struct scenario *s, unsigned bridge);
/* "backend" of the first, its name of another one. */
const char *scenario_backend_name(const struct scenario *s, unsigned backend);

/* At most SCENARIO_CELLS_MAX, at least 1. */
unsigned scenario_cell_count(const struct scenario *s);
void scenario_cell_get(const struct scenario *s, unsigned index, struct scenario_cell *cell);
/* "name" or "name[arch=x86,addressing=grants]". Returns buf. */
const char *scenario_cell_id(const struct scenario_cell *cell, char *buf, size_t size);

/* NAME or NAME[...], with fnmatch(3) wildcards; brackets of a cell are literal. */
bool scenario_cell_matches(const struct scenario_cell *cell, const char *pattern);

bool scenario_expect_holds(const struct scenario_expect *e, uint64_t value);
/* Value in the metric's unit, for people. Returns buf. */
const char *scenario_metric_format(enum scenario_metric m, uint64_t value, char *buf, size_t size);

#endif
