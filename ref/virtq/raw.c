/* SPDX-License-Identifier: MIT */
#include "virtq/raw.h"

#include <assert.h>

#include "virtq/packed_hot.h"
#include "virtq/split_hot.h"

void virtq_raw_of_drv(struct virtq_raw *r, const struct virtq_drv *q)
{
    *r = (struct virtq_raw){
        .format = q->cfg.format,
        .size = q->cfg.size,
        .areas = q->cfg.areas,
    };
}

void virtq_raw_table_set(void *table, unsigned index, struct virtq_raw_desc d)
{
    struct virtq_desc wire = {
        .addr = le64_make(d.addr),
        .len = le32_make(d.len),
        .flags = le16_make(d.flags),
        .next = le16_make(d.next),
    };

    /* An indirect table may begin at any byte. */
    memcpy((unsigned char *)table + (size_t)index * sizeof(wire), &wire, sizeof(wire));
}

void virtq_raw_desc_set(const struct virtq_raw *r, unsigned index, struct virtq_raw_desc d)
{
    assert(index < r->size);
    virtq_raw_table_set(r->areas.desc, index, d);
}

struct virtq_raw_desc virtq_raw_desc_get(const struct virtq_raw *r, unsigned index)
{
    struct ring_desc d;

    assert(index < r->size);
    d = split_desc_fetch(&split_descs(&r->areas)[index]);
    return (struct virtq_raw_desc){.addr = d.addr, .len = d.len, .flags = d.flags, .next = d.link};
}

void virtq_raw_avail_set(const struct virtq_raw *r, unsigned slot, uint16_t head)
{
    assert(slot < r->size);
    ring_store(&split_avail(&r->areas)->ring[slot], head);
}

uint16_t virtq_raw_avail_get(const struct virtq_raw *r, unsigned slot)
{
    assert(slot < r->size);
    return ring_load(&split_avail(&r->areas)->ring[slot]);
}

void virtq_raw_avail_idx_set(const struct virtq_raw *r, uint16_t idx)
{
    ring_store_release(&split_avail(&r->areas)->idx, idx);
}

uint16_t virtq_raw_avail_idx_get(const struct virtq_raw *r)
{
    return ring_load_acquire(&split_avail(&r->areas)->idx);
}

void virtq_raw_avail_flags_set(const struct virtq_raw *r, uint16_t flags)
{
    ring_store(&split_avail(&r->areas)->flags, flags);
    ring_full_barrier();
}

uint16_t virtq_raw_avail_flags_get(const struct virtq_raw *r)
{
    return ring_load(&split_avail(&r->areas)->flags);
}

void virtq_raw_used_event_set(const struct virtq_raw *r, uint16_t idx)
{
    ring_store(split_used_event(&r->areas, r->size), idx);
    ring_full_barrier();
}

uint16_t virtq_raw_used_event_get(const struct virtq_raw *r)
{
    return ring_load(split_used_event(&r->areas, r->size));
}

void virtq_raw_avail_add(const struct virtq_raw *r, uint16_t head)
{
    uint16_t idx = virtq_raw_avail_idx_get(r);

    virtq_raw_avail_set(r, idx % r->size, head);
    virtq_raw_avail_idx_set(r, (uint16_t)(idx + 1));
}

void virtq_raw_used_set(const struct virtq_raw *r, unsigned slot, struct virtq_raw_used u)
{
    assert(slot < r->size);
    split_used(&r->areas)->ring[slot] =
        (struct virtq_used_elem){.id = le32_make(u.id), .len = le32_make(u.len)};
}

struct virtq_raw_used virtq_raw_used_get(const struct virtq_raw *r, unsigned slot)
{
    struct virtq_used_elem e;

    assert(slot < r->size);
    e = split_used_fetch(&split_used(&r->areas)->ring[slot]);
    return (struct virtq_raw_used){.id = le32_get(e.id), .len = le32_get(e.len)};
}

void virtq_raw_used_idx_set(const struct virtq_raw *r, uint16_t idx)
{
    ring_store_release(&split_used(&r->areas)->idx, idx);
}

uint16_t virtq_raw_used_idx_get(const struct virtq_raw *r)
{
    return ring_load_acquire(&split_used(&r->areas)->idx);
}

void virtq_raw_used_flags_set(const struct virtq_raw *r, uint16_t flags)
{
    ring_store(&split_used(&r->areas)->flags, flags);
    ring_full_barrier();
}

uint16_t virtq_raw_used_flags_get(const struct virtq_raw *r)
{
    return ring_load(&split_used(&r->areas)->flags);
}

void virtq_raw_avail_event_set(const struct virtq_raw *r, uint16_t idx)
{
    ring_store(split_avail_event(&r->areas, r->size), idx);
    ring_full_barrier();
}

uint16_t virtq_raw_avail_event_get(const struct virtq_raw *r)
{
    return ring_load(split_avail_event(&r->areas, r->size));
}

void virtq_raw_ptable_set(void *table, unsigned index, struct virtq_raw_pdesc d)
{
    struct pvirtq_desc wire = {
        .addr = le64_make(d.addr),
        .len = le32_make(d.len),
        .id = le16_make(d.id),
        .flags = le16_make(d.flags),
    };

    memcpy((unsigned char *)table + (size_t)index * sizeof(wire), &wire, sizeof(wire));
}

void virtq_raw_pdesc_set(const struct virtq_raw *r, unsigned index, struct virtq_raw_pdesc d)
{
    struct pvirtq_desc *to = &packed_ring(&r->areas)[index];

    assert(index < r->size);
    __atomic_store_n(&to->addr.raw, d.addr, __ATOMIC_RELAXED);
    packed_word_release(to, packed_word(d.len, d.id, d.flags));
}

struct virtq_raw_pdesc virtq_raw_pdesc_get(const struct virtq_raw *r, unsigned index)
{
    struct ring_desc d;

    assert(index < r->size);
    d = packed_desc_fetch(&packed_ring(&r->areas)[index]);
    return (struct virtq_raw_pdesc){.addr = d.addr, .len = d.len, .id = d.link, .flags = d.flags};
}

static void event_set(struct pvirtq_event_suppress *to, struct virtq_raw_event e)
{
    packed_event_store(to, e.desc, e.flags);
    ring_full_barrier();
}

static struct virtq_raw_event event_get(const struct pvirtq_event_suppress *from)
{
    uint32_t word = packed_event_load(from);

    return (struct virtq_raw_event){.desc = (uint16_t)word, .flags = (uint16_t)(word >> 16)};
}

void virtq_raw_driver_event_set(const struct virtq_raw *r, struct virtq_raw_event e)
{
    event_set(packed_driver_event(&r->areas), e);
}

struct virtq_raw_event virtq_raw_driver_event_get(const struct virtq_raw *r)
{
    return event_get(packed_driver_event(&r->areas));
}

void virtq_raw_device_event_set(const struct virtq_raw *r, struct virtq_raw_event e)
{
    event_set(packed_device_event(&r->areas), e);
}

struct virtq_raw_event virtq_raw_device_event_get(const struct virtq_raw *r)
{
    return event_get(packed_device_event(&r->areas));
}
