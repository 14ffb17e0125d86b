/* SPDX-License-Identifier: MIT */
#include "fioengine/disk.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fioengine/disk_impl.h"
#include "spec/virtio.h"
#include "util/evloop.h"
#include "util/host_bridge.h"
#include "util/log.h"
#include "util/mmio_window.h"
#include "util/parse.h"

#define DEFAULT_PLATFORM    "simxen"
#define DEFAULT_HOST_BRIDGE "seg=0,bus=0-63,ecam=0xE0000000+64M,mem=0xE4000000+64M"
#define DEFAULT_SBDF        "0000:00:01.0"
#define RETRY_NS            20000000
#define UNSUPPORTED_MAX     5u /* times in a row that a device lacks what it had */

/*
 * fio gives an engine no place for what its jobs share, so this is it: the one mutable object of
 * the engine, empty whenever no disk is held.
 */
static struct session {
    pthread_mutex_t lock;
    char *platform_spec, *host_bridge; /* owned, as given */
    struct fe_platform *platform;
    struct fe_pci_host host;
    struct disk *disks;
} session = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/*
 * A bare platform name is looked up beside this engine first: the library's own rule goes by the
 * place of the program, which is fio's.
 */
static int platform_open(const char *spec, struct fe_platform **out)
{
    size_t name_length = strcspn(spec, ":");
    char path[PATH_MAX];
    const char *slash;
    Dl_info info;

    if (getenv("RINGPROOF_LIBDIR") == NULL && memchr(spec, '/', name_length) == NULL &&
        dladdr((void *)&session, &info) != 0 && (slash = strrchr(info.dli_fname, '/')) != NULL) {
        int n =
            snprintf(path, sizeof(path), "%.*s/platform-%.*s.so%s", (int)(slash - info.dli_fname),
                     info.dli_fname, (int)name_length, spec, spec + name_length);

        if (n < (int)sizeof(path) && path[0] == '/')
            spec = path;
    }
    return fe_platform_open(spec, out);
}

static void session_close(void)
{
    fe_platform_close(session.platform);
    free(session.platform_spec);
    free(session.host_bridge);
    session.platform = NULL;
    session.platform_spec = session.host_bridge = NULL;
}

static int session_open(const char *platform, const char *host_bridge)
{
    char error[HOST_BRIDGE_ERROR_BYTES];
    struct fe_host_bridge bridge;
    struct host_bridge hb;
    int rc;

    if (session.platform != NULL) {
        if (same_text(session.platform_spec, platform) &&
            same_text(session.host_bridge, host_bridge))
            return 0;
        log_error("all jobs need the same platform and host_bridge");
        return -EINVAL;
    }
    rc = host_bridge_parse(host_bridge, &hb, error);
    if (rc < 0) {
        log_error("host_bridge=%s: %s", host_bridge, error);
        return rc;
    }
    bridge = (struct fe_host_bridge){
        .segment = hb.segment,
        .bus_first = hb.bus_first,
        .bus_last = hb.bus_last,
        .ecam_base = hb.ecam_base,
        .ecam_bytes = hb.ecam_bytes,
        .mem_base = hb.mem_base,
        .mem_bytes = hb.mem_bytes,
    };
    session.platform_spec = strdup(platform);
    session.host_bridge = strdup(host_bridge);
    rc = -ENOMEM;
    if (session.platform_spec == NULL || session.host_bridge == NULL)
        goto out;
    rc = platform_open(platform, &session.platform);
    if (rc < 0)
        goto out;
    fe_pci_host_init(&session.host, session.platform, &bridge);
out:
    if (rc < 0)
        session_close();
    return rc;
}

static int choose(const char *option, const char *text, const char *first, const char *second,
                  bool *is_second)
{
    if (text == NULL || same_text(text, first)) {
        *is_second = false;
        return 0;
    }
    if (same_text(text, second)) {
        *is_second = true;
        return 0;
    }
    log_error("%s=%s: \"%s\" or \"%s\" is expected", option, text, first, second);
    return -EINVAL;
}

