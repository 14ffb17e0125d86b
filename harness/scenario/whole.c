/* SPDX-License-Identifier: MIT */
/* What no single key can say. */
#include "scenario/keys.h"
#include "util/bits.h"

/* What a domU of the real Xen can have here, and what x86 has below the hole of its devices. */
#define MEMORY_REAL_MAX (2ull << 30)
#define MEMORY_X86_MAX  (3ull << 30)

/* A place on PCI is said for each device; windows of virtio-mmio are given out in their order. */
static int check_places(struct reader *r, const struct doc_node *root)
{
    struct scenario *s = r->s;
    bool mmio = scenario_axis_has(s, AXIS_TRANSPORT, "mmio");
    bool pci = !s->axis_count[AXIS_TRANSPORT] || scenario_axis_has(s, AXIS_TRANSPORT, "pci");
    const struct doc_node *matrix = doc_get(root, "matrix"), *device = doc_get(root, "device");
    const struct doc_node *n = device && device->kind == DOC_LIST ? device->first : device;

    for (unsigned i = 0; n && i < s->device_count; i++, n = n->next) {
        if (pci && !s->devices[i].sbdf)
            return reader_refuse_at(r, n, "a device needs an sbdf");
        if (!pci && s->devices[i].sbdf)
            return reader_refuse_at(r, doc_get(n, "sbdf"), "nothing is on PCI here");
        if (s->devices[i].slot_lacks && !scenario_axis_has(s, AXIS_ANNOUNCE, "slot-event"))
            return reader_refuse_at(r, doc_get(n, "slot-lacks"),
                                    "there is no slot (announce: slot-event)");
    }
    if (mmio && s->axis_count[AXIS_TOPOLOGY])
        return reader_refuse_at(r, doc_get(matrix, "topology"), "virtio-mmio has no bridge");
    if (mmio && s->axis_count[AXIS_ANNOUNCE])
        return reader_refuse_at(r, doc_get(matrix, "announce"), "virtio-mmio has no slots");
    if (mmio && s->device_count > SCENARIO_MMIO_DEVICES_MAX)
        return reader_refuse_at(r, doc_get(matrix, "transport"),
                                "there are interrupt lines for %u virtio-mmio devices",
                                SCENARIO_MMIO_DEVICES_MAX);
    return 0;
}

static int check_bridges(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;
    const struct doc_node *n = doc_get(root, "host-bridges"), *device = doc_get(root, "device");
    const struct doc_node *d = device && device->kind == DOC_LIST ? device->first : device;
    bool whole = !s->axis_count[AXIS_TOPOLOGY] || scenario_axis_has(s, AXIS_TOPOLOGY, "ioreq-only");
    unsigned owners = 1;

    if (!s->bridge_count)
        return 0;
    if (s->testbeds != 1u << TESTBED_SIM || s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU)
        return reader_refuse_at(r, n,
                                "host bridges go with checks in the domU, on the testbed sim");
    if (s->axis_count[AXIS_TRANSPORT] || s->axis_count[AXIS_BACKGROUND] ||
        s->axis_count[AXIS_DISCOVERY] || s->axis_count[AXIS_ANNOUNCE])
        return reader_refuse_at(r, n, "no axis transport, background, discovery or announce here");
    if (s->bridges[0].backend)
        return reader_refuse_at(r, n, "the first host bridge is the first backend's");
    for (unsigned i = 0; i < s->bridge_count; i++)
        owners |= 1u << s->bridges[i].backend;
    for (unsigned i = 1; whole && owners != 1 && i <= s->backend_count; i++)
        if (!(owners & 1u << i))
            return reader_refuse_at(r, n,
                                    "the backend %.64s has no host bridge (topology: ioreq-only)",
                                    s->backends[i].name);
    for (unsigned i = 0; d && i < s->device_count; i++, d = d->next)
        if (s->devices[i].sbdf && scenario_bridge_of(s, s->devices[i].sbdf) == s->bridge_count)
            return reader_refuse_at(r, doc_get(d, "sbdf"), "%s is behind no host bridge",
                                    s->devices[i].sbdf);
    if (s->device_count && scenario_bridge_of(s, s->devices[0].sbdf))
        return reader_refuse_at(r, n, "the first device is behind the first host bridge");
    return 0;
}

