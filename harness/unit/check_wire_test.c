/* SPDX-License-Identifier: MIT */
/* check/wire.h: what was sent arrives, and nothing hostile does. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check/wire.h"
#include "unit/run.h"
#include "util/bits.h"

static struct wire_event *event(enum wire_ev ev)
{
    struct wire_event *e = calloc(1, sizeof(*e));

    ck_assert_ptr_nonnull(e);
    e->ev = ev;
    return e;
}

/* Encode, frame, decode. */
static struct wire_event *round_trip(const struct wire_event *in)
{
    struct wire_event *out = event(WIRE_END);
    struct wire_reader *r = wire_reader_create(true);
    const char *text;
    char why[256] = "", *line;
    size_t len, space;
    void *p;

    line = wire_event_encode(in, &len);
    ck_assert_ptr_nonnull(line);
    ck_assert_uint_eq(strlen(line), len);
    ck_assert_uint_lt(len, WIRE_LINE_MAX);
    ck_assert_int_eq(line[len - 1], '\n');
    ck_assert_ptr_eq(strchr(line, '\n'), line + len - 1);
    p = wire_reader_space(r, &space);
    ck_assert_uint_ge(space, len);
    memcpy(p, line, len);
    wire_reader_fed(r, len);
    ck_assert_int_eq(wire_reader_next(r, &text, &len), WIRE_MESSAGE);
    ck_assert_msg(wire_event_decode(text, len, out, why, sizeof(why)) == 0, "%s", why);
    ck_assert_int_eq(wire_reader_next(r, &text, &len), WIRE_NO_LINE);
    wire_reader_destroy(r);
    free(line);
    return out;
}

START_TEST(result_survives_the_longest_texts)
{
    struct wire_event *in = event(WIRE_RESULT), *out;
    struct check_result *r = &in->result.r;

    strcpy(in->result.check, "blk.read_one_sector");
    r->outcome = FAIL;
    r->expectations = 40;
    r->failure_count = 30;
    r->duration_ns = 123456789012345ull;
    /* Quotes double in JSON: the worst that is not replaced. */
    memset(r->reason, '"', sizeof(r->reason) - 1);
    for (int i = 0; i < 8; i++) {
        r->failures[i].level = i % 2 ? SHOULD : MUST;
        r->failures[i].line = i;
        memset(r->failures[i].file, '\\', sizeof(r->failures[i].file) - 1);
        memset(r->failures[i].text, '"', sizeof(r->failures[i].text) - 1);
    }
    r->note_count = ARRAY_LENGTH(r->notes);
    for (size_t i = 0; i < ARRAY_LENGTH(r->notes); i++) {
        memset(r->notes[i].name, '"', sizeof(r->notes[i].name) - 1);
        memset(r->notes[i].value, '\\', sizeof(r->notes[i].value) - 1);
    }
    out = round_trip(in);
    ck_assert_int_eq(out->ev, WIRE_RESULT);
    ck_assert_mem_eq(&out->result, &in->result, sizeof(in->result));
    free(in);
    free(out);
}
END_TEST

START_TEST(result_repairs_what_is_no_text)
{
    struct wire_event *in = event(WIRE_RESULT), *out;

    strcpy(in->result.check, "a.b");
    in->result.r.outcome = ERROR;
    strcpy(in->result.r.reason, "\x01 tab\tnl\n\x7f \xff \xc3\xa9 \xc0\x80 \xed\xa0\x80 \xe2\x82");
    out = round_trip(in);
    ck_assert_str_eq(out->result.r.reason, "  tab nl   ? \xc3\xa9 ?? ??? ??");
    free(in);
    free(out);
}
END_TEST

START_TEST(check_announcement)
{
    struct wire_event *in = event(WIRE_CHECK), *out;

    strcpy(in->check.name, "n");
    strcpy(in->check.family, "blk");
    in->check.judges = HYPERVISOR;
    strcpy(in->check.proves, "a.1 b.2 c.3");
    strcpy(in->check.needs, "blk msix");
    strcpy(in->check.title, "Says \"what\"");
    strcpy(in->check.file, "harness/x.c");
    in->check.line = 12;
    in->check.timeout_ms = 5;
    out = round_trip(in);
    ck_assert_mem_eq(&out->check, &in->check, sizeof(in->check));
    memset(in->check.proves, 0, sizeof(in->check.proves));
    memset(in->check.needs, 0, sizeof(in->check.needs));
    free(out);
    out = round_trip(in);
    ck_assert_mem_eq(&out->check, &in->check, sizeof(in->check));
    free(in);
    free(out);
}
END_TEST

