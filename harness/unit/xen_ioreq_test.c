/* SPDX-License-Identifier: MIT */
/*
 * The IOREQ server on stand-ins for libxen: 200 vCPUs (two pages of slots), adoption of what a
 * killed process left, and the order of the end.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include <xen/hvm/ioreq.h>

#include "util/bits.h"
#include "xen/ioreq.h"
#include "xen/ioreq_slot.h"

#define VCPUS       200u
#define SLOTS       256u
#define REMOTE_BASE 1000u /* vp_eport of vCPU 0 */
#define LOCAL_BASE  5000u

static struct ioreq_slot *slots; /* "Xen's" page */
static unsigned created, destroyed, enabled, bound, unbound, mapped_pages, unmapped;
static unsigned notified[VCPUS];
static int event_fd;
static int pending_port;
static bool ports_taken;
static struct {
    uint64_t first, last;
} ranges[64];
static unsigned range_count;
static char order[64];

static void mark(const char *what)
{
    strncat(order, what, sizeof(order) - strlen(order) - 1);
}

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

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *h, domid_t d, int mode,
                                       ioservid_t *id)
{
    created++;
    *id = 3;
    return 0;
}

int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                         xen_pfn_t *a, xen_pfn_t *b, evtchn_port_t *port)
{
    if (id != 3) {
        errno = ENOENT;
        return -1;
    }
    *port = 0;
    return 0;
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                          int on)
{
    enabled = (unsigned)on;
    mark(on ? "E" : "e");
    for (unsigned v = 0; on && v < VCPUS; v++)
        slots[v].vp_eport = REMOTE_BASE + v;
    return 0;
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id)
{
    destroyed++;
    mark("d");
    return 0;
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                int mmio, uint64_t first, uint64_t last)
{
    for (unsigned i = 0; i < range_count; i++) {
        if (first <= ranges[i].last && ranges[i].first <= last) {
            errno = EEXIST;
            return -1;
        }
    }
    ranges[range_count].first = first;
    ranges[range_count++].last = last;
    return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *h,
                                                                domid_t d, unsigned type,
                                                                unsigned id, unsigned long frame,
                                                                unsigned long count, void **addr,
                                                                int prot, int flags)
{
    ck_assert_uint_eq(frame, 1);
    mapped_pages = (unsigned)count;
    *addr = slots;
    return (void *)slots;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *h, xenforeignmemory_resource_handle *r)
{
    unmapped++;
    mark("u");
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *h)
{
    return event_fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t d,
                                                     evtchn_port_t remote)
{
    ck_assert_uint_ge(remote, REMOTE_BASE);
    if (ports_taken) {
        errno = EINVAL;
        return -1;
    }
    bound++;
    return (int)(LOCAL_BASE + remote - REMOTE_BASE);
}

int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port)
{
    unbound++;
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
    notified[port - LOCAL_BASE]++;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
    uint64_t n;

    ck_assert_int_eq(read(event_fd, &n, sizeof(n)), sizeof(n));
    return pending_port;
}

int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
    return 0;
}

/* ---- */

static uint64_t dev_read(void *ctx, uint64_t addr, unsigned bytes)
{
    return 0xfeed0000 + addr;
}
static void dev_write(void *ctx, uint64_t addr, unsigned bytes, uint64_t value)
{
    mark("w");
}
static const struct ioreq_ops ops = {.read = dev_read, .write = dev_write};

static struct xen_handles *xen;
static struct evloop *loop;
static struct ioreq_server *server;
static struct ioreq_config config;

static void setup(void)
{
    const char *what;

    slots = calloc(SLOTS, sizeof(*slots));
    event_fd = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_eq(xen_handles_open(&xen, &what), 0);
    ck_assert_int_eq(evloop_create(&loop), 0);
    config = (struct ioreq_config){.xen = xen,
                                   .loop = loop,
                                   .domid = 9,
                                   .vcpus = VCPUS,
                                   .adopt_id = IOREQ_ADOPT_NONE,
                                   .ops = &ops};
}

static void teardown(void)
{
    evloop_destroy(loop);
    xen_handles_close(xen);
    close(event_fd);
    free(slots);
}

static void request(unsigned vcpu, uint8_t state, bool read)
{
    slots[vcpu].addr = vcpu;
    slots[vcpu].count = 1;
    slots[vcpu].size = 4;
    slots[vcpu].type = IOREQ_TYPE_COPY;
    slots[vcpu].flags = state | (read ? IOREQ_SLOT_READ : 0);
}

static unsigned state_of(unsigned vcpu)
{
    return slots[vcpu].flags & IOREQ_SLOT_STATE;
}

static void event(unsigned vcpu)
{
    uint64_t one = 1;

    pending_port = (int)(LOCAL_BASE + vcpu);
    ck_assert_int_eq(write(event_fd, &one, sizeof(one)), sizeof(one));
    ck_assert_int_ge(evloop_once(loop, 1000000000), 0);
}

