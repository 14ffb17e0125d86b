/* SPDX-License-Identifier: MIT */
/*
 * The machine in front of a stand-in for libxen: wires that functions share, what is claimed of
 * bridges in each mode, windows of virtio-mmio devices with lines of their own, and devices that
 * come and go while it runs.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "backend/machine.h"
#include "device/blk.h"
#include "spec/virtio_mmio.h"
#include "unit/device_rig.h"
#include "unit/libxen_fake.h"
#include "unit/run.h"
#include "util/bits.h"

#define ECAM 0xe0000000ull
#define MEM  0xe4000000ull

static const struct host_bridge where = {.bus_last = 63,
                                         .ecam_base = ECAM,
                                         .ecam_bytes = 64 << 20,
                                         .mem_base = MEM,
                                         .mem_bytes = 64 << 20};
static uint64_t bar_read(void *ctx, uint64_t off, unsigned bytes)
{
    return 0x55;
}
static void bar_write(void *ctx, uint64_t off, unsigned bytes, uint64_t v) {}
static const struct pci_bar_ops bar_ops = {bar_read, bar_write};

static struct xen_handles *xen;
static struct evloop *loop;
static struct bridges *bridges;
static struct ioreq_server *server;
static struct pci_function *fn[3];

static void use(enum bridge_claim claim, uint32_t line)
{
    const struct bridges_config config = {.xen = xen,
                                          .domid = LIBXEN_FAKE_DOMID,
                                          .claim = claim,
                                          .intx_line = line,
                                          .list = &where,
                                          .count = 1};
    struct ioreq_config ioreq = {.xen = xen,
                                 .loop = loop,
                                 .domid = LIBXEN_FAKE_DOMID,
                                 .vcpus = 1,
                                 .adopt_id = IOREQ_ADOPT_NONE,
                                 .ops = bridges_ioreq_ops()};

    ck_assert_int_eq(bridges_create(&config, &bridges), 0);
    ioreq.ctx = bridges;
    ck_assert_int_eq(ioreq_server_create(&ioreq, &server), 0);
}

static void setup(void)
{
    const struct pci_ident ident = {
        .vendor_id = 0x1af4, .device_id = 0x1042, .interrupt_pin = 1, .class_code = 0x018000};
    const char *what;

    libxen_fake.slots = calloc(1, 4096);
    ck_assert_int_eq(xen_handles_open(&xen, &what), 0);
    ck_assert_int_eq(evloop_create(&loop), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(pci_function_create(&ident, &fn[i]), 0);
        ck_assert_int_eq(pci_function_add_bar(fn[i], 0, 0x4000, PCI_BAR_64BIT, &bar_ops, NULL), 0);
    }
}

static void teardown(void)
{
    bridges_disconnect(bridges);
    ioreq_server_destroy(server);
    bridges_destroy(bridges);
    for (unsigned i = 0; i < 3; i++)
        pci_function_destroy(fn[i]);
    evloop_destroy(loop);
    xen_handles_close(xen);
    free(libxen_fake.slots);
}

static uint64_t rd(uint64_t addr, unsigned bytes)
{
    return bridges_ioreq_ops()->read(bridges, addr, bytes);
}
static void wr(uint64_t addr, unsigned bytes, uint64_t v)
{
    bridges_ioreq_ops()->write(bridges, addr, bytes, v);
}

/* Functions 0 and 1 of device 1 share INTA; device 5's INTA is the same line of four. */
START_TEST(shared_wires)
{
    uint64_t count = 0;

    use(BRIDGE_CLAIM_WINDOW, _i ? 40 : BRIDGE_NO_LINE);
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 0, 1, 0), fn[0], &count), 0);
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 0, 1, 1), fn[1], NULL), 0);
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 0, 5, 0), fn[2], NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        pci_function_set_intx(fn[i], true);
    pci_function_set_intx(fn[0], false);
    pci_function_set_intx(fn[2], false);
    /* Taken off the bus with its pin up: the wire falls. */
    bridges_detach(bridges, SBDF(0, 0, 1, 1));
    ck_assert_str_eq(libxen_fake.log, _i ? "line41=1 line41=0 " : "pin4=1 pin20=1 pin20=0 pin4=0 ");
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(window_claims_all)
{
    use(BRIDGE_CLAIM_WINDOW, BRIDGE_NO_LINE);
    ck_assert_int_eq(bridges_connect(bridges, server, false), 0);
    ck_assert_str_eq(libxen_fake.log, "+e0000000-e3ffffff +e4000000-e7ffffff ");
    ck_assert_uint_eq(rd(ECAM + 0x8000, 4), UINT32_MAX); /* no function there */
    ck_assert_uint_eq(rd(MEM, 8), UINT64_MAX);
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 0, 1, 0), fn[0], NULL), 0);
    ck_assert_uint_eq(rd(ECAM + 0x8000, 4), 0x10421af4);
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 0, 1, 0), fn[1], NULL), -EEXIST);
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 64, 1, 0), fn[1], NULL), -EINVAL);
    ck_assert_int_eq(bridges_attach(bridges, SBDF(1, 0, 1, 0), fn[1], NULL), -EINVAL);
    bridges_detach(bridges, SBDF(0, 0, 1, 0));
    ck_assert_uint_eq(rd(ECAM + 0x8000, 4), UINT32_MAX);
}
END_TEST

