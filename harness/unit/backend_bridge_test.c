/* SPDX-License-Identifier: MIT */
/*
 * The bridges in front of a stand-in for libxendevicemodel: wires that functions share, what is
 * claimed in each mode, and functions that come and go while it runs.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include "backend/bridge.h"
#include "util/bits.h"
#include "util/evloop.h"

#define ECAM 0xe0000000ull
#define MEM  0xe4000000ull

static char log_text[1024];

__attribute__((format(printf, 1, 0))) static void say(const char *fmt, unsigned long long a,
                                                      unsigned long long b)
{
    size_t n = strlen(log_text);

    snprintf(log_text + n, sizeof(log_text) - n, fmt, a, b);
}

/* Never looked into. */
static struct ioreq_slot *page;

xengnttab_handle *xengnttab_open(struct xentoollog_logger *l, unsigned f)
{
    return (void *)16;
}
int xengnttab_close(xengnttab_handle *h)
{
    return 0;
}
xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *l, unsigned f)
{
    return (void *)32;
}
int xenevtchn_close(xenevtchn_handle *h)
{
    return 0;
}
int xenevtchn_fd(xenevtchn_handle *h)
{
    return -1;
}
xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *l, unsigned f)
{
    return (void *)48;
}
int xenforeignmemory_close(xenforeignmemory_handle *h)
{
    return 0;
}
xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *l, unsigned f)
{
    return (void *)64;
}
int xendevicemodel_close(xendevicemodel_handle *h)
{
    return 0;
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *h, domid_t d, int m, ioservid_t *id)
{
    *id = 0;
    return 0;
}
int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *h, domid_t d, ioservid_t i, int e)
{
    return 0;
}
int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t i)
{
    return 0;
}
xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *h,
                                                                domid_t d, unsigned type,
                                                                unsigned id, unsigned long frame,
                                                                unsigned long count, void **addr,
                                                                int prot, int flags)
{
    *addr = page;
    return (void *)80;
}
int xenforeignmemory_unmap_resource(xenforeignmemory_handle *h, xenforeignmemory_resource_handle *r)
{
    return 0;
}
int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t i,
                                                int mmio, uint64_t first, uint64_t last)
{
    say("+%llx-%llx ", first, last);
    return 0;
}
int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *h, domid_t d,
                                                    ioservid_t i, int mmio, uint64_t first,
                                                    uint64_t last)
{
    say("-%llx-%llx ", first, last);
    return 0;
}
int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t i,
                                              uint16_t seg, uint8_t bus, uint8_t dev, uint8_t fn)
{
    say("+dev%llx.%llx ", dev, fn);
    return 0;
}
int xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t i,
                                                  uint16_t seg, uint8_t bus, uint8_t dev,
                                                  uint8_t fn)
{
    say("-dev%llx.%llx ", dev, fn);
    return 0;
}
int xendevicemodel_set_irq_level(xendevicemodel_handle *h, domid_t d, unsigned irq, unsigned level)
{
    say("line%llu=%llu ", irq, level);
    return 0;
}
int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *h, domid_t d, uint16_t seg,
                                      uint8_t bus, uint8_t dev, uint8_t intx, unsigned level)
{
    say("pin%llu=%llu ", dev * 4ull + intx, level);
    return 0;
}

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
    const struct bridges_config config = {
        .xen = xen, .domid = 1, .claim = claim, .intx_line = line, .list = &where, .count = 1};
    struct ioreq_config ioreq = {.xen = xen,
                                 .loop = loop,
                                 .domid = 1,
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

    page = calloc(1, 4096);
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
    free(page);
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
    ck_assert_str_eq(log_text, _i ? "line41=1 line41=0 " : "pin4=1 pin20=1 pin20=0 pin4=0 ");
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(window_claims_all)
{
    use(BRIDGE_CLAIM_WINDOW, BRIDGE_NO_LINE);
    ck_assert_int_eq(bridges_connect(bridges, server, false), 0);
    ck_assert_str_eq(log_text, "+e0000000-e3ffffff +e4000000-e7ffffff ");
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
    ck_assert_str_eq(log_text, "");
    ck_assert_int_eq(bridges_attach(bridges, SBDF(0, 0, 1, 0), fn[0], NULL), 0);
    ck_assert_str_eq(log_text, pcidev ? "+dev1.0 " : "+e0008000-e0008fff ");
    *log_text = 0;
    wr(ECAM + 0x8010, 4, (uint32_t)MEM + 0x10000);
    wr(ECAM + 0x8004, 2, 2);
    ck_assert_str_eq(log_text, "+e4010000-e4013fff ");
    ck_assert_uint_eq(rd(MEM + 0x10000, 1), 0x55);
    *log_text = 0;
    wr(ECAM + 0x8010, 4, 0x40000000); /* the guest's RAM, say */
    ck_assert_str_eq(log_text, "-e4010000-e4013fff ");
    ck_assert_uint_eq(rd(0x40000000, 1) & 0xff, 0xff);
    wr(ECAM + 0x8010, 4, (uint32_t)MEM);
    *log_text = 0;
    bridges_detach(bridges, SBDF(0, 0, 1, 0));
    ck_assert_str_eq(log_text, pcidev ? "-e4000000-e4003fff -dev1.0 "
                                      : "-e4000000-e4003fff -e0008000-e0008fff ");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("backend_bridge");
    TCase *t = tcase_create("bridge");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, shared_wires, 0, 2);
    tcase_add_test(t, window_claims_all);
    tcase_add_loop_test(t, functions_claim_themselves, 0, 2);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_set_fork_status(r, CK_FORK);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
