/* SPDX-License-Identifier: MIT */
/* Strict parsing: what is taken, what is refused and with which error. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "unit/run.h"
#include "util/bits.h"
#include "util/host_bridge.h"
#include "util/log.h"
#include "util/mmio_window.h"
#include "util/parse.h"

#define UNTOUCHED 0xdeadull

static const struct {
    const char *text;
    int rc;
    uint64_t value;
} numbers[] = {
    {"0", 0, 0},
    {"7", 0, 7},
    {"0x10", 0, 16},
    {"0XfF", 0, 255},
    {"18446744073709551615", 0, UINT64_MAX},
    {"0xffffffffffffffff", 0, UINT64_MAX},
    {"18446744073709551616", -ERANGE, 0},
    {"0x10000000000000000", -ERANGE, 0},
    {"", -EINVAL, 0},
    {"0x", -EINVAL, 0},
    {"07", -EINVAL, 0},
    {"-1", -EINVAL, 0},
    {"+1", -EINVAL, 0},
    {" 1", -EINVAL, 0},
    {"1 ", -EINVAL, 0},
    {"1K", -EINVAL, 0},
    {"12a", -EINVAL, 0},
};

START_TEST(number)
{
    uint64_t v = UNTOUCHED;

    ck_assert_int_eq(parse_u64(numbers[_i].text, 0, UINT64_MAX, &v), numbers[_i].rc);
    ck_assert_uint_eq(v, numbers[_i].rc == 0 ? numbers[_i].value : UNTOUCHED);
}
END_TEST

START_TEST(number_bounds)
{
    uint64_t v = UNTOUCHED;
    uint32_t w = 1;
    uint16_t h = 1;

    ck_assert_int_eq(parse_u64("4", 5, 9, &v), -ERANGE);
    ck_assert_int_eq(parse_u64("10", 5, 9, &v), -ERANGE);
    ck_assert_uint_eq(v, UNTOUCHED);
    ck_assert_int_eq(parse_u64("5", 5, 9, &v), 0);
    ck_assert_int_eq(parse_u64("9", 5, 9, &v), 0);
    ck_assert_int_eq(parse_u32("4294967296", 0, UINT32_MAX, &w), -ERANGE);
    ck_assert_int_eq(parse_u32("4294967295", 0, UINT32_MAX, &w), 0);
    ck_assert_uint_eq(w, UINT32_MAX);
    ck_assert_int_eq(parse_u16("65536", 0, UINT16_MAX, &h), -ERANGE);
    ck_assert_uint_eq(h, 1);
}
END_TEST

static const struct {
    const char *text;
    int rc;
    uint64_t bytes;
} sizes[] = {
    {"4096", 0, 4096},
    {"4K", 0, 4096},
    {"0x10M", 0, 16u << 20},
    {"3G", 0, 3ull << 30},
    {"16777215T", 0, 16777215ull << 40},
    {"16777216T", -ERANGE, 0},
    {"1k", -EINVAL, 0},
    {"1KB", -EINVAL, 0},
    {"1KK", -EINVAL, 0},
    {"K", -EINVAL, 0},
};

START_TEST(size)
{
    uint64_t v = UNTOUCHED;

    ck_assert_int_eq(parse_size(sizes[_i].text, 0, UINT64_MAX, &v), sizes[_i].rc);
    ck_assert_uint_eq(v, sizes[_i].rc == 0 ? sizes[_i].bytes : UNTOUCHED);
}
END_TEST

static const struct {
    const char *text;
    int rc;
    sbdf_t sbdf;
    const char *canonical;
} functions[] = {
    {"0000:00:01.0", 0, {0x8}, "0000:00:01.0"},
    {"00:1f.7", 0, {0xff}, "0000:00:1f.7"},
    {"ffff:ff:1f.7", 0, {0xffffffff}, "ffff:ff:1f.7"},
    {"1:2:3.4", 0, {0x1021c}, "0001:02:03.4"},
    {"0000:00:20.0", -ERANGE, {0}, NULL},
    {"0000:00:01.8", -ERANGE, {0}, NULL},
    {"00000:00:01.0", -EINVAL, {0}, NULL},
    {"0000:000:01.0", -EINVAL, {0}, NULL},
    {"0000:00:01", -EINVAL, {0}, NULL},
    {"0000:00:01.0x", -EINVAL, {0}, NULL},
    {"0000:00:01.", -EINVAL, {0}, NULL},
    {"01.0", -EINVAL, {0}, NULL},
    {"a:b:c:d.0", -EINVAL, {0}, NULL},
    {"", -EINVAL, {0}, NULL},
};

START_TEST(sbdf)
{
    char text[SBDF_TEXT_BYTES];
    sbdf_t v = {1};

    ck_assert_int_eq(parse_sbdf(functions[_i].text, &v), functions[_i].rc);
    if (functions[_i].rc == 0) {
        ck_assert_uint_eq(v.raw, functions[_i].sbdf.raw);
        format_sbdf(v, text);
        ck_assert_str_eq(text, functions[_i].canonical);
    } else {
        ck_assert_uint_eq(v.raw, 1);
    }
}
END_TEST

START_TEST(range_and_interval)
{
    uint64_t a, b;

    ck_assert_int_eq(parse_range("0xE0000000+64M", &a, &b), 0);
    ck_assert_uint_eq(a, 0xe0000000);
    ck_assert_uint_eq(b, 64u << 20);
    ck_assert_int_eq(parse_range("0xffffffffffffffff+1", &a, &b), 0);
    ck_assert_int_eq(parse_range("0xffffffffffffffff+2", &a, &b), -ERANGE);
    ck_assert_int_eq(parse_range("4K+0", &a, &b), -ERANGE);
    ck_assert_int_eq(parse_range("4K", &a, &b), -EINVAL);
    ck_assert_int_eq(parse_range("4K+4K+4K", &a, &b), -EINVAL);
    ck_assert_int_eq(parse_interval("0-63", 255, &a, &b), 0);
    ck_assert_uint_eq(b, 63);
    ck_assert_int_eq(parse_interval("9", 255, &a, &b), 0);
    ck_assert(a == 9 && b == 9);
    ck_assert_int_eq(parse_interval("0-256", 255, &a, &b), -ERANGE);
    ck_assert_int_eq(parse_interval("2-1", 255, &a, &b), -ERANGE);
    ck_assert_int_eq(parse_interval("1-", 255, &a, &b), -EINVAL);
}
END_TEST

START_TEST(items)
{
    char text[] = "path=/a=b,ro,n=";
    char *cursor = text, *key, *value;

    ck_assert_int_eq(parse_next_item(&cursor, &key, &value), 1);
    ck_assert_str_eq(key, "path");
    ck_assert_str_eq(value, "/a=b");
    ck_assert_int_eq(parse_next_item(&cursor, &key, &value), 1);
    ck_assert_str_eq(key, "ro");
    ck_assert_ptr_null(value);
    ck_assert_int_eq(parse_next_item(&cursor, &key, &value), 1);
    ck_assert_str_eq(value, "");
    ck_assert_int_eq(parse_next_item(&cursor, &key, &value), 0);
}
END_TEST

static const char *const bad_items[] = {",a", "=x", "a,", "a,,b"};

START_TEST(items_refused)
{
    char text[16];
    char *cursor = text, *key, *value;
    int rc;

    strcpy(text, bad_items[_i]);
    while ((rc = parse_next_item(&cursor, &key, &value)) > 0)
        continue;
    ck_assert_int_eq(rc, -EINVAL);
}
END_TEST

static const struct {
    const char *text, *names;
} bad_windows[] = {
    {"", "base"},
    {"base=0x2000000", "irq"},
    {"irq=33", "base"},
    {"base=0x2000000,irq=33,irq=34", "irq"},
    {"base=0x2000002,irq=33", "base"},
    {"base=0x2000000,irq=65536", "irq"},
    {"base,irq=33", "base"},
    {"base=0x2000000,irq=33,size=1", "size"},
    {"base=0x2000000,irq=33,", "empty"},
};

START_TEST(mmio_window_refused)
{
    char error[MMIO_WINDOW_ERROR_BYTES] = "";
    struct mmio_window w = {.base = UNTOUCHED};

    ck_assert_int_eq(mmio_window_parse(bad_windows[_i].text, &w, error), -EINVAL);
    ck_assert_msg(strstr(error, bad_windows[_i].names), "\"%s\" does not name %s", error,
                  bad_windows[_i].names);
    ck_assert_uint_eq(w.base, UNTOUCHED);
    ck_assert_int_eq(mmio_window_parse("irq=5,base=0xfeb00200", &w, error), 0);
    ck_assert_uint_eq(w.base, 0xfeb00200);
    ck_assert_uint_eq(w.line, 5);
}
END_TEST

START_TEST(host_bridge_good)
{
    const char *text = "seg=1,bus=4-7,ecam=0xE0000000+4M,mem=0xE4000000+64M";
    struct host_bridge hb, again;
    char error[HOST_BRIDGE_ERROR_BYTES], out[128];

    ck_assert_msg(host_bridge_parse(text, &hb, error) == 0, "%s", error);
    ck_assert_uint_eq(hb.segment, 1);
    ck_assert_uint_eq(hb.bus_last, 7);
    ck_assert_int_gt(host_bridge_format(&hb, out, sizeof(out)), 0);
    ck_assert_int_eq(host_bridge_parse(out, &again, error), 0);
    ck_assert_mem_eq(&hb, &again, sizeof(hb));
    ck_assert_int_eq(host_bridge_format(&hb, out, 20), -ENOSPC);
    ck_assert(host_bridge_covers(&hb, SBDF(1, 7, 31, 7)));
    ck_assert(!host_bridge_covers(&hb, SBDF(0, 7, 31, 7)));
    ck_assert(!host_bridge_covers(&hb, SBDF(1, 8, 0, 0)));
    ck_assert_uint_eq(host_bridge_config_addr(&hb, SBDF(1, 5, 1, 0)),
                      0xe0000000 + 0x100000 + 0x8000);

    ck_assert_int_eq(host_bridge_parse("ecam=0xE0000000+256M,mem=0x10000000+4K", &hb, error), 0);
    ck_assert_uint_eq(hb.bus_last, 255);
}
END_TEST

static const struct {
    const char *text, *says;
} bad_bridges[] = {
    {"", "missing"},
    {"ecam=0xE0000000+4M", "\"mem\" is missing"},
    {"mem=0xE0000000+4M", "\"ecam\" is missing"},
    {"ecam=0+1M,mem=1M+4K,colour=red", "unknown key \"colour\""},
    {"ecam=0+1M,mem=1M+4K,ecam=0+1M", "twice"},
    {"ecam=0+1M,mem=1M+4K,seg=65536", "seg"},
    {"ecam=0+1M,mem=1M+4K,bus=0-256", "bus"},
    {"ecam=0+1M,mem=1M+4K,bus=0-1", "need an ecam window of 2 MiB"},
    {"ecam=0+257M,mem=1G+4K", "256 buses"},
    {"ecam=4K+1M,mem=4M+4K", "1 MiB"},
    {"ecam=0+1M,mem=0xff000+8K", "overlap"},
    {"ecam=0+1M,mem=1M+100", "4 KiB"},
    {"ecam,mem=1M+4K", "bad value for \"ecam\""},
    {"ecam=0+1M,,mem=1M+4K", "empty"},
};

START_TEST(host_bridge_refused)
{
    struct host_bridge hb;
    char error[HOST_BRIDGE_ERROR_BYTES] = "";

    ck_assert_int_eq(host_bridge_parse(bad_bridges[_i].text, &hb, error), -EINVAL);
    ck_assert_msg(strstr(error, bad_bridges[_i].says) != NULL, "%s -> %s", bad_bridges[_i].text,
                  error);
}
END_TEST

START_TEST(host_bridge_lists)
{
    struct host_bridge list[2];
    char error[HOST_BRIDGE_ERROR_BYTES];

    ck_assert_int_eq(host_bridge_parse("bus=0-3,ecam=0+4M,mem=16M+1M", &list[0], error), 0);
    ck_assert_int_eq(host_bridge_parse("bus=4-7,ecam=4M+4M,mem=17M+1M", &list[1], error), 0);
    ck_assert_int_eq(host_bridge_list_check(list, 2, error), 0);
    list[1].bus_first = 3;
    ck_assert_int_eq(host_bridge_list_check(list, 2, error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error, "bus"));
    list[1].segment = 1;
    ck_assert_int_eq(host_bridge_list_check(list, 2, error), 0);
    list[1].mem_base = list[0].ecam_base;
    ck_assert_int_eq(host_bridge_list_check(list, 2, error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error, "addresses"));
}
END_TEST

START_TEST(log_sites_are_limited)
{
    struct log_site site = {0};
    uint32_t dropped = 99, passed = 0;

    for (unsigned i = 0; i < 100; i++)
        passed += log_site_admit(&site, &dropped);
    ck_assert_uint_eq(passed, LOG_LIMIT_BURST);
    ck_assert_uint_eq(dropped, 0);
    site.window_start_ns -= LOG_LIMIT_WINDOW_NS; /* the window is over */
    ck_assert(log_site_admit(&site, &dropped));
    ck_assert_uint_eq(dropped, 100 - LOG_LIMIT_BURST);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("util/parse");
    TCase *tc = tcase_create("parse");

    tcase_add_loop_test(tc, number, 0, ARRAY_LENGTH(numbers));
    tcase_add_test(tc, number_bounds);
    tcase_add_loop_test(tc, size, 0, ARRAY_LENGTH(sizes));
    tcase_add_loop_test(tc, sbdf, 0, ARRAY_LENGTH(functions));
    tcase_add_test(tc, range_and_interval);
    tcase_add_test(tc, items);
    tcase_add_loop_test(tc, items_refused, 0, ARRAY_LENGTH(bad_items));
    tcase_add_loop_test(tc, mmio_window_refused, 0, ARRAY_LENGTH(bad_windows));
    tcase_add_test(tc, host_bridge_good);
    tcase_add_loop_test(tc, host_bridge_refused, 0, ARRAY_LENGTH(bad_bridges));
    tcase_add_test(tc, host_bridge_lists);
    tcase_add_test(tc, log_sites_are_limited);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