/* A function and its BAR are claimed as they come, move and go, inside the window only. */
START_TEST(functions_claim_themselves)
{
    bool pcidev = _i != 0;

    use(pcidev ? BRIDGE_CLAIM_PCIDEV : BRIDGE_CLAIM_FUNCTIONS, BRIDGE_NO_LINE);
    ck_assert_int_eq(bridges_connect(bridges, server, false), 0);
    ck_assert_str_eq(libxen_fake.log, "");
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 0, 1, 0), fn[0], NULL), 0);
    ck_assert_str_eq(libxen_fake.log, pcidev ? "+dev1.0 " : "+e0008000-e0008fff ");
    *libxen_fake.log = 0;
    wr(ECAM + 0x8010, 4, (uint32_t)MEM + 0x10000);
    wr(ECAM + 0x8004, 2, 2);
    ck_assert_str_eq(libxen_fake.log, "+e4010000-e4013fff ");
    ck_assert_uint_eq(rd(MEM + 0x10000, 1), 0x55);
    *libxen_fake.log = 0;
    wr(ECAM + 0x8010, 4, 0x40000000); /* the guest's RAM, say */
    ck_assert_str_eq(libxen_fake.log, "-e4010000-e4013fff ");
    ck_assert_uint_eq(rd(0x40000000, 1) & 0xff, 0xff);
    wr(ECAM + 0x8010, 4, (uint32_t)MEM);
    *libxen_fake.log = 0;
    bridges_detach(bridges, SBDF(0, 0, 1, 0));
    ck_assert_str_eq(libxen_fake.log, pcidev ? "-e4000000-e4003fff -dev1.0 "
                                             : "-e4000000-e4003fff -e0008000-e0008fff ");
}
END_TEST

/* ---- windows ---- */

#define WINDOW 0x2000000ull

static uint64_t machine_rd(struct machine *m, uint64_t addr)
{
    return machine_ioreq_ops()->read(m, addr, 4);
}
static void machine_wr(struct machine *m, uint64_t addr, uint32_t value)
{
    machine_ioreq_ops()->write(m, addr, 4, value);
}

static struct vdev *null_disk(struct rig *g)
{
    const struct blk_options blk = {.null_bytes = 1 << 20};
    struct vdev_config config = rig_setup(g);
    char error[128];

    ck_assert_int_eq(blk_create(&config, &blk, &g->dev, error, sizeof(error)), 0);
    return g->dev;
}

