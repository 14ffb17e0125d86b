/* SPDX-License-Identifier: MIT */
/*
 * A guest that runs before its backend: Xen has started it (dom0less), or a driver domain comes
 * late. An access that nobody claims is then an abort on Arm, unless Xen has a background there.
 * Three answers exist: the backend claims the whole window at once and early, so that the bus is
 * there before its devices; Xen answers what nobody claims; the guest waits until it is told.
 *
 * Each of these checks begins without a backend, in a domain that has never had one, and has it
 * started while the guest looks.
 */
#define CHECK_FAMILY "dom0less"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/ring.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_pci.h"

#define EARLY          (NEED_PCI | NEED_TESTBED | NEED_UNSERVED)
#define ALL_ONES_32    0xffffffffu
#define LOOK_NS        MS(1)
#define LIMIT_START_NS MS(60000) /* for a backend's start, on an emulated machine, too */

/* ---- places ---- */

/* Both ends of both windows, and the function under test. */
enum corner { CORNER_FUNCTION, CORNER_ECAM_LAST, CORNER_MEM_FIRST, CORNER_MEM_LAST, CORNERS };

static const char *const corner_names[CORNERS] = {
    [CORNER_FUNCTION] = "the function's configuration",
    [CORNER_ECAM_LAST] = "the end of the ECAM window",
    [CORNER_MEM_FIRST] = "the start of the BAR window",
    [CORNER_MEM_LAST] = "the end of the BAR window",
};

static uint64_t corner_addr(struct check_ctx *t, enum corner c)
{
    const struct subject *s = check_subject(t);
    const struct fe_pci_host *h = given_host(t);
    uint64_t addr = 0;

    switch (c) {
    case CORNER_FUNCTION:
        if (fe_ecam_addr(h, s->place.sbdf, 0, &addr))
            error_out(t, "the function is behind no bridge");
        return addr;
    case CORNER_ECAM_LAST:
        return h->bridge.ecam_base + h->bridge.ecam_bytes - 4;
    case CORNER_MEM_FIRST:
        return h->bridge.mem_base;
    default:
        return h->bridge.mem_base + h->bridge.mem_bytes - 4;
    }
}

/* Does an access that nobody claims abort here? Nothing is claimed yet. */
static bool unclaimed_aborts(struct check_ctx *t)
{
    const struct subject *s = check_subject(t);
    uint64_t value;

    return s->platform->ops->mmio_read(s->platform, 0, corner_addr(t, CORNER_FUNCTION), 4,
                                       &value) == -EFAULT;
}

/* ---- a guest that looks while its backend starts ---- */

/* The only thread that makes accesses; the one of the check waits for the testbed meanwhile. */
struct look {
    struct fe_platform *platform;
    uint64_t addr[CORNERS];
    char told_key[64];
    pthread_t thread;
    bool joined;
    _Atomic uint64_t deadline_ns;
    atomic_bool over; /* the check has what it waited for */
    /* Results, after the thread's end. */
    bool answered; /* somebody answered at the function's address; what then was at the corners: */
    int rc[CORNERS];
    bool seen; /* the function was there: its vendor and device */
    uint32_t function;
    unsigned before; /* looks until then */
    bool wrong;      /* an access until then did not read all ones: the first of them */
    int wrong_rc;
    uint32_t wrong_value;
    bool told;
    int told_rc; /* at the function, as soon as the guest was told */
    uint32_t told_value;
};

static bool look_on(struct look *l)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};

    if (atomic_load(&l->over) || given_now_ns() >= atomic_load(&l->deadline_ns))
        return false;
    nanosleep(&pause, NULL);
    return true;
}

static int look_read(struct look *l, enum corner c, uint32_t *value)
{
    uint64_t wide = 0;
    int rc = l->platform->ops->mmio_read(l->platform, 0, l->addr[c], 4, &wide);

    *value = (uint32_t)wide;
    return rc;
}

/* Until anything answers at the function's address; then at once everywhere. */
static void *look_for_a_window(void *arg)
{
    struct look *l = arg;
    uint32_t value;

    do
        l->answered = look_read(l, CORNER_FUNCTION, &value) != -EFAULT;
    while (!l->answered && look_on(l));
    for (unsigned c = 0; l->answered && c < CORNERS; c++)
        l->rc[c] = look_read(l, (enum corner)c, &value);
    return NULL;
}

