/* SPDX-License-Identifier: MIT */
/*
 * The IOREQ server on a stand-in for libxen: 200 vCPUs (two pages of slots), adoption of what a
 * killed process left, and the order of the end.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include <xen/hvm/ioreq.h>

#include "unit/libxen_fake.h"
#include "unit/run.h"
#include "util/bits.h"
#include "xen/ioreq.h"
#include "xen/ioreq_slot.h"

#define VCPUS 200u
#define SLOTS 256u

static struct ioreq_slot *slots; /* "Xen's" page */

static uint64_t dev_read(void *ctx, uint64_t addr, unsigned bytes)
{
    return 0xfeed0000 + addr;
}
static void dev_write(void *ctx, uint64_t addr, unsigned bytes, uint64_t value)
{
    libxen_fake_log("write ");
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
    libxen_fake.slots = slots;
    libxen_fake.vcpus = VCPUS;
    ck_assert_int_eq(xen_handles_open(&xen, &what), 0);
    ck_assert_int_eq(evloop_create(&loop), 0);
    config = (struct ioreq_config){.xen = xen,
                                   .loop = loop,
                                   .domid = LIBXEN_FAKE_DOMID,
                                   .vcpus = VCPUS,
                                   .adopt_id = IOREQ_ADOPT_NONE,
                                   .ops = &ops};
}

static void teardown(void)
{
    evloop_destroy(loop);
    xen_handles_close(xen);
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
    libxen_fake_fire(vcpu);
    ck_assert_int_ge(evloop_once(loop, 1000000000), 0);
}

/* Whichever port fired, all that is READY is answered; a vCPU beyond the first page too. */
START_TEST(every_vcpu_is_served)
{
    static const unsigned which[] = {0, 1, 127, 128, VCPUS - 1};

    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_uint_eq(libxen_fake.slot_frames, 2);
    ck_assert_int_eq(ioreq_server_enable(server), 0);
    ck_assert_uint_eq(libxen_fake.ports_bound, VCPUS);
    for (unsigned i = 0; i < ARRAY_LENGTH(which); i++)
        request(which[i], STATE_IOREQ_READY, true);
    request(VCPUS, STATE_IOREQ_READY, true); /* a slot that belongs to no vCPU */
    event(1);
    for (unsigned i = 0; i < ARRAY_LENGTH(which); i++) {
        ck_assert_uint_eq(state_of(which[i]), STATE_IORESP_READY);
        ck_assert_uint_eq(slots[which[i]].data, 0xfeed0000 + which[i]);
        ck_assert_uint_eq(libxen_fake.notified[which[i]], 1);
    }
    ck_assert_uint_eq(state_of(2), STATE_IOREQ_NONE);
    ck_assert_uint_eq(libxen_fake.notified[2], 0);
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
    ck_assert_str_eq(libxen_fake.log, "enable disable write unmap destroy ");
    ck_assert_uint_eq(state_of(150), STATE_IORESP_READY);
    ck_assert_uint_eq(libxen_fake.notified[150], 1);
    ck_assert_uint_eq(libxen_fake.ports_unbound, VCPUS);
}
END_TEST

START_TEST(adoption_replays)
{
    libxen_fake_give_ports();
    request(3, STATE_IOREQ_READY, true);
    request(4, STATE_IOREQ_INPROCESS, true);
    request(5, STATE_IORESP_READY, true);
    slots[5].data = 42;
    config.adopt_id = LIBXEN_FAKE_SERVER;
    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_uint_eq(libxen_fake.servers_created, 0);
    ck_assert_uint_eq(libxen_fake.ports_bound, VCPUS);
    ck_assert_uint_eq(state_of(3), STATE_IOREQ_READY); /* not before the devices are there */
    ck_assert_int_eq(ioreq_server_enable(server), 0);
    ck_assert_uint_eq(state_of(3), STATE_IORESP_READY);
    ck_assert_uint_eq(state_of(4), STATE_IORESP_READY);
    ck_assert_uint_eq(slots[4].data, 0xfeed0004);
    ck_assert_uint_eq(slots[5].data, 42);
    ck_assert_uint_eq(libxen_fake.notified[3] + libxen_fake.notified[4] + libxen_fake.notified[5],
                      3);
    ck_assert_uint_eq(ioreq_server_stats(server)->replayed, 2);
    ioreq_server_destroy(server);
    ck_assert_uint_eq(libxen_fake.servers_destroyed, 1);
}
END_TEST

/* Somebody alive serves it: hands off, the object stays. */
START_TEST(adoption_of_a_living_server)
{
    libxen_fake_give_ports();
    libxen_fake.ports_taken = true;
    config.adopt_id = LIBXEN_FAKE_SERVER;
    ck_assert_int_eq(ioreq_server_create(&config, &server), -EBUSY);
    config.adopt_id = LIBXEN_FAKE_SERVER + 1;
    ck_assert_int_eq(ioreq_server_create(&config, &server), -ENOENT);
    ck_assert_uint_eq(libxen_fake.servers_destroyed, 0);
    ck_assert_str_eq(libxen_fake.log, "unmap ");
}
END_TEST

/* What the predecessor has registered stays; what is missing is added. */
START_TEST(adopted_ranges)
{
    libxen_fake_give_ports();
    libxen_fake.ranges[0] = (struct libxen_fake_range){0x12000, 0x12fff};
    libxen_fake.range_count = 1;
    config.adopt_id = LIBXEN_FAKE_SERVER;
    ck_assert_int_eq(ioreq_server_create(&config, &server), 0);
    ck_assert_int_eq(ioreq_server_map_mmio(server, 0x10000, 0x13fff), 0);
    ck_assert_uint_eq(libxen_fake.range_count, 4);
    ck_assert_uint_eq(libxen_fake.ranges[3].first, 0x13000);
    ck_assert_int_eq(ioreq_server_map_mmio_whole(server, 0x12000, 0x12fff), 0);
    ck_assert_uint_eq(libxen_fake.range_count, 4);
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

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_vcpu_is_served);
    tcase_add_test(t, enable_answers_what_waits);
    tcase_add_test(t, clean_end);
    tcase_add_test(t, adoption_replays);
    tcase_add_test(t, adoption_of_a_living_server);
    tcase_add_test(t, adopted_ranges);
    suite_add_tcase(s, t);
    return unit_run(s);
}
