/* SPDX-License-Identifier: MIT */
/* fio in the guest: it writes the disk, reads it back and compares. Its JSON is the verdict. */
#define CHECK_FAMILY "linux"
#include "stock/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

#define FIO          "/usr/bin/fio"
#define OUTPUT       "/tmp/fio.json"
#define MESSAGES     "/tmp/fio.log"
#define OUTPUT_BYTES (1u << 20)

#define MIB (1024u * 1024u)
/* Of the disk: an emulated machine does some thousand requests a second. */
#define FIO_BYTES_MAX (64u * MIB)
#define ARGS_MAX      64
#define ARG_BYTES     128

/* Each job has a part of the disk for itself, and writes all of it. */
static const struct fio_job {
    const char *name, *options[6];
} jobs[] = {
    {"random", {"--ioengine=io_uring", "--rw=randwrite", "--iodepth=16", "--bs=16k", NULL}},
    /* Buffers that begin and end anywhere in a page, and requests of all sizes in flight. */
    {"mixed",
     {"--ioengine=io_uring", "--rw=write", "--iodepth=16",
      "--bssplit=512/10:1536/10:4k/20:12k/20:64k/20:256k/20", NULL}},
    /* The longest requests that Linux makes. */
    {"large", {"--ioengine=psync", "--rw=write", "--bs=1m", "--end_fsync=1", NULL}},
};

struct fio_arguments {
    char text[ARGS_MAX][ARG_BYTES];
    unsigned count;
};

static void add(struct fio_arguments *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct fio_arguments *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (a->count < ARGS_MAX)
        vsnprintf(a->text[a->count++], ARG_BYTES, fmt, ap);
    va_end(ap);
}

static int execute(void *arg)
{
    struct fio_arguments *a = arg;
    char *argv[ARGS_MAX + 1] = {0};
    int log = open(MESSAGES, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    for (unsigned i = 0; i < a->count; i++)
        argv[i] = a->text[i];
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        return 127;
    execv(FIO, argv);
    return 127;
}

/* A file from its beginning, as far as there is room. */
static void read_file(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, size - 1, f) : 0;

    text[n] = 0;
    if (f)
        fclose(f);
}

/* fio may print notes in front of its JSON, into the same file. NULL: there is none. */
static json_t *read_output(struct stock *s)
{
    char *text = stock_memory(s, OUTPUT_BYTES), *begin;

    read_file(OUTPUT, text, OUTPUT_BYTES);
    begin = strchr(text, '{');
    return begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

static uint64_t bytes_of(const json_t *job, const char *direction)
{
    const json_t *v = json_object_get(json_object_get(job, direction), "io_bytes");

    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

static void judge_job(struct check_ctx *t, const json_t *job, uint64_t share)
{
    const char *name = json_string_value(json_object_get(job, "jobname"));
    int error = (int)json_integer_value(json_object_get(job, "error"));
    uint64_t written = bytes_of(job, "write"), verified = bytes_of(job, "read");

    name = name ? name : "";
    note(t, name, "%" PRIu64 " KiB written in %lld ms, %" PRIu64 " KiB verified", written >> 10,
         (long long)json_integer_value(json_object_get(job, "job_runtime")), verified >> 10);
    expect(t, MUST, error == 0, "fio job %s: error %d (%s)", name, error,
           error == EILSEQ ? "what was read is not what was written" : strerror(error));
    if (error)
        return;
    /* A verdict on nothing is none. */
    expect_eq(t, MUST, written, share, "the bytes written");
    expect(t, MUST, verified >= share, "%" PRIu64 " of %" PRIu64 " bytes were verified", verified,
           share);
}

static void json_release(void *v)
{
    json_decref(v);
}

CHECK(fio_verify, .judges = DEVICE, .proves = "xen.linux.fio.1", .timeout_ms = 120000,
      .title = "fio writes the disk, reads it back, and finds what it wrote")
{
    struct stock *s = given_stock(t, "blk");
    uint64_t share = stock_writable_bytes(s, FIO_BYTES_MAX) / ARRAY_LENGTH(jobs) / MIB * MIB;
    struct fio_arguments *a = stock_memory(s, sizeof(*a));
    char said[384];
    int status;

    if (!share)
        skip_check(t, "the disk is too small");
    if (access(FIO, X_OK))
        error_out(t, "the guest has no " FIO);
    add(a, FIO);
    add(a, "--output-format=json");
    add(a, "--output=" OUTPUT);
    add(a, "--eta=never");
    add(a, "--filename=/dev/%s", s->node);
    add(a, "--randseed=%" PRIu64, s->subject->seed);
    add(a, "--direct=1");
    add(a, "--verify=crc32c");
    add(a, "--verify_fatal=1");
    add(a, "--verify_state_save=0");
    add(a, "--do_verify=1");
    add(a, "--size=%" PRIu64, share);
    for (unsigned i = 0; i < ARRAY_LENGTH(jobs); i++) {
        add(a, "--name=%s", jobs[i].name);
        add(a, "--offset=%" PRIu64, i * share);
        for (const char *const *o = jobs[i].options; *o; o++)
            add(a, "%s", *o);
    }
    unlink(OUTPUT);
    status = stock_do(s, "fio", execute, a);
    read_file(MESSAGES, said, sizeof(said));

    json_t *whole = read_output(s), *job;
    const json_t *list = json_object_get(whole, "jobs");
    size_t i;

    check_defer(t, json_release, whole);
    if (json_array_size(list) != ARRAY_LENGTH(jobs))
        error_out(t, "fio ended with status %d and no result: %s", status, said);
    note(t, "fio", "%s", json_string_value(json_object_get(whole, "fio version")));
    json_array_foreach(list, i, job)
    {
        judge_job(t, job, share);
    }
    expect(t, MUST, status == 0, "fio ended with status %d: %s", status, said);
}
