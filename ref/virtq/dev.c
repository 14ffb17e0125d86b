/* SPDX-License-Identifier: MIT */
/* The device side: configuration, IN_ORDER batches, and dispatch to the format's per-buffer code.
 */
#include "virtq/dev.h"

#include "virtq/packed_dev_hot.h"
#include "virtq/split_dev_hot.h"

static bool is_packed(const struct virtq_dev *q)
{
    return q->cfg.format == VIRTQ_PACKED;
}

static bool start_possible(const struct virtq_dev_config *c)
{
    const struct virtq_dev_state *s = &c->start;

    if (c->format == VIRTQ_SPLIT)
        return (uint16_t)(s->avail_idx - s->used_idx) <= c->size;
    return s->avail_idx < c->size && s->used_idx == s->avail_idx &&
           s->used_lap_odd == s->avail_lap_odd;
}

int virtq_dev_init(struct virtq_dev *q, const struct virtq_dev_config *config)
{
    const struct virtq_dev_state *s = &config->start;
    struct virtq_layout layout;

    if (virtq_layout_init(&layout, config->format, config->size) < 0)
        return -EINVAL;
    if (config->chain_max == 0 || config->chain_max > VIRTQ_CHAIN_MAX)
        return -EINVAL;
    if (!virtq_layout_fits(&layout, &config->areas))
        return -EINVAL;
    if (config->indirect && (config->indirect_get == NULL || config->indirect_put == NULL))
        return -EINVAL;
    if (!start_possible(config))
        return -EINVAL;

    *q = (struct virtq_dev){.cfg = *config, .kick_on = true};
    if (is_packed(q)) {
        q->packed.avail = (struct virtq_packed_pos){s->avail_idx, !s->avail_lap_odd};
        q->packed.used = q->packed.published = q->packed.avail;
    } else {
        q->split.mask = (uint16_t)(config->size - 1);
        q->split.avail_next = q->split.avail_seen = s->avail_idx;
        q->split.used_next = q->split.used_published = q->split.used_signalled = s->used_idx;
        if (MUTANT(ring_of_four_is_eight) && config->size == 4)
            q->split.mask = 7;
    }
    return 0;
}

int virtq_dev_pop(struct virtq_dev *q, struct virtq_chain *chain)
{
    return is_packed(q) ? packed_dev_pop(q, chain) : split_dev_pop(q, chain);
}

unsigned virtq_dev_outstanding(const struct virtq_dev *q)
{
    unsigned taken =
        is_packed(q) ? q->packed.taken : (uint16_t)(q->split.avail_next - q->split.used_next);

    return taken - q->batch.chains;
}

static void batch_use(struct virtq_dev *q, const struct virtq_used_batch *b)
{
    if (is_packed(q))
        packed_dev_use(q, b);
    else
        split_dev_use(q, b);
}

static void batch_end(struct virtq_dev *q)
{
    if (q->batch.chains == 0)
        return;
    batch_use(q, &q->batch);
    q->batch.chains = 0;
}

void virtq_dev_push(struct virtq_dev *q, struct virtq_token token, uint32_t written)
{
    struct virtq_used_batch b = {
        .id = token.id,
        .chains = 1,
        .descs = token.descs,
        .written = written,
        .whole = written >= token.writable_bytes,
    };

    if (!q->cfg.in_order) {
        batch_use(q, &b);
        return;
    }
    /* Of a chain inside a batch the driver learns no length: it has to be all of it. */
    if (!q->batch.whole)
        batch_end(q);
    if (q->batch.chains) {
        b.chains = (uint16_t)(b.chains + q->batch.chains);
        b.descs = (uint16_t)(b.descs + q->batch.descs);
        if (MUTANT(in_order_batch_id_of_first))
            b.id = q->batch.id;
    }
    q->batch = b;
}

unsigned virtq_dev_publish(struct virtq_dev *q)
{
    batch_end(q);
    return is_packed(q) ? packed_dev_publish(q) : split_dev_publish(q);
}

bool virtq_dev_interrupt_needed(struct virtq_dev *q)
{
    return is_packed(q) ? packed_dev_interrupt_needed(q) : split_dev_interrupt_needed(q);
}

void virtq_dev_kick_disable(struct virtq_dev *q)
{
    if (!q->kick_on)
        return;
    q->kick_on = false;
    if (is_packed(q))
        packed_dev_kick_disable(q);
    else
        split_dev_kick_disable(q);
}

bool virtq_dev_kick_enable(struct virtq_dev *q)
{
    bool more = is_packed(q) ? packed_dev_kick_enable(q) : split_dev_kick_enable(q);

    q->kick_on = true;
    return q->fault == VIRTQ_OK && more;
}

void virtq_dev_get_state(const struct virtq_dev *q, struct virtq_dev_state *state)
{
    if (is_packed(q))
        *state = (struct virtq_dev_state){
            .avail_idx = q->packed.avail.at,
            .used_idx = q->packed.used.at,
            .avail_lap_odd = !q->packed.avail.wrap,
            .used_lap_odd = !q->packed.used.wrap,
        };
    else
        *state = (struct virtq_dev_state){
            .avail_idx = q->split.avail_next,
            .used_idx = q->split.used_next,
        };
}

int virtq_dev_state_recover(enum virtq_format format, unsigned size,
                            const struct virtq_areas *areas, struct virtq_dev_state *state)
{
    struct virtq_layout layout;
    uint16_t used;

    if (virtq_layout_init(&layout, format, size) < 0)
        return -EINVAL;
    if (format != VIRTQ_SPLIT)
        return -EOPNOTSUPP;
    used = ring_load_acquire(&split_used(areas)->idx);
    *state = (struct virtq_dev_state){.avail_idx = used, .used_idx = used};
    return 0;
}
