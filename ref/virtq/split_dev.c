/* SPDX-License-Identifier: MIT */
/* Split virtqueues, device side: indirect tables. */
#include "virtq/split_dev_hot.h"

static struct ring_desc table_fetch(const struct iovec *iov, unsigned count, uint32_t entry)
{
    unsigned char bytes[sizeof(struct virtq_desc)];

    virtq_dev_table_read(iov, count, entry, bytes);
    return split_desc_fetch(bytes);
}

static enum virtq_fault table_walk(struct virtq_dev *q, struct virtq_chain *c,
                                   const struct iovec *iov, unsigned iov_count, uint32_t entries,
                                   uint16_t *index)
{
    *index = 0;
    for (uint32_t walked = 1;; walked++) {
        struct ring_desc d = table_fetch(iov, iov_count, *index);
        enum virtq_fault fault;

        if (d.flags & VIRTQ_DESC_F_INDIRECT) {
            if (MUTANT(indirect_nested_followed)) {
                *index = 0;
                continue;
            }
            return VIRTQ_FAULT_INDIRECT_NESTED;
        }
        fault = virtq_chain_append(q, c, &d);
        if (fault != VIRTQ_OK)
            return fault;
        if (!(d.flags & VIRTQ_DESC_F_NEXT))
            return VIRTQ_OK;
        if (walked == entries && !MUTANT(chain_length_unbounded))
            return VIRTQ_FAULT_CHAIN_LOOP;
        if (d.link >= entries)
            return VIRTQ_FAULT_NEXT_RANGE;
        *index = d.link;
    }
}

int split_dev_indirect(struct virtq_dev *q, struct virtq_chain *c, struct ring_desc d)
{
    struct iovec iov[VIRTQ_INDIRECT_IOV_MAX];
    enum virtq_fault fault;
    unsigned iov_count = 0;
    uint32_t entries = 0;
    uint16_t index;
    int rc = virtq_dev_table_get(q, d, iov, &iov_count, &entries);

    if (rc < 0)
        return rc;
    fault = table_walk(q, c, iov, iov_count, entries, &index);
    q->cfg.indirect_put(q->cfg.ctx);
    return fault == VIRTQ_OK ? 0 : virtq_dev_fault(q, fault, index);
}
