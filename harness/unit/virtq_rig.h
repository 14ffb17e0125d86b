/* SPDX-License-Identifier: MIT */
/* For the tests of hostile peers: a ring of either format that is written by hand. */
#ifndef RP_UNIT_VIRTQ_RIG_H
#define RP_UNIT_VIRTQ_RIG_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "spec/virtq_packed.h"
#include "virtq/dev.h"
#include "virtq/drv.h"
#include "virtq/raw.h"

#define NEXT     VIRTQ_DESC_F_NEXT
#define WRITE    VIRTQ_DESC_F_WRITE
#define INDIRECT VIRTQ_DESC_F_INDIRECT

#define SIZE      8u
#define CHAIN_MAX 6u
#define TABLE     16u

/* Areas of exactly the right size, so that one byte beyond is a sanitizer's finding. */
struct rig {
    void *desc, *driver, *device;
    struct virtq_raw raw;
    struct virtq_dev dev;
    unsigned char *table;
    uint32_t table_bytes; /* what indirect_get was asked for */
    int table_rc;
    unsigned gets, puts;
    struct virtq_seg *segs;
};

static inline int rig_table_get(void *ctx, gpa_t addr, uint32_t len_bytes, struct iovec *iov,
                                unsigned *iov_count)
{
    struct rig *r = ctx;

    r->table_bytes = len_bytes;
    if (r->table_rc < 0)
        return r->table_rc;
    if (len_bytes > TABLE * 16)
        return -EFAULT;
    r->gets++;
    iov[0] = (struct iovec){r->table, len_bytes};
    *iov_count = 1;
    return 0;
}

static inline void rig_table_put(void *ctx)
{
    struct rig *r = ctx;

    r->puts++;
}

static inline void rig_init(struct rig *r, enum virtq_format format, bool indirect)
{
    struct virtq_layout layout;
    struct virtq_dev_config c = {.format = format,
                                 .size = SIZE,
                                 .chain_max = CHAIN_MAX,
                                 .indirect = indirect,
                                 .indirect_get = rig_table_get,
                                 .indirect_put = rig_table_put,
                                 .ctx = r};

    *r = (struct rig){0};
    ck_assert_int_eq(virtq_layout_init(&layout, format, SIZE), 0);
    r->desc = calloc(1, layout.desc_bytes);
    r->driver = calloc(1, layout.driver_bytes);
    r->device = calloc(1, layout.device_bytes);
    r->table = calloc(TABLE, 16);
    r->segs = calloc(CHAIN_MAX, sizeof(*r->segs));
    c.areas = (struct virtq_areas){r->desc, r->driver, r->device};
    r->raw = (struct virtq_raw){format, SIZE, c.areas};
    ck_assert_int_eq(virtq_dev_init(&r->dev, &c), 0);
}

static inline void rig_fini(struct rig *r)
{
    ck_assert_uint_eq(r->gets, r->puts);
    free(r->desc);
    free(r->driver);
    free(r->device);
    free(r->table);
    free(r->segs);
}

#endif
