/* SPDX-License-Identifier: MIT */
/* What scenario files are refused for, and where the message points; how a matrix expands. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario/doc.h"
#include "scenario/scenario.h"
#include "scenario/units.h"
#include "unit/run.h"
#include "util/bits.h"

#define HEAD "scenario: s\ntitle: t\n"
#define DEV  "device: {type: blk, sbdf: \"0000:00:01.0\", size: 1MiB}\n"

static const struct bad_row {
    const char *text;
    const char *message; /* beginning, after "f.yaml:" */
} bad_rows[] = {
    {"", "1:1: the file is empty"},
    {"- a\n", "1:1: the file has to be a map"},
    {"a: [1\n", "2:1: did not find expected ',' or ']'"},
    {"\tx: 1\n", "1:1: found character that cannot start any token"},
    {"title: t\n", "1:1: the key scenario"},
    {"scenario: s\n", "1:1: the key title"},
    {"scenario: s\nscenario: t\n", "2:1: duplicate key 'scenario'"},
    {"scenario: &a s\n", "1:11: anchors are not allowed"},
    {"scenario: *a\n", "1:11: aliases are not allowed"},
    {"scenario: !!str s\n", "1:11: tags are not allowed"},
    {"? [a]\n: b\n", "1:3: a key has to be a plain word"},
    {"a: b\n---\nc: d\n", "2:1: a second document"},
    {"scenario: \"a\\0b\"\n", "1:11: text with a zero byte"},
    {"a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "1:20: nested too deeply"},
    {"scenario: S\ntitle: t\n", "1:11: a name has lower-case"},
    {"scenario: [s]\ntitle: t\n", "1:11: scenario has to be a single value, not a list"},
    {HEAD "check: [a]\n", "3:1: unknown key 'check' (known here: scenario, "},
    {HEAD, "1:1: nothing to run"},
    {HEAD "checks: []\n", "3:9: checks is empty"},
    {HEAD "checks: {a: b}\n", "3:9: checks has to be a list, not a map"},
    {HEAD "checks: [blk.*, blk.*]\n", "3:17: 'blk.*' is listed twice"},
    {HEAD "checks: [\"a b\"]\n", "3:10: 'a b' is no pattern"},
    {HEAD "checks: [blk.*]\ntimeout: 5\n", "4:10: timeout has to be a time such as 60s, not '5'"},
    {HEAD "checks: [blk.*]\ntimeout: \"5s\"\n", "4:10: timeout has to be a time"},
    {HEAD "checks: [blk.*]\ntimeout: 1ms\n", "4:10: timeout is out of range: '1ms' is not"},
    {HEAD "checks: [blk.*]\ntestbeds: [moon]\n",
     "4:12: unknown testbeds 'moon' (known: sim, qemu, xen)"},
    {HEAD "checks: [blk.*]\ntestbeds: [sim, sim]\n", "4:17: 'sim' is listed twice"},
    {HEAD "checks: [blk.*]\nsets: [nightly]\n", "4:8: unknown sets 'nightly'"},
    {HEAD "checks: [blk.*]\n" DEV "backends: [{domain: dom0}]\n", "5:12: a backend needs a name"},
    {HEAD "checks: [blk.*]\n" DEV "backends: [{name: b, domain: outside}]\n",
     "5:30: unknown domain 'outside' (known: dom0, driver)"},
    {HEAD "checks: [blk.*]\n" DEV "backends: [{name: b}]\n", "5:11: the backend b has no device"},
    {HEAD "checks: [blk.*]\n" DEV "backends: [{name: b}, {name: b}]\n",
     "5:30: there is a backend of this name already"},
    {HEAD "checks: [blk.*]\n" DEV "backends: [{name: backend}]\n",
     "5:19: 'backend' is no name of a backend"},
    {HEAD "checks: [blk.*]\nbackends: [{name: b}]\n"
          "device: [{type: rng, sbdf: \"0000:00:01.0\", backend: b}]\n",
     "5:9: the first device is the first backend's"},
    {HEAD "checks: [blk.*]\nbackends: [{name: b}]\n"
          "device: [{type: rng, sbdf: \"0000:00:01.0\", backend: c}]\n",
     "5:53: 'c' is none of the scenario's backends"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{segment: 1}]\n",
     "5:16: a host bridge needs buses"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{buses: 9-3}]\n",
     "5:24: '9-3' is no range of buses like 0-15"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{buses: 0-256}]\n",
     "5:24: '0-256' is no range of buses"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{buses: 0-9}, {buses: 9-12}]\n",
     "5:30: another host bridge has one of these buses"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{buses: 0-9}, {segment: 1, buses: 0-99}]\n",
     "5:15: more than 64 buses in all"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{buses: 0-9, backend: b}]\n",
     "5:38: 'b' is none of the scenario's backends"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{buses: 4-9}]\n",
     "4:27: 0000:00:01.0 is behind no host bridge"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{segment: 1, buses: 0-9}, {buses: 0-9}]\n",
     "5:15: the first device is behind the first host bridge"},
    {HEAD "checks: [blk.*]\n" DEV "host-bridges: [{buses: 0-9}]\nmatrix: {background: [ones]}\n",
     "5:15: no axis transport, background, discovery or announce here"},
    {HEAD "checks: [blk.*]\ndevice: {type: rng, sbdf: \"0000:00:01.0\", slot-lacks: [button]}\n",
     "4:55: there is no slot (announce: slot-event)"},
    {HEAD "checks: [blk.*]\n" DEV "domain: {backend-pages: 12KiB}\n",
     "5:25: pages are a power of two"},
    {HEAD "checks: [blk.*]\n" DEV "testbeds: [qemu]\ndomain: {backend-unseeded: true}\n",
     "6:28: only the testbed sim has a host whose entropy it can keep back"},
    {HEAD "checks: [blk.*]\ntable: bytes\n", "4:8: table has to be a map"},
    {HEAD "checks: [blk.*]\ntable: {name: x}\n", "4:8: a table has a name and columns"},
    {HEAD "checks: [blk.*]\ntable: {name: X, columns: [a]}\n", "4:15: 'X' is no name of a table"},
    {HEAD "checks: [blk.*]\ntable: {name: x, columns: []}\n", "4:27: columns is empty"},
    {HEAD "checks: [blk.*]\ntable: {name: x, columns: [a, a]}\n", "4:31: 'a' is listed twice"},
    {HEAD "checks: [blk.*]\ntable: {name: x, columns: [a], rows: [b]}\n",
     "4:32: unknown key 'rows' (known here: name, columns)"},
    {HEAD "checks: [blk.*]\nmatrix: {arhc: [x86]}\n", "4:10: unknown axis 'arhc' (known: arch, "},
    {HEAD "checks: [blk.*]\nmatrix:\n  arch: [x86, mips]\n", "5:15: unknown arch 'mips'"},
    {HEAD "checks: [blk.*]\nmatrix:\n  arch: x86\n", "5:9: an axis has to be a list"},
    {HEAD "checks: [blk.*]\nmatrix:\n  arch: [x86, x86]\n", "5:15: 'x86' is listed twice"},
    {HEAD "checks: [blk.*]\nmatrix:\n  vcpus: [0]\n", "5:11: vcpus is out of range"},
    {HEAD "checks: [blk.*]\nmatrix:\n  memory: [auto]\n",
     "5:11: this axis is bound to the backend"},
    {HEAD DEV "checks: [blk.*]\nmatrix:\n  queue-size: [24]\n",
     "6:16: queue-size has to be a power"},
    {HEAD DEV "checks: [blk.*]\nmatrix:\n  features: [-A]\n", "6:14: features has to be default"},
    {HEAD "checks: [blk.*]\nmatrix: {vcpus: [1]}\ndomain: {vcpus: 2}\n", "5:17: vcpus is an axis"},
    {HEAD "checks: [blk.*]\ndomain: {lose-doorbells: 1}\n", "4:26: lose-doorbells is out of range"},
    {HEAD "checks: [blk.*]\ndomain: {lose-interrupts: 5}\n", "4:9: only streams over a network"},
    {HEAD "testbeds: [sim, qemu]\ndevice: {type: net, sbdf: \"0000:00:01.0\", wire: tap}\n"
          "domain: {vcpus: 3, lose-interrupts: 5}\nrun: {transfer: {bytes: 1MiB}}\n",
     "5:37: only the testbed sim"},
    {HEAD "device: {type: net, sbdf: \"0000:00:01.0\", wire: tap}\n"
          "domain: {vcpus: 3, lose-interrupts: 5}\nmatrix: {transport: [pci, mmio]}\n"
          "run: {transfer: {bytes: 1MiB}}\n",
     "4:37: message-signalled"},
    {HEAD "checks: [blk.*]\ndomain: {refuse-foreign: 1}\n", "4:26: refuse-foreign has to be true"},
    {HEAD "testbeds: [sim, xen]\nchecks: [blk.*]\ndomain: {refuse-foreign: true}\n",
     "5:26: only a domU of the testbed sim"},
    {HEAD DEV "run: {fio: {job: a.fio}}\ntimeline:\n  - {after: 1s, upgrade: domain}\n",
     "6:26: unknown object 'domain'"},
    {HEAD DEV "checks: [blk.*]\nneighbour: {}\n", "5:12: a neighbour needs fio"},
    {HEAD "checks: [abi.*]\nneighbour: {fio: {job: a.fio}}\n",
     "4:12: a neighbour is beside checks"},
    {HEAD DEV "checks: [blk.*]\nmatrix: {backend: [driver]}\ndomain: {max-mappings: 3}\n",
     "6:24: max-mappings is out of range"},
    {HEAD DEV "checks: [blk.*]\nmatrix: {backend: [dom0, driver]}\ndomain: {max-mappings: 16}\n",
     "6:24: only a driver domain"},
    {HEAD DEV "checks: [blk.*]\ndomain: {max-mappings: 16}\n", "5:24: only a driver domain"},
    {HEAD "checks: [blk.*]\nmatrix:\n  transport: [mmio]\n",
     "5:14: this axis is bound to the backend"},
    {HEAD DEV "checks: [blk.*]\nmatrix:\n  transport: [mmio]\n", "3:27: nothing is on PCI here"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, size: 1MiB}\nmatrix: {transport: [mmio, pci]}\n",
     "4:9: a device needs an sbdf"},
    {HEAD DEV "checks: [blk.*]\nmatrix: {transport: [pci, mmio], topology: [ioreq-only]}\n",
     "5:44: virtio-mmio has no bridge"},
    {HEAD "checks: [blk.*]\ndevice: {type: iommu, sbdf: 0000:00:01.0, endpoint: 1}\n",
     "4:43: unknown key 'endpoint'"},
    {HEAD "checks: [blk.*]\ndevice:\n"
          "  - {type: rng, sbdf: 0000:00:01.0, endpoint: 1}\n"
          "  - {type: rng, sbdf: 0000:00:02.0, endpoint: 1}\n",
     "6:47: there is an endpoint 1 already"},
    {HEAD "checks: [blk.*]\ndevice: {type: rng, sbdf: 0000:00:01.0, endpoint: 1}\n",
     "4:51: its backend has no device of type iommu"},
    {HEAD "run: {fio: {job: a}}\ndevice:\n"
          "  - {type: blk, size: 1MiB, sbdf: 0000:00:01.0, endpoint: 1}\n"
          "  - {type: iommu, sbdf: 0000:00:02.0}\n",
     "5:59: this goes with checks in the domU"},
    {HEAD "checks: [blk.*]\ndevice: {type: disk}\n", "4:16: unknown device type 'disk'"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, size: 1MiB}\n", "4:9: a device needs an sbdf"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, sbdf: 0000:00:20.0, size: 1MiB}\n",
     "4:27: '0000:00:20.0' is no sbdf"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, sbdf: 0000:00:01.0}\n",
     "4:9: a device needs a size"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, sbdf: 0000:00:01.0, size: 1000}\n",
     "4:47: size is not a multiple"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, sbdf: 0000:00:01.0, size: 64MB}\n",
     "4:47: size has to be a size such as 64MiB, not '64MB'"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, sbdf: 0000:00:01.0, size: 1MiB, path: x}\n",
     "4:47: the size of a device with a path"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, sbdf: 0000:00:01.0, size: 1MiB, ro: yes}\n",
     "4:57: ro has to be true or false"},
    {HEAD "checks: [blk.*]\ndevice: {type: blk, sbdf: 0000:00:01.0, size: 1MiB, queues: 65}\n",
     "4:61: queues is out of range: '65' is not within 1 to 64"},
    {HEAD "checks: [blk.*]\ndevice:\n  - {type: blk, sbdf: 0000:00:01.0, size: 1MiB}\n"
          "  - {type: blk, sbdf: 0000:00:01.0, size: 1MiB}\n",
     "6:23: there is a device at 0000:00:01.0 already"},
    {HEAD "checks: [a.*]\n"
          "device: {type: blk, sbdf: 0000:00:01.0, backing: null, size: 1MiB, hold: true}\n",
     "4:74: only an image can hold requests back"},
    {HEAD "checks: [a.*]\ndevice: {type: rng, sbdf: 0000:00:01.0, size: 1MiB}\n",
     "4:41: unknown key 'size' (known here: type, sbdf, queue-size, features, backend, slot-lacks, "
     "path, rate, endpoint)"},
    {HEAD "checks: [a.*]\ndevice: {type: console, sbdf: 0000:00:01.0, ports: 17}\n",
     "4:52: ports is out of range"},
    {HEAD "checks: [a.*]\ndevice: {type: console, sbdf: 0000:00:01.0, ports: 3, max-ports: 2}\n",
     "4:66: max-ports is out of range"},
    {HEAD "checks: [a.*]\ndevice: {type: console, sbdf: 0000:00:01.0, cols: 80}\n",
     "4:9: cols and rows go together"},
    {HEAD "checks: [a.*]\ndevice: {type: rng, sbdf: 0000:00:01.0, rate: 0}\n",
     "4:47: rate is out of range"},
    {HEAD "checks: [a.*]\ndevice: {type: rng, sbdf: 0000:00:01.0}\nmatrix: {queues: [2]}\n",
     "5:18: a device of type rng has no such key"},
    {HEAD "run: {transfer: {bytes: 1MiB}}\ndevice: {type: net, sbdf: 0000:00:01.0}\n",
     "3:6: this needs a net device with wire: tap"},
    {HEAD "run: {transfer: {}}\ndevice: {type: net, sbdf: 0000:00:01.0, wire: tap}\n",
     "3:17: a transfer needs bytes"},
    {HEAD "run: {transfer: {bytes: 1MiB, direction: up}}\n", "3:42: unknown direction 'up'"},
    {HEAD "run: {iperf3: {}, transfer: {bytes: 1MiB}}\n", "3:19: a scenario runs one thing"},
    {HEAD "run: {iperf3: {}}\ndevice: {type: net, sbdf: 0000:00:01.0, wire: tap}\n"
          "timeline: [{at: start, kill: backend}]\n",
     "5:1: a network frontend does not outlive its backend"},
    {HEAD "checks: [a.*]\ndevice: {type: net, sbdf: 0000:00:01.0, mac: 2:0:0:0:0:1}\n",
     "4:46: '2:0:0:0:0:1' is no address"},
    {HEAD "checks: [a.*]\ndevice: {type: net, sbdf: 0000:00:01.0, wire: string}\n",
     "4:47: unknown wire 'string'"},
    {HEAD "run: {fio: {job: a}}\ndevice: {type: rng, sbdf: 0000:00:01.0}\n",
     "3:6: fio needs a blk device"},
    {HEAD DEV "run: {fio: {job: a.fio}}\nchecks: [blk.*]\n", "4:6: a scenario has checks or run"},
    {HEAD "run: {fio: {job: a.fio}}\n", "3:6: fio needs a device"},
    {HEAD DEV "run: {fio: {}}\n", "4:12: fio needs a job file"},
    {HEAD DEV "run: {fio: {job: a, jobs: 2}}\n", "4:21: unknown key 'jobs'"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{kill: backend}]\n", "5:12: a step needs a time"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{after: 1s, kill: domain}]\n",
     "5:30: unknown object 'domain' (known: backend)"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{after: 1s, at: start, kill: backend}]\n",
     "5:24: a step has one time"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{after: 1s, kill: backend, times: 0}]\n",
     "5:46: times is out of range"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{after: 1s, kill: backend, times: 10001}]\n",
     "5:46: times is out of range"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{within-accesses: 0, kill: backend}]\n",
     "5:30: within-accesses is out of range"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{within-accesses: 9, after: 1s, kill: backend}]\n",
     "5:33: a step has one time and one action"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{after: 1, kill: backend}]\n",
     "5:20: after has to be a time"},
    {HEAD DEV "checks: [a.*]\ntestbeds: [qemu]\ntimeline: [{after: 1s, kill: backend}]\n",
     "6:11: beside checks a timeline runs on the testbed sim"},
    {HEAD DEV "checks: [a.*]\ntimeline: [{after: 1s, pause: guest}]\n",
     "5:1: there is no guest process beside the agent"},
    {HEAD DEV "checks: [a.*]\ntimeline: [{config-read-of-bus: 256, kill: backend}]\n",
     "5:33: config-read-of-bus is out of range"},
    {HEAD DEV "checks: [a.*]\ntimeline: [{after: 1s, attach: \"0000:00:09.0\"}]\n",
     "5:32: '0000:00:09.0' is the place of no device"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{config-read-of-bus: 1, kill: backend}]\n",
     "5:1: this goes with checks"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{after-bytes: 4MiB, kill: backend}]\n",
     "5:1: bytes are counted of a transfer"},
    {HEAD DEV "run: {fio: {job: a}}\ntimeline: [{after-bytes: few, kill: backend}]\n",
     "5:26: after-bytes has to be a size"},
    {HEAD "checks: [a.*]\nexpect: {speed: \">= 1\"}\n", "4:10: unknown metric 'speed'"},
    {HEAD "checks: [a.*]\nexpect: {checks: \"40\"}\n", "4:18: an expectation begins with"},
    {HEAD "checks: [a.*]\nexpect: {checks: \">= many\"}\n", "4:18: 'many' is not a whole number"},
    {HEAD "checks: [a.*]\nexpect: {read: \">= 1GiB\"}\n",
     "4:16: nothing in this scenario measures"},
    {HEAD "checks: [a.*]\ndomain: {memory: 1MiB}\n", "4:18: memory is out of range"},
    {HEAD "checks: [a.*]\ndomain: {memory: 32GiB}\n", "4:18: memory is out of range"},
    {HEAD "checks: [a.*]\ndomain: {memory: 4GiB}\n", "4:18: only Arm has more than 3GiB"},
    {HEAD "checks: [a.*]\ntestbeds: [sim, qemu]\ndomain: {memory: 3GiB}\n",
     "5:18: only the testbed sim has more than 2GiB"},
    {HEAD "checks: [a.*]\nruns-in: domX\n", "4:10: unknown runs-in 'domX'"},
    {HEAD "checks: [a.*]\ntestbeds: [qemu]\nruns-in: linux\n",
     "5:10: a stock Linux needs a device"},
    {HEAD DEV "checks: [a.*]\nruns-in: linux\n", "5:10: sim cannot boot a Linux"},
};

