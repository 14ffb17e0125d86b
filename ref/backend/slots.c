/* SPDX-License-Identifier: MIT */
#include "backend/slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"
#include "util/parse.h"

struct slot {
    struct slots *all;
    sbdf_t at;
    struct pci_port *port;
    bool has_power; /* that can be switched */
};

struct card {
    struct card *next;
    sbdf_t at;
    struct slot *slot;
    bool asked; /* to be given back */
};

struct slots {
    struct bridges *bridges; /* borrowed */
    const struct slots_ops *ops;
    void *ctx;
    struct slot list[SLOTS_MAX];
    unsigned count;
    struct card *cards;
    bool live;
};

const char root_port_help[] =
    "a root port with a slot, for devices with port=SBDF; may be repeated.\n"
    "        slot=N is its number, pin=N its INTx pin; button=0, power=0, "
    "indicators=0,\n"
    "        surprise=0: it has none; commands=0: it reports no completion of commands";

int root_port_parse(struct root_port *port, const char *text, char why[SLOTS_WHY_BYTES])
{
    struct pci_port_options *o = &port->options;
    const struct {
        const char *name;
        bool *missing;
    } flags[] = {{"button", &o->no_button},
                 {"power", &o->no_power},
                 {"indicators", &o->no_indicators},
                 {"surprise", &o->no_surprise},
                 {"commands", &o->no_command_completed}};
    char *copy = strdup(text), *cursor = copy, *key, *value;
    bool has_sbdf = false;
    uint32_t pin = 0;
    int rc = copy ? 1 : -ENOMEM;

    *port = (struct root_port){0};
    why[0] = 0;
    while (rc == 1 && (rc = parse_next_item(&cursor, &key, &value)) == 1) {
        int bad = -EINVAL;
        bool on;

        if (!strcmp(key, "sbdf") && value) {
            bad = place_parse_sbdf(value, &port->at);
            has_sbdf = true;
        } else if (!strcmp(key, "slot") && value) {
            bad = parse_u32(value, 0, 8191, &o->slot_number);
        } else if (!strcmp(key, "pin") && value) {
            bad = parse_u32(value, 1, 4, &pin);
            o->interrupt_pin = (uint8_t)pin;
        }
        for (size_t i = 0; value && i < ARRAY_LENGTH(flags); i++)
            if (!strcmp(key, flags[i].name) && !(bad = parse_bool(value, &on)))
                *flags[i].missing = !on;
        if (bad) {
            snprintf(why, SLOTS_WHY_BYTES, "\"%.40s\" is not valid", key);
            rc = -EINVAL;
        }
    }
    if (!rc && !has_sbdf) {
        snprintf(why, SLOTS_WHY_BYTES, "no sbdf");
        rc = -EINVAL;
    }
    if (rc && !why[0])
        snprintf(why, SLOTS_WHY_BYTES, "\"%.40s\" is not a list of keys and values", text);
    free(copy);
    return rc;
}

static struct card **find_card(struct slots *s, sbdf_t at)
{
    struct card **link = &s->cards;

    while (*link && (*link)->at.raw != at.raw)
        link = &(*link)->next;
    return link;
}

/* The guest switched the power of a slot. */
static void powered(void *ctx, bool on)
{
    struct slot *slot = ctx;
    struct slots *s = slot->all;
    struct card *c;

    if (MUTANT(slot_card_never_given_back))
        return;
    do {
        for (c = s->cards; c; c = c->next)
            if (c->slot == slot && c->asked && !on)
                break;
        if (!c)
            return;
        c->asked = false;
        s->ops->given_back(s->ctx, c->at); /* which ends c */
    } while (true);
}

static const struct pci_port_ops port_ops = {.powered = powered};

int slots_create(struct bridges *b, const struct root_port *list, unsigned count,
                 const struct slots_ops *ops, void *ctx, struct slots **out)
{
    struct slots *s;
    int rc = 0;

    if (count > SLOTS_MAX)
        return -EINVAL;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->bridges = b;
    s->ops = ops;
    s->ctx = ctx;
    for (unsigned i = 0; !rc && i < count; i++) {
        struct slot *slot = &s->list[i];

        *slot = (struct slot){.all = s, .at = list[i].at, .has_power = !list[i].options.no_power};
        rc = pci_port_create(&list[i].options, &port_ops, slot, &slot->port);
        if (rc)
            break;
        s->count = i + 1;
        rc = bridges_attach_port(b, slot->at, slot->port);
    }
    if (rc)
        slots_destroy(s);
    else
        *out = s;
    return rc;
}

void slots_destroy(struct slots *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->count; i++) {
        bridges_detach(s->bridges, s->list[i].at);
        pci_port_destroy(s->list[i].port);
    }
    free(s);
}

void slots_set_live(struct slots *s, bool live)
{
    if (s)
        s->live = live;
}

int slots_attach(struct slots *s, sbdf_t port, sbdf_t at, struct pci_function *f,
                 uint64_t *interrupts)
{
    struct slot *slot = NULL;
    struct card *c;
    int rc;

    for (unsigned i = 0; s && i < s->count; i++)
        if (s->list[i].at.raw == port.raw)
            slot = &s->list[i];
    if (!slot)
        return -ENOENT;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    rc = bridges_attach_behind(s->bridges, at, slot->at, slot->port, f, interrupts);
    if (rc) {
        free(c);
        return rc;
    }
    *c = (struct card){.next = s->cards, .at = at, .slot = slot};
    s->cards = c;
    pci_port_set_card(slot->port, true, s->live);
    if (s->live && !pci_port_is_powered(slot->port))
        pci_port_press_button(slot->port);
    return 0;
}

void slots_detach(struct slots *s, sbdf_t at)
{
    struct card **link = find_card(s, at);
    struct card *c = *link;
    bool last = true;

    if (!c)
        return;
    bridges_detach(s->bridges, at);
    *link = c->next;
    for (struct card *o = s->cards; o; o = o->next)
        last = last && o->slot != c->slot;
    if (last)
        pci_port_set_card(c->slot->port, false, s->live);
    free(c);
}

bool slots_ask_back(struct slots *s, sbdf_t at)
{
    struct card *c = s ? *find_card(s, at) : NULL;

    if (c && !pci_port_has_button(c->slot->port) && MUTANT(slot_waits_for_nobody))
        return true;
    if (!c || !c->slot->has_power || !pci_port_has_button(c->slot->port) ||
        !pci_port_is_powered(c->slot->port) || MUTANT(slot_card_not_asked_for))
        return false;
    c->asked = true;
    pci_port_press_button(c->slot->port);
    return true;
}
