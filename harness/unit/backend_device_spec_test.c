/* SPDX-License-Identifier: MIT */
/* Device keys: what is taken, what is refused, and that a refusal names the key. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device_spec.h"
#include "backend/device_types.h"
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
    ck_assert_uint_eq(spec.sbdf.raw, SBDF(1, 2, 31, 7).raw);
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
    ck_assert_uint_eq(spec.sbdf.raw, SBDF(0, 0, 1, 0).raw);
    ck_assert(spec.read_only);
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
    {"net,sbdf=0000:00:01.0,path=a", "type"},
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
    {"rng,sbdf=0000:00:01.0,features=-discard", "features"},
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
    SRunner *r;
    int failed;

    tcase_add_test(t, all_keys);
    tcase_add_test(t, null_store_and_store_spelling);
    tcase_add_test(t, keys_of_a_type_in_any_order);
    tcase_add_loop_test(t, refusals_name_the_key, 0, ARRAY_LENGTH(refused));
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_set_fork_status(r, CK_FORK);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
