/* SPDX-License-Identifier: MIT */
/* agent/peer.h on a platform made of memory: calls, refusals, and what reset gives back. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/peer.h"
#include "unit/run.h"

/* ---- the platform ---- */

struct fake {
    struct fe_platform p;
    unsigned pages, grants, irqs; /* given out */
    uint32_t next_ref;
    bool busy;            /* grants cannot be revoked */
    pthread_mutex_t gate; /* held: accesses wait */
};

static struct fake *fake_of(struct fe_platform *p)
{
    return (struct fake *)p;
}

static int fake_read(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                     uint64_t *value)
{
    pthread_mutex_lock(&fake_of(p)->gate);
    pthread_mutex_unlock(&fake_of(p)->gate);
    *value = addr + vcpu + bytes;
    return addr == 0xbad ? -EFAULT : 0;
}

static int fake_write(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                      uint64_t value)
{
    (void)vcpu;
    (void)bytes;
    (void)value;
    (void)p;
    return addr == 0xbad ? -EFAULT : 0;
}

static int fake_alloc(struct fe_platform *p, unsigned n, unsigned flags, void **va)
{
    (void)flags;
    *va = aligned_alloc(4096, (size_t)n * 4096);
    fake_of(p)->pages += n;
    return *va ? 0 : -ENOMEM;
}

static void fake_free(struct fe_platform *p, void *va, unsigned n)
{
    fake_of(p)->pages -= n;
    free(va);
}

static int fake_gfn(struct fe_platform *p, const void *va, uint64_t *gfn)
{
    (void)p;
    *gfn = (uintptr_t)va >> 12;
    return 0;
}

static int fake_grant(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                      gref_t *first)
{
    (void)va;
    (void)flags;
    if (peer == 666)
        return -ENOSPC;
    *first = gref_make(fake_of(p)->next_ref);
    fake_of(p)->next_ref += n;
    fake_of(p)->grants += n;
    return 0;
}

static int fake_grant_at(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                         gref_t first)
{
    (void)va;
    (void)peer;
    (void)flags;
    if (first.raw < fake_of(p)->next_ref)
        return -EEXIST;
    fake_of(p)->grants += n;
    return 0;
}

static int fake_revoke(struct fe_platform *p, gref_t first, unsigned n)
{
    (void)first;
    if (fake_of(p)->busy)
        return -EBUSY;
    fake_of(p)->grants -= n;
    return 0;
}

static int fake_in_use(struct fe_platform *p, gref_t ref, unsigned *in_use)
{
    (void)ref;
    *in_use = fake_of(p)->busy ? 3 : 0;
    return 0;
}

static int fake_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq)
{
    (void)vcpu;
    *msi = (struct fe_msi){.addr = 0xfee00000, .data = 0x31};
    *irq = ++fake_of(p)->irqs;
    return 0;
}

static void fake_irq_free(struct fe_platform *p, fe_irq_t irq)
{
    (void)irq;
    fake_of(p)->irqs--;
}

static int fake_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    (void)p;
    (void)irq;
    return timeout_ns > 1000000;
}

static const struct fe_platform_ops fake_ops = {
    .mmio_read = fake_read,
    .mmio_write = fake_write,
    .pages_alloc = fake_alloc,
    .pages_free = fake_free,
    .gfn = fake_gfn,
    .grant = fake_grant,
    .grant_at = fake_grant_at,
    .revoke = fake_revoke,
    .grant_in_use = fake_in_use,
    .irq_msi = fake_msi,
    .irq_free = fake_irq_free,
    .irq_wait = fake_irq_wait,
};

static struct fake fake;
static struct peer *peer;

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.p = (struct fe_platform){.ops = &fake_ops, .name = "fake", .domid = 5, .nr_vcpus = 2};
    fake.next_ref = 8;
    pthread_mutex_init(&fake.gate, NULL);
    peer = peer_create(&fake.p, 0xe7ff0000);
}

static void teardown(void)
{
    peer_destroy(peer);
    ck_assert_uint_eq(fake.pages, 0);
    ck_assert_uint_eq(fake.grants, 0);
    ck_assert_uint_eq(fake.irqs, 0);
}

