/* SPDX-License-Identifier: MIT */
/* Split virtqueues, device side: indirect tables. */
#include <stdlib.h>

#include "util/mutant.h"
#include "virtq/split_dev_hot.h"

/* A descriptor of the table, wherever its 16 bytes lie; `offset` is within the table. */
static struct split_desc table_fetch(const struct iovec *iov, unsigned count, uint32_t offset)
{
    unsigned char bytes[sizeof(struct virtq_desc)];
    size_t have = 0, at = offset;

    if (range_within(at, sizeof(bytes), iov[0].iov_len))
        return split_desc_fetch((const unsigned char *)iov[0].iov_base + at);
    for (unsigned i = 0; i < count && have < sizeof(bytes); i++) {
        size_t n;

        if (at >= iov[i].iov_len) {
            at -= iov[i].iov_len;
            continue;
        }
        n = min_u64(iov[i].iov_len - at, sizeof(bytes) - have);
        memcpy(bytes + have, (const unsigned char *)iov[i].iov_base + at, n);
        have += n;
        at = 0;
    }
    assert(have == sizeof(bytes)); /* indirect_get promised to cover the table */
    return split_desc_fetch(bytes);
}

static enum virtq_fault table_walk(struct virtq_dev *q, struct virtq_chain *c,
                                   const struct iovec *iov, unsigned iov_count, uint32_t entries,
                                   uint16_t *index)
{
    *index = 0;
    for (uint32_t walked = 1;; walked++) {
        struct split_desc d =
            table_fetch(iov, iov_count, (uint32_t)*index * (uint32_t)sizeof(struct virtq_desc));
        enum virtq_fault fault;

        if (d.flags & VIRTQ_DESC_F_INDIRECT) {
            if (MUTANT(indirect_nested_followed)) {
                *index = 0;
                continue;
            }
            return VIRTQ_FAULT_INDIRECT_NESTED;
        }
        fault = split_dev_append(q, c, &d);
        if (fault != VIRTQ_OK)
            return fault;
        if (!(d.flags & VIRTQ_DESC_F_NEXT))
            return VIRTQ_OK;
        if (walked == entries && !MUTANT(chain_length_unbounded))
            return VIRTQ_FAULT_CHAIN_LOOP;
        if (d.next >= entries)
            return VIRTQ_FAULT_NEXT_RANGE;
        *index = d.next;
    }
}

int split_dev_indirect(struct virtq_dev *q, struct virtq_chain *c, const struct split_desc *d)
{
    struct iovec iov[VIRTQ_INDIRECT_IOV_MAX];
    unsigned iov_count = 0;
    uint16_t index = 0;
    enum virtq_fault fault;
    int rc;

    if (!q->cfg.indirect)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_UNOFFERED, 0);
    if (d->flags & VIRTQ_DESC_F_NEXT)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_NEXT, 0);
    if (MUTANT(indirect_write_flag_refused) && (d->flags & VIRTQ_DESC_F_WRITE))
        return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_ORDER, 0);
    if (MUTANT(indirect_len_asserted) && (d->len == 0 || d->len % sizeof(struct virtq_desc) != 0))
        abort();
    if (d->len == 0 || d->len % sizeof(struct virtq_desc) != 0)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_LEN, 0);
    if (d->len / sizeof(struct virtq_desc) > VIRTQ_CHAIN_MAX ||
        (MUTANT(indirect_table_of_queue_size_refused) &&
         d->len / sizeof(struct virtq_desc) >= q->cfg.size))
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_LONG, 0);
    if (range_wraps(d->addr, d->len))
        return virtq_dev_fault(q, VIRTQ_FAULT_DESC_WRAP, 0);

    rc = q->cfg.indirect_get(q->cfg.ctx, gpa_make(d->addr), d->len, iov, &iov_count);
    if (rc == -EFAULT || rc == -EINVAL || rc == -ENOSPC)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_ADDR, 0);
    if (rc < 0)
        return rc;
    fault = table_walk(q, c, iov, iov_count, d->len / (uint32_t)sizeof(struct virtq_desc), &index);
    q->cfg.indirect_put(q->cfg.ctx);
    return fault == VIRTQ_OK ? 0 : virtq_dev_fault(q, fault, index);
}