START_TEST(refuses_with_place)
{
    const struct bad_row *row = &bad_rows[_i];
    struct scenario *s = (void *)1;
    char why[1024] = "", want[512];

    int ret = scenario_parse("f.yaml", row->text, strlen(row->text), &s, why, sizeof(why));
    snprintf(want, sizeof(want), "f.yaml:%s", row->message);
    ck_assert_msg(ret == -EINVAL, "accepted:\n%s", row->text);
    ck_assert_ptr_null(s);
    ck_assert_msg(!strncmp(why, want, strlen(want)), "in\n%sgot:  %s\nwant: %s", row->text, why,
                  want);
}
END_TEST

/* Any cut of a valid file is refused or accepted, never worse; the sanitizers watch. */
START_TEST(survives_truncation)
{
    static const char text[] =
        HEAD "testbeds: [sim, qemu]\nsets: [main]\n" DEV
             "matrix: {arch: [x86, arm], features: [default, '-indirect:-event-idx']}\n"
             "run: {fio: {job: a.fio, options: [--size=1m]}}\n"
             "timeline:\n  - {at: start, pause: domain}\n  - {within-accesses: 7, unpause: domain, "
             "times: 3}\n"
             "expect: {read: \">= 1GiB\", restarts: \"== 0\"}\n";
    for (size_t n = 0; n < sizeof(text); n++) {
        struct scenario *s;
        char why[256];
        char *cut = malloc(n ? n : 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, text, n);
        if (!scenario_parse("f", cut, n, &s, why, sizeof(why)))
            scenario_free(s);
        free(cut);
    }
    struct scenario *s;
    char why[256];
    ck_assert_msg(!scenario_parse("a/f", text, sizeof(text) - 1, &s, why, sizeof(why)), "%s", why);
    ck_assert_str_eq(s->fio.job, "a/a.fio");
    ck_assert_uint_eq(s->timeline_count, 2);
    ck_assert_uint_eq(s->timeline[0].times, 1);
    ck_assert_int_eq(s->timeline[1].when, WHEN_WITHIN);
    ck_assert_uint_eq(s->timeline[1].amount, 7);
    ck_assert_uint_eq(s->timeline[1].times, 3);
    ck_assert_uint_eq(s->expect_count, 2);
    scenario_free(s);
}
END_TEST

