/* SPDX-License-Identifier: MIT */
/* Device keys: what is taken, what is refused, and that a refusal names the key. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "backend/device_spec.h"
#include "backend/device_types.h"
#include "unit/run.h"
#include "util/bits.h"

static char error[DEVICE_SPEC_ERROR_BYTES];
static struct device_spec spec;

START_TEST(all_keys)
{
    ck_assert_int_eq(
        device_spec_parse(&spec,
                          "blk,sbdf=0001:02:1f.7,path=/dev/x=y,ro=1,queues=4,queue-size=128,"
                          "serial=12345678901234567890,features=-discard:-mq:+ring-reset,"
                          "memory=grant-map,msix=0,bars=32,notify-multiplier=0,pin=3,vectors=2",
                          error),
        0);
    ck_assert_str_eq(spec.type->name, "blk");
    ck_assert_uint_eq(spec.place.sbdf.raw, SBDF(1, 2, 31, 7).raw);
    ck_assert_str_eq(spec.path, "/dev/x=y");
    ck_assert(spec.read_only && spec.no_msix && spec.bars_32bit && !spec.direct);
    ck_assert_uint_eq(spec.queues, 4);
    ck_assert_uint_eq(spec.queue_size, 128);
    ck_assert_str_eq(spec.serial, "12345678901234567890");
    ck_assert_uint_eq(spec.features_off, BIT64(13) | BIT64(12));
    ck_assert_uint_eq(spec.features_on, BIT64(40));
    ck_assert_str_eq(spec.memory, "grant-map");
    ck_assert_uint_eq(spec.notify_multiplier, UINT32_MAX);
    ck_assert_uint_eq(spec.interrupt_pin, 3);
    device_spec_fini(&spec);
}
END_TEST

START_TEST(mmio_as_libxl_writes_it)
{
    static const char *const nodes[][2] = {
        {"irq", "33"},         {"base", "33554432"}, {"type", "virtio,device2"},
        {"transport", "mmio"}, {"grant_usage", "1"}, {"params", "/a"}};

    device_spec_init(&spec);
    for (unsigned i = 0; i < ARRAY_LENGTH(nodes); i++)
        ck_assert_int_eq(device_spec_set(&spec, nodes[i][0], nodes[i][1], error), 0);
    ck_assert_int_eq(device_spec_check(&spec, error), 0);
    ck_assert_str_eq(spec.type->name, "blk");
    ck_assert_int_eq(spec.place.kind, PLACE_MMIO);
    ck_assert_uint_eq(spec.place.base, 0x2000000);
    ck_assert_uint_eq(spec.place.line, 33);
    ck_assert_str_eq(spec.memory, "grant-map");
    ck_assert_int_eq(device_spec_set(&spec, "memory", "auto", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "grant_usage", "0", error), 0);
    ck_assert_str_eq(spec.memory, "auto");
    device_spec_fini(&spec);
}
END_TEST

static const struct {
    struct place a, b;
    bool meet;
} meetings[] = {
    {{.sbdf = {8}}, {.sbdf = {8}}, true},
    {{.sbdf = {8}}, {.sbdf = {9}}, false},
    {{PLACE_MMIO, {0}, 0x2000000, 33}, {PLACE_MMIO, {0}, 0x2000000, 34}, true},
    {{PLACE_MMIO, {0}, 0x2000000, 33}, {PLACE_MMIO, {0}, 0x2000200, 33}, true},
    {{PLACE_MMIO, {0}, 0x2000000, 33}, {PLACE_MMIO, {0}, 0x2000200, 34}, false},
    {{PLACE_MMIO, {0}, 0, 0}, {PLACE_PCI, {0}, 0, 0}, false},
};

START_TEST(places_meet_and_are_recorded)
{
    char name[PLACE_NODE_BYTES], value[PLACE_NODE_BYTES];
    struct place again;

    ck_assert_int_eq(place_meets(&meetings[_i].a, &meetings[_i].b), meetings[_i].meet);
    place_node_format(&meetings[_i].a, name, value);
    ck_assert_int_eq(place_node_parse(&again, name, value), 0);
    ck_assert(place_same(&again, &meetings[_i].a));
    ck_assert_uint_eq(again.line, meetings[_i].a.line);
    ck_assert_int_eq(place_node_parse(&again, "mmio-", "1"), -EINVAL);
    ck_assert_int_eq(place_node_parse(&again, "mmio-200", ""), -EINVAL);
    ck_assert_int_eq(place_node_parse(&again, "0000-00-01", ""), -EINVAL);
}
END_TEST

START_TEST(null_store_and_store_spelling)
{
    device_spec_init(&spec);
    ck_assert_int_eq(device_spec_set(&spec, "type", "blk", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "sbdf", "0000-00-01-0", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "params", "/a", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "path", "null:1M", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "mode", "r", error), 0);
    ck_assert_int_eq(device_spec_check(&spec, error), 0);
    ck_assert_ptr_null(spec.path);
    ck_assert_uint_eq(spec.null_bytes, 1u << 20);
    ck_assert_int_eq(spec.store, BLK_STORE_NULL);
    ck_assert_int_eq(device_spec_set(&spec, "path", "memory:2M", error), 0);
    ck_assert_uint_eq(spec.null_bytes, 2u << 20);
    ck_assert_int_eq(spec.store, BLK_STORE_MEMORY);
    ck_assert_int_eq(device_spec_set(&spec, "path", "untouched:", error), -EINVAL);
    ck_assert_int_eq(device_spec_set(&spec, "path", "untouched:1K", error), 0);
    ck_assert_int_eq(spec.store, BLK_STORE_UNTOUCHED);
    ck_assert_uint_eq(spec.place.sbdf.raw, SBDF(0, 0, 1, 0).raw);
    ck_assert(spec.read_only);
    device_spec_fini(&spec);
}
END_TEST

START_TEST(memory_of_a_front_end)
{
    ck_assert_int_eq(
        device_spec_parse(&spec, "blk,sbdf=0000:00:01.0,path=null:1M,memory=shared", error),
        -EINVAL);
    ck_assert_ptr_nonnull(strstr(error, "vhost"));
    device_spec_fini(&spec);
    ck_assert_int_eq(device_spec_parse(
                         &spec, "blk,sbdf=0000:00:01.0,path=null:1M,memory=shared,vhost=/s", error),
                     0);
    ck_assert(device_spec_is_shared(&spec));
    device_spec_fini(&spec);
}
END_TEST

START_TEST(ports_of_a_console)
{
    ck_assert_int_eq(device_spec_parse(&spec,
                                       "console,sbdf=0000:00:01.0,port0=pty,port1=unix:/a:b,"
                                       "name1=org.x.0,console1=1,port15=null,cols=80,rows=25,"
                                       "manage=/m,features=-size",
                                       error),
                     0);
    ck_assert_str_eq(spec.ports[0].end, "pty");
    ck_assert_str_eq(spec.ports[1].end, "unix:/a:b");
    ck_assert_str_eq(spec.ports[1].name, "org.x.0");
    ck_assert(spec.ports[1].has_console && spec.ports[1].console && !spec.ports[0].has_console);
    ck_assert_ptr_null(spec.ports[2].end);
    ck_assert_str_eq(spec.ports[15].end, "null");
    ck_assert_str_eq(spec.manage, "/m");
    ck_assert(device_spec_knows("port3") && device_spec_knows("console15"));
    ck_assert(device_spec_knows("port") && !device_spec_knows("port16"));
    ck_assert(!device_spec_knows("portN") && !device_spec_knows("po"));
    device_spec_fini(&spec);
}
END_TEST

START_TEST(keys_of_a_type_in_any_order)
{
    device_spec_init(&spec);
    ck_assert_int_eq(device_spec_set(&spec, "features", "-event-idx", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "rate", "1000", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "sbdf", "0000-00-01-0", error), 0);
    ck_assert_int_eq(device_spec_set(&spec, "type", "rng", error), 0);
    ck_assert_int_eq(device_spec_check(&spec, error), 0);
    ck_assert_uint_eq(spec.features_off, BIT64(29));
    ck_assert_uint_eq(spec.rate_bytes_per_s, 1000);
    device_spec_fini(&spec);
}
END_TEST

static const struct {
    const char *text, *names;
} refused[] = {
    {"", "type"},
    {"tape,sbdf=0000:00:01.0,path=a", "type"},
    {"blk", "sbdf"},
    {"blk,sbdf=0000:00:01.0", "path"},
    {"blk,sbdf=0000:00:20.0,path=a", "sbdf"},
    {"blk,sbdf=0000:00:01.8,path=a", "sbdf"},
    {"blk,sbdf=0000-00:01-0,path=a", "sbdf"},
    {"blk,sbdf=0000-00-01-0-,path=a", "sbdf"},
    {"blk,sbdf=0000:00:01.0,path=", "path"},
    {"blk,sbdf=0000:00:01.0,path=null:", "path"},
    {"blk,sbdf=0000:00:01.0,path=null:0", "path"},
    {"blk,sbdf=0000:00:01.0,path=null:513", "path"},
    {"blk,sbdf=0000:00:01.0,path=null:99999999999999999999", "path"},
    {"blk,sbdf=0000:00:01.0,path=a,queues=0", "queues"},
    {"blk,sbdf=0000:00:01.0,path=a,queues=65", "queues"},
    {"blk,sbdf=0000:00:01.0,path=a,queue-size=3", "queue-size"},
    {"blk,sbdf=0000:00:01.0,path=a,queue-size=-1", "queue-size"},
    {"blk,sbdf=0000:00:01.0,path=a,serial=123456789012345678901", "serial"},
    {"blk,sbdf=0000:00:01.0,path=a,features=discard", "features"},
    {"blk,sbdf=0000:00:01.0,path=a,features=-nonsense", "features"},
    {"blk,sbdf=0000:00:01.0,path=a,features=-mq:", "features"},
    {"blk,sbdf=0000:00:01.0,path=a,memory=magic", "memory"},
    {"blk,sbdf=0000:00:01.0,path=a,mode=rw", "mode"},
    {"blk,sbdf=0000:00:01.0,path=a,ro=2", "ro"},
    {"blk,sbdf=0000:00:01.0,path=a,bars=16", "bars"},
    {"blk,sbdf=0000:00:01.0,path=a,pin=0", "pin"},
    {"blk,sbdf=0000:00:01.0,path=a,pin=5", "pin"},
    {"blk,sbdf=0000:00:01.0,path=a,notify-multiplier=3", "notify-multiplier"},
    {"blk,sbdf=0000:00:01.0,path=a,colour=red", "colour"},
    {"blk,sbdf=0000:00:01.0,path=a,rate=5", "rate"},
    {"rng,sbdf=0000:00:01.0,serial=5", "serial"},
    {"rng,sbdf=0000:00:01.0,path=null:1M", "null"},
    {"rng,sbdf=0000:00:01.0,rate=0", "rate"},
    {"rng,transport=mmio,base=0x2000000,irq=33,features=+notif-config-data", "features"},
    {"rng,sbdf=0000:00:01.0,features=-discard", "features"},
    {"blk,sbdf=0000:00:01.0,path=a,base=0x2000000", "base"},
    {"blk,transport=mmio,sbdf=0000:00:01.0,base=0x2000000,irq=33,path=a", "sbdf"},
    {"blk,transport=mmio,base=0x2000000,irq=33,pin=1,path=a", "pin"},
    {"blk,transport=mmio,irq=33,path=a", "base"},
    {"blk,transport=mmio,base=0x2000000,path=a", "irq"},
    {"blk,transport=mmio,base=0x2000100,irq=33,path=a", "base"},
    {"blk,transport=mmio,base=0xfffffffffffffe01,irq=33,path=a", "base"},
    {"blk,transport=mmio,base=0x2000000,irq=16,path=a", "irq"},
    {"blk,transport=mmio,base=0x2000000,irq=1020,path=a", "irq"},
    {"blk,transport=ccw,path=a", "transport"},
    {"blk,sbdf=0000:00:01.0,path=a,grant_usage=perhaps", "grant_usage"},
    {"net,sbdf=0000:00:01.0", "tap"},
    {"net,sbdf=0000:00:01.0,path=a,tap=b", "tap"},
    {"net,sbdf=0000:00:01.0,path=null:1M", "null"},
    {"net,sbdf=0000:00:01.0,tap=a-name-too-long-for-linux", "tap"},
    {"net,sbdf=0000:00:01.0,path=a,mac=01:00:00:00:00:01", "mac"},
    {"net,sbdf=0000:00:01.0,path=a,mac=2:0:0:0:0:1", "mac"},
    {"net,sbdf=0000:00:01.0,path=a,mtu=67", "mtu"},
    {"net,sbdf=0000:00:01.0,fd=65536", "fd"},
    {"net,sbdf=0000:00:01.0,path=a,serial=1", "serial"},
    {"blk,sbdf=0000:00:01.0,path=a,mtu=1500", "mtu"},
    {"console,sbdf=0000:00:01.0", "port0"},
    {"console,sbdf=0000:00:01.0,port1=null", "port0"},
    {"console,sbdf=0000:00:01.0,port0=tty", "end of a port"},
    {"console,sbdf=0000:00:01.0,port0=file", "end of a port"},
    {"console,sbdf=0000:00:01.0,port0=null:/x", "end of a port"},
    {"console,sbdf=0000:00:01.0,port0=unix:", "end of a port"},
    {"console,sbdf=0000:00:01.0,port0=null,port16=null", "port16"},
    {"console,sbdf=0000:00:01.0,port0=null,port2=null,ports=2", "ports"},
    {"console,sbdf=0000:00:01.0,port0=null,name1=x", "name"},
    {"console,sbdf=0000:00:01.0,port0=null,cols=80", "cols"},
    {"console,sbdf=0000:00:01.0,port0=null,path=a", "path"},
    {"blk,,path=a", "empty"},
    {"blk,sbdf=0000:00:01.0,path=a,", "empty"},
};

START_TEST(refusals_name_the_key)
{
    ck_assert_int_eq(device_spec_parse(&spec, refused[_i].text, error), -EINVAL);
    ck_assert_msg(strstr(error, refused[_i].names), "\"%s\" does not name %s", error,
                  refused[_i].names);
    device_spec_fini(&spec);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("backend_device_spec");
    TCase *t = tcase_create("keys");

    tcase_add_test(t, all_keys);
    tcase_add_test(t, mmio_as_libxl_writes_it);
    tcase_add_loop_test(t, places_meet_and_are_recorded, 0, ARRAY_LENGTH(meetings));
    tcase_add_test(t, null_store_and_store_spelling);
    tcase_add_test(t, memory_of_a_front_end);
    tcase_add_test(t, ports_of_a_console);
    tcase_add_test(t, keys_of_a_type_in_any_order);
    tcase_add_loop_test(t, refusals_name_the_key, 0, ARRAY_LENGTH(refused));
    suite_add_tcase(s, t);
    return unit_run(s);
}
