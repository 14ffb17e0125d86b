/* SPDX-License-Identifier: MIT */
#include "ringbench/row.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "util/parse.h"
#include "virtq/virtq.h"

enum { RING = 1, SIZE, BATCH, DEPTH, PAYLOAD, DRIVER_CPU, DEVICE_CPU, MEASURE, LATENCY };

static const struct option row_options[] = {
    {"ring", required_argument, NULL, RING},
    {"size", required_argument, NULL, SIZE},
    {"batch", required_argument, NULL, BATCH},
    {"depth", required_argument, NULL, DEPTH},
    {"payload", required_argument, NULL, PAYLOAD},
    {"driver-cpu", required_argument, NULL, DRIVER_CPU},
    {"device-cpu", required_argument, NULL, DEVICE_CPU},
    {"measure-ms", required_argument, NULL, MEASURE},
    {"latency-ms", required_argument, NULL, LATENCY},
    {"in-order", no_argument, NULL, 'o'},
    {"indirect", no_argument, NULL, 'i'},
    {"event-idx", no_argument, NULL, 'e'},
    {"sleep", no_argument, NULL, 's'},
    {"copy", no_argument, NULL, 'c'},
    {"compact", no_argument, NULL, 'd'},
    {"priority", no_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void usage(FILE *f)
{
    fputs(
        "usage: ringproof-ring [OPTION]...\n"
        "Measures one kind of virtqueue between two processes and prints one line of JSON.\n\n"
        "  --ring split|packed|floor  floor: two plain rings, the least that is possible\n"
        "  --in-order --indirect --event-idx\n"
        "  --size N                   of the ring, 1 to 32768 (default 256)\n"
        "  --batch N                  buffers made available, and used, at once, 1 to 256\n"
        "  --depth N                  buffers outstanding at most (default: the ring's size)\n"
        "  --payload BYTES            0 to 65536, touched by both sides\n"
        "  --copy                     the payload is copied by both sides\n"
        "  --compact                  split: the areas one behind the other; of size 1 or 2 they\n"
        "                             are in one cache line\n"
        "  --sleep                    both sides spin a while, then sleep; else they poll\n"
        "  --priority                 in a session of its own, preferred where that is allowed\n"
        "  --driver-cpu N --device-cpu N  (default 0 and 1)\n"
        "  --measure-ms N             of throughput (default 60)\n"
        "  --latency-ms N             of latency, each buffer timed (default 0)\n",
        f);
}

static int parse_ring(const char *text, enum row_ring *ring)
{
    static const char *const names[] = {
        [ROW_SPLIT] = "split", [ROW_PACKED] = "packed", [ROW_FLOOR] = "floor"};

    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *ring = (enum row_ring)i;
            return 0;
        }
    return -EINVAL;
}

static int parse_ms(const char *text, uint64_t min, uint64_t *ns)
{
    uint64_t ms;
    int rc = parse_u64(text, min, 3600000, &ms);

    if (rc == 0)
        *ns = ms * 1000000;
    return rc;
}

static int take(struct row *r, int option, const char *value)
{
    switch (option) {
    case RING:
        return parse_ring(value, &r->ring);
    case SIZE:
        return parse_u32(value, 1, VIRTQ_SIZE_MAX, &r->size);
    case BATCH:
        return parse_u32(value, 1, ROW_BATCH_MAX, &r->batch);
    case DEPTH:
        return parse_u32(value, 1, VIRTQ_SIZE_MAX, &r->depth);
    case PAYLOAD:
        return parse_u32(value, 0, ROW_PAYLOAD_MAX, &r->payload_bytes);
    case DRIVER_CPU:
        return parse_u32(value, 0, 1023, &r->driver_cpu);
    case DEVICE_CPU:
        return parse_u32(value, 0, 1023, &r->device_cpu);
    case MEASURE:
        return parse_ms(value, 1, &r->measure_ns);
    case LATENCY:
        return parse_ms(value, 0, &r->latency_ns);
    case 'o':
        r->in_order = true;
        return 0;
    case 'i':
        r->indirect = true;
        return 0;
    case 'e':
        r->event_idx = true;
        return 0;
    case 's':
        r->sleep = true;
        return 0;
    case 'c':
        r->copy = true;
        return 0;
    case 'd':
        r->compact = true;
        return 0;
    case 'p':
        r->priority = true;
        return 0;
    default:
        return -EINVAL;
    }
}

static const char *contradiction(const struct row *r)
{
    struct virtq_layout layout;

    if (r->ring != ROW_PACKED && virtq_layout_init(&layout, VIRTQ_SPLIT, r->size) < 0)
        return "--size of a split ring, and of the floor's, is a power of two";
    if (r->depth > r->size)
        return "--depth is larger than --size";
    if (r->batch > r->depth)
        return "--batch is larger than --depth";
    if (r->ring == ROW_FLOOR &&
        (r->in_order || r->indirect || r->event_idx || r->sleep || r->payload_bytes))
        return "the floor has no features, no payload and no sleep";
    if (r->compact && r->ring != ROW_SPLIT)
        return "only a split ring has areas to put beside each other";
    if (r->copy && r->payload_bytes == 0)
        return "--copy without --payload";
    if (r->driver_cpu == r->device_cpu)
        return "the two sides need a CPU each";
    return NULL;
}

int row_parse(struct row *r, int argc, char **argv)
{
    const char *why;
    int option, index = 0;

    *r = (struct row){
        .ring = ROW_SPLIT, .size = 256, .batch = 1, .device_cpu = 1, .measure_ns = 60000000};
    while ((option = getopt_long(argc, argv, "", row_options, &index)) != -1) {
        if (option == 'h') {
            usage(stdout);
            return 1;
        }
        if (option == '?')
            return -EINVAL;
        if (take(r, option, optarg)) {
            fprintf(stderr, "ringproof-ring: --%s: '%s' is not valid\n", row_options[index].name,
                    optarg ? optarg : "");
            return -EINVAL;
        }
    }
    if (optind != argc) {
        usage(stderr);
        return -EINVAL;
    }
    if (r->depth == 0)
        r->depth = r->size;
    why = contradiction(r);
    if (why) {
        fprintf(stderr, "ringproof-ring: %s\n", why);
        return -EINVAL;
    }
    return 0;
}
