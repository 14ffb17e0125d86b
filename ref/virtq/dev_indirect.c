/* SPDX-License-Identifier: MIT */
/* The device side: indirect tables, whose place and length both formats give in the same way. */
#include "virtq/dev_hot.h"

void virtq_dev_table_read(const struct iovec *iov, unsigned count, uint32_t entry,
                          unsigned char bytes[sizeof(struct virtq_desc)])
{
    const size_t want = sizeof(struct virtq_desc);
    size_t have = 0, at = (size_t)entry * want;

    for (unsigned i = 0; i < count && have < want; i++) {
        size_t n;

        if (at >= iov[i].iov_len) {
            at -= iov[i].iov_len;
            continue;
        }
        n = min_u64(iov[i].iov_len - at, want - have);
        memcpy(bytes + have, (const unsigned char *)iov[i].iov_base + at, n);
        have += n;
        at = 0;
    }
    assert(have == want); /* indirect_get promised to cover the table */
}

int virtq_dev_table_get(struct virtq_dev *q, struct ring_desc d, struct iovec *iov,
                        unsigned *iov_count, uint32_t *entries)
{
    int rc;

    if (!q->cfg.indirect)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_UNOFFERED, 0);
    if (d.flags & VIRTQ_DESC_F_NEXT)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_NEXT, 0);
    if (MUTANT(indirect_write_flag_refused) && (d.flags & VIRTQ_DESC_F_WRITE))
        return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_ORDER, 0);
    if (MUTANT(indirect_len_asserted) && (d.len == 0 || d.len % sizeof(struct virtq_desc) != 0))
        abort();
    if (d.len == 0 || d.len % sizeof(struct virtq_desc) != 0)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_LEN, 0);
    if (d.len / sizeof(struct virtq_desc) > VIRTQ_CHAIN_MAX ||
        (MUTANT(indirect_table_of_queue_size_refused) &&
         d.len / sizeof(struct virtq_desc) >= q->cfg.size))
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_LONG, 0);
    if (range_wraps(d.addr, d.len))
        return virtq_dev_fault(q, VIRTQ_FAULT_DESC_WRAP, 0);

    rc = q->cfg.indirect_get(q->cfg.ctx, gpa_make(d.addr), d.len, iov, iov_count);
    if (rc == -EFAULT || rc == -EINVAL || rc == -ENOSPC)
        return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_ADDR, 0);
    if (rc < 0)
        return rc;
    *entries = d.len / (uint32_t)sizeof(struct virtq_desc);
    return 0;
}
