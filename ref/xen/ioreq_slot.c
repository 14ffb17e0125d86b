/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>

#include <xen/hvm/ioreq.h>

#include "util/log.h"
#include "xen/ioreq_slot.h"

_Static_assert(sizeof(struct ioreq) == sizeof(struct ioreq_slot), "layouts differ");
_Static_assert(offsetof(struct ioreq, vp_eport) == offsetof(struct ioreq_slot, vp_eport),
               "layouts differ");
_Static_assert(offsetof(struct ioreq, type) == offsetof(struct ioreq_slot, type), "layouts differ");

/* Data of a request with data_is_ptr, at most the largest width times the most repetitions. */
#define POINTER_CHUNK_BYTES 512u

static uint64_t truncate_to(uint64_t value, unsigned bytes)
{
    uint64_t mask;

    if (bytes >= 8)
        return value;
    mask = (1ull << (8 * bytes)) - 1;
    return value & mask;
}

static uint64_t one_read(const struct ioreq_slot *req, const struct ioreq_ops *ops, void *ctx,
                         uint64_t addr, struct ioreq_stats *stats)
{
    if (req->type == IOREQ_TYPE_COPY) {
        stats->reads++;
        return truncate_to(ops->read(ctx, addr, req->size), req->size);
    }
    stats->config_reads++;
    return truncate_to(ops->config_read(ctx,
                                        SBDF(req->addr >> 48, (req->addr >> 40) & 0xff,
                                             (req->addr >> 35) & 0x1f, (req->addr >> 32) & 7),
                                        (uint32_t)addr, req->size),
                       req->size);
}

static void one_write(const struct ioreq_slot *req, const struct ioreq_ops *ops, void *ctx,
                      uint64_t addr, uint64_t value, struct ioreq_stats *stats)
{
    value = truncate_to(value, req->size);
    if (req->type == IOREQ_TYPE_COPY) {
        stats->writes++;
        ops->write(ctx, addr, req->size, value);
        return;
    }
    stats->config_writes++;
    ops->config_write(ctx,
                      SBDF(req->addr >> 48, (req->addr >> 40) & 0xff, (req->addr >> 35) & 0x1f,
                           (req->addr >> 32) & 7),
                      (uint32_t)addr, req->size, value);
}

/* The n-th address of a repeated access: the direction flag of the x86 string instructions counts
 * down. Wrapping is the guest's affair: such an address belongs to no range. */
static uint64_t step(const struct ioreq_slot *req, uint64_t base, uint32_t n)
{
    uint64_t distance = (uint64_t)n * req->size;

    if (req->flags & IOREQ_SLOT_DOWN)
        return base - distance;
    return base + distance;
}

/*
 * `count` elements between the device's range and guest memory at req->data. Memory is touched
 * chunk by chunk; a chunk that cannot be reached ends the request, for a processor would have
 * stopped there as well.
 */
static bool perform_pointer(const struct ioreq_slot *req, uint32_t count,
                            const struct ioreq_ops *ops, void *ctx,
                            const struct ioreq_memory *memory, struct ioreq_stats *stats)
{
    bool down = (req->flags & IOREQ_SLOT_DOWN) != 0;
    bool read = (req->flags & IOREQ_SLOT_READ) != 0;
    uint32_t per_chunk = POINTER_CHUNK_BYTES / req->size;
    uint8_t chunk[POINTER_CHUNK_BYTES];

    for (uint32_t done = 0; done < count;) {
        uint32_t n = count - done < per_chunk ? count - done : per_chunk;
        /* The chunk's lowest address in guest memory. */
        uint64_t low = step(req, req->data, down ? done + n - 1 : done);

        if (!read && memory->copy(memory->ctx, low, chunk, n * req->size, false))
            return false;
        for (uint32_t i = 0; i < n; i++) {
            uint8_t *element = chunk + (size_t)(down ? n - 1 - i : i) * req->size;
            uint64_t addr = step(req, req->addr, done + i);
            uint64_t value = 0;

            if (read) {
                value = one_read(req, ops, ctx, addr, stats);
                memcpy(element, &value, req->size);
            } else {
                memcpy(&value, element, req->size);
                one_write(req, ops, ctx, addr, value, stats);
            }
        }
        if (read && memory->copy(memory->ctx, low, chunk, n * req->size, true))
            return false;
        done += n;
    }
    return true;
}

static uint64_t perform_access(const struct ioreq_slot *req, const struct ioreq_ops *ops, void *ctx,
                               const struct ioreq_memory *memory, struct ioreq_stats *stats)
{
    uint32_t count = req->count;
    uint64_t data = truncate_to(req->data, req->size);

    if (req->flags & IOREQ_SLOT_POINTER) {
        if (!perform_pointer(req, count, ops, ctx, memory, stats)) {
            stats->refused++;
            log_warn_limited("ioreq: guest memory at %#llx cannot be reached",
                             (unsigned long long)req->data);
        }
        return truncate_to(UINT64_MAX, req->size);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t addr = step(req, req->addr, i);

        if (req->flags & IOREQ_SLOT_READ)
            data = one_read(req, ops, ctx, addr, stats);
        else
            one_write(req, ops, ctx, addr, data, stats);
    }
    return data;
}

uint64_t ioreq_slot_perform(const struct ioreq_slot *req, const struct ioreq_ops *ops, void *ctx,
                            const struct ioreq_memory *memory, struct ioreq_stats *stats)
{
    bool sized = req->size == 1 || req->size == 2 || req->size == 4 || req->size == 8;

    stats->requests++;
    switch (req->type) {
    case IOREQ_TYPE_INVALIDATE:
        /* Foreign mappings are not cached across requests: there is nothing to drop. */
        stats->invalidates++;
        return 0;
    case IOREQ_TYPE_COPY:
        if (sized && req->count >= 1 && req->count <= IOREQ_COUNT_MAX)
            return perform_access(req, ops, ctx, memory, stats);
        break;
    case IOREQ_TYPE_PCI_CONFIG:
        if (sized && req->count == 1 && !(req->flags & IOREQ_SLOT_POINTER) && ops->config_read &&
            ops->config_write)
            return perform_access(req, ops, ctx, memory, stats);
        break;
    default:
        break;
    }
    stats->refused++;
    log_warn_limited("ioreq: type %u, size %u, count %u at %#llx is not served", req->type,
                     req->size, req->count, (unsigned long long)req->addr);
    return UINT64_MAX;
}