START_TEST(matrix_expands_in_file_order)
{
    static const char text[] = HEAD DEV
        "checks: [blk.*]\n"
        "matrix: {addressing: [grants, foreign], arch: [x86, arm], queue-size: [8, 256]}\n";
    static const char *const ids[] = {
        "s[addressing=grants,arch=x86,queue-size=8]",
        "s[addressing=grants,arch=x86,queue-size=256]",
        "s[addressing=grants,arch=arm,queue-size=8]",
        "s[addressing=grants,arch=arm,queue-size=256]",
        "s[addressing=foreign,arch=x86,queue-size=8]",
        "s[addressing=foreign,arch=x86,queue-size=256]",
        "s[addressing=foreign,arch=arm,queue-size=8]",
        "s[addressing=foreign,arch=arm,queue-size=256]",
    };
    struct scenario *s;
    struct scenario_cell cell;
    char why[256], id[256];

    ck_assert_msg(!scenario_parse("f", text, strlen(text), &s, why, sizeof(why)), "%s", why);
    ck_assert_uint_eq(scenario_cell_count(s), ARRAY_LENGTH(ids));
    for (unsigned i = 0; i < ARRAY_LENGTH(ids); i++) {
        scenario_cell_get(s, i, &cell);
        ck_assert_str_eq(scenario_cell_id(&cell, id, sizeof(id)), ids[i]);
        ck_assert_int_eq(cell.addressing, i < 4 ? ADDRESSING_GRANTS : ADDRESSING_FOREIGN);
        ck_assert_int_eq(cell.arch, i & 2 ? ARCH_ARM : ARCH_X86);
        ck_assert_uint_eq(cell.queue_size, i & 1 ? 256 : 8);
        ck_assert_uint_eq(cell.vcpus, 1);
    }
    ck_assert(scenario_cell_matches(&cell, "s"));
    ck_assert(scenario_cell_matches(&cell, "s*arch=arm*"));
    ck_assert(scenario_cell_matches(&cell, ids[7]));
    ck_assert(!scenario_cell_matches(&cell, ids[6]));
    ck_assert(!scenario_cell_matches(&cell, "t"));
    ck_assert_uint_eq(strlen(scenario_cell_id(&cell, id, 8)), 7);
    scenario_free(s);
}
END_TEST