/* A driver that probes again and again while it reads all ones. */
static void *look_for_the_function(void *arg)
{
    struct look *l = arg;
    uint32_t value = 0;

    do {
        int rc = look_read(l, CORNER_FUNCTION, &value);

        l->seen = rc == 0 && (value & 0xffff) == VIRTIO_PCI_VENDOR_ID;
        if (l->seen)
            break;
        l->before++;
        if (!l->wrong && (rc || value != ALL_ONES_32)) {
            l->wrong = true;
            l->wrong_rc = rc;
            l->wrong_value = value;
        }
    } while (look_on(l));
    l->function = value;
    return NULL;
}

/* A guest that waits for the word, and then looks once. */
static void *wait_for_the_word(void *arg)
{
    struct look *l = arg;
    char *value = NULL;

    do {
        free(value);
        value = NULL;
        l->told = l->platform->ops->store_read(l->platform, l->told_key, &value) == 0 &&
                  !strcmp(value, "ready");
    } while (!l->told && look_on(l));
    free(value);
    if (l->told)
        l->told_rc = look_read(l, CORNER_FUNCTION, &l->told_value);
    return NULL;
}

static void look_join(struct look *l)
{
    if (!l->joined)
        pthread_join(l->thread, NULL);
    l->joined = true;
}

static void look_finish(void *arg)
{
    struct look *l = arg;

    atomic_store(&l->over, true);
    look_join(l);
    free(l);
}

static struct look *look_begin(struct check_ctx *t, void *(*what)(void *))
{
    struct look plan = {.platform = ((const struct subject *)check_subject(t))->platform}, *l;

    for (unsigned c = 0; c < CORNERS; c++)
        plan.addr[c] = corner_addr(t, (enum corner)c);
    given_ask_text(t, "device.info", NULL, "told_key", plan.told_key, sizeof(plan.told_key));
    l = calloc(1, sizeof(*l));
    if (!l)
        error_out(t, "no memory");
    *l = plan;
    atomic_store(&l->deadline_ns, given_now_ns() + LIMIT_START_NS);
    if (pthread_create(&l->thread, NULL, what, l)) {
        free(l);
        error_out(t, "no thread");
    }
    check_defer(t, look_finish, l);
    return l;
}

/* The backend is ready: the look ends now, or a moment later. */
static void look_wait(struct look *l, uint64_t timeout_ns)
{
    uint64_t end = given_now_ns() + timeout_ns;

    if (atomic_load(&l->deadline_ns) > end)
        atomic_store(&l->deadline_ns, end);
    look_join(l);
}

/* What the store tells the guest, or the check is of no use here. */
static bool is_told(struct check_ctx *t, const char *key)
{
    const struct subject *s = check_subject(t);
    char *value = NULL;
    int rc = s->platform->ops->store_read(s->platform, key, &value);
    bool told = rc == 0 && !strcmp(value, "ready");

    free(value);
    if (rc && rc != -ENOENT)
        error_out(t, "reading the domain's own store: %s", strerror(-rc));
    return told;
}

/* ---- checks ---- */

CHECK(unclaimed_access_ends, .judges = HYPERVISOR, .proves = "xen.dom0less.unclaimed.1",
      .needs = EARLY, .timeout_ms = 60000,
      .title = "Before anybody claims, an access aborts or reads all ones; the guest survives")
{
    const struct subject *s = check_subject(t);
    const struct fe_platform_ops *ops = s->platform->ops;
    bool aborts = unclaimed_aborts(t);

    note(t, "an unclaimed access", aborts ? "aborts" : "reads all ones");
    for (unsigned c = 0; c < CORNERS; c++) {
        uint64_t value = 0, addr = corner_addr(t, (enum corner)c);
        int rc = ops->mmio_read(s->platform, 0, addr, 4, &value);

        expect(t, MUST, aborts ? rc == -EFAULT : rc == 0 && value == ALL_ONES_32,
               "a read that nobody claims, at %s, gives 0x%llx (%s)", corner_names[c],
               (unsigned long long)value, strerror(-rc));
        rc = ops->mmio_write(s->platform, 0, addr, 4, 0);
        expect(t, MUST, rc == (aborts ? -EFAULT : 0), "a write that nobody claims, at %s: %s",
               corner_names[c], strerror(-rc));
    }
    given_ask(t, "backend.start", NULL);
    device_status(given_device(t));
}

