/* SPDX-License-Identifier: MIT */
/*
 * certify: everything that a profile claims, to a certificate. replay: the same once more, from a
 * certificate alone, and whether the verdicts are the same. verify: is a certificate whole, and
 * who signed it?
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certify/certificate.h"
#include "report/members.h"
#include "runner/runner.h"
#include "runner/tool.h"

#define NAMESPACE "ringproof"
/* A backend that hangs in one check after another takes its time, and gets it. */
#define CELL_NS    600000000000ull
#define VERSION_NS 10000000000ull
#define SIGN_NS    60000000000ull /* ssh-keygen may ask for a passphrase */

/* What a run of certify or replay needs, from its beginning to its end. */
struct certification {
    struct run_options o;
    struct install in;
    struct plan plan;
    struct catalog *catalog;
    struct report *report;
    char *dir, *profile_text, *version;
    char subject_sha256[65], catalog_sha256[65];
    json_t *certificate;
};

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re"), *m;
    char *text = NULL, buf[4096];
    size_t size, n;

    if (!f)
        return NULL;
    m = open_memstream(&text, &size);
    while (m && (n = fread(buf, 1, sizeof(buf), f)))
        fwrite(buf, 1, n, m);
    fclose(f);
    if (m)
        fclose(m);
    return text;
}

/* ---- the subject ---- */

static const char *find_program(void *ctx, const char *name)
{
    return strcmp(name, "program") ? NULL : ctx;
}

/* The first line of what its version command says; "" when the profile has none. */
static int ask_version(struct certification *c)
{
    const struct profile_words *w = &c->in.profile->version;
    struct words argv = {0};
    char missing[64], *output = NULL;
    int err = 0, ret = 0;

    for (unsigned i = 0; i < w->count && !err; i++) {
        char *word = profile_expand(w->words[i], find_program, (void *)c->in.testbed.backend_bin,
                                    &err, missing, sizeof(missing));
        words_add(&argv, word ? word : "");
        free(word);
    }
    if (err)
        fprintf(stderr, "%s: version: only {program} has a value there\n", c->in.profile->path);
    else if (w->count)
        ret = tool_run(&argv, NULL, VERSION_NS, &output);
    words_fini(&argv);
    if (ret)
        fprintf(stderr, "%s: its version command failed: %s\n", c->in.profile->path,
                output && output[0] ? output : strerror(ret < 0 ? -ret : EIO));
    c->version = output ? output : strdup("");
    if (c->version)
        c->version[strcspn(c->version, "\n")] = 0;
    return err || ret || !c->version ? -EINVAL : 0;
}

/* Of all that a verdict's meaning depends on. */
static int hash_catalog(struct certification *c)
{
    static const char *const files[] = {"virtio.tsv", "xen.tsv", "abi.tsv"};
    char path[] = "/tmp/ringproof-catalogue-XXXXXX";
    int fd = mkstemp(path), ret = fd < 0 ? -errno : 0;
    FILE *f = ret ? NULL : fdopen(fd, "w");

    for (size_t i = 0; f && i < sizeof(files) / sizeof(files[0]); i++) {
        char name[4096], *text;

        snprintf(name, sizeof(name), "%s/harness/catalog/%s", c->in.data, files[i]);
        text = read_file(name);
        if (!text)
            ret = -ENOENT;
        fputs(text ? text : "", f);
        free(text);
    }
    if (f && fclose(f))
        ret = -EIO;
    if (!ret)
        ret = tool_sha256(path, c->catalog_sha256);
    if (fd >= 0)
        unlink(path);
    return ret;
}

/* ---- files ---- */

static int write_file(const char *dir, const char *name, const json_t *certificate,
                      void (*write)(const json_t *, FILE *))
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "we");
    if (f)
        write(certificate, f);
    if (f && !ferror(f) && !fclose(f))
        return 0;
    fprintf(stderr, "ringproof: %s: %s\n", path, strerror(errno));
    return -EIO;
}

static void write_json(const json_t *certificate, FILE *f)
{
    json_dumpf(certificate, f, JSON_INDENT(1) | JSON_SORT_KEYS);
    putc('\n', f);
}

/* Beside the file, as ssh-keygen names it. */
static int sign(const char *dir, const char *key)
{
    struct words argv = {0};
    char *output = NULL;
    int ret;

    words_add(&argv, "ssh-keygen");
    words_add(&argv, "-Y");
    words_add(&argv, "sign");
    words_add(&argv, "-n");
    words_add(&argv, NAMESPACE);
    words_add(&argv, "-f");
    words_add(&argv, key);
    words_addf(&argv, "%s/certificate.json", dir);
    ret = tool_run(&argv, NULL, SIGN_NS, &output);
    words_fini(&argv);
    if (ret)
        fprintf(stderr, "ringproof certify: it cannot be signed with %s: %s\n", key,
                output && output[0] ? output : strerror(ret < 0 ? -ret : EIO));
    free(output);
    return ret ? -EIO : 0;
}

