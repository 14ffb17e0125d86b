/* SPDX-License-Identifier: MIT */
#include "backend/teller.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci/function.h"
#include "spec/discovery.h"
#include "util/bits.h"
#include "util/mutant.h"

struct told {
    uint16_t rid, domid;
};

/* One of the two functions. */
struct voice {
    struct teller *teller;
    struct pci_function *function; /* NULL: nobody is told of in this way */
    unsigned dvsec;
    sbdf_t at;
    struct told devices[DISCOVERY_LIST_MAX];
    unsigned count;
};

struct teller {
    struct bridges *bridges;
    struct voice list, root;
};

int teller_create(struct bridges *b, struct teller **out)
{
    struct teller *t = calloc(1, sizeof(*t));

    *out = t;
    if (!t)
        return -ENOMEM;
    t->bridges = b;
    t->list.teller = t->root.teller = t;
    return 0;
}

static void voice_fini(struct voice *v)
{
    if (!v->function)
        return;
    bridges_detach(v->teller->bridges, v->at);
    pci_function_destroy(v->function);
}

void teller_destroy(struct teller *t)
{
    if (!t)
        return;
    voice_fini(&t->list);
    voice_fini(&t->root);
    free(t);
}

/* What the driver reads next: the whole list, or the answer about the RID that it wrote. */
static void show(struct voice *v)
{
    if (v == &v->teller->list) {
        pci_function_poke(v->function, v->dvsec + DISCOVERY_DVSEC_DATA, 2, v->count);
        for (unsigned i = 0; i < v->count; i++)
            pci_function_poke(v->function, v->dvsec + DISCOVERY_DVSEC_BYTES + 4 * i, 4,
                              v->devices[i].rid | (uint32_t)v->devices[i].domid << 16);
        return;
    }
    uint32_t rid = pci_function_peek(v->function, v->dvsec + DISCOVERY_DVSEC_DATA, 2), answer = 0;
    for (unsigned i = 0; i < v->count; i++)
        if (v->devices[i].rid == rid || MUTANT(discovery_root_answers_for_any))
            answer = DISCOVERY_ANSWER_VALID | v->devices[i].domid;
    pci_function_poke(v->function, v->dvsec + DISCOVERY_DVSEC_BYTES, 4, answer);
}

static void written(void *ctx, unsigned offset, unsigned bytes)
{
    struct voice *v = ctx;

    if (v == &v->teller->root)
        show(v);
}

static const struct pci_config_hooks hooks = {.written = written};

static int voice_begin(struct voice *v, sbdf_t device)
{
    bool root = v == &v->teller->root;
    const struct pci_ident ident = {
        .vendor_id = DISCOVERY_VENDOR_ID,
        .device_id = root ? DISCOVERY_ROOT_DEVICE : DISCOVERY_LIST_DEVICE,
        .class_code = root ? 0x060000 : 0x088000, /* a host bridge; a peripheral of no kind */
    };
    const unsigned bytes =
        DISCOVERY_DVSEC_BYTES + (root ? 4 : 4 * DISCOVERY_LIST_MAX); /* behind the header */
    uint8_t body[DISCOVERY_DVSEC_BYTES + 4 * DISCOVERY_LIST_MAX - 4];
    struct pci_function *f;
    int rc = pci_function_create(&ident, &f);

    if (rc)
        return rc;
    discovery_dvsec_fill(body, root ? DISCOVERY_DVSEC_ROOT : DISCOVERY_DVSEC_LIST, bytes, 0);
    memset(body + DISCOVERY_DVSEC_BYTES - 4, 0, bytes - DISCOVERY_DVSEC_BYTES);
    rc = pci_function_add_ext_capability(f, DISCOVERY_DVSEC_ID, 1, body, bytes);
    if (rc < 0)
        goto out;
    v->dvsec = (unsigned)rc;
    for (unsigned i = 0; root && i < 2; i++)
        pci_function_set_mask(f, v->dvsec + DISCOVERY_DVSEC_DATA + i, 0xff, 0);
    pci_function_set_hooks(f, &hooks, v);
    v->at = SBDF(sbdf_segment(device), sbdf_bus(device),
                 root ? DISCOVERY_ROOT_SLOT : DISCOVERY_LIST_SLOT, 0);
    rc = bridges_attach(v->teller->bridges, v->at, f, NULL);
out:
    if (rc < 0)
        pci_function_destroy(f);
    else
        v->function = f;
    return rc < 0 ? rc : 0;
}

int teller_add(struct teller *t, enum told_in how, sbdf_t device, uint16_t domid)
{
    struct voice *v = how == TOLD_IN_FUNCTION ? &t->list : &t->root;
    int rc = 0;

    if (how != TOLD_IN_FUNCTION && how != TOLD_IN_ROOT_COMPLEX)
        return -EINVAL;
    if (v->count == DISCOVERY_LIST_MAX)
        return -ENOSPC;
    if (!v->function)
        rc = voice_begin(v, device);
    else if ((v->at.raw ^ device.raw) >> 8)
        rc = -EXDEV;
    if (rc)
        return rc;
    if (MUTANT(discovery_teller_wrong_domid))
        domid++;
    v->devices[v->count++] = (struct told){.rid = (uint16_t)device.raw, .domid = domid};
    show(v);
    return 0;
}

void teller_remove(struct teller *t, sbdf_t device)
{
    struct voice *const voices[] = {&t->list, &t->root};

    for (size_t k = 0; k < ARRAY_LENGTH(voices); k++) {
        struct voice *v = voices[k];
        for (unsigned i = 0; v->function && i < v->count; i++) {
            if ((v->at.raw ^ device.raw) >> 8 || v->devices[i].rid != (uint16_t)device.raw)
                continue;
            v->devices[i] = v->devices[--v->count];
            show(v);
            break;
        }
    }
}
