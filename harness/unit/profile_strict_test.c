/* SPDX-License-Identifier: MIT */
/* What profiles are refused for, what their templates become, and which cells they cover. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/profile.h"
#include "unit/run.h"
#include "util/bits.h"

#define HEAD    "profile: p\ntitle: t\nvendor: v\n"
#define DEVICE  "blk: {arguments: [\"{path}\"], features: [5, 32]}"
#define BACKEND "backend: {command: [prog, \"{domid}\"], ready: fd, devices: {" DEVICE "}}\n"
#define CLAIMS                                                                                     \
    "claims: {arch: [x86], transport: [pci], ring: [split], addressing: [grants], topology: "      \
    "[ioreq-only], testbeds: [sim]}\n"
#define GOOD HEAD BACKEND CLAIMS

static const struct {
    const char *text, *message; /* the end of it, behind the file's name */
} bad_rows[] = {
    {HEAD, "1:1: a profile needs the key 'backend'"},
    {HEAD BACKEND, "1:1: a profile needs the key 'claims'"},
    {GOOD "colour: red\n", "6:9: unknown key 'colour' of a profile"},
    {HEAD "backend: prog\n", "4:10: backend has to be a map, not a single value"},
    {HEAD "backend: {command: prog}\n", "4:20: command has to be a list, not a single value"},
    {HEAD "backend: {command: [\"{domid\"]}\n", "4:21: '{domid': a placeholder is"},
    {HEAD "backend: {command: [\"a}\"]}\n", "4:21: 'a}': a placeholder is"},
    {HEAD "backend: {command: [\"{A}\"]}\n", "4:21: '{A}': a placeholder is"},
    {HEAD "backend: {command: [\"{a?{b}}\"]}\n", "4:21: '{a?{b}}': a placeholder is"},
    {HEAD "backend: {ready: soon}\n", "4:18: ready is 'fd', or a map"},
    {HEAD "backend: {ready: {xenstore: /a}}\n", "4:18: ready needs the key 'value'"},
    {HEAD "backend: {devices: {}}\n", "4:20: devices is empty"},
    {HEAD "backend: {devices: {tape: {}}}\n", "4:27: unknown key 'tape' of devices"},
    {HEAD "backend: {devices: {blk: {arguments: [a], features: [128]}}}\n",
     "4:54: '128' is no number up to 0x7f"},
    {HEAD BACKEND "claims: {arch: [x86, x86]}\n", "5:22: 'x86' is listed twice"},
    {HEAD BACKEND "claims: {arch: [vax]}\n", "5:17: 'vax' is none of what is known here"},
    {HEAD BACKEND "claims: {arch: []}\n", "5:16: arch is empty"},
    {GOOD "addresses: {ecam-base: 0, ecam-size: 1MiB, bus-last: 1, mem-base: 0, mem-size: 1MiB}\n",
     "6:12: ecam-size has to be 1MiB for each bus"},
    {GOOD "deviations: [{checks: [a.b], reason: r}]\n", "6:14: a deviation needs the key 'link'"},
    {GOOD "deviations: [{checks: a.b, reason: r, link: x}]\n",
     "6:23: checks has to be a list, not a single value"},
    {GOOD "deviations: [{checks: [], reason: r, link: \"https://x\"}]\n", "6:23: checks is empty"},
    {GOOD "deviations: [{checks: [a.b], reason: r, link: x}]\n",
     "6:47: link has to begin with https"},
    {GOOD "deviations: [{checks: [a.b, a.b], reason: r, link: \"https://x\"}]\n",
     "6:29: a deviation of 'a.b' is in line 6 already"},
};

START_TEST(bad_profiles_are_refused)
{
    struct profile *p = NULL;
    char why[1024];
    int ret =
        profile_parse("f.yaml", bad_rows[_i].text, strlen(bad_rows[_i].text), &p, why, sizeof(why));

    ck_assert_int_eq(ret, -EINVAL);
    ck_assert_msg(!strncmp(why, "f.yaml:", 7) &&
                      !strncmp(why + 7, bad_rows[_i].message, strlen(bad_rows[_i].message)),
                  "'%s' instead of '%s'", why, bad_rows[_i].message);
}
END_TEST

static struct profile *parse(const char *text)
{
    struct profile *p = NULL;
    char why[1024];

    ck_assert_msg(!profile_parse("f.yaml", text, strlen(text), &p, why, sizeof(why)), "%s", why);
    return p;
}