/* ---- certify ---- */

static int certify(struct certification *c, const char *command, int argc, char **argv)
{
    char why[1024];
    int ret = ask_version(c);

    if (!ret)
        ret = tool_sha256(c->in.testbed.backend_bin, c->subject_sha256);
    if (!ret)
        ret = hash_catalog(c);
    if (!ret && catalog_load(NULL, &c->catalog, why, sizeof(why))) {
        fprintf(stderr, "ringproof: %s\n", why);
        ret = -ENOENT;
    }
    if (ret)
        return ret;
    c->report = run_report_create(command, &c->o, &c->in, argc, argv);
    c->dir = run_results_dir(&c->o, c->report);
    ret = c->dir ? run_execute(&c->o, &c->in, &c->plan, c->report, c->dir) : -EIO;
    if (ret && ret != -EINTR)
        return ret;
    const struct certificate_parts parts = {
        .report = c->report,
        .catalog = c->catalog,
        .profile = c->in.profile,
        .profile_text = c->profile_text,
        .subject_version = c->version,
        .subject_sha256 = c->subject_sha256,
        .catalog_sha256 = c->catalog_sha256,
    };
    c->certificate = certificate_make(&parts);
    ret = c->certificate ? write_file(c->dir, "certificate.json", c->certificate, write_json)
                         : -ENOMEM;
    if (!ret)
        ret = write_file(c->dir, "certificate.html", c->certificate, certificate_write_page);
    if (!ret && c->o.key)
        ret = sign(c->dir, c->o.key);
    return ret;
}

static void fini(struct certification *c)
{
    json_decref(c->certificate);
    report_destroy(c->report);
    catalog_destroy(c->catalog);
    plan_fini(&c->plan);
    install_fini(&c->in);
    free(c->version);
    free(c->profile_text);
    free(c->dir);
    free(c->o.names);
}

/* The profile is read, and what it covers is planned. 0 or an exit status. */
static int prepare(struct certification *c)
{
    c->profile_text = read_file(c->o.profile);
    if (!c->o.timeout_ns)
        c->o.timeout_ns = CELL_NS;
    /* Waiting for a backend that does not answer needs no processor. */
    if (!c->o.jobs)
        c->o.jobs = 2 * (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    if (install_find(&c->o, true, &c->in) || !c->profile_text || plan_make(&c->o, &c->in, &c->plan))
        return REPORT_BAD_USAGE;
    return 0;
}

static int result_status(const json_t *certificate)
{
    const char *result = certificate_result(certificate);

    if (!strcmp(result, "SUCCESS"))
        return REPORT_PASSED;
    return strcmp(result, "FAILURE") ? REPORT_HARNESS_ERROR : REPORT_SUBJECT_FAILED;
}

/* What is wrong with a cell and not with a check of it fails a certification, too. */
static void show_cells(const struct report *r)
{
    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *cell = r->cells[i];

        if (cell->outcome >= FAIL && cell->reason[0])
            printf("%-6s%s: %s\n", outcome_name(cell->outcome), cell->id, cell->reason);
    }
}

int command_certify(int argc, char **argv)
{
    struct certification c = {0};
    int status = REPORT_BAD_USAGE, ret = options_parse("certify", argc, argv, &c.o);

    if (ret)
        goto out;
    if (!c.o.profile) {
        fputs("ringproof certify: which backend? Name its profile with --profile\n", stderr);
        goto out;
    }
    if (prepare(&c))
        goto out;
    status = REPORT_HARNESS_ERROR;
    if (certify(&c, "certify", argc, argv))
        goto out;
    printf("\ncertificate in %s: certificate.json, certificate.html%s\n", c.dir,
           c.o.key ? ", certificate.json.sig" : " (not signed: --key)");
    show_cells(c.report);
    certificate_write_summary(c.certificate, stdout);
    status = result_status(c.certificate);
out:
    fini(&c);
    return ret == 1 ? 0 : status;
}

/* ---- replay ---- */

/* The words of a selection, "--set quick blk", as a command line. Owned by the caller. */
static void split(char *text, struct words *words)
{
    char *save = NULL;

    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        if (!strcmp(w, "--profile")) /* the certificate's own is used */
            strtok_r(NULL, " ", &save);
        else
            words_add(words, w);
    }
}

/* Options of the old run, under those of this command line: the profile, testbed, seed, selection.
 */
static int replay_options(const json_t *old, const char *profile, struct certification *c,
                          struct words *words, int argc, char **argv)
{
    const json_t *run = json_object_get(old, "run");
    char *selection = strdup(text_of(run, "selection"));

