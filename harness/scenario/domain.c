/* SPDX-License-Identifier: MIT */
/* The key domain. */
#include "scenario/keys.h"
#include "scenario/units.h"
#include "util/bits.h"

#define LOSE_MAX     1000000u
#define MAPPINGS_MAX 4096u

int keys_read_domain(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {
        "memory",       "vcpus",         "lose-interrupts",  "lose-doorbells", "refuse-foreign",
        "max-mappings", "backend-pages", "backend-unseeded", "count-costs",    NULL};
    int ret = reader_want(r, n, DOC_MAP, "domain");

    if (!ret)
        ret = reader_check_keys(r, n, known);
    if (ret)
        return ret;
    const struct doc_node *c = doc_get(n, "memory");
    if (c) {
        ret = reader_number(r, c, "memory", units_parse_bytes, "a size such as 64MiB", 4u << 20,
                            16ull << 30, &r->s->memory_bytes);
        if (!ret && r->s->memory_bytes % 4096)
            ret = reader_refuse_at(r, c, "memory is not a multiple of 4KiB");
    }
    c = doc_get(n, "vcpus");
    if (!ret && c)
        ret = reader_count(r, c, "vcpus", 1, VCPUS_MAX, &r->s->vcpus);
    c = doc_get(n, "lose-interrupts");
    if (!ret && c)
        ret = reader_count(r, c, "lose-interrupts", 2, LOSE_MAX, &r->s->lose_interrupts);
    c = doc_get(n, "lose-doorbells");
    if (!ret && c)
        ret = reader_count(r, c, "lose-doorbells", 2, LOSE_MAX, &r->s->lose_doorbells);
    c = doc_get(n, "refuse-foreign");
    if (!ret && c)
        ret = reader_bool(r, c, "refuse-foreign", &r->s->refuse_foreign);
    c = doc_get(n, "max-mappings");
    if (!ret && c)
        ret = reader_count(r, c, "max-mappings", 4, MAPPINGS_MAX, &r->s->max_mappings);
    c = doc_get(n, "backend-pages");
    if (!ret && c)
        ret = reader_number(r, c, "backend-pages", units_parse_bytes, "a size such as 64KiB", 4096,
                            65536, &r->s->backend_page_bytes);
    if (!ret && c && !is_pow2(r->s->backend_page_bytes))
        ret = reader_refuse_at(r, c, "pages are a power of two");
    c = doc_get(n, "backend-unseeded");
    if (!ret && c)
        ret = reader_bool(r, c, "backend-unseeded", &r->s->backend_unseeded);
    c = doc_get(n, "count-costs");
    if (!ret && c)
        ret = reader_bool(r, c, "count-costs", &r->s->count_costs);
    return ret;
}
