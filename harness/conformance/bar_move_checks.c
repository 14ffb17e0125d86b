/* SPDX-License-Identifier: MIT */
/* A guest gives addresses out anew while its device is at work, as Linux does when a bridge's
 * window has to grow: decoding stops, the BAR moves, decoding goes on. */
#define CHECK_FAMILY "ecam"

#include <string.h>

#include "conformance/blkdev.h"
#include "spec/pci.h"
#include "util/bits.h"

#define ROUNDS  16u
#define SECTORS 8u

/* Where else the BAR can be; 0: nowhere. */
static uint64_t other_place(struct device *d, unsigned bar)
{
    const struct fe_host_bridge *b = &d->host.bridge;
    const struct fe_pci_bar *at = &d->pci->func.bars[bar];
    uint64_t last = align_down(b->mem_base + b->mem_bytes - at->bytes, at->bytes);

    return last < b->mem_base || last == at->addr ? 0 : last;
}

CHECK(bar_moves_under_io, .judges = DEVICE, .proves = "xen.ecam.bar.6",
      .needs = NEED_PCI | NEED_DEVICE | NEED_BLK | NEED_IRQ, .timeout_ms = 60000,
      .title = "Requests in flight while a BAR moves are completed, and so is their interrupt")
{
    struct blk *k = given_blk(t, 0, 0);
    struct device *d = k->d;
    struct fe_pci_func *f = &d->pci->func;
    unsigned bar = d->pci->common.bar;
    struct buffer *want = given_buffer(d, SECTORS * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(want, true);
    uint64_t places[2] = {other_place(d, bar), f->bars[bar].addr};

    if (!places[0])
        skip_check(t, "the BAR window has no second place for BAR %u", bar);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a read");
    buffer_release(want);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct buffer *got = given_buffer(d, SECTORS * SECTOR, 0, FE_DMA_FROM_DEVICE);

        memset(got->va, 0x5a, got->bytes);
        blk_prepare(k, VIRTIO_BLK_T_IN, 0);
        struct piece chain[3] = {piece_of(k->header, false), piece_of(got, true),
                                 piece_of(k->status, true)};
        uint16_t head = ring_chain(k->q, 0, chain, 3);

        ring_drain_irq(k->q);
        ring_offer(k->q, head);
        ring_kick(k->q);
        must(t, fe_pci_command(f, 0, PCI_COMMAND_MEMORY), "disabling decode");
        (void)expect_used(k->q, head);
        must(t, fe_pci_bar_set(f, bar, places[round % 2]), "moving a BAR");
        must(t, fe_pci_command(f, PCI_COMMAND_MEMORY, 0), "enabling decode");
        expect_notified(k->q, MUST, "a request was completed while its BAR moved");
        expect_eq(t, MUST, blk_finish(k), VIRTIO_BLK_S_OK, "the status of a read in flight");
        buffer_release(got);
        expect(t, MUST, memcmp(got->va, want->va, want->bytes) == 0,
               "round %u: a read in flight while its BAR moved has other data", round);
    }
}