START_TEST(a_profile_is_read)
{
    struct profile *p = parse(GOOD);

    ck_assert_str_eq(p->program, "prog");
    ck_assert_uint_eq(p->command.count, 2);
    ck_assert_int_eq(p->ready, READY_FD);
    ck_assert_uint_eq(p->archs, 1u << ARCH_X86);
    ck_assert(p->devices[DEVICE_BLK].claimed);
    ck_assert(!p->devices[DEVICE_NET].claimed);
    ck_assert(!p->map.given && !p->restarts && p->keeps == KEEPS_NOTHING);
    profile_free(p);
}
END_TEST

START_TEST(the_profiles_here_are_read)
{
    static const char *const files[] = {"harness/profile/reference.yaml",
                                        "harness/profile/qemu-xenpvh.yaml"};
    struct profile *p = NULL;
    char why[1024];

    ck_assert_msg(!profile_load(files[_i], &p, why, sizeof(why)), "%s", why);
    profile_free(p);
}
END_TEST

static const char *lookup(void *ctx, const char *name)
{
    return strcmp(name, "a") ? NULL : "value";
}

static const struct {
    const char *word, *expected; /* NULL: there is no value for b */
} template_rows[] = {
    {"", ""},         {"plain", "plain"},
    {"{a}", "value"}, {"x{a}y{a}", "xvalueyvalue"},
    {"{{a}}", "{a}"}, {"{a?,k=@;@}", ",k=value;value"},
    {"{b?,k=@}", ""}, {"{a?}", ""},
    {"{b}", NULL},
};

START_TEST(templates_are_expanded)
{
    char missing[16] = "", *text;
    int err = 1;

    text = profile_expand(template_rows[_i].word, lookup, NULL, &err, missing, sizeof(missing));
    if (template_rows[_i].expected) {
        ck_assert_ptr_nonnull(text);
        ck_assert_str_eq(text, template_rows[_i].expected);
        ck_assert_int_eq(err, 0);
    } else {
        ck_assert_ptr_null(text);
        ck_assert_int_eq(err, -ENOENT);
        ck_assert_str_eq(missing, "b");
    }
    free(text);
}
END_TEST

START_TEST(placeholders_are_found)
{
    char *words[] = {"{{no}}", "x{yes?y}", "{also}"};
    const struct profile_words w = {.words = words, .count = ARRAY_LENGTH(words)};

    ck_assert(profile_takes(&w, "yes"));
    ck_assert(profile_takes(&w, "also"));
    ck_assert(!profile_takes(&w, "no"));
    ck_assert(!profile_takes(&w, "ye"));
}
END_TEST

START_TEST(unclaimed_features_are_found)
{
    struct profile *p = parse(GOOD);

    ck_assert_int_eq(profile_unclaimed_feature(p, DEVICE_BLK, 1ull << 5 | 1ull << 32), -1);
    ck_assert_int_eq(profile_unclaimed_feature(p, DEVICE_BLK, 1ull << 5 | 1ull << 33), 33);
    profile_free(p);
}
END_TEST

#define SCENARIO                                                                                   \
    "scenario: s\ntitle: t\ndevice: {type: blk, sbdf: \"0000:00:01.0\", size: 1MiB}\n"             \
    "checks: [blk.*]\nmatrix:\n  arch: [x86, arm]\n  addressing: [grants, foreign]\n"              \
    "  ring: [split, packed]\n"

/* Of eight cells one is claimed. */
START_TEST(claims_select_cells)
{
    struct profile *p = parse(GOOD);
    struct scenario *s = NULL;
    unsigned covered = 0;
    char why[1024];

    ck_assert_msg(!scenario_parse("s.yaml", SCENARIO, strlen(SCENARIO), &s, why, sizeof(why)), "%s",
                  why);
    for (unsigned i = 0; i < scenario_cell_count(s); i++) {
        struct scenario_cell cell;

        scenario_cell_get(s, i, &cell);
        if (profile_covers(p, &cell, why, sizeof(why)))
            covered++;
        else
            ck_assert(strstr(why, "is not claimed"));
    }
    ck_assert_uint_eq(scenario_cell_count(s), 8);
    ck_assert_uint_eq(covered, 1);
    scenario_free(s);
    profile_free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("profile");
    TCase *c = tcase_create("profile");

    tcase_add_loop_test(c, bad_profiles_are_refused, 0, (int)ARRAY_LENGTH(bad_rows));
    tcase_add_test(c, a_profile_is_read);
    tcase_add_loop_test(c, the_profiles_here_are_read, 0, 2);
    tcase_add_loop_test(c, templates_are_expanded, 0, (int)ARRAY_LENGTH(template_rows));
    tcase_add_test(c, placeholders_are_found);
    tcase_add_test(c, unclaimed_features_are_found);
    tcase_add_test(c, claims_select_cells);
    suite_add_tcase(s, c);
    return unit_run(s);
}