/* Whose driver is ours: no other knows how to get through an IOMMU. */
static int check_endpoints(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;
    const struct doc_node *device = doc_get(root, "device");
    const struct doc_node *n = device && device->kind == DOC_LIST ? device->first : device;

    for (unsigned i = 0; n && i < s->device_count; i++, n = n->next) {
        unsigned of = 0;

        if (!s->devices[i].has_endpoint)
            continue;
        while (of < s->device_count && (s->devices[of].type != DEVICE_IOMMU ||
                                        s->devices[of].backend != s->devices[i].backend))
            of++;
        if (of == s->device_count)
            return reader_refuse_at(r, doc_get(n, ENDPOINT_KEY),
                                    "its backend has no device of type iommu");
        if (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU)
            return reader_refuse_at(r, doc_get(n, ENDPOINT_KEY),
                                    "this goes with checks in the domU");
    }
    return 0;
}

static int check_network_run(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;

    if (s->run != RUN_IPERF3 && s->run != RUN_TRANSFER)
        return 0;
    if (!s->device_count || s->devices[0].type != DEVICE_NET || s->devices[0].wire != WIRE_TAP)
        return reader_refuse_at(r, doc_get(root, "run"),
                                "this needs a net device with wire: tap, which comes first");
    for (unsigned i = 0; i < s->timeline_count; i++)
        if (s->timeline[i].action <= ACTION_UPGRADE_BACKEND)
            return reader_refuse(r, s->timeline[i].line, 1,
                                 "a network frontend does not outlive its backend");
    return 0;
}

static int check_backends(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;
    const struct doc_node *n = doc_get(root, "backends");

    bool vhost = scenario_axis_has(s, AXIS_TOPOLOGY, "vhost-user");

    if (!s->backend_count && (vhost || scenario_axis_has(s, AXIS_TOPOLOGY, "ioreq-distributed")))
        return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "topology"),
                                "ioreq-distributed and vhost-user need several backends");
    /* Checks are bound to the first device, and ask of the first backend. */
    if (s->device_count && s->devices[0].backend && !(vhost && s->axis_count[AXIS_TOPOLOGY] == 1))
        return reader_refuse_at(
            r, doc_get(root, "device"),
            "the first device is the first backend's (or its queues are another's: "
            "topology vhost-user alone)");
    if (vhost && scenario_axis_has(s, AXIS_CONFIG, "xenstore"))
        return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "config"),
                                "a vhost-user back-end has its device by its command line");
    for (unsigned i = 0; vhost && i < s->device_count; i++)
        if (s->devices[i].type != DEVICE_BLK && s->devices[i].type != DEVICE_RNG)
            return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "topology"),
                                    "a device of type %s is never behind vhost-user",
                                    scenario_device_type_name(s->devices[i].type));
    if (!s->backend_count)
        return 0;
    if (s->testbeds != 1u << TESTBED_SIM)
        return reader_refuse_at(r, n, "several backends run on the testbed sim alone");
    if (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU)
        return reader_refuse_at(r, n, "several backends go with checks in the domU");
    if (s->axis_count[AXIS_TRANSPORT] || s->axis_count[AXIS_BACKEND] ||
        s->axis_count[AXIS_FRONTEND] || s->axis_count[AXIS_DISCOVERY] ||
        s->axis_count[AXIS_START] || s->axis_count[AXIS_ANNOUNCE])
        return reader_refuse_at(
            r, n, "no axis transport, backend, frontend, discovery, start or announce here");
    for (unsigned i = 1; i <= s->backend_count; i++) {
        bool any = false;

        for (unsigned d = 0; d < s->device_count; d++)
            any |= s->devices[d].backend == i;
        if (!any)
            return reader_refuse_at(r, n, "the backend %.64s has no device", s->backends[i].name);
        if (s->backends[i].domain == BACKEND_DOM0 && scenario_axis_has(s, AXIS_CONFIG, "xenstore"))
            return reader_refuse_at(r, n,
                                    "two backends of one domain would find the same devices in "
                                    "the store");
    }
    return 0;
}