/* On a line of Arm's, and on one of x86's. */
START_TEST(windows_have_lines)
{
    static const char *const lines[] = {"line33=1 ", "isa5=1 "};
    const struct bridges_config config = {
        .xen = xen, .domid = LIBXEN_FAKE_DOMID, .intx_line = 44, .list = &where, .count = 1};
    const uint64_t status = WINDOW + offsetof(struct virtio_mmio_regs, status);
    const uint64_t features = WINDOW + offsetof(struct virtio_mmio_regs, driver_features);
    struct place at = {.kind = PLACE_MMIO, .base = WINDOW, .line = _i ? 5 : 33}, other = at;
    struct windows *ws;
    struct machine *m;
    uint64_t count = 0;
    struct rig g;

    use(BRIDGE_CLAIM_WINDOW, BRIDGE_NO_LINE); /* the server; its own bridges stay aside */
    ck_assert_int_eq(machine_create(&config, &m), 0);
    ws = machine_windows(m);
    ck_assert_int_eq(windows_attach(ws, &at, null_disk(&g), &count), 0);
    ck_assert_str_eq(libxen_fake.log, "");
    ck_assert_int_eq(machine_connect(m, server, false), 0);
    ck_assert_str_eq(libxen_fake.log, "+e0000000-e3ffffff +e4000000-e7ffffff +2000000-20001ff ");

    other.base += VIRTIO_MMIO_BYTES;
    ck_assert_int_eq(windows_attach(ws, &other, g.dev, &count), -EEXIST); /* the line */
    other.base = WINDOW, other.line++;
    ck_assert_int_eq(windows_attach(ws, &other, g.dev, &count), -EEXIST); /* the window */
    ck_assert(!bridges_have(machine_bridges(m), &at));
    other.line = 47;
    ck_assert(bridges_have(machine_bridges(m), &other)); /* a line of INTx */
    other.line = 48, other.base = MEM;
    ck_assert(bridges_have(machine_bridges(m), &other));

    ck_assert_uint_eq(machine_rd(m, WINDOW), VIRTIO_MMIO_MAGIC);
    ck_assert_uint_eq(machine_rd(m, WINDOW + VIRTIO_MMIO_BYTES) & UINT32_MAX, UINT32_MAX);
    ck_assert_uint_eq(machine_rd(m, ECAM) & UINT32_MAX, UINT32_MAX);
    machine_wr(m, status, 1);
    machine_wr(m, status, 3);
    machine_wr(m, features + 4, 1);
    machine_wr(m, features, 3); /* VERSION_1, ACCESS_PLATFORM */
    machine_wr(m, status, 11);
    machine_wr(m, status, 15);
    ck_assert_uint_eq(machine_rd(m, status), 15);
    *libxen_fake.log = 0;
    vdev_config_changed(g.dev);
    vdev_config_changed(g.dev);
    ck_assert_str_eq(libxen_fake.log, lines[_i]);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(windows_get_stats(ws)->line, 1);

    *libxen_fake.log = 0;
    windows_detach(ws, &at); /* with its line up */
    ck_assert_str_eq(libxen_fake.log,
                     _i ? "isa5=0 -2000000-20001ff " : "line33=0 -2000000-20001ff ");
    ck_assert_uint_eq(machine_rd(m, WINDOW) & UINT32_MAX, UINT32_MAX);
    *libxen_fake.log = 0;
    ck_assert_int_eq(windows_attach(ws, &at, g.dev, &count), 0); /* again, while it runs */
    ck_assert_str_eq(libxen_fake.log, "+2000000-20001ff ");
    machine_disconnect(m);
    machine_destroy(m);
    rig_teardown(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("backend_machine");
    TCase *t = tcase_create("bridge");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, shared_wires, 0, 2);
    tcase_add_test(t, window_claims_all);
    tcase_add_loop_test(t, functions_claim_themselves, 0, 2);
    tcase_add_loop_test(t, windows_have_lines, 0, 2);
    suite_add_tcase(s, t);
    return unit_run(s);
}