START_TEST(hello_end_and_calls)
{
    struct wire_event *in = event(WIRE_HELLO), *out;

    strcpy(in->hello.platform, "simxen");
    in->hello.role = WIRE_LINUX;
    in->hello.domid = 0x7ff0;
    in->hello.checks = 7;
    out = round_trip(in);
    ck_assert_mem_eq(&out->hello, &in->hello, sizeof(in->hello));
    free(in);
    free(out);

    in = event(WIRE_END);
    out = round_trip(in);
    ck_assert_int_eq(out->ev, WIRE_END);
    free(in);
    free(out);

    in = event(WIRE_ASK);
    in->call.id = 9;
    strcpy(in->call.name, "backend.kill");
    in->call.args = json_pack("{s:i}", "signal", 9);
    out = round_trip(in);
    ck_assert_uint_eq(out->call.id, 9);
    ck_assert_str_eq(out->call.name, "backend.kill");
    ck_assert(json_equal(out->call.args, in->call.args));
    wire_event_fini(in);
    wire_event_fini(out);
    wire_event_fini(out);
    free(in);
    free(out);

    in = event(WIRE_PEER_REPLY);
    in->call.id = INT64_MAX;
    strcpy(in->call.error, "EBUSY");
    out = round_trip(in);
    ck_assert(!out->call.ok);
    ck_assert_str_eq(out->call.error, "EBUSY");
    ck_assert_uint_eq(out->call.id, INT64_MAX);
    free(in);
    free(out);
}
END_TEST

START_TEST(requests)
{
    struct wire_request *q = calloc(1, sizeof(*q)), *got = calloc(1, sizeof(*got));
    char why[256], *line;
    size_t len;

    q->op = WIRE_RUN;
    strcpy(q->check, "blk.x");
    q->timeout_ms = 250;
    q->params = json_pack("{s:b}", "mixed", 1);
    line = wire_request_encode(q, &len);
    ck_assert_ptr_nonnull(line);
    ck_assert_int_eq(wire_request_decode(line, len - 1, got, why, sizeof(why)), 0);
    ck_assert_str_eq(got->check, "blk.x");
    ck_assert_uint_eq(got->timeout_ms, 250);
    ck_assert(json_equal(got->params, q->params));
    free(line);
    wire_request_fini(q);
    wire_request_fini(got);

    q->op = WIRE_ANSWER;
    q->call.id = 4;
    q->call.ok = true;
    q->call.value = json_null();
    line = wire_request_encode(q, &len);
    ck_assert_int_eq(wire_request_decode(line, len - 1, got, why, sizeof(why)), 0);
    ck_assert(got->call.ok && json_is_null(got->call.value));
    free(line);
    wire_request_fini(got);

    q->call.id = 0;
    errno = 0;
    ck_assert_ptr_null(wire_request_encode(q, &len));
    ck_assert_int_eq(errno, EINVAL);
    q->op = WIRE_PEER_CALL;
    q->call.id = 1;
    ck_assert_ptr_null(wire_request_encode(q, &len));
    q->op = WIRE_RUN;
    q->check[0] = '\0';
    ck_assert_ptr_null(wire_request_encode(q, &len));
    free(q);
    free(got);
}
END_TEST

START_TEST(too_long_to_send)
{
    struct wire_request *q = calloc(1, sizeof(*q));
    char *big = malloc(WIRE_LINE_MAX + 1);
    size_t len;

    memset(big, 'x', WIRE_LINE_MAX);
    big[WIRE_LINE_MAX] = '\0';
    q->op = WIRE_ANSWER;
    q->call.id = 1;
    q->call.ok = true;
    q->call.value = json_string(big);
    errno = 0;
    ck_assert_ptr_null(wire_request_encode(q, &len));
    ck_assert_int_eq(errno, EMSGSIZE);
    wire_request_fini(q);
    free(q);
    free(big);
}
END_TEST

#define RESULT(inner)                                                                              \
    "{\"ev\":\"result\",\"check\":\"a.b\",\"expectations\":1,\"duration_ns\":1," inner "}"
#define LISTS "\"failures\":[],\"notes\":[]"