/* The reply as text: compact JSON, or the error behind a '!'. */
static const char *call(const char *name, const char *args)
{
    static char text[WIRE_TEXT_MAX + 2];
    struct wire_call *c = calloc(2, sizeof(*c));
    char *dump;

    snprintf(c[0].name, sizeof(c[0].name), "%s", name);
    c[0].args = args ? json_loads(args, 0, NULL) : NULL;
    ck_assert(!args || c[0].args);
    peer_serve_call(peer, &c[0], &c[1]);
    if (c[1].ok) {
        dump = json_dumps(c[1].value, JSON_COMPACT);
        snprintf(text, sizeof(text), "%s", dump);
        free(dump);
    } else {
        ck_assert_ptr_null(c[1].value);
        snprintf(text, sizeof(text), "!%s", c[1].error);
    }
    json_decref(c[0].args);
    json_decref(c[1].value);
    free(c);
    return text;
}

#define SAYS(want, name, args) ck_assert_str_eq(call(name, args), want)
#define REFUSES(part, name, args)                                                                  \
    do {                                                                                           \
        const char *s_ = call(name, args);                                                         \
        ck_assert_msg(s_[0] == '!' && strstr(s_, part), "%s", s_);                                 \
    } while (0)

START_TEST(pages_and_grants)
{
    SAYS("{\"domid\":5,\"nr_vcpus\":2,\"arm\":false,\"platform\":\"fake\","
         "\"window\":\"0xe7ff0000\"}",
         "domain.info", NULL);
    ck_assert_ptr_nonnull(
        strstr(call("grant.share", "{\"pages\":2,\"pattern\":171}"), "\"ref\":8"));
    SAYS("{\"hex\":\"abab\"}", "pages.read", "{\"id\":1,\"offset\":8190,\"bytes\":2}");
    SAYS("{}", "pages.write", "{\"id\":1,\"offset\":4095,\"hex\":\"0102\"}");
    SAYS("{\"hex\":\"ab0102ab\"}", "pages.read", "{\"id\":1,\"offset\":4094,\"bytes\":4}");
    SAYS("{\"ref\":10}", "grant.add", "{\"id\":1}");
    SAYS("{\"ref\":50}", "grant.at", "{\"id\":1,\"ref\":50,\"readonly\":true}");
    SAYS("!EEXIST", "grant.at", "{\"id\":1,\"ref\":9}");
    SAYS("!ENOSPC", "grant.add", "{\"id\":1,\"domid\":666}");
    SAYS("{\"in_use\":0}", "grant.in_use", "{\"ref\":8}");
    REFUSES("still granted", "pages.free", "{\"id\":1}");
    fake.busy = true;
    SAYS("!EBUSY", "grant.revoke", "{\"ref\":8}");
    SAYS("!EBUSY", "reset", NULL);
    fake.busy = false;
    SAYS("{}", "grant.revoke", "{\"ref\":8}");
    REFUSES("not the first", "grant.revoke", "{\"ref\":8}");
    SAYS("{}", "reset", NULL);
    ck_assert_uint_eq(fake.pages, 0);
    ck_assert_uint_eq(fake.grants, 0);
}
END_TEST

START_TEST(a_refused_grant_keeps_no_pages)
{
    SAYS("!ENOSPC", "grant.share", "{\"domid\":666}");
    ck_assert_uint_eq(fake.pages, 0);
}
END_TEST

START_TEST(accesses)
{
    SAYS("{\"value\":\"0x1005\"}", "mmio.read", "{\"addr\":\"0x1000\",\"bytes\":4,\"vcpu\":1}");
    SAYS("!EFAULT", "mmio.read", "{\"addr\":\"0xbad\",\"bytes\":4}");
    SAYS("!EFAULT", "mmio.write",
         "{\"addr\":\"0xbad\",\"bytes\":8,\"value\":\"0xffffffffffffffff\"}");
    pthread_mutex_lock(&fake.gate);
    SAYS("{\"id\":1}", "mmio.start", "{\"addr\":\"0xbad\",\"bytes\":8}");
    REFUSES("still waiting", "mmio.read", "{\"addr\":16,\"bytes\":1}");
    SAYS("{\"done\":false}", "mmio.wait", "{\"id\":1,\"timeout_ms\":20}");
    SAYS("!EINPROGRESS", "reset", NULL);
    pthread_mutex_unlock(&fake.gate);
    SAYS("{\"done\":true,\"errno\":14,\"value\":\"0xbb5\"}", "mmio.wait",
         "{\"id\":1,\"timeout_ms\":10000}");
    REFUSES("no such access", "mmio.wait", "{\"id\":1,\"timeout_ms\":1}");
}
END_TEST

