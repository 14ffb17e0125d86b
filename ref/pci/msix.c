/* SPDX-License-Identifier: MIT */
/* MSI-X (PCI 3.0 6.8.2): the table and the pending bits in a BAR, the capability, delivery. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci/internal.h"
#include "util/mutant.h"

void pci_msix_destroy(struct pci_msix *m)
{
    if (!m)
        return;
    free(m->table);
    free(m->pending);
    free(m);
}

void pci_msix_reset(struct pci_msix *m)
{
    memset(m->table, 0, m->table_bytes);
    memset(m->pending, 0, m->pba_bytes);
    for (unsigned v = 0; v < m->vectors; v++)
        m->table[v * PCI_MSIX_ENTRY_BYTES + PCI_MSIX_ENTRY_CONTROL] = PCI_MSIX_ENTRY_MASKED;
}

int pci_function_add_msix(struct pci_function *f, unsigned vectors, unsigned bar,
                          uint32_t table_offset, uint32_t pba_offset)
{
    uint8_t body[PCI_MSIX_CAP_BYTES - 2] = {0};
    uint32_t table_bytes, pba_bytes;
    struct pci_msix *m;
    uint64_t size;
    int cap;

    if (f->msix)
        return -EBUSY;
    if (vectors < 1 || vectors > PCI_MSIX_VECTORS_MAX || (table_offset & 7) || (pba_offset & 7))
        return -EINVAL;
    table_bytes = vectors * PCI_MSIX_ENTRY_BYTES;
    pba_bytes = (vectors + 63) / 64 * 8;
    size = pci_function_bar_size(f, bar);
    if ((uint64_t)table_offset + table_bytes > size || (uint64_t)pba_offset + pba_bytes > size)
        return -EINVAL;
    if (table_offset < pba_offset + pba_bytes && pba_offset < table_offset + table_bytes)
        return -EINVAL;

    m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->vectors = vectors;
    m->bar = bar;
    m->table_offset = table_offset;
    m->table_bytes = table_bytes;
    m->pba_offset = pba_offset;
    m->pba_bytes = pba_bytes;
    m->table = calloc(vectors, PCI_MSIX_ENTRY_BYTES);
    m->pending = calloc(1, pba_bytes);
    if (!m->table || !m->pending) {
        pci_msix_destroy(m);
        return -ENOMEM;
    }
    pci_msix_reset(m);

    body[0] = (uint8_t)(vectors - 1);
    body[1] = (uint8_t)((vectors - 1) >> 8);
    for (unsigned i = 0; i < 4; i++) {
        body[PCI_MSIX_TABLE - 2 + i] = (uint8_t)((table_offset | bar) >> (i * 8));
        body[PCI_MSIX_PBA - 2 + i] = (uint8_t)((pba_offset | bar) >> (i * 8));
    }
    if (MUTANT(msix_pba_in_table))
        memcpy(body + PCI_MSIX_PBA - 2, body + PCI_MSIX_TABLE - 2, 4);
    cap = pci_function_add_capability(f, PCI_CAP_MSIX, body, PCI_MSIX_CAP_BYTES);
    if (cap < 0) {
        pci_msix_destroy(m);
        return cap;
    }
    m->cap = (unsigned)cap;
    pci_function_set_mask(f, m->cap + PCI_MSIX_CONTROL + 1,
                          (PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASK_ALL) >> 8, 0);
    f->msix = m;
    return 0;
}

static unsigned msix_control(const struct pci_function *f)
{
    return pci_function_peek(f, f->msix->cap + PCI_MSIX_CONTROL, 2);
}

bool pci_function_msix_enabled(const struct pci_function *f)
{
    return f->msix && (msix_control(f) & PCI_MSIX_CONTROL_ENABLE);
}

unsigned pci_function_msix_vectors(const struct pci_function *f)
{
    return f->msix ? f->msix->vectors : 0;
}

static bool pending(const struct pci_msix *m, unsigned v)
{
    return m->pending[v / 8] & (1u << (v % 8));
}

static void set_pending(struct pci_msix *m, unsigned v, bool on)
{
    if (on)
        m->pending[v / 8] |= (uint8_t)(1u << (v % 8));
    else
        m->pending[v / 8] &= (uint8_t) ~(1u << (v % 8));
}

/* A message is a memory write: the function may send it only as a bus master, on a bus. */
static bool may_send(const struct pci_function *f)
{
    uint32_t command = pci_function_peek(f, PCI_REG_COMMAND, 2);
    unsigned control = msix_control(f);

    if ((control & PCI_MSIX_CONTROL_MASK_ALL) && !MUTANT(msix_function_mask_ignored))
        return false;
    return f->host && (command & PCI_COMMAND_MASTER) && (control & PCI_MSIX_CONTROL_ENABLE);
}

