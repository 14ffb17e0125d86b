/* SPDX-License-Identifier: MIT */
/* The key matrix, and the cells that it makes. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "scenario/keys.h"
#include "scenario/units.h"
#include "util/bits.h"

static const char *const arch_names[] = {"x86", "arm", NULL};
static const char *const topology_names[] = {"ioreq-only", "ioreq-functions",   "ioreq-distributed",
                                             "vhost-user", "hypervisor-bridge", NULL};
static const char *const background_names[] = {"default", "ones", "zeroes", NULL};
static const char *const addressing_names[] = {"grants", "foreign", NULL};
static const char *const buffers_names[] = {"streaming", "pool", NULL};
static const char *const ring_names[] = {"split", "packed", NULL};
static const char *const memory_names[] = {"auto",
                                           "grant-map",
                                           "grant-persistent",
                                           "grant-copy",
                                           "foreign-map",
                                           "foreign-buckets",
                                           "foreign-whole",
                                           "foreign-static",
                                           "shim",
                                           NULL};
static const char *const config_names[] = {"command-line", "xenstore", NULL};
static const char *const transport_names[] = {"pci", "mmio", NULL};
static const char *const start_names[] = {"toolstack", "dom0less", NULL};
static const char *const frontend_names[] = {"domu", "dom0", NULL};
static const char *const backend_names[] = {"dom0", "driver", "outside", NULL};
static const char *const announce_names[] = {"silent", "slot-event", NULL};
static const char *const discovery_names[] = {
    "given",           "device-tree",       "xenstore",
    "boot-parameter",  "vendor-capability", "acpi",
    "device-register", "dummy-function",    "root-complex",
    "machine-type",    "feature-bit",       NULL};

struct axis_desc {
    const char *name;
    const char *const *values; /* NULL: a number or a text */
    uint64_t min, max;
    bool pow2;
    int (*valid)(const char *text); /* texts; 0 or -EINVAL */
    const char *what;
};

static const struct axis_desc axis_table[SCENARIO_AXES] = {
    [AXIS_ARCH] = {.name = "arch", .values = arch_names},
    [AXIS_TOPOLOGY] = {.name = "topology", .values = topology_names},
    [AXIS_BACKGROUND] = {.name = "background", .values = background_names},
    [AXIS_ADDRESSING] = {.name = "addressing", .values = addressing_names},
    [AXIS_BUFFERS] = {.name = "buffers", .values = buffers_names},
    [AXIS_RING] = {.name = "ring", .values = ring_names},
    [AXIS_MEMORY] = {.name = "memory", .values = memory_names},
    [AXIS_QUEUE_SIZE] = {.name = "queue-size", .min = 1, .max = QUEUE_SIZE_MAX, .pow2 = true},
    [AXIS_QUEUES] = {.name = "queues", .min = 1, .max = QUEUES_MAX},
    [AXIS_FEATURES] = {.name = "features",
                       .valid = reader_features_valid,
                       .what = READER_FEATURES_WHAT},
    [AXIS_CONFIG] = {.name = "config", .values = config_names},
    [AXIS_VCPUS] = {.name = "vcpus", .min = 1, .max = VCPUS_MAX},
    [AXIS_TRANSPORT] = {.name = "transport", .values = transport_names},
    [AXIS_START] = {.name = "start", .values = start_names},
    [AXIS_FRONTEND] = {.name = "frontend", .values = frontend_names},
    [AXIS_BACKEND] = {.name = "backend", .values = backend_names},
    [AXIS_ANNOUNCE] = {.name = "announce", .values = announce_names},
    [AXIS_DISCOVERY] = {.name = "discovery", .values = discovery_names},
};

const char *scenario_axis_name(enum scenario_axis a)
{
    return axis_table[a].name;
}

const char *scenario_discovery_name(enum scenario_discovery d)
{
    return discovery_names[d];
}

const char *scenario_memory_name(enum scenario_memory m)
{
    return memory_names[m];
}

bool scenario_memory_mixes(enum scenario_memory m)
{
    return m == MEMORY_AUTO || m == MEMORY_SHIM;
}