static const char *const bad_events[] = {
    "",
    "nonsense",
    "[]",
    "7",
    "{}",
    "{\"ev\":7}",
    "{\"ev\":\"\"}",
    "{\"ev\":\"hullo\"}",
    "{\"ev\":\"end\",\"ev\":\"end\"}",
    "{\"ev\":\"end\",\"more\":1}",
    "{\"ev\":\"end\"} x",
    "{\"ev\":\"end\\u0000\"}",
    "{\"ev\":\"hello\"}",
    "{\"ev\":\"hello\",\"platform\":\"p\",\"domid\":65536,\"role\":\"domu\",\"checks\":1}",
    "{\"ev\":\"hello\",\"platform\":\"p\",\"domid\":-1,\"role\":\"domu\",\"checks\":1}",
    "{\"ev\":\"hello\",\"platform\":\"p\",\"domid\":1,\"role\":\"king\",\"checks\":1}",
    "{\"ev\":\"hello\",\"platform\":\"p\",\"domid\":1.0,\"role\":\"domu\",\"checks\":1}",
    "{\"ev\":\"ask\",\"id\":0,\"what\":\"x\"}",
    "{\"ev\":\"ask\",\"id\":1,\"what\":\"\"}",
    "{\"ev\":\"ask\",\"id\":1,\"what\":\"x\",\"args\":[]}",
    "{\"ev\":\"ask\",\"id\":99999999999999999999,\"what\":\"x\"}",
    "{\"ev\":\"peer\",\"id\":1}",
    "{\"ev\":\"peer\",\"id\":1,\"ok\":1}",
    "{\"ev\":\"peer\",\"id\":1,\"ok\":false}",
    "{\"ev\":\"peer\",\"id\":1,\"ok\":true,\"error\":\"x\"}",
    "{\"ev\":\"peer\",\"id\":1,\"ok\":false,\"error\":\"x\",\"value\":1}",
    "{\"ev\":\"check\",\"name\":\"n\",\"family\":\"f\",\"judges\":\"NOBODY\"}",
    "{\"ev\":\"check\",\"name\":\"n\",\"family\":\"f\",\"judges\":\"DEVICE\",\"proves\":[1]}",
    "{\"ev\":\"check\",\"name\":\"n\",\"family\":\"f\",\"judges\":\"DEVICE\",\"proves\":[\"a b\"]}",
    "{\"ev\":\"check\",\"name\":\"n\",\"family\":\"f\",\"judges\":\"DEVICE\",\"proves\":[\"\"]}",
    RESULT("\"outcome\":\"PASSED\"," LISTS),
    RESULT("\"outcome\":\"PASS\""),
    RESULT("\"outcome\":\"PASS\",\"failures\":[],\"notes\":{}"),
    RESULT("\"outcome\":\"FAIL\"," LISTS),
    RESULT("\"outcome\":\"PASS\",\"failures\":[{\"level\":\"MUST\",\"text\":\"x\"}],\"notes\":[]"),
    RESULT("\"outcome\":\"FAIL\",\"failures\":[7],\"notes\":[]"),
    RESULT("\"outcome\":\"FAIL\",\"failures\":[{\"level\":\"MAY\",\"text\":\"x\"}],\"notes\":[]"),
    RESULT("\"outcome\":\"FAIL\",\"failures\":[{\"level\":\"MUST\",\"text\":\"x\",\"y\":1}],"
           "\"notes\":[]"),
    RESULT("\"outcome\":\"FAIL\",\"failures\":[{\"level\":\"MUST\",\"text\":\"x\"},"
           "{\"level\":\"MUST\",\"text\":\"x\"}],\"failure_count\":1,\"notes\":[]"),
    RESULT(
        "\"outcome\":\"SKIP\",\"failures\":[],\"notes\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},"
        "{},{},{}]"),
    "{\"ev\":\"result\",\"check\":\"a.b\",\"outcome\":\"PASS\",\"expectations\":0,"
    "\"duration_ns\":1," LISTS "}",
};

START_TEST(hostile_events)
{
    struct wire_event *e = event(WIRE_END);
    char why[256] = "";

    ck_assert_int_eq(wire_event_decode(bad_events[_i], strlen(bad_events[_i]), e, why, sizeof(why)),
                     -EPROTO);
    ck_assert_msg(why[0] != '\0', "no reason for %s", bad_events[_i]);
    wire_event_fini(e);
    free(e);
}
END_TEST

static const char *const bad_requests[] = {
    "{\"op\":\"dance\"}",
    "{\"op\":\"list\",\"check\":\"x\"}",
    "{\"op\":\"run\"}",
    "{\"op\":\"run\",\"check\":7}",
    "{\"op\":\"run\",\"check\":\"x\",\"timeout_ms\":-5}",
    "{\"op\":\"run\",\"check\":\"x\",\"timeout_ms\":4294967296}",
    "{\"op\":\"run\",\"check\":\"x\",\"params\":\"y\"}",
    "{\"op\":\"answer\",\"id\":1}",
    "{\"op\":\"peer\",\"id\":1,\"call\":\"x\",\"ok\":true}",
    "{\"ev\":\"end\"}",
};

