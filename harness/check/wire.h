/* SPDX-License-Identifier: MIT */
/*
 * The line protocol between the runner and an agent.
 *
 *     runner -> agent   requests: one JSON object a line, on the agent's stdin
 *     agent -> runner   events: "@rp " and one JSON object a line, on its stdout
 *
 * The agent may sit behind a serial console that also carries kernel messages, a prompt, or
 * carriage returns. So a line without the prefix is not an error but a *log line*, and text in
 * front of the prefix is a log line of its own. What does carry the prefix is checked strictly:
 * an unknown operation, an unknown or missing member, a wrong type, a number out of range, a line
 * of more than WIRE_LINE_MAX bytes are all errors that name what is wrong. Neither side trusts the
 * other: a vendor's guest can print anything.
 *
 * Requests (members in [] may be absent):
 *     {"op":"list"}
 *     {"op":"run","check":"blk.read_one_sector"[,"timeout_ms":5000][,"params":{...}]}
 *     {"op":"quit"}
 *     {"op":"answer","id":7,"ok":true[,"value":any]}     reply to an ask
 *     {"op":"answer","id":7,"ok":false,"error":"text"}   "not supported...": it never will be
 *     {"op":"peer","id":9,"call":"grant.share"[,"args":{...}]}   for a check in another domain
 *
 * Events:
 *     {"ev":"hello","platform":"simxen","domid":1,"role":"domu","checks":123}
 *     {"ev":"check",...} one per check after list, then {"ev":"end"}
 *     {"ev":"ask","id":7,"what":"backend.kill"[,"args":{...}]}  the check waits for the answer
 *     {"ev":"peer","id":9,"ok":...}                      as answer
 *     {"ev":"result",...}                                see wire_result_to_json
 *
 * Ids are chosen by the side that asks, and are not 0.
 */
#ifndef RP_CHECK_WIRE_H
#define RP_CHECK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "check/check.h"

#define WIRE_PREFIX   "@rp "
#define WIRE_LINE_MAX 65536u /* bytes of one line, prefix and newline included */
#define WIRE_NAME_MAX 128u   /* bytes of a check's full name, a call, a platform, with the NUL */
#define WIRE_TEXT_MAX 1024u  /* bytes of a title, an error, a list of ids, with the NUL */

/* What an agent is. Each role has checks of its own. */
enum wire_role {
    WIRE_DOMU,  /* the driver itself, on a platform */
    WIRE_DOM0,  /* a device model, by libxen */
    WIRE_LINUX, /* a program of a stock Linux, whose kernel is the driver */
    WIRE_ROLES
};

enum wire_op { WIRE_LIST, WIRE_RUN, WIRE_QUIT, WIRE_ANSWER, WIRE_PEER_CALL };
enum wire_ev { WIRE_HELLO, WIRE_CHECK, WIRE_END, WIRE_ASK, WIRE_PEER_REPLY, WIRE_RESULT };

/*
 * A call in one direction or its reply in the other (answer, ask, peer).
 * json members: decode gives an owned reference or NULL; encode borrows.
 */
struct wire_call {
    uint64_t id;
    char name[WIRE_NAME_MAX];  /* call or what; empty in a reply */
    json_t *args;              /* object or NULL; NULL in a reply */
    bool ok;                   /* replies */
    json_t *value;             /* replies with ok: any JSON, or NULL */
    char error[WIRE_TEXT_MAX]; /* replies without ok */
};

/* A check as the agent announces it. Lists are separated by single spaces. */
struct wire_check {
    char name[WIRE_NAME_MAX];   /* without the family */
    char family[WIRE_NAME_MAX]; /* full name: family.name */
    enum check_judges judges;
    char proves[WIRE_TEXT_MAX];
    char needs[WIRE_TEXT_MAX];
    char title[WIRE_TEXT_MAX];
    char file[WIRE_TEXT_MAX]; /* as the compiler saw it; may be empty */
    uint32_t line;
    uint32_t timeout_ms; /* 0: the runner's default */
};

struct wire_request {
    enum wire_op op;
    /* WIRE_RUN */
    char check[WIRE_NAME_MAX]; /* full name */
    uint32_t timeout_ms;       /* 0: the check's own, or the agent's default */
    json_t *params;            /* object or NULL; decode: owned, encode: borrowed */
    /* WIRE_ANSWER, WIRE_PEER_CALL */
    struct wire_call call;
};

