/* SPDX-License-Identifier: MIT */
/*
 * What a conformance check starts from.
 *
 * The agent describes the machine that it runs on in a struct subject and hands it to check_run.
 * A check then asks for what it needs: a device that was just reset, one with features
 * negotiated, a queue, buffers. Everything given is taken back when the check ends, however it
 * ends: the device is reset, then all memory is freed. A backend that still maps a page then, or
 * that does not finish a reset, has failed the check (that expectation is evaluated only when it
 * is broken, so that it never makes an empty check look like one that proved something).
 *
 * Faults are kept apart: what the device did wrong ends in expect(MUST), what the platform could
 * not do ends in error_out. must() makes that distinction for a return code.
 *
 * A check never looks inside the backend. What it cannot see from the guest it asks the testbed
 * (given_ask), which a vendor's testbed answers too.
 */
#ifndef RP_CONFORMANCE_GIVEN_H
#define RP_CONFORMANCE_GIVEN_H

#include "check/check.h"
#include "frontend/discovery.h"
#include "frontend/memory.h"
#include "frontend/pci.h"
#include "frontend/place.h"
#include "frontend/platform.h"
#include "frontend/virtio_mmio.h"
#include "frontend/virtio_pci.h"

/* Time limits: generous, since they are waited for in full only by a broken device. */
#define MS(n)          ((uint64_t)(n)*1000000u)
#define LIMIT_REPLY_NS MS(2000)  /* for something that must happen */
#define LIMIT_QUIET_NS MS(50)    /* for something that must not happen */
#define LIMIT_RESET_NS MS(10000) /* for a reset */

struct subject {
    struct fe_platform *platform; /* borrowed, as all pointers here */
    const struct fe_host_bridge *bridges;
    unsigned nr_bridges;
    bool has_device; /* one is under test */
    struct fe_place place;
    enum fe_addressing addressing;
    enum fe_buffers buffers;
    uint16_t backend_domid;
    /* How the driver finds out backend_domid; with has_mechanism, the one above is nobody's. */
    bool has_mechanism;
    enum fe_mechanism mechanism;
    struct fe_discovery_sources sources; /* the function is a check's own */
    /* The device is behind an IOMMU. */
    bool has_iommu;
    struct fe_place iommu;
    uint32_t endpoint;
    struct behind *behind; /* of another device that is open; NULL: the IOMMU is not driven yet */
    /* Of another device that is open: what its host has given out is taken. May be NULL. */
    const struct fe_pci_host *beside;
    bool packed; /* the driver wants packed rings: RING_PACKED is negotiated wherever queues are */
    /*
     * Ask the testbed. `args_json` is an object or NULL. 0 and *value_json (malloc'd, to be
     * freed by the caller, NULL when there is none); -EOPNOTSUPP when this testbed cannot;
     * another error with a text.
     */
    int (*ask)(void *ctx, const char *what, const char *args_json, char **value_json, char *error,
               size_t error_bytes);
    void *ask_ctx;
    const char *params_json; /* of the run request, or NULL */
};

/* ---- needs ---- */
#define NEED_DEVICE       (1ull << 0) /* one is bound (--sbdf, --mmio) */
#define NEED_BLK          (1ull << 1)
#define NEED_WRITABLE     (1ull << 2) /* VIRTIO_BLK_F_RO not offered */
#define NEED_READONLY     (1ull << 3)
#define NEED_GRANTS       (1ull << 4) /* addressing */
#define NEED_FOREIGN      (1ull << 5)
#define NEED_MSIX         (1ull << 6)
#define NEED_INTX         (1ull << 7)
#define NEED_INDIRECT     (1ull << 8)
#define NEED_EVENT_IDX    (1ull << 9)
#define NEED_MQ           (1ull << 10) /* and more than one queue */
#define NEED_FLUSH        (1ull << 11)
#define NEED_DISCARD      (1ull << 12)
#define NEED_WRITE_ZEROES (1ull << 13)
#define NEED_SEG_MAX      (1ull << 14)
#define NEED_SIZE_MAX     (1ull << 15)
#define NEED_BLK_SIZE     (1ull << 16)
#define NEED_TOPOLOGY     (1ull << 17)
#define NEED_RING_RESET   (1ull << 18)
#define NEED_TESTBED      (1ull << 19) /* asks are answered: backend.kill, backend.start */
#define NEED_PCI_CFG      (1ull << 20) /* the configuration access capability */
#define NEED_MIXED                                                                                 \
    (1ull << 21) /* one backend takes grants and frames (parameter "mixed": true)                  \
                  */