static void disk_free(struct disk *d)
{
    unsigned kept_pages = 0;

    if (d->blk != NULL && fe_blk_destroy(d->blk) == -EBUSY)
        log_error("%s: the backend still maps memory of the rings after reset", d->label);
    while (d->orphans != NULL) {
        struct disk_orphan *o = d->orphans;

        d->orphans = o->next;
        if (fe_dma_free(&d->memory, &o->dma) < 0)
            kept_pages += o->dma.pages;
        free(o);
    }
    if (kept_pages != 0)
        log_error("%s: the backend still maps some of %u pages of buffers after reset", d->label,
                  kept_pages);
    fe_virtio_destroy(d->virtio);
    pthread_mutex_destroy(&d->world);
    for (unsigned i = 0; i < DISK_VCPUS_MAX; i++)
        pthread_mutex_destroy(&d->vcpu_lock[i]);
    free(d->label);
    free(d);
}

/* Everything about the disk but its place in the session. */
static int disk_open(const struct disk_config *cfg, const char *label, const struct fe_place *place,
                     bool foreign, bool interrupts, bool packed, struct disk **out)
{
    struct fe_blk_config blk = {
        .interrupts = interrupts,
        .features_need = packed ? VIRTIO_F(VIRTIO_F_RING_PACKED) : 0,
    };
    struct disk *d = calloc(1, sizeof(*d));
    int rc = -ENOMEM;

    if (d == NULL)
        return rc;
    d->cfg = *cfg;
    d->label = strdup(label);
    d->place = *place;
    d->interrupts = interrupts;
    d->packed = packed;
    d->patience_ns = (uint64_t)cfg->patience_s * 1000000000ull;
    d->vcpus = session.platform->nr_vcpus != 0 ? session.platform->nr_vcpus : 1;
    if (d->vcpus > DISK_VCPUS_MAX)
        d->vcpus = DISK_VCPUS_MAX;
    pthread_mutex_init(&d->world, NULL);
    for (unsigned i = 0; i < DISK_VCPUS_MAX; i++)
        pthread_mutex_init(&d->vcpu_lock[i], NULL);
    fe_memory_init(&d->memory, session.platform,
                   foreign ? FE_ADDRESSING_FOREIGN : FE_ADDRESSING_GRANTS,
                   (uint16_t)cfg->backend_domid);
    if (d->label == NULL)
        goto out;
    rc = fe_place_open(place, session.platform, &session.host, &d->virtio);
    if (rc < 0) {
        log_error("%s: no usable virtio device: %s", label, strerror(-rc));
        goto out;
    }
    blk.memory = &d->memory;
    blk.timeout_ns = d->patience_ns;
    rc = fe_blk_create(d->virtio, &blk, &d->blk);
    if (rc < 0)
        log_error("%s: the block device cannot be started: %s", label, strerror(-rc));
out:
    if (rc < 0)
        disk_free(d);
    else
        *out = d;
    return rc;
}

static int place_parse(bool mmio, const char *text, struct fe_place *place)
{
    char error[MMIO_WINDOW_ERROR_BYTES];

    *place = (struct fe_place){.transport = mmio ? FE_TRANSPORT_MMIO : FE_TRANSPORT_PCI};
    if (mmio) {
        if (mmio_window_parse(text, &place->window, error) == 0)
            return 0;
        log_error("mmio=%s: %s", text, error);
        return -EINVAL;
    }
    if (parse_sbdf(text, &place->sbdf) == 0)
        return 0;
    log_error("sbdf=%s: \"0000:00:01.0\" is expected", text);
    return -EINVAL;
}

