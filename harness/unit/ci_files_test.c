/* SPDX-License-Identifier: MIT */
/* The files that CI systems read are well-formed, and their jobs fit together. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "unit/run.h"
#include "util/bits.h"

#define PIPELINE "ci/gitlab/pipeline.yml"

static yaml_document_t document;

static void load(FILE *f, const char *name)
{
    yaml_parser_t parser;

    ck_assert_msg(f != NULL, "%s", name);
    ck_assert_int_eq(yaml_parser_initialize(&parser), 1);
    yaml_parser_set_input_file(&parser, f);
    ck_assert_msg(yaml_parser_load(&parser, &document), "%s:%zu: %s", name,
                  parser.problem_mark.line + 1, parser.problem ? parser.problem : "?");
    ck_assert_ptr_nonnull(yaml_document_get_root_node(&document));
    yaml_parser_delete(&parser);
}

static void load_file(const char *name)
{
    FILE *f = fopen(name, "r");

    load(f, name);
    fclose(f);
}

static const char *text(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "";
}

static yaml_node_t *member(const yaml_node_t *map, const char *name)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
        if (!strcmp(text(yaml_document_get_node(&document, p->key)), name))
            return yaml_document_get_node(&document, p->value);
    return NULL;
}

static yaml_node_t *element(const yaml_node_t *list, size_t i)
{
    if (!list || list->type != YAML_SEQUENCE_NODE ||
        i >= (size_t)(list->data.sequence.items.top - list->data.sequence.items.start))
        return NULL;
    return yaml_document_get_node(&document, list->data.sequence.items.start[i]);
}

static bool has_element(const yaml_node_t *list, const char *value)
{
    for (size_t i = 0; element(list, i); i++)
        if (!strcmp(text(element(list, i)), value))
            return true;
    return false;
}

/* A job's member, its own or one of what it extends. */
static yaml_node_t *inherited(const yaml_node_t *jobs, const yaml_node_t *job, const char *name)
{
    for (unsigned depth = 0; job && depth < 8; depth++) {
        yaml_node_t *found = member(job, name);
        if (found)
            return found;
        job = member(jobs, text(member(job, "extends")));
    }
    return NULL;
}

static unsigned stage_of(const yaml_node_t *jobs, const yaml_node_t *job)
{
    const char *name = text(member(job, "stage"));
    yaml_node_t *stages = member(jobs, "stages");
    unsigned i = 0;

    while (element(stages, i) && strcmp(text(element(stages, i)), name) != 0)
        i++;
    ck_assert_msg(element(stages, i) != NULL, "there is no stage '%s'", name);
    return i;
}

static bool is_job(const char *name)
{
    return name[0] != '.' && strcmp(name, "stages") != 0 && strcmp(name, "variables") != 0;
}

START_TEST(jobs_of_gitlab_fit_together)
{
    unsigned count = 0;

    load_file(PIPELINE);
    const yaml_node_t *jobs = yaml_document_get_root_node(&document);
    for (yaml_node_pair_t *p = jobs->data.mapping.pairs.start; p < jobs->data.mapping.pairs.top;
         p++) {
        const char *name = text(yaml_document_get_node(&document, p->key));
        const yaml_node_t *job = yaml_document_get_node(&document, p->value);
        const char *base = text(member(job, "extends"));
        ck_assert_msg(!base[0] || member(jobs, base), "%s extends '%s'", name, base);
        if (!is_job(name))
            continue;
        count++;
        ck_assert_msg(element(inherited(jobs, job, "script"), 0) != NULL, "%s: script", name);
        ck_assert_msg(inherited(jobs, job, "image") != NULL, "%s: image", name);
        const yaml_node_t *needs = member(job, "needs");
        for (size_t i = 0; element(needs, i); i++) {
            const char *need = text(element(needs, i));
            const yaml_node_t *other = member(jobs, need);
            ck_assert_msg(other && is_job(need), "%s needs '%s'", name, need);
            ck_assert_msg(stage_of(jobs, other) <= stage_of(jobs, job), "%s needs '%s'", name,
                          need);
        }
        stage_of(jobs, job);
    }
    ck_assert_uint_gt(count, 5);
    yaml_document_delete(&document);
}
END_TEST

/* Each job that leaves parts of the result is one that the merge waits for, and the merge's own
 * result is what GitLab shows. */
START_TEST(the_merge_has_all_parts)
{
    load_file(PIPELINE);
    const yaml_node_t *jobs = yaml_document_get_root_node(&document);
    const yaml_node_t *merge = member(jobs, "merge"), *needs = member(merge, "needs");
    unsigned parts = 0;

    for (yaml_node_pair_t *p = jobs->data.mapping.pairs.start; p < jobs->data.mapping.pairs.top;
         p++) {
        const char *name = text(yaml_document_get_node(&document, p->key));
        const yaml_node_t *job = yaml_document_get_node(&document, p->value);
        if (!has_element(member(member(job, "artifacts"), "paths"), "results/parts") ||
            job == merge)
            continue;
        ck_assert_msg(has_element(needs, name), "merge does not need %s", name);
        ck_assert_str_eq(text(member(member(job, "artifacts"), "when")), "always");
        parts++;
    }
    ck_assert_uint_eq(parts, 2);
    ck_assert_str_eq(text(member(merge, "when")), "always");
    ck_assert_str_eq(text(member(member(member(merge, "artifacts"), "reports"), "junit")),
                     "results/merged/result.xml");
    yaml_document_delete(&document);
}
END_TEST

START_TEST(a_job_of_lava_is_whole)
{
    static const char *const steps[] = {"deploy", "boot", "test"};
    FILE *f = popen("ci/lava/job.sh lab-x86 x86 1/2 http://files http://results "
                    "'console=com1 com1=115200,8n1'",
                    "r");

    load(f, "job.sh");
    ck_assert_int_eq(pclose(f), 0);
    const yaml_node_t *job = yaml_document_get_root_node(&document);
    ck_assert_str_eq(text(member(job, "device_type")), "lab-x86");
    ck_assert_ptr_nonnull(member(member(job, "timeouts"), "job"));
    for (size_t i = 0; i < ARRAY_LENGTH(steps); i++)
        ck_assert_msg(member(element(member(job, "actions"), i), steps[i]) != NULL, "%s", steps[i]);
    const yaml_node_t *boot = member(element(member(job, "actions"), 1), "boot");
    ck_assert_str_eq(text(element(member(boot, "commands"), 1)),
                     "multiboot2 (tftp)/{TEE} dom0_mem=1024M,max:1024M console=com1 "
                     "com1=115200,8n1");
    const yaml_node_t *test = member(element(member(job, "actions"), 2), "test");
    const yaml_node_t *run =
        member(member(element(member(test, "definitions"), 0), "repository"), "run");
    ck_assert_ptr_nonnull(strstr(text(element(member(run, "steps"), 1)), "--shard 1/2 "));
    yaml_document_delete(&document);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ci_files");
    TCase *tc = tcase_create("files");

    tcase_add_test(tc, jobs_of_gitlab_fit_together);
    tcase_add_test(tc, the_merge_has_all_parts);
    tcase_add_test(tc, a_job_of_lava_is_whole);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