START_TEST(matrix_is_bounded)
{
    char text[4096], *p = text;
    struct scenario *s;
    char why[256];

    p += sprintf(p, HEAD DEV "checks: [a.*]\nmatrix:\n  vcpus: [1");
    for (unsigned i = 2; i <= 64; i++)
        p += sprintf(p, ",%u", i);
    p += sprintf(p, "]\n  queues: [1");
    for (unsigned i = 2; i <= 64; i++)
        p += sprintf(p, ",%u", i);
    sprintf(p, "]\n  arch: [x86, arm]\n");
    ck_assert_int_eq(scenario_parse("f", text, strlen(text), &s, why, sizeof(why)), -EINVAL);
    ck_assert_msg(strstr(why, "more than 4096 cells") != NULL, "%s", why);
}
END_TEST

START_TEST(units)
{
    uint64_t v;
    char buf[32];

    ck_assert_int_eq(units_parse_bytes("64MiB", &v), 0);
    ck_assert_uint_eq(v, 64u << 20);
    ck_assert_int_eq(units_parse_bytes("1.5KiB", &v), 0);
    ck_assert_uint_eq(v, 1536);
    ck_assert_int_eq(units_parse_bytes("0.1B", &v), -ERANGE);
    ck_assert_int_eq(units_parse_bytes("16777216TiB", &v), -ERANGE);
    ck_assert_int_eq(units_parse_bytes("18446744073709551616", &v), -ERANGE);
    ck_assert_int_eq(units_parse_bytes("-1", &v), -EINVAL);
    ck_assert_int_eq(units_parse_bytes("1 MiB", &v), -EINVAL);
    ck_assert_int_eq(units_parse_bytes("1.", &v), -EINVAL);
    ck_assert_int_eq(units_parse_ns("200ms", &v), 0);
    ck_assert_uint_eq(v, 200000000);
    ck_assert_int_eq(units_parse_ns("0.25s", &v), 0);
    ck_assert_uint_eq(v, 250000000);
    ck_assert_int_eq(units_parse_ns("1.0000000001s", &v), -ERANGE);
    ck_assert_int_eq(units_parse_ns("7", &v), -EINVAL);
    ck_assert_int_eq(units_parse_count("0x10", &v), 0);
    ck_assert_uint_eq(v, 16);
    ck_assert_int_eq(units_parse_count("0x", &v), -EINVAL);
    ck_assert_int_eq(units_parse_count("99999999999999999999", &v), -ERANGE);
    ck_assert_str_eq(units_format_bytes(3u << 20, buf, sizeof(buf)), "3MiB");
    ck_assert_str_eq(units_format_bytes(1025, buf, sizeof(buf)), "1025B");
    ck_assert_str_eq(units_format_ns(1300000000, buf, sizeof(buf)), "1.3s");
}
END_TEST

START_TEST(expectations)
{
    static const char text[] =
        HEAD "checks: [a.*]\nexpect: {checks: \">=40\", duration: \"<= 1s\"}\n";
    struct scenario *s;
    char why[256];

    ck_assert_msg(!scenario_parse("f", text, strlen(text), &s, why, sizeof(why)), "%s", why);
    ck_assert(scenario_expect_holds(&s->expect[0], 40));
    ck_assert(!scenario_expect_holds(&s->expect[0], 39));
    ck_assert(scenario_expect_holds(&s->expect[1], 1000000000));
    ck_assert(!scenario_expect_holds(&s->expect[1], 1000000001));
    scenario_free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scenario");
    TCase *tc = tcase_create("strict");

    tcase_add_loop_test(tc, refuses_with_place, 0, ARRAY_LENGTH(bad_rows));
    tcase_add_test(tc, survives_truncation);
    tcase_add_test(tc, matrix_expands_in_file_order);
    tcase_add_test(tc, matrix_is_bounded);
    tcase_add_test(tc, units);
    tcase_add_test(tc, expectations);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