    words_add(words, "--profile");
    words_add(words, profile);
    words_add(words, "--testbed");
    words_add(words, text_of(run, "testbed"));
    words_add(words, "--seed");
    words_addf(words, "%lld", (long long)json_integer_value(json_object_get(run, "seed")));
    if (selection)
        split(selection, words);
    free(selection);
    for (int i = 0; i < argc; i++)
        words_add(words, argv[i]);
    return words->failed ? -ENOMEM
                         : options_parse("replay", (int)words->count, words->items, &c->o);
}

/* The certificate among the words: the only one that is a file of that name. */
static int take_certificate(int *argc, char **argv, json_t **old)
{
    char why[1024];

    for (int i = 0; i < *argc; i++) {
        size_t n = strlen(argv[i]);

        if (argv[i][0] == '-' || n < 5 || strcmp(argv[i] + n - 5, ".json"))
            continue;
        if (certificate_load(argv[i], old, why, sizeof(why))) {
            fprintf(stderr, "%s\n", why);
            return -EINVAL;
        }
        memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof(*argv));
        (*argc)--;
        return 0;
    }
    fputs("ringproof replay: which certificate? Name its .json\n", stderr);
    return -EINVAL;
}

int command_replay(int argc, char **argv)
{
    char path[] = "/tmp/ringproof-replay-XXXXXX";
    struct certification c = {0};
    struct words words = {0};
    json_t *old = NULL;
    int status = REPORT_BAD_USAGE, ret = 0, fd = -1;

    if (argc == 1 && !strcmp(argv[0], "--help")) {
        ret = options_parse("replay", argc, argv, &c.o);
        goto out;
    }
    if (take_certificate(&argc, argv, &old))
        goto out;
    fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f || fputs(text_of(old, "profile"), f) < 0 || fclose(f)) {
        fprintf(stderr, "ringproof replay: %s: %s\n", path, strerror(errno));
        goto out;
    }
    ret = replay_options(old, path, &c, &words, argc, argv);
    if (ret || prepare(&c))
        goto out;
    status = REPORT_HARNESS_ERROR;
    if (certify(&c, "replay", argc, argv))
        goto out;
    if (strcmp(text_of(json_object_get(old, "subject"), "sha256"), c.subject_sha256) != 0)
        puts("\nthe program is not the one that was certified: its SHA-256 differs");
    unsigned differ = certificate_differences(old, c.certificate, stdout);
    printf("\nreplayed in %s: %u of %zu verdicts differ\n", c.dir, differ,
           json_array_size(json_object_get(old, "requirements")));
    status = differ ? REPORT_SUBJECT_FAILED : REPORT_PASSED;
out:
    if (fd >= 0)
        unlink(path);
    json_decref(old);
    words_fini(&words);
    fini(&c);
    return ret == 1 ? 0 : status;
}

/* ---- verify ---- */

/* Exit status of ssh-keygen; what it says goes to `said`. */
static int check_signature(const struct run_options *o, const char *path, char **said)
{
    struct words argv = {0};
    int ret;

    words_add(&argv, "ssh-keygen");
    words_add(&argv, "-Y");
    words_add(&argv, o->signers ? "verify" : "check-novalidate");
    if (o->signers) {
        words_add(&argv, "-f");
        words_add(&argv, o->signers);
        words_add(&argv, "-I");
        words_add(&argv, o->identity);
    }
    words_add(&argv, "-n");
    words_add(&argv, NAMESPACE);
    words_add(&argv, "-s");
    words_addf(&argv, "%s.sig", path);
    ret = tool_run(&argv, path, SIGN_NS, said);
    words_fini(&argv);
    return ret;
}

int command_verify(int argc, char **argv)
{
    struct run_options o;
    json_t *certificate = NULL;
    char why[1024], *said = NULL;
    int status = REPORT_BAD_USAGE, ret = options_parse("verify", argc, argv, &o);

    if (ret)
        goto out;
    if (o.name_count != 1 || !o.signers != !o.identity) {
        fputs("ringproof verify: one certificate, and --signers together with --identity\n",
              stderr);
        goto out;
    }
    status = REPORT_SUBJECT_FAILED;
    if (check_signature(&o, o.names[0], &said)) {
        printf("NOT VERIFIED: %s: %s\n", o.names[0],
               said && said[0] ? said : "there is no valid signature beside it");
        goto out;
    }
    if (certificate_load(o.names[0], &certificate, why, sizeof(why))) {
        printf("NOT VERIFIED: %s\n", why);
        goto out;
    }
    said[strcspn(said, "\n")] = 0;
    certificate_write_summary(certificate, stdout);
    printf("VERIFIED: %s%s\n", said,
           o.signers ? "" : " (whoever that is: name who may sign with --signers)");
    status = REPORT_PASSED;
out:
    json_decref(certificate);
    free(said);
    free(o.names);
    return ret == 1 ? 0 : status;
}