START_TEST(interrupts)
{
    SAYS("{\"irq\":1,\"addr\":\"0xfee00000\",\"data\":\"0x31\"}", "irq.msi", NULL);
    SAYS("{\"fired\":false}", "irq.wait", "{\"irq\":1,\"timeout_ms\":0}");
    SAYS("{\"fired\":true}", "irq.wait", "{\"irq\":1,\"timeout_ms\":2}");
    SAYS("{}", "irq.free", "{\"irq\":1}");
    REFUSES("no such interrupt", "irq.free", "{\"irq\":1}");
    call("irq.msi", NULL);
}
END_TEST

static const struct {
    const char *name, *args;
} bad[] = {
    {"dance", NULL},
    {"pages.alloc", "{\"pages\":0}"},
    {"pages.alloc", "{\"pages\":257}"},
    {"pages.alloc", "{\"pages\":-1}"},
    {"pages.alloc", "{\"pattern\":256}"},
    {"pages.read", NULL},
    {"pages.read", "{\"id\":1,\"offset\":4096,\"bytes\":1}"},
    {"pages.read", "{\"id\":1,\"offset\":0,\"bytes\":257}"},
    {"pages.read", "{\"id\":7,\"offset\":0,\"bytes\":1}"},
    {"pages.read", "{\"id\":1,\"offset\":\"0x7fffffffffffffff\",\"bytes\":1}"},
    {"pages.write", "{\"id\":1,\"offset\":4095,\"hex\":\"0102\"}"},
    {"pages.write", "{\"id\":1,\"offset\":0,\"hex\":\"012\"}"},
    {"pages.write", "{\"id\":1,\"offset\":0,\"hex\":\"zz\"}"},
    {"pages.write", "{\"id\":1,\"offset\":0}"},
    {"page.gfn", "{\"id\":1,\"page\":1}"},
    {"grant.add", "{\"id\":1,\"readonly\":1}"},
    {"grant.add", "{\"id\":1,\"domid\":65536}"},
    {"grant.at", "{\"id\":1}"},
    {"grant.revoke", "{\"ref\":1}"},
    {"mmio.read", "{\"addr\":\"16 \",\"bytes\":4}"},
    {"mmio.read", "{\"addr\":16,\"bytes\":3}"},
    {"mmio.read", "{\"addr\":16,\"bytes\":4,\"vcpu\":2}"},
    {"mmio.write", "{\"addr\":16,\"bytes\":4}"},
    {"mmio.wait", "{\"id\":1}"},
    {"irq.msi", "{\"vcpu\":2}"},
    {"irq.intx", "{\"sbdf\":\"x\",\"pin\":1}"},
    {"irq.wait", "{\"irq\":9,\"timeout_ms\":1}"},
};

START_TEST(wrong_calls_are_refused)
{
    const char *s;

    ck_assert_ptr_nonnull(strstr(call("pages.alloc", NULL), "\"id\":1"));
    s = call(bad[_i].name, bad[_i].args);
    ck_assert_msg(s[0] == '!' && s[1] != '\0', "%s %s: %s", bad[_i].name,
                  bad[_i].args ? bad[_i].args : "", s);
    ck_assert_uint_eq(fake.pages, 1);
}
END_TEST

START_TEST(holdings_are_bounded)
{
    unsigned n = 0;

    while (n < 2000 && call("pages.alloc", NULL)[0] == '{')
        n++;
    ck_assert_uint_gt(n, 100);
    ck_assert_uint_lt(n, 2000);
    SAYS("{}", "reset", NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent");
    TCase *c = tcase_create("peer");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, pages_and_grants);
    tcase_add_test(c, a_refused_grant_keeps_no_pages);
    tcase_add_test(c, accesses);
    tcase_add_test(c, interrupts);
    tcase_add_loop_test(c, wrong_calls_are_refused, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(c, holdings_are_bounded);
    suite_add_tcase(s, c);
    return unit_run(s);
}