bool scenario_discovery_is_boot_data(enum scenario_discovery d)
{
    return d == DISCOVERY_DEVICE_TREE || d == DISCOVERY_BOOT_PARAMETER || d == DISCOVERY_ACPI ||
           d == DISCOVERY_MACHINE_TYPE;
}

static int check_axis_value(struct reader *r, const struct doc_node *n, enum scenario_axis axis)
{
    const struct axis_desc *a = &axis_table[axis];
    uint64_t v;
    unsigned index;
    int ret;

    if (a->values)
        return reader_name(r, n, a->name, a->values, &index);
    if (a->valid) {
        ret = reader_want(r, n, DOC_SCALAR, a->name);
        if (!ret && a->valid(n->text))
            ret = reader_refuse_at(r, n, "%s has to be %s, not '%.64s'", a->name, a->what, n->text);
        return ret;
    }
    ret = reader_number(r, n, a->name, units_parse_count, "a whole number", a->min, a->max, &v);
    if (!ret && a->pow2 && !is_pow2(v))
        ret = reader_refuse_at(r, n, "%s has to be a power of two", a->name);
    return ret;
}

int keys_read_matrix(struct reader *r, const struct doc_node *n)
{
    struct scenario *s = r->s;
    uint64_t cells = 1;
    int ret = reader_want(r, n, DOC_MAP, "matrix");

    if (ret)
        return ret;
    for (const struct doc_node *c = n->first; c; c = c->next) {
        char all[512];
        const char *names[SCENARIO_AXES + 1] = {0};
        unsigned axis = 0;
        while (axis < SCENARIO_AXES && strcmp(axis_table[axis].name, c->key))
            axis++;
        if (axis == SCENARIO_AXES) {
            for (unsigned i = 0; i < SCENARIO_AXES; i++)
                names[i] = axis_table[i].name;
            reader_join_names(names, all, sizeof(all));
            return reader_refuse(r, c->key_line, c->key_column, "unknown axis '%.64s' (known: %s)",
                                 c->key, all);
        }
        ret = reader_want(r, c, DOC_LIST, "an axis");
        for (const struct doc_node *v = c->first; !ret && v; v = v->next)
            ret = check_axis_value(r, v, (enum scenario_axis)axis);
        if (!ret)
            ret = reader_texts(r, c, axis_table[axis].name, &s->axis_values[axis],
                               &s->axis_count[axis]);
        if (ret)
            return ret;
        s->axis_order[s->axes++] = (enum scenario_axis)axis;
        cells *= s->axis_count[axis];
        if (cells > SCENARIO_CELLS_MAX)
            return reader_refuse_at(r, n, "the matrix has more than %u cells", SCENARIO_CELLS_MAX);
    }
    return 0;
}

bool scenario_axis_has(const struct scenario *s, enum scenario_axis axis, const char *value)
{
    for (unsigned i = 0; i < s->axis_count[axis]; i++)
        if (!strcmp(s->axis_values[axis][i], value))
            return true;
    return false;
}

/* ---- cells ---- */

unsigned scenario_cell_backends(const struct scenario_cell *cell)
{
    const struct scenario *s = cell->scenario;
    bool owners = false;

    for (unsigned i = 0; i < s->bridge_count; i++)
        owners |= s->bridges[i].backend != 0;
    return cell->topology == TOPOLOGY_IOREQ_ONLY && !owners ? 1 : 1 + s->backend_count;
}

unsigned scenario_cell_backend_of(const struct scenario_cell *cell, unsigned device)
{
    const struct scenario *s = cell->scenario;
    unsigned bridge;

    if (cell->topology != TOPOLOGY_IOREQ_ONLY)
        return s->devices[device].backend;
    bridge = s->bridge_count ? scenario_bridge_of(s, s->devices[device].sbdf) : 0;
    return bridge < s->bridge_count ? s->bridges[bridge].backend : 0;
}

unsigned scenario_cell_count(const struct scenario *s)
{
    unsigned cells = 1;

    for (unsigned i = 0; i < s->axes; i++)
        cells *= s->axis_count[s->axis_order[i]];
    return cells;
}