#define NEED_CONFIG_WCE (1ull << 22)
/* The platform takes interrupts that the device has: MSIs if NEED_MSIX, else MSIs or a line. */
#define NEED_IRQ     (1ull << 23)
#define NEED_RNG     (1ull << 24)
#define NEED_SERVICE (1ull << 25) /* conformance/service.h knows a request of the device */
#define NEED_PCI     (1ull << 26) /* a function is bound */
#define NEED_MMIO    (1ull << 27) /* a virtio-mmio device is bound */
/* The format of rings that the driver was told to negotiate. */
#define NEED_SPLIT  (1ull << 28)
#define NEED_PACKED (1ull << 29)
/* Of a console. */
#define NEED_CONSOLE   (1ull << 30)
#define NEED_MULTIPORT (1ull << 31)
#define NEED_SIZE      (1ull << 32)
#define NEED_EMERGENCY (1ull << 33)
#define NEED_HOST_END  (1ull << 34) /* the testbed reaches the host ends of its ports */
#define NEED_NET       (1ull << 35)
#define NEED_WIRE      (1ull << 36) /* the testbed has the other end of the device's wire */
/* What else a queue can be negotiated with. */
#define NEED_IN_ORDER          (1ull << 37)
#define NEED_NOTIFICATION_DATA (1ull << 38)
#define NEED_NOTIF_CONFIG_DATA (1ull << 39)
/* No backend has served the domain yet; the check has it started (backend.start). */
#define NEED_UNSERVED (1ull << 40)
#define NEED_IOMMU    (1ull << 41) /* the device is a virtual IOMMU */
#define NEED_BEHIND   (1ull << 42) /* the device is behind one */
/* The cell has several backends (parameter "backends": true). */
#define NEED_BACKENDS (1ull << 44)
/* The scenario moves what is tested while the check runs (parameter "timeline": true). */
#define NEED_TIMELINE        (1ull << 45)
#define NEED_FOREIGN_REFUSED (1ull << 46) /* nobody may map frames of the domain by number */
#define NEED_SLOT            (1ull << 47) /* the device is in a root port's hot-plug slot */
#define NEED_BRIDGES         (1ull << 55) /* the guest knows of several host bridges */
#define NEED_QUOTA           (1ull << 48) /* the backend's domain may map few granted pages at once */
#define NEED_VHOST_USER      (1ull << 56) /* other processes than the first have queues alone */
#define NEED_LARGE_PAGES     (1ull << 43) /* of the backend's host: not 4 KiB */
#define NEED_COSTS           (1ull << 57) /* the testbed counts what is asked of Xen */
#define NEED_STORE_HALT      (1ull << 49) /* the testbed can keep the store from answering */
/* How long the driver grants: with each request, or as long as a queue lives. */
#define NEED_STREAMING (1ull << 50)
#define NEED_POOL      (1ull << 51)
#define NEED_DISCOVERY (1ull << 59) /* the driver finds out by itself whom it grants to */
#define NEED_LIFETIME  (1ull << 60)
#define NEED_SUSPEND   (1ull << 61)
/* A host-managed zoned disk: every driver of it has to accept VIRTIO_BLK_F_ZONED. */
#define NEED_ZONED (1ull << 62)
/* Another process of the backend takes the place of one that has gone (parameter "restarts"). */
#define NEED_SUCCESSOR (1ull << 63)

/*
 * Are these needs met? When not, `why` says so in one sentence. A device that is bound but does
 * not answer meets every need about it: the check is to run and to say that it is missing.
 */
bool conformance_needs(const struct subject *s, uint64_t needs, char *why, size_t why_bytes);

/* Is this member of the run request's parameters true? */
bool subject_param(const struct subject *s, const char *name);

/* ---- return codes ---- */
void must_at(struct check_ctx *t, int rc, const char *file, int line, const char *what);
/* rc is 0, or the subject broke a MUST and the check ends (or the harness failed: ERROR). */
#define must(t, rc, what) must_at(t, (rc), __FILE__, __LINE__, what)

/* ---- the device ---- */
struct behind;
struct ring;
struct buffer;

struct device {
    struct check_ctx *t;
    const struct subject *subject;
    struct fe_pci_host host; /* of a function */
    struct fe_memory mem;
    struct fe_virtio *v;
    /* The same as its transport, one of them: for checks with NEED_PCI or NEED_MMIO. */
    struct fe_virtio_pci *pci;
    struct fe_virtio_mmio *mmio;
    uint64_t offered; /* features */
    /* conformance/behind.h; NULL: it is behind no IOMMU. */
    struct behind *behind;
    uint32_t domain; /* in front of it */
    struct ring *rings;
    struct buffer *buffers;
    bool gone_on_purpose; /* the check killed the backend: no reset at the end */
};

/* The bridge that the bound function is behind, or the first one; for checks of ECAM itself. */
struct fe_pci_host *given_host(struct check_ctx *t);
/* The same without a check: -ENXIO when there is none. */
int subject_host_init(const struct subject *s, struct fe_pci_host *h);

/* The bound device as a driver opens it; the caller destroys it. `h` is storage that has to stay as
 * long. 0 or an error of fe_place_open. */