CHECK(served_when_ready, .judges = DEVICE, .proves = "xen.dom0less.ready.1", .needs = EARLY,
      .timeout_ms = 60000,
      .title = "A backend that says it is ready serves the whole window and every device")
{
    const struct subject *s = check_subject(t);
    struct device *d;

    given_ask(t, "backend.start", NULL);
    for (unsigned c = 0; c < CORNERS; c++) {
        uint64_t value = 0;
        int rc =
            s->platform->ops->mmio_read(s->platform, 0, corner_addr(t, (enum corner)c), 4, &value);

        expect(t, MUST, rc == 0, "%s is not claimed: %s", corner_names[c], strerror(-rc));
        if (c == CORNER_FUNCTION)
            expect_eq(t, MUST, value & 0xffff, VIRTIO_PCI_VENDOR_ID, "the vendor of the function");
    }
    d = given_negotiated(t, 0);
    device_driver_ok(d);
    expect(t, MUST, device_status(d) & VIRTIO_STATUS_DRIVER_OK, "the driver cannot start");
}

CHECK(window_is_claimed_at_once, .judges = DEVICE, .proves = "xen.dom0less.window.1",
      .needs = EARLY, .timeout_ms = 90000,
      .title = "When the first access is answered, every access in the windows is")
{
    struct look *l;

    if (!unclaimed_aborts(t))
        skip_check(t, "what nobody claims does not abort here: a claim cannot be seen");
    l = look_begin(t, look_for_a_window);
    given_ask(t, "backend.start", NULL);
    look_wait(l, LIMIT_REPLY_NS);
    expect(t, MUST, l->answered, "the ECAM window is not claimed");
    for (unsigned c = 0; l->answered && c < CORNERS; c++)
        expect(t, MUST, l->rc[c] == 0, "the window was claimed in pieces: %s: %s", corner_names[c],
               strerror(-l->rc[c]));
}

CHECK(
    probe_repeats_until_found, .judges = DEVICE, .proves = "xen.dom0less.probe.1", .needs = EARLY,
    .timeout_ms = 90000,
    .title = "A driver that probes all the time sees all ones, then the function; nothing between")
{
    struct look *l;
    uint64_t now;

    if (unclaimed_aborts(t))
        skip_check(t, "what nobody claims aborts here: a probe needs a background region");
    l = look_begin(t, look_for_the_function);
    given_ask(t, "backend.start", NULL);
    look_wait(l, LIMIT_REPLY_NS);
    note(t, "looks before it was there", "%u", l->before);
    expect(t, MUST, !l->wrong, "before the function was there a probe read 0x%x (%s)",
           l->wrong_value, strerror(-l->wrong_rc));
    expect(t, MUST, l->seen, "the function was not found");
    now = config_get(given_device(t), 0, 4);
    expect_eq(t, MUST, l->function, now, "what the first probe that found it read");
}

CHECK(told_when_all_is_claimed, .judges = DEVICE, .proves = "xen.dom0less.told.1", .needs = EARLY,
      .timeout_ms = 90000,
      .title = "A guest that waits until its store says so finds the function with one look")
{
    struct look *l = look_begin(t, wait_for_the_word);

    if (!l->told_key[0])
        skip_check(t, "this testbed has no backend that tells its guest");
    given_ask(t, "backend.start", NULL);
    look_wait(l, LIMIT_REPLY_NS);
    expect(t, MUST, l->told, "the guest is not told: there is no %s in its store", l->told_key);
    if (!l->told)
        return;
    expect(t, MUST, l->told_rc == 0, "the guest was told before the window was claimed: %s",
           strerror(-l->told_rc));
    expect(t, MUST, (l->told_value & 0xffff) == VIRTIO_PCI_VENDOR_ID,
           "the guest was told before the function was there: it read 0x%x", l->told_value);
}

CHECK(word_is_taken_back, .judges = DEVICE, .proves = "xen.dom0less.told.2", .needs = EARLY,
      .timeout_ms = 90000, .title = "A backend that stops takes back what it told its guest")
{
    char key[64];

    given_ask_text(t, "device.info", NULL, "told_key", key, sizeof(key));
    if (!key[0])
        skip_check(t, "this testbed has no backend that tells its guest");
    expect(t, MUST, !is_told(t, key), "the guest is told before there is a backend");
    given_ask(t, "backend.start", NULL);
    given_ask(t, "backend.stop", NULL);
    expect(t, MUST, !is_told(t, key), "the backend has stopped, and the guest is told still");
}
