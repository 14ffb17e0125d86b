/* SPDX-License-Identifier: MIT */
/*
 * A connection to Xenstore, the tree of small strings through which toolstacks and the two ends
 * of a device tell each other what there is.
 *
 * Paths are absolute, "/local/domain/0/...", or relative to the own domain's home. Only letters,
 * digits and - / _ @ may occur; values are text here. Every function reports its failure by a
 * negative errno, and store_error says it in words with the path that it was about:
 *   -ENOENT  no such node        -EACCES  not ours to read or write
 *   -EINVAL  a bad path, or a value that is not of the wanted form
 *   -EDQUOT  the store is full for this domain (Xen's ENOSPC and EQUOTA)
 *   -EAGAIN  a transaction lost against others as often as we retry
 *   -ENOTCONN  xenstored has gone
 *
 * One thread, that of the loop.
 */
#ifndef RP_XEN_STORE_H
#define RP_XEN_STORE_H

#include "util/evloop.h"
#include "util/types.h"

struct store;
/* A transaction, or STORE_DIRECT for an operation of its own. */
typedef uint32_t store_txn_t;
#define STORE_DIRECT ((store_txn_t)0)

/* Longest absolute path that Xenstore takes, and its NUL. */
#define STORE_PATH_BYTES 3073

/* Connect. The descriptor of watch events is put into the loop. -ENOENT, -ECONNREFUSED: no
 * xenstored; -EACCES. */
int store_open(struct evloop *loop, struct store **out);
/* Watches end with it. NULL is allowed. */
void store_close(struct store *s);

/* The last failure in words, with its path: "reading /a/b: No such file or directory". */
const char *store_error(const struct store *s);

/* The domain id that this process runs in. A store without the node "domid" is dom0's before its
 * initialisation: 0. */
int store_own_domid(struct store *s, uint16_t *domid);
/* Whether xenstored knows the domain, that is, it exists and has been introduced: 1, 0, or -errno
 * when it gives no answer. */
int store_domain_introduced(struct store *s, uint16_t domid);

/* *value is the caller's (free). */
int store_read(struct store *s, store_txn_t t, const char *path, char **value);
/* A number in the form of util/parse.h. -ERANGE outside [min, max]. */
int store_read_u64(struct store *s, store_txn_t t, const char *path, uint64_t min, uint64_t max,
                   uint64_t *value);
/* Names of the children; one allocation, the caller frees *names. */
int store_list(struct store *s, store_txn_t t, const char *path, char ***names, unsigned *count);
int store_write(struct store *s, store_txn_t t, const char *path, const char *value);
int store_printf(struct store *s, store_txn_t t, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A node and all below it; -ENOENT when it was not there. */
int store_remove(struct store *s, store_txn_t t, const char *path);

/*
 * Run `body` in a transaction until it commits, at most STORE_RETRIES times. A negative result of
 * body abandons the transaction and is returned.
 */
#define STORE_RETRIES 64
int store_transact(struct store *s, int (*body)(struct store *s, store_txn_t t, void *user),
                   void *user);

/*
 * Watch a node and all below it. Caller storage, borrowed until store_unwatch. `fired` is called
 * from the loop with the path that changed, once at first without any change (Xenstore's rule),
 * and may be called without need: a watch is a hint to look.
 */
struct store_watch {
    const char *path; /* borrowed; or "@introduceDomain", "@releaseDomain" */
    void (*fired)(struct store_watch *w, const char *path);
    void *user;
    uint32_t token; /* private from here */
    struct store_watch *next;
};
int store_watch(struct store *s, struct store_watch *w);
void store_unwatch(struct store *s, struct store_watch *w);

#endif
