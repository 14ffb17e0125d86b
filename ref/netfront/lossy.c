/* SPDX-License-Identifier: MIT */
#include "netfront/lossy.h"

#include "util/bits.h"

static int lossy_notify(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next)
{
    struct lossy *l = container_of(v->ops, struct lossy, ops);

    if ((atomic_fetch_add_explicit(&l->rung, 1, memory_order_relaxed) + 1) % l->every == 0)
        return 0;
    return l->inner->notify(v, vcpu, queue, next);
}

void lossy_init(struct lossy *l, struct fe_virtio *v, unsigned every)
{
    *l = (struct lossy){.inner = v->ops, .every = every};
    if (!every)
        return;
    l->ops = *v->ops;
    l->ops.notify = lossy_notify;
    v->ops = &l->ops;
}

void lossy_fini(struct lossy *l, struct fe_virtio *v)
{
    v->ops = l->inner;
}

unsigned lossy_lost(const struct lossy *l)
{
    return l->every ? atomic_load_explicit(&l->rung, memory_order_relaxed) / l->every : 0;
}