START_TEST(hostile_requests)
{
    struct wire_request *q = calloc(1, sizeof(*q));
    char why[256] = "";

    ck_assert_int_eq(
        wire_request_decode(bad_requests[_i], strlen(bad_requests[_i]), q, why, sizeof(why)),
        -EPROTO);
    ck_assert_int_ne(why[0], '\0');
    wire_request_fini(q);
    free(q);
}
END_TEST

START_TEST(hostile_sizes)
{
    struct wire_event *e = event(WIRE_END);
    char *deep = malloc(WIRE_LINE_MAX + 2), why[256];

    /* Nesting as deep as a line can be, and a line that is longer than allowed. */
    memset(deep, '[', WIRE_LINE_MAX + 1);
    ck_assert_int_eq(wire_event_decode(deep, WIRE_LINE_MAX - 1, e, why, sizeof(why)), -EPROTO);
    ck_assert_int_eq(wire_event_decode(deep, WIRE_LINE_MAX + 1, e, why, sizeof(why)), -EPROTO);
    ck_assert_ptr_nonnull(strstr(why, "bytes"));
    free(deep);
    free(e);
}
END_TEST

/* Feed `text` in pieces of `step` bytes and describe every line: L log, M message, O overlong. */
static void describe(bool prefixed, const char *text, size_t n, size_t step, char *out,
                     size_t out_bytes)
{
    struct wire_reader *r = wire_reader_create(prefixed);
    const char *line;
    size_t len, used = 0, at = 0;
    bool finishing = false;

    out[0] = '\0';
    for (;;) {
        enum wire_line k =
            finishing ? wire_reader_finish(r, &line, &len) : wire_reader_next(r, &line, &len);

        if (k != WIRE_NO_LINE) {
            used += (size_t)snprintf(out + used, out_bytes - used, "%c(%.*s)", " LMO"[k],
                                     (int)(len > 40 ? 40 : len), line);
            continue;
        }
        if (finishing)
            break;
        if (at == n) {
            finishing = true;
        } else {
            size_t space, k2 = n - at < step ? n - at : step;
            void *p = wire_reader_space(r, &space);

            ck_assert_uint_gt(space, 0);
            if (k2 > space)
                k2 = space;
            memcpy(p, text + at, k2);
            wire_reader_fed(r, k2);
            at += k2;
        }
    }
    wire_reader_destroy(r);
}

START_TEST(lines_in_any_pieces)
{
    static const char text[] = "[ 1.0] kernel\r\n@rp {\"a\":1}\r\n\n~ # @rp {\"b\":2}\n@rp x\n"
                               "mentions @rp only\n@rp {\"c\"";
    static const char want[] = "L([ 1.0] kernel)M({\"a\":1})L()L(~ # )M({\"b\":2})M(x)"
                               "L(mentions @rp only)M({\"c\")";
    char got[512];

    for (size_t step = 1; step < sizeof(text); step++) {
        describe(true, text, sizeof(text) - 1, step, got, sizeof(got));
        ck_assert_str_eq(got, want);
    }
    describe(false, "{1}\n\r\n\n{2}\r\n", 12, 5, got, sizeof(got));
    ck_assert_str_eq(got, "M({1})M({2})");
}
END_TEST

START_TEST(overlong_lines_are_dropped)
{
    size_t n = (size_t)3 * WIRE_LINE_MAX;
    char *text = malloc(n + 32), got[256];

    memset(text, 'y', n);
    snprintf(text + n, 32, "\n@rp {}\n");
    for (size_t step = 1000; step < n; step += 33333) {
        describe(true, text, n + 8, step, got, sizeof(got));
        ck_assert_str_eq(got, "O(yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy)M({})");
    }
    /* The longest line that is allowed is taken whole. */
    memset(text, 'z', WIRE_LINE_MAX - 1);
    text[WIRE_LINE_MAX - 1] = '\n';
    describe(true, text, WIRE_LINE_MAX, WIRE_LINE_MAX, got, sizeof(got));
    ck_assert_str_eq(got, "L(zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz)");
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wire");
    TCase *c = tcase_create("wire");

    tcase_add_test(c, result_survives_the_longest_texts);
    tcase_add_test(c, result_repairs_what_is_no_text);
    tcase_add_test(c, check_announcement);
    tcase_add_test(c, hello_end_and_calls);
    tcase_add_test(c, requests);
    tcase_add_test(c, too_long_to_send);
    tcase_add_loop_test(c, hostile_events, 0, sizeof(bad_events) / sizeof(bad_events[0]));
    tcase_add_loop_test(c, hostile_requests, 0, sizeof(bad_requests) / sizeof(bad_requests[0]));
    tcase_add_test(c, hostile_sizes);
    tcase_add_test(c, lines_in_any_pieces);
    tcase_add_test(c, overlong_lines_are_dropped);
    suite_add_tcase(s, c);
    return unit_run(s);
}
