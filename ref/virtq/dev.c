/* SPDX-License-Identifier: MIT */
/* The device side: configuration, and dispatch to the format's per-buffer code. */
#include "virtq/dev.h"

#include "util/mutant.h"
#include "virtq/split_dev_hot.h"

int virtq_dev_init(struct virtq_dev *q, const struct virtq_dev_config *config)
{
    struct virtq_layout layout;

    if (config->format != VIRTQ_SPLIT)
        return -EOPNOTSUPP;
    if (virtq_layout_init(&layout, config->format, config->size) < 0)
        return -EINVAL;
    if (config->chain_max == 0 || config->chain_max > VIRTQ_CHAIN_MAX)
        return -EINVAL;
    if (config->areas.desc == NULL || config->areas.driver == NULL || config->areas.device == NULL)
        return -EINVAL;
    if (!is_aligned((uintptr_t)config->areas.desc, layout.desc_align) ||
        !is_aligned((uintptr_t)config->areas.driver, layout.driver_align) ||
        !is_aligned((uintptr_t)config->areas.device, layout.device_align))
        return -EINVAL;
    if (config->indirect && (config->indirect_get == NULL || config->indirect_put == NULL))
        return -EINVAL;
    if ((uint16_t)(config->start.avail_idx - config->start.used_idx) > config->size)
        return -EINVAL;

    *q = (struct virtq_dev){
        .cfg = *config,
        .mask = (uint16_t)(config->size - 1),
        .avail_next = config->start.avail_idx,
        .avail_seen = config->start.avail_idx,
        .used_next = config->start.used_idx,
        .used_published = config->start.used_idx,
        .used_signalled = config->start.used_idx,
        .kick_on = true,
    };
    if (MUTANT(ring_of_four_is_eight) && q->cfg.size == 4)
        q->mask = 7;
    return 0;
}

int virtq_dev_pop(struct virtq_dev *q, struct virtq_chain *chain)
{
    return split_dev_pop(q, chain);
}

unsigned virtq_dev_pending(struct virtq_dev *q)
{
    uint16_t fresh;

    if (q->fault != VIRTQ_OK)
        return 0;
    fresh = (uint16_t)(split_load_acquire(&split_avail(&q->cfg.areas)->idx) - q->avail_next);
    return fresh < q->cfg.size ? fresh : q->cfg.size;
}

unsigned virtq_dev_outstanding(const struct virtq_dev *q)
{
    return (uint16_t)(q->avail_next - q->used_next);
}

void virtq_dev_push(struct virtq_dev *q, struct virtq_token token, uint32_t written)
{
    split_dev_push(q, token, written);
}

unsigned virtq_dev_publish(struct virtq_dev *q)
{
    return split_dev_publish(q);
}

bool virtq_dev_interrupt_needed(struct virtq_dev *q)
{
    return split_dev_interrupt_needed(q);
}

void virtq_dev_kick_disable(struct virtq_dev *q)
{
    if (!q->kick_on)
        return;
    q->kick_on = false;
    /* 2.7.10.2: with EVENT_IDX flags stay 0; an event just passed comes back after 2^16. */
    if (q->cfg.event_idx)
        split_store(split_avail_event(&q->cfg.areas, q->cfg.size), (uint16_t)(q->avail_next - 1));
    else
        split_store(&split_used(&q->cfg.areas)->flags, VIRTQ_USED_F_NO_NOTIFY);
}

bool virtq_dev_kick_enable(struct virtq_dev *q)
{
    q->kick_on = true;
    if (q->cfg.event_idx) {
        if (!MUTANT(avail_event_stale))
            split_store(split_avail_event(&q->cfg.areas, q->cfg.size), q->avail_next);
        if (MUTANT(used_flags_with_event_idx))
            split_store(&split_used(&q->cfg.areas)->flags, VIRTQ_USED_F_NO_NOTIFY);
    } else if (!MUTANT(no_notify_stays_set)) {
        split_store(&split_used(&q->cfg.areas)->flags, MUTANT(used_flags_reserved_bit) ? 2 : 0);
    }
    if (q->fault != VIRTQ_OK)
        return false;
    /* The driver stores its index, then reads the event; here it is the other way round. */
    split_full_barrier();
    return split_load_acquire(&split_avail(&q->cfg.areas)->idx) != q->avail_next;
}

void virtq_dev_get_state(const struct virtq_dev *q, struct virtq_dev_state *state)
{
    *state = (struct virtq_dev_state){.avail_idx = q->avail_next, .used_idx = q->used_next};
}

int virtq_dev_state_recover(enum virtq_format format, unsigned size,
                            const struct virtq_areas *areas, struct virtq_dev_state *state)
{
    struct virtq_layout layout;
    uint16_t used;

    if (format != VIRTQ_SPLIT)
        return -EOPNOTSUPP;
    if (virtq_layout_init(&layout, format, size) < 0)
        return -EINVAL;
    used = split_load_acquire(&split_used(areas)->idx);
    *state = (struct virtq_dev_state){.avail_idx = used, .used_idx = used};
    return 0;
}