struct wire_event {
    enum wire_ev ev;
    struct {
        char platform[WIRE_NAME_MAX];
        uint16_t domid;
        enum wire_role role; /* "domu", "dom0", "linux" */
        uint32_t checks;
    } hello;                 /* WIRE_HELLO */
    struct wire_check check; /* WIRE_CHECK */
    struct wire_call call;   /* WIRE_ASK, WIRE_PEER_REPLY */
    struct {
        char check[WIRE_NAME_MAX]; /* full name */
        struct check_result r;
    } result; /* WIRE_RESULT */
};

/*
 * Encode: a malloc'd line ending in '\n' (for events with the prefix), owned by the caller; *len
 * its bytes without the NUL. Text that is not UTF-8 is repaired, control characters become
 * spaces. NULL with errno: ENOMEM, EMSGSIZE (longer than WIRE_LINE_MAX), EINVAL (id 0, an empty
 * name, args that are no object).
 */
char *wire_request_encode(const struct wire_request *q, size_t *len);
char *wire_event_encode(const struct wire_event *e, size_t *len);

/*
 * Decode one line of `len` bytes without its newline; for events without the prefix, too (the
 * reader below takes both off). 0, or -EPROTO with the reason in `why`, or -ENOMEM. On error *out
 * holds nothing. After success, give json members back with the fini function.
 */
int wire_request_decode(const char *line, size_t len, struct wire_request *out, char *why,
                        size_t why_bytes);
int wire_event_decode(const char *line, size_t len, struct wire_event *out, char *why,
                      size_t why_bytes);
void wire_request_fini(struct wire_request *q);
void wire_event_fini(struct wire_event *e);

/*
 * The one mapping between struct check_result and JSON, for the protocol and for reports:
 *     {"outcome":"FAIL","expectations":3,"duration_ns":81230,"reason":"",
 *      "failures":[{"level":"MUST","file":"..","line":12,"text":".."}, up to 8],
 *      "failure_count":9,                       all failed expectations, kept or not
 *      "notes":[{"name":"..","value":".."}, up to 16]}
 * to_json: a new reference, NULL without memory. from_json ignores members that it does not know
 * (the caller's frame checks those), and gives 0 or -EPROTO with the reason in `why`.
 */
json_t *wire_result_to_json(const struct check_result *r);
int wire_result_from_json(const json_t *o, struct check_result *r, char *why, size_t why_bytes);

/* Names as they are written: "MUST", "DEVICE". from_name: false when the name is unknown. */
const char *wire_level_name(enum check_level l);
const char *wire_judges_name(enum check_judges j);
const char *wire_role_name(enum wire_role r);
bool wire_outcome_from_name(const char *name, enum outcome *out);
bool wire_level_from_name(const char *name, enum check_level *out);
bool wire_judges_from_name(const char *name, enum check_judges *out);
bool wire_role_from_name(const char *name, enum wire_role *out);

/*
 * Bytes to lines. Feed what read(2) gave, then take lines until there is none. The returned text
 * lies in the reader and is valid until the next call of either function.
 */
enum wire_line {
    WIRE_NO_LINE,  /* feed more */
    WIRE_LOG_LINE, /* no protocol; CR and NL are taken off, *len may be 0 */
    WIRE_MESSAGE,  /* prefix and line end are taken off */
    WIRE_OVERLONG, /* a line longer than WIRE_LINE_MAX was dropped; *text is its beginning */
};

struct wire_reader;

/* `prefixed`: true where events are read; false for requests, every line of which is a message
 * (an empty line is skipped). NULL without memory. */
struct wire_reader *wire_reader_create(bool prefixed);
void wire_reader_destroy(struct wire_reader *r); /* NULL is allowed */
/* The reader's free space, to read(2) into: at least 1 byte after all lines have been taken. */
void *wire_reader_space(struct wire_reader *r, size_t *bytes);
void wire_reader_fed(struct wire_reader *r, size_t bytes);
enum wire_line wire_reader_next(struct wire_reader *r, const char **text, size_t *len);
/* End of input: what is left without a newline. Call until there is none. */
enum wire_line wire_reader_finish(struct wire_reader *r, const char **text, size_t *len);

#endif