/* Whichever port fired, all that is READY is answered; a vCPU beyond the first page too. */
START_TEST(every_vcpu_is_served)
{
    static const unsigned which[] = {0, 1, 127, 128, VCPUS - 1};

    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_uint_eq(mapped_pages, 2);
    ck_assert_int_eq(ioreq_server_enable(server), 0);
    ck_assert_uint_eq(bound, VCPUS);
    for (unsigned i = 0; i < ARRAY_LENGTH(which); i++)
        request(which[i], STATE_IOREQ_READY, true);
    request(VCPUS, STATE_IOREQ_READY, true); /* a slot that belongs to no vCPU */
    event(1);
    for (unsigned i = 0; i < ARRAY_LENGTH(which); i++) {
        ck_assert_uint_eq(state_of(which[i]), STATE_IORESP_READY);
        ck_assert_uint_eq(slots[which[i]].data, 0xfeed0000 + which[i]);
        ck_assert_uint_eq(notified[which[i]], 1);
    }
    ck_assert_uint_eq(state_of(2), STATE_IOREQ_NONE);
    ck_assert_uint_eq(notified[2], 0);
    ck_assert_uint_eq(state_of(VCPUS), STATE_IOREQ_READY);
    ck_assert_uint_eq(ioreq_server_stats(server)->requests, ARRAY_LENGTH(which));
    ioreq_server_destroy(server);
}
END_TEST

/* A request that came between enabling and binding has no event of its own. */
START_TEST(enable_answers_what_waits)
{
    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    request(7, STATE_IOREQ_READY, true);
    ck_assert_int_eq(ioreq_server_enable(server), 0);
    ck_assert_uint_eq(state_of(7), STATE_IORESP_READY);
    ioreq_server_destroy(server);
}
END_TEST

/* Disable, answer, unbind, unmap, destroy: in this order nothing is ever left hanging. */
START_TEST(clean_end)
{
    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_int_eq(ioreq_server_enable(server), 0);
    request(150, STATE_IOREQ_READY, false);
    ioreq_server_destroy(server);
    ck_assert_str_eq(order, "Eewud");
    ck_assert_uint_eq(state_of(150), STATE_IORESP_READY);
    ck_assert_uint_eq(notified[150], 1);
    ck_assert_uint_eq(unbound, VCPUS);
}
END_TEST

START_TEST(adoption_replays)
{
    for (unsigned v = 0; v < VCPUS; v++)
        slots[v].vp_eport = REMOTE_BASE + v;
    request(3, STATE_IOREQ_READY, true);
    request(4, STATE_IOREQ_INPROCESS, true);
    request(5, STATE_IORESP_READY, true);
    slots[5].data = 42;
    config.adopt_id = 3;
    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_uint_eq(created, 0);
    ck_assert_uint_eq(bound, VCPUS);
    ck_assert_uint_eq(state_of(3), STATE_IOREQ_READY); /* not before the devices are there */
    ck_assert_int_eq(ioreq_server_enable(server), 0);
    ck_assert_uint_eq(state_of(3), STATE_IORESP_READY);
    ck_assert_uint_eq(state_of(4), STATE_IORESP_READY);
    ck_assert_uint_eq(slots[4].data, 0xfeed0004);
    ck_assert_uint_eq(slots[5].data, 42);
    ck_assert_uint_eq(notified[3] + notified[4] + notified[5], 3);
    ck_assert_uint_eq(ioreq_server_stats(server)->replayed, 2);
    ioreq_server_destroy(server);
    ck_assert_uint_eq(destroyed, 1);
}
END_TEST

/* Somebody alive serves it: hands off, the object stays. */
START_TEST(adoption_of_a_living_server)
{
    for (unsigned v = 0; v < VCPUS; v++)
        slots[v].vp_eport = REMOTE_BASE + v;
    ports_taken = true;
    config.adopt_id = 3;
    ck_assert_int_eq(ioreq_server_create(&config, &server), -EBUSY);
    config.adopt_id = 4;
    ck_assert_int_eq(ioreq_server_create(&config, &server), -ENOENT);
    ck_assert_uint_eq(destroyed, 0);
    ck_assert_str_eq(order, "u");
}
END_TEST

/* What the predecessor has registered stays; what is missing is added. */
START_TEST(adopted_ranges)
{
    for (unsigned v = 0; v < VCPUS; v++)
        slots[v].vp_eport = REMOTE_BASE + v;
    ranges[0].first = 0x12000;
    ranges[0].last = 0x12fff;
    range_count = 1;
    config.adopt_id = 3;
    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_int_eq(ioreq_server_map_mmio(server, 0x10000, 0x13fff), 0);
    ck_assert_uint_eq(range_count, 4);
    ck_assert_uint_eq(ranges[3].first, 0x13000);
    ck_assert_int_eq(ioreq_server_map_mmio_whole(server, 0x12000, 0x12fff), 0);
    ck_assert_uint_eq(range_count, 4);
    ioreq_server_destroy(server);

    config.adopt_id = IOREQ_ADOPT_NONE;
    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_int_eq(ioreq_server_map_mmio(server, 0x10000, 0x13fff), -EEXIST);
    ioreq_server_destroy(server);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xen_ioreq");
    TCase *t = tcase_create("server");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_vcpu_is_served);
    tcase_add_test(t, enable_answers_what_waits);
    tcase_add_test(t, clean_end);
    tcase_add_test(t, adoption_replays);
    tcase_add_test(t, adoption_of_a_living_server);
    tcase_add_test(t, adopted_ranges);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_set_fork_status(r, CK_FORK);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