static bool vector_masked(const struct pci_msix *m, unsigned v)
{
    if (MUTANT(msix_vector_mask_ignored))
        return false;
    return m->table[v * PCI_MSIX_ENTRY_BYTES + PCI_MSIX_ENTRY_CONTROL] & PCI_MSIX_ENTRY_MASKED;
}

static void send_vector(struct pci_function *f, unsigned v)
{
    const uint8_t *entry = f->msix->table + v * PCI_MSIX_ENTRY_BYTES;
    uint64_t addr;
    uint32_t data;

    memcpy(&addr, entry, sizeof(addr));
    memcpy(&data, entry + sizeof(addr), sizeof(data));
    set_pending(f->msix, v, false);
    pci_host_send_msi(f->host, f, addr, data);
}

void pci_function_msix_notify(struct pci_function *f, unsigned vector)
{
    if (!pci_function_msix_enabled(f) || vector >= f->msix->vectors)
        return;
    if (may_send(f) && !vector_masked(f->msix, vector))
        send_vector(f, vector);
    else if (!MUTANT(msix_pending_lost))
        set_pending(f->msix, vector, true);
}

void pci_function_msix_forget(struct pci_function *f)
{
    if (f->msix)
        memset(f->msix->pending, 0, f->msix->pba_bytes);
}

void pci_msix_deliver(struct pci_function *f)
{
    if (!f->msix || !may_send(f))
        return;
    for (unsigned byte = 0; byte < f->msix->pba_bytes; byte++) {
        if (!f->msix->pending[byte])
            continue;
        for (unsigned v = byte * 8; v < byte * 8 + 8 && v < f->msix->vectors; v++)
            if (pending(f->msix, v) && !vector_masked(f->msix, v))
                send_vector(f, v);
    }
}

/* ---- the BAR ---- */

static bool in_part(uint64_t offset, unsigned bytes, uint32_t first, uint32_t part_bytes)
{
    return offset >= first && offset + bytes <= (uint64_t)first + part_bytes;
}

bool pci_msix_read(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                   uint64_t *value)
{
    const struct pci_msix *m = f->msix;
    const uint8_t *from;

    if (!m || bar != m->bar)
        return false;
    if (in_part(offset, bytes, m->table_offset, m->table_bytes))
        from = m->table + (offset - m->table_offset);
    else if (in_part(offset, bytes, m->pba_offset, m->pba_bytes))
        from = m->pending + (offset - m->pba_offset);
    else
        return false;
    *value = 0;
    memcpy(value, from, bytes);
    return true;
}

bool pci_msix_write(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                    uint64_t value)
{
    /* Bits 1-0 of the address and all of vector control but the mask are reserved. */
    static const uint8_t writable[PCI_MSIX_ENTRY_BYTES] = {0xfc,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           0xff,
                                                           PCI_MSIX_ENTRY_MASKED};
    struct pci_msix *m = f->msix;

    if (!m || bar != m->bar)
        return false;
    if (in_part(offset, bytes, m->pba_offset, m->pba_bytes))
        return true; /* read-only for software */
    if (!in_part(offset, bytes, m->table_offset, m->table_bytes))
        return false;
    for (unsigned i = 0; i < bytes; i++) {
        uint64_t at = offset - m->table_offset + i;
        uint8_t mask = writable[at % PCI_MSIX_ENTRY_BYTES];

        if (MUTANT(msix_upper_address_dropped) && (at & 4) && !(at & 8))
            mask = 0;

        m->table[at] = (uint8_t)((m->table[at] & ~mask) | ((value >> (i * 8)) & mask));
    }
    if (!MUTANT(msix_unmask_not_delivered))
        pci_msix_deliver(f);
    return true;
}