static unsigned name_index(const char *const *names, const char *value)
{
    unsigned i = 0;

    while (names[i] && strcmp(names[i], value))
        i++;
    return i;
}

static void bind_axis(struct scenario_cell *cell, enum scenario_axis axis, const char *value)
{
    uint64_t number = 0;

    if (!axis_table[axis].values && !axis_table[axis].valid)
        (void)units_parse_count(value, &number);
    switch (axis) {
    case AXIS_ARCH:
        cell->arch = (enum scenario_arch)name_index(arch_names, value);
        break;
    case AXIS_TOPOLOGY:
        cell->topology = (enum scenario_topology)name_index(topology_names, value);
        break;
    case AXIS_BACKGROUND:
        cell->background = (enum scenario_background)name_index(background_names, value);
        break;
    case AXIS_ADDRESSING:
        cell->addressing = (enum scenario_addressing)name_index(addressing_names, value);
        break;
    case AXIS_BUFFERS:
        cell->buffers = (enum scenario_buffers)name_index(buffers_names, value);
        break;
    case AXIS_RING:
        cell->ring = (enum scenario_ring)name_index(ring_names, value);
        break;
    case AXIS_MEMORY:
        cell->memory = (enum scenario_memory)name_index(memory_names, value);
        break;
    case AXIS_CONFIG:
        cell->config = (enum scenario_config)name_index(config_names, value);
        break;
    case AXIS_TRANSPORT:
        cell->transport = (enum scenario_transport)name_index(transport_names, value);
        break;
    case AXIS_START:
        cell->start = (enum scenario_start)name_index(start_names, value);
        break;
    case AXIS_FRONTEND:
        cell->frontend = (enum scenario_frontend)name_index(frontend_names, value);
        break;
    case AXIS_BACKEND:
        cell->backend = (enum scenario_backend)name_index(backend_names, value);
        break;
    case AXIS_ANNOUNCE:
        cell->announce = (enum scenario_announce)name_index(announce_names, value);
        break;
    case AXIS_DISCOVERY:
        cell->discovery = (enum scenario_discovery)name_index(discovery_names, value);
        break;
    case AXIS_QUEUE_SIZE:
        cell->queue_size = (uint32_t)number;
        break;
    case AXIS_QUEUES:
        cell->queues = (uint32_t)number;
        break;
    case AXIS_VCPUS:
        cell->vcpus = (uint32_t)number;
        break;
    case AXIS_FEATURES:
        cell->features = strcmp(value, "default") ? value : NULL;
        break;
    case SCENARIO_AXES:
        break;
    }
}

void scenario_cell_get(const struct scenario *s, unsigned index, struct scenario_cell *cell)
{
    *cell = (struct scenario_cell){.scenario = s, .axes = s->axes, .vcpus = s->vcpus};
    for (unsigned i = s->axes; i-- > 0;) {
        enum scenario_axis axis = s->axis_order[i];
        unsigned count = s->axis_count[axis];
        cell->axis[i] = axis;
        cell->value[i] = s->axis_values[axis][index % count];
        index /= count;
        bind_axis(cell, axis, cell->value[i]);
    }
}

const char *scenario_cell_id(const struct scenario_cell *cell, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s", cell->scenario->name);
    size_t used = n < 0 ? 0 : (size_t)n;

    for (unsigned i = 0; i < cell->axes && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s=%s", i ? "," : "[",
                                 scenario_axis_name(cell->axis[i]), cell->value[i]);
    if (cell->axes && used < size)
        snprintf(buf + used, size - used, "]");
    return buf;
}

bool scenario_cell_matches(const struct scenario_cell *cell, const char *pattern)
{
    char id[512], literal[512];
    size_t used = 0;

    if (!fnmatch(pattern, cell->scenario->name, 0))
        return true;
    for (const char *c = pattern; *c && used + 2 < sizeof(literal); c++) {
        if (*c == '[' || *c == ']')
            literal[used++] = '\\';
        literal[used++] = *c;
    }
    literal[used] = 0;
    return !fnmatch(literal, scenario_cell_id(cell, id, sizeof(id)), 0);
}
