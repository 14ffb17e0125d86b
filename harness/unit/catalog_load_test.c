/* SPDX-License-Identifier: MIT */
/* catalog/catalog.h: the files load strictly, and what is wrong is named. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog/catalog.h"
#include "unit/run.h"

#define VIRTIO  "id\tarea\trole\tkeyword\tsection\nblk.x.1\tblk\tdevice\tMUST\tBlock / X\n"
#define XEN     "# c\nid\tlevel\trole\tsource\tparaphrase\nxen.a.1\tSHOULD\tdriver\tS\tDo it.\n"
#define ABI     "id\tlevel\trole\tsource\tparaphrase\n"
#define MUTANTS "mutant\tprogram\tcheck\tdescription\nm1\tbackend\tblk.c blk.d\tBreaks.\n"

#define UNSEEN "id\treason\nxen.a.1\tNobody sees it.\n"

static char dir[] = "/tmp/catalogXXXXXX";

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    put("virtio.tsv", VIRTIO);
    put("xen.tsv", XEN);
    put("abi.tsv", ABI);
    put("mutants.tsv", MUTANTS);
    put("unobservable.tsv", UNSEEN);
}

static void teardown(void)
{
    static const char *const names[] = {"virtio.tsv", "xen.tsv", "abi.tsv", "mutants.tsv",
                                        "unobservable.tsv"};
    char path[128];

    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

START_TEST(loads_and_finds)
{
    struct catalog *c;
    char why[256];
    size_t n;

    ck_assert_int_eq(catalog_load(dir, &c, why, sizeof(why)), 0);
    ck_assert_str_eq(catalog_find(c, "blk.x.1")->source, "VIRTIO 1.4 CS01, Block / X");
    ck_assert_str_eq(catalog_find(c, "blk.x.1")->level, "MUST");
    ck_assert_str_eq(catalog_find(c, "xen.a.1")->text, "Do it.");
    ck_assert_str_eq(catalog_find(c, "xen.a.1")->area, "xen");
    ck_assert_str_eq(catalog_find(c, "xen.a.1")->unobservable, "Nobody sees it.");
    ck_assert_ptr_null(catalog_find(c, "blk.x.1")->unobservable);
    ck_assert_ptr_null(catalog_find(c, "xen.a"));
    ck_assert_ptr_nonnull(catalog_requirements(c, &n));
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(catalog_mutants(c, &n)[0].check, "blk.c");
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(catalog_mutants(c, &n)[1].check, "blk.d");
    ck_assert_str_eq(catalog_mutants(c, &n)[1].name, "m1");
    catalog_destroy(c);
    catalog_destroy(NULL);
}
END_TEST

static const struct {
    const char *file, *text, *why;
    int err;
} bad[] = {
    {"xen.tsv", NULL, "xen.tsv", -ENOENT},
    {"xen.tsv", "", "empty", -EINVAL},
    {"xen.tsv", "# only this\n", "no header", -EINVAL},
    {"unobservable.tsv", "id\treason\n", "", 0},
    {"xen.tsv", "id\tlevel\nxen.a.1\tMUST\n", "xen.tsv:2: the header lacks", -EINVAL},
    {"xen.tsv", XEN "xen.a.2\tMUST\n", "xen.tsv:4: 2 columns", -EINVAL},
    {"xen.tsv", XEN "xen.a.1\tMUST\tx\ty\tz\n", "listed twice", -EINVAL},
    {"xen.tsv", XEN "blk.x.1\tMUST\tx\ty\tz\n", "blk.x.1 is listed twice", -EINVAL},
    {"xen.tsv", XEN "no id\tMUST\tx\ty\tz\n", "is no id", -EINVAL},
    {"xen.tsv", "a\tb\tc\td\te\tf\tg\th\ti\n", "9 columns", -EINVAL},
    {"mutants.tsv", MUTANTS "m1\tbackend\tx.y\tz\n", "mutants.tsv:3: mutant \"m1\"", -EINVAL},
    {"unobservable.tsv", UNSEEN "xen.b.1\tr\n", "xen.b.1 is no requirement", -EINVAL},
    {"unobservable.tsv", UNSEEN "xen.a.1\tr\n", "xen.a.1 is listed twice", -EINVAL},
    {"unobservable.tsv", UNSEEN "blk.x.1\t\n", "there is no reason", -EINVAL},
    {"mutants.tsv", MUTANTS "m2\ttoaster\tx.y\tz\n", "toaster", -EINVAL},
};

START_TEST(bad_files_are_named)
{
    struct catalog *c;
    char why[512] = "", path[128];
    int err;

    snprintf(path, sizeof(path), "%s/%s", dir, bad[_i].file);
    unlink(path);
    if (bad[_i].text)
        put(bad[_i].file, bad[_i].text);
    err = catalog_load(dir, &c, why, sizeof(why));
    ck_assert_msg(err == bad[_i].err, "%d: %s", err, why);
    ck_assert_msg(strstr(why, bad[_i].why) != NULL, "%s", why);
    catalog_destroy(c);
}
END_TEST

/* The files of this tree. */
START_TEST(own_files_load)
{
    struct catalog *c;
    char why[512] = "";
    size_t n;

    ck_assert_msg(catalog_load("harness/catalog", &c, why, sizeof(why)) == 0, "%s", why);
    catalog_requirements(c, &n);
    ck_assert_uint_gt(n, 700);
    ck_assert_ptr_nonnull(catalog_find(c, "blk.device-operation.device.38"));
    catalog_destroy(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("catalog");
    TCase *c = tcase_create("load"), *own = tcase_create("own");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, loads_and_finds);
    tcase_add_loop_test(c, bad_files_are_named, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(own, own_files_load);
    suite_add_tcase(s, c);
    suite_add_tcase(s, own);
    return unit_run(s);
}
