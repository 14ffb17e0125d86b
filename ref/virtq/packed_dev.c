/* SPDX-License-Identifier: MIT */
/* Packed virtqueues, device side: indirect tables. */
#include "virtq/packed_dev_hot.h"

int packed_dev_indirect(struct virtq_dev *q, struct virtq_chain *c, struct ring_desc d)
{
    struct iovec iov[VIRTQ_INDIRECT_IOV_MAX];
    enum virtq_fault fault = VIRTQ_OK;
    unsigned iov_count = 0;
    uint32_t entries = 0, i;
    int rc = virtq_dev_table_get(q, d, iov, &iov_count, &entries);

    if (rc < 0)
        return rc;
    /* Of the flags only WRITE counts; the entries follow one another to the end (2.8.7). */
    for (i = 0; i < entries && fault == VIRTQ_OK; i++) {
        unsigned char bytes[sizeof(struct pvirtq_desc)];
        struct ring_desc entry;
        uint64_t w[2];

        virtq_dev_table_read(iov, iov_count, i, bytes);
        memcpy(w, bytes, sizeof(w));
        entry = packed_desc_make(w[0], w[1]);
        if (MUTANT(packed_table_flags_obeyed) && (entry.flags & VIRTQ_DESC_F_INDIRECT))
            fault = VIRTQ_FAULT_INDIRECT_NESTED;
        else
            fault = virtq_chain_append(q, c, &entry);
        if (MUTANT(packed_table_ends_without_next) && !(entry.flags & VIRTQ_DESC_F_NEXT))
            break;
    }
    q->cfg.indirect_put(q->cfg.ctx);
    return fault == VIRTQ_OK ? 0 : virtq_dev_fault(q, fault, (uint16_t)(i - 1));
}
