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
        q->packed.avail = packed_pos_avail(s->avail_idx, !s->avail_lap_odd);
        q->packed.used = packed_pos_used(s->used_idx, !s->used_lap_odd);
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

static RING_INLINE void used_put(struct virtq_dev *q, unsigned id, unsigned chains, unsigned descs,
                                 uint32_t written)
{
    if (is_packed(q))
        packed_dev_use(q, id, chains, descs, written);
    else
        split_dev_use(q, id, chains, written);
}

/* The batch that was begun is complete. */
static RING_APART void batch_end(struct virtq_dev *q)
{
    struct virtq_used_batch *b = &q->batch;

    used_put(q, b->id, b->chains, b->descs, b->written);
    b->chains = b->descs = 0;
}

/* With IN_ORDER: the chain joins those before it. */
static RING_APART void batch_add(struct virtq_dev *q, struct virtq_token token, uint32_t written)
{
    struct virtq_used_batch *b = &q->batch;

    /* Of a chain inside a batch the driver learns no length: it has to be all of it. */
    if (b->chains && !b->whole)
        batch_end(q);
    if (!(MUTANT(in_order_batch_id_of_first) && b->chains))
        b->id = virtq_token_id(token);
    b->chains++;
    b->descs += virtq_token_descs(token);
    b->written = written;
    b->whole = written >= virtq_token_writable(token);
}

void virtq_dev_push(struct virtq_dev *q, struct virtq_token token, uint32_t written)
{
    if (q->cfg.in_order)
        batch_add(q, token, written);
    else
        used_put(q, virtq_token_id(token), 1, virtq_token_descs(token), written);
}

unsigned virtq_dev_publish(struct virtq_dev *q)
{
    if (q->batch.chains)
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
            .avail_idx = (uint16_t)q->packed.avail.at,
            .used_idx = (uint16_t)q->packed.used.at,
            .avail_lap_odd = !packed_pos_wrap(&q->packed.avail),
            .used_lap_odd = !packed_pos_wrap(&q->packed.used),
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