int given_driver(struct check_ctx *t, struct fe_pci_host *h, struct fe_virtio **v);

/* The bound device, found, enabled and reset; status 0. */
struct device *given_device(struct check_ctx *t);
/* The same of another subject, borrowed: a second device of the cell, behind the same bridges. */
struct device *given_device_of(struct check_ctx *t, const struct subject *s);

/* The feature bits that the format of rings takes; device_negotiate has them in any case. */
uint64_t given_ring_features(const struct subject *s);

/* The same with these features (beside VERSION_1 and, with grants, ACCESS_PLATFORM) accepted
 * as far as they are offered, and FEATURES_OK set. */
struct device *given_negotiated(struct check_ctx *t, uint64_t features);

/* Reset and negotiate again in the course of a check; rings of before are released. */
void device_negotiate(struct device *d, uint64_t features);
void device_reset(struct device *d);
void device_driver_ok(struct device *d);
/* It came back, with a new backend or attached anew: found again, within LIMIT_RESET_NS. */
void device_reattach(struct device *d);
uint8_t device_status(struct device *d);
/* Wait until status & mask == want: true, or false after timeout_ns. */
bool device_status_wait(struct device *d, uint8_t mask, uint8_t want, uint64_t timeout_ns);

/* Ring the doorbell of any queue, one that was never set up too. */
void device_doorbell(struct device *d, unsigned queue);

/*
 * Where the device says that it is there: an aligned dword, and what it reads. Vendor and device ID
 * of a function, MagicValue of a window.
 */
uint64_t device_identity(struct device *d, uint32_t *value);
/* It is there again. `when`: "after a restart". */
void expect_device_there(struct device *d, const char *when);
/* Where its registers are. */
uint64_t device_registers(struct device *d);

/* What a driver of this function has to look at to learn whom it grants to. */
struct fe_discovery_sources device_sources(struct device *d);

/* Accesses that have to succeed. */
uint64_t config_get(struct device *d, unsigned offset, unsigned bytes); /* PCI configuration */
void config_set(struct device *d, unsigned offset, unsigned bytes, uint64_t value);
uint64_t common_get(struct device *d, unsigned offset, unsigned bytes); /* FE_VPCI_FIELD(x) */
void common_set(struct device *d, unsigned offset, unsigned bytes, uint64_t value);
uint64_t device_get(struct device *d, unsigned offset, unsigned bytes); /* device configuration */

/* ---- buffers ---- */

/*
 * Memory for one direction of one request, `bytes` from `offset` in a page. The rest of its
 * pages is filled with a canary. With streaming grants it is granted for this purpose only
 * (read-only when the device only reads it).
 */
struct buffer {
    struct buffer *next;
    struct device *d;
    uint8_t *va; /* the first of the `bytes` bytes */
    gpa_t addr;  /* the same for the device */
    uint32_t bytes, offset;
    unsigned pages;
    void *base;
    struct fe_mapping map;
    bool mapped;
};

struct buffer *given_buffer(struct device *d, uint32_t bytes, uint32_t offset, enum fe_dma_dir dir);
/* The device is through with it: its access has to be over (xen.grant.release.1). */
void buffer_release(struct buffer *b);
/* A released buffer becomes another range of its pages, with canaries all around. */
void buffer_move(struct buffer *b, uint32_t offset, uint32_t bytes);
/* Map a released buffer again, perhaps for the other direction. */
void buffer_map(struct buffer *b, enum fe_dma_dir dir);
/* No byte around the buffer changed. */
void expect_canaries(struct check_ctx *t, const struct buffer *b, const char *what);
/* A pattern that differs for each seed and position, and its test. */
void buffer_fill(struct buffer *b, uint32_t seed);
bool buffer_matches(const struct buffer *b, uint32_t seed);
bool buffer_is(const struct buffer *b, uint8_t byte);

/* ---- the testbed ---- */

/* Ask; anything but success is an ERROR. */
void given_ask(struct check_ctx *t, const char *what, const char *args_json);
/* The same for what may fail by the subject's fault: 0, or a negative error and why in `why`.
 * A testbed that cannot do it is an ERROR here, too. */
int given_try(struct check_ctx *t, const char *what, const char *args_json, char *why,
              size_t why_bytes);
/* The same for a member of the answer that is a number; true/false count as 1 and 0. */
uint64_t given_ask_number(struct check_ctx *t, const char *what, const char *args_json,
                          const char *member);
/* The same for `n` of them in one answer. */
void given_ask_numbers(struct check_ctx *t, const char *what, const char *const *members,
                       unsigned n, uint64_t *numbers);

/* The same for a member that is a string, cut to what fits `text`. */
void given_ask_text(struct check_ctx *t, const char *what, const char *args_json,
                    const char *member, char *text, size_t text_bytes);

uint64_t given_now_ns(void);
/* A pause between two looks at memory that nothing signals. */
void given_pause(void);

#endif