int disk_get(const struct disk_config *cfg, struct disk **out)
{
    const char *platform = cfg->platform != NULL ? cfg->platform : DEFAULT_PLATFORM;
    const char *host_bridge = cfg->host_bridge != NULL ? cfg->host_bridge : DEFAULT_HOST_BRIDGE;
    const char *label = cfg->mmio != NULL   ? cfg->mmio
                        : cfg->sbdf != NULL ? cfg->sbdf
                                            : DEFAULT_SBDF;
    bool foreign, poll, packed;
    struct disk *d;
    struct fe_place place;
    int rc;

    log_set_prefix("ringproof");
    if (place_parse(cfg->mmio != NULL, label, &place) < 0)
        return -EINVAL;
    if (choose("addressing", cfg->addressing, "grants", "foreign", &foreign) < 0 ||
        choose("completion", cfg->completion, "irq", "poll", &poll) < 0 ||
        choose("ring", cfg->ring, "split", "packed", &packed) < 0)
        return -EINVAL;

    pthread_mutex_lock(&session.lock);
    rc = session_open(platform, host_bridge);
    if (rc < 0)
        goto out;
    for (d = session.disks; d != NULL && !fe_place_same(&d->place, &place); d = d->next)
        continue;
    if (d == NULL) {
        rc = disk_open(cfg, label, &place, foreign, !poll, packed, &d);
        if (rc < 0)
            goto out;
        d->next = session.disks;
        session.disks = d;
    } else if (foreign != (d->memory.addressing == FE_ADDRESSING_FOREIGN) ||
               poll == d->interrupts || packed != d->packed ||
               cfg->backend_domid != d->cfg.backend_domid) {
        log_error("%s: jobs that share a disk need the same addressing, completion, ring and "
                  "backend_domid",
                  label);
        rc = -EINVAL;
        goto out;
    }
    d->users++;
    *out = d;
out:
    if (session.disks == NULL)
        session_close();
    pthread_mutex_unlock(&session.lock);
    return rc;
}

void disk_put(struct disk *d)
{
    if (d == NULL)
        return;
    pthread_mutex_lock(&session.lock);
    if (--d->users == 0) {
        struct disk **pos = &session.disks;

        while (*pos != d)
            pos = &(*pos)->next;
        *pos = d->next;
        disk_free(d);
        if (session.disks == NULL)
            session_close();
    }
    pthread_mutex_unlock(&session.lock);
}

const struct fe_blk_info *disk_info(const struct disk *d)
{
    return fe_blk_get_info(d->blk);
}

/* Nothing tells a guest that a function has come back: it has to look. */
static int recover_until(struct disk *d, uint64_t deadline_ns)
{
    unsigned unsupported = 0;

    for (;;) {
        int rc = fe_blk_reinit(d->blk);

        /* A device that goes or comes just then looks like another one, but not for long. */
        unsupported = rc == -ENOTSUP ? unsupported + 1 : 0;
        if (rc == 0 || rc == -ESHUTDOWN || rc == -ETIMEDOUT || unsupported == UNSUPPORTED_MAX)
            return rc;
        if (evloop_now_ns() >= deadline_ns) {
            log_error("%s: the device did not come back: %s", d->label, strerror(-rc));
            return -ETIMEDOUT;
        }
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    }
}

int disk_recover(struct disk *d, uint64_t generation)
{
    int rc = 0;

    pthread_mutex_lock(&d->world);
    if (d->generation != generation) /* another job has done it */
        goto out;
    for (struct job *j = d->jobs; j != NULL; j = j->next)
        pthread_mutex_lock(&j->inside);
    rc = fe_blk_check(d->blk);
    if (rc != 0 && rc != -ESHUTDOWN && rc != -ETIMEDOUT) {
        uint64_t start = evloop_now_ns();

        log_warn("%s: the device %s, initialising it again", d->label,
                 rc == -EIO ? "asks for a reset" : "has gone");
        rc = recover_until(d, start + d->patience_ns);
        if (rc == 0) {
            d->generation++;
            log_warn("%s: the device is back after %llu ms", d->label,
                     (unsigned long long)((evloop_now_ns() - start) / 1000000));
        }
    }
    if (rc == -ETIMEDOUT)
        log_error("%s: a vCPU waits for an answer of the device that does not come", d->label);
    else if (rc == -ESHUTDOWN)
        log_error("%s: the domain is gone", d->label);
    for (struct job *j = d->jobs; j != NULL; j = j->next)
        pthread_mutex_unlock(&j->inside);
out:
    pthread_mutex_unlock(&d->world);
    return rc;
}