/* What no single key can say. */
int keys_check_whole(struct reader *r, const struct doc_node *root)
{
    struct scenario *s = r->s;
    int ret;

    if (!s->check_count && s->run == RUN_CHECKS)
        return reader_refuse_at(r, root, "nothing to run: checks or run is missing");
    if (s->check_count && s->run != RUN_CHECKS)
        return reader_refuse_at(r, doc_get(root, "run"), "a scenario has checks or run, not both");
    if (s->run == RUN_FIO && !s->device_count)
        return reader_refuse_at(r, doc_get(root, "run"), "fio needs a device");
    if (s->run == RUN_FIO && s->devices[0].type != DEVICE_BLK)
        return reader_refuse_at(r, doc_get(root, "run"),
                                "fio needs a blk device, which comes first");
    if (s->neighbour.job &&
        (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU || s->testbeds != 1u << TESTBED_SIM ||
         !s->device_count || s->devices[0].type != DEVICE_BLK || s->backend_count ||
         scenario_axis_has(s, AXIS_FRONTEND, "dom0") ||
         scenario_axis_has(s, AXIS_START, "dom0less")))
        return reader_refuse_at(
            r, doc_get(root, "neighbour"),
            "a neighbour is beside checks in a domU of the testbed sim with one backend "
            "and a blk device");
    if (s->runs_in == RUNS_IN_DOM0 && s->run != RUN_CHECKS)
        return reader_refuse_at(r, doc_get(root, "runs-in"), "what is run is run in the domU");
    if (s->runs_in == RUNS_IN_LINUX) {
        const struct doc_node *n = doc_get(root, "runs-in");
        if (s->run != RUN_CHECKS)
            return reader_refuse_at(r, n, "run is for drivers of ours; here fio is a check");
        if (!s->device_count)
            return reader_refuse_at(r, n, "a stock Linux needs a device");
        if (s->testbeds & 1u << TESTBED_SIM)
            return reader_refuse_at(r, n, "sim cannot boot a Linux: name the testbeds");
        if (scenario_axis_has(s, AXIS_START, "dom0less"))
            return reader_refuse_at(r, n, "a stock Linux is started by the toolstack");
    }
    ret = check_network_run(r, root);
    if (ret)
        return ret;
    if (s->timeline_count && !s->device_count)
        return reader_refuse_at(r, doc_get(root, "timeline"),
                                "there is no backend without a device");
    for (unsigned i = 0; i < s->timeline_count; i++) {
        const struct scenario_step *step = &s->timeline[i];
        bool guest = step->action == ACTION_PAUSE_GUEST || step->action == ACTION_UNPAUSE_GUEST;
        bool of_checks = step->when == WHEN_CONFIG_READ || step->action == ACTION_ATTACH_DEVICE ||
                         step->action == ACTION_DETACH_DEVICE;

        if (s->run == RUN_CHECKS && guest)
            return reader_refuse(r, step->line, 1, "there is no guest process beside the agent");
        if (s->run != RUN_CHECKS && of_checks)
            return reader_refuse(r, step->line, 1, "this goes with checks");
        if (s->run != RUN_TRANSFER && step->when == WHEN_BYTES)
            return reader_refuse(r, step->line, 1, "bytes are counted of a transfer");
    }
    if (s->timeline_count && s->run == RUN_CHECKS &&
        (s->testbeds != 1u << TESTBED_SIM || s->runs_in != RUNS_IN_DOMU))
        return reader_refuse_at(r, doc_get(root, "timeline"),
                                "beside checks a timeline runs on the testbed sim");
    for (unsigned i = 0; i < s->expect_count; i++) {
        enum scenario_metric m = s->expect[i].metric;
        bool of_run = m == METRIC_READ || m == METRIC_WRITTEN || m == METRIC_RESTARTS;
        if ((of_run && s->run == RUN_CHECKS) || (m == METRIC_CHECKS && s->run != RUN_CHECKS))
            return reader_refuse_at(r, doc_get(doc_get(root, "expect"), scenario_metric_name(m)),
                                    "nothing in this scenario measures %s",
                                    scenario_metric_name(m));
    }
    static const enum scenario_axis of_devices[] = {
        AXIS_MEMORY,    AXIS_QUEUE_SIZE, AXIS_QUEUES,  AXIS_FEATURES,  AXIS_CONFIG,
        AXIS_TRANSPORT, AXIS_START,      AXIS_BACKEND, AXIS_DISCOVERY, AXIS_ANNOUNCE};
    for (size_t i = 0; i < ARRAY_LENGTH(of_devices); i++) {
        const struct doc_node *matrix = doc_get(root, "matrix");
        if (s->axis_count[of_devices[i]] && !s->device_count)
            return reader_refuse_at(r, doc_get(matrix, scenario_axis_name(of_devices[i])),
                                    "this axis is bound to the backend, and there is no device");
    }
    for (unsigned i = 0; i < s->device_count && s->axis_count[AXIS_QUEUES]; i++)
        if (!scenario_device_takes_key(s->devices[i].type, "queues"))
            return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "queues"),
                                    "a device of type %s has no such key",
                                    scenario_device_type_name(s->devices[i].type));
    const struct doc_node *domain = doc_get(root, "domain");
    if (s->axis_count[AXIS_VCPUS] && domain && doc_get(domain, "vcpus"))
        return reader_refuse_at(r, doc_get(domain, "vcpus"), "vcpus is an axis of this scenario");
    if ((s->lose_interrupts || s->lose_doorbells) && s->run != RUN_TRANSFER && s->run != RUN_IPERF3)
        return reader_refuse_at(r, domain, "only streams over a network device lose notifications");
    if (s->lose_interrupts && s->testbeds != 1u << TESTBED_SIM)
        return reader_refuse_at(r, doc_get(domain, "lose-interrupts"),
                                "only the testbed sim can lose interrupts");
    if (s->refuse_foreign &&
        (s->testbeds != 1u << TESTBED_SIM || scenario_axis_has(s, AXIS_FRONTEND, "dom0")))
        return reader_refuse_at(r, doc_get(domain, "refuse-foreign"),
                                "only a domU of the testbed sim can be kept from being mapped");
    if (s->memory_bytes > MEMORY_REAL_MAX && s->testbeds != 1u << TESTBED_SIM)
        return reader_refuse_at(r, doc_get(domain, "memory"),
                                "only the testbed sim has more than 2GiB for a domain");
    if (s->memory_bytes > MEMORY_X86_MAX &&
        (!scenario_axis_has(s, AXIS_ARCH, "arm") || s->axis_count[AXIS_ARCH] > 1))
        return reader_refuse_at(r, doc_get(domain, "memory"),
                                "only Arm has more than 3GiB in one piece (axis arch)");
    if (s->backend_page_bytes && s->testbeds != 1u << TESTBED_SIM)
        return reader_refuse_at(r, doc_get(domain, "backend-pages"),
                                "only the testbed sim has a host whose pages it can choose");
    if (s->backend_unseeded && s->testbeds != 1u << TESTBED_SIM)
        return reader_refuse_at(r, doc_get(domain, "backend-unseeded"),
                                "only the testbed sim has a host whose entropy it can keep back");
    if (s->max_mappings &&
        (s->testbeds != 1u << TESTBED_SIM || !scenario_axis_has(s, AXIS_BACKEND, "driver") ||
         s->axis_count[AXIS_BACKEND] > 1))
        return reader_refuse_at(
            r, doc_get(domain, "max-mappings"),
            "only a driver domain of the testbed sim has a limit (axis backend)");
    if (s->lose_interrupts && s->axis_count[AXIS_TRANSPORT])
        return reader_refuse_at(
            r, doc_get(domain, "lose-interrupts"),
            "message-signalled interrupts are virtio-pci's: no axis transport here");
    if (scenario_axis_has(s, AXIS_FRONTEND, "dom0") &&
        (s->vcpus > 1 || s->axis_count[AXIS_VCPUS] || s->run != RUN_CHECKS ||
         s->runs_in != RUNS_IN_DOMU || scenario_axis_has(s, AXIS_START, "dom0less")))
        return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "frontend"),
                                "the driver in dom0 is an agent that runs checks, on one vCPU");
    if (s->axis_count[AXIS_DISCOVERY] && scenario_axis_has(s, AXIS_BACKEND, "outside") &&
        s->device_count < 2)
        return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "backend"),
                                "beside a device from outside, a second is told of");
    for (unsigned i = 0; scenario_axis_has(s, AXIS_TRANSPORT, "mmio") && scenario_discovery_name(i);
         i++)
        if (i != DISCOVERY_GIVEN && i != DISCOVERY_DEVICE_TREE && i != DISCOVERY_MACHINE_TYPE &&
            i != DISCOVERY_FEATURE_BIT &&
            scenario_axis_has(s, AXIS_DISCOVERY, scenario_discovery_name(i)))
            return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "discovery"),
                                    "%s tells of devices by their place on PCI",
                                    scenario_discovery_name(i));
    if (scenario_axis_has(s, AXIS_BUFFERS, "pool") &&
        (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU))
        return reader_refuse_at(r, doc_get(doc_get(root, "matrix"), "buffers"),
                                "only the frontend that runs checks has the choice");
    ret = check_backends(r, root);
    if (!ret)
        ret = check_endpoints(r, root);
    if (!ret)
        ret = check_places(r, root);
    return ret ? ret : check_bridges(r, root);
}
