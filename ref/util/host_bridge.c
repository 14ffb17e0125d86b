/* SPDX-License-Identifier: MIT */
#include "util/host_bridge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/bits.h"
#include "util/parse.h"

#define HOST_BRIDGE_TEXT_BYTES 256

enum host_bridge_key { KEY_SEG, KEY_BUS, KEY_ECAM, KEY_MEM, KEY_COUNT };

static const char *const key_names[KEY_COUNT] = {"seg", "bus", "ecam", "mem"};

static int key_find(const char *name)
{
    for (int i = 0; i < KEY_COUNT; i++)
        if (strcmp(name, key_names[i]) == 0)
            return i;
    return -1;
}

static int key_set(struct host_bridge *hb, int key, const char *value)
{
    uint64_t first, last;
    int rc;

    switch (key) {
    case KEY_SEG:
        return parse_u16(value, 0, UINT16_MAX, &hb->segment);
    case KEY_BUS:
        rc = parse_interval(value, UINT8_MAX, &first, &last);
        if (rc == 0) {
            hb->bus_first = (uint8_t)first;
            hb->bus_last = (uint8_t)last;
        }
        return rc;
    case KEY_ECAM:
        return parse_range(value, &hb->ecam_base, &hb->ecam_bytes);
    default:
        return parse_range(value, &hb->mem_base, &hb->mem_bytes);
    }
}

static int check_windows(struct host_bridge *hb, bool bus_given, char *error)
{
    uint64_t buses;

    if (!is_aligned(hb->ecam_base, ECAM_BYTES_PER_BUS) ||
        !is_aligned(hb->ecam_bytes, ECAM_BYTES_PER_BUS)) {
        snprintf(error, HOST_BRIDGE_ERROR_BYTES,
                 "the ecam window is not a multiple of 1 MiB (a bus)");
        return -EINVAL;
    }
    buses = hb->ecam_bytes / ECAM_BYTES_PER_BUS;
    if (!bus_given) {
        if (buses > 256) {
            snprintf(error, HOST_BRIDGE_ERROR_BYTES, "the ecam window covers more than 256 buses");
            return -EINVAL;
        }
        hb->bus_first = 0;
        hb->bus_last = (uint8_t)(buses - 1);
    } else if ((uint64_t)(hb->bus_last - hb->bus_first) + 1 > buses) {
        snprintf(error, HOST_BRIDGE_ERROR_BYTES,
                 "buses %u-%u need an ecam window of %u MiB, not %" PRIu64, hb->bus_first,
                 hb->bus_last, hb->bus_last - hb->bus_first + 1u, buses);
        return -EINVAL;
    }
    if (!is_aligned(hb->mem_base, XEN_PAGE_BYTES) || !is_aligned(hb->mem_bytes, XEN_PAGE_BYTES)) {
        snprintf(error, HOST_BRIDGE_ERROR_BYTES, "the mem window is not a multiple of 4 KiB");
        return -EINVAL;
    }
    if (ranges_overlap(hb->ecam_base, hb->ecam_bytes, hb->mem_base, hb->mem_bytes)) {
        snprintf(error, HOST_BRIDGE_ERROR_BYTES, "the ecam and mem windows overlap");
        return -EINVAL;
    }
    return 0;
}

int host_bridge_parse(const char *text, struct host_bridge *hb, char error[HOST_BRIDGE_ERROR_BYTES])
{
    struct host_bridge parsed = {0};
    char copy[HOST_BRIDGE_TEXT_BYTES];
    char *cursor = copy, *name, *value;
    bool given[KEY_COUNT] = {false};
    int rc;

    if (strlen(text) >= sizeof(copy)) {
        snprintf(error, HOST_BRIDGE_ERROR_BYTES, "longer than %zu characters", sizeof(copy) - 1);
        return -EINVAL;
    }
    memcpy(copy, text, strlen(text) + 1);
    while ((rc = parse_next_item(&cursor, &name, &value)) > 0) {
        int key = key_find(name);

        if (key < 0) {
            snprintf(error, HOST_BRIDGE_ERROR_BYTES,
                     "unknown key \"%.40s\" (known: seg, bus, ecam, mem)", name);
            return -EINVAL;
        }
        if (given[key]) {
            snprintf(error, HOST_BRIDGE_ERROR_BYTES, "\"%s\" is given twice", key_names[key]);
            return -EINVAL;
        }
        if (value == NULL || key_set(&parsed, key, value) < 0) {
            snprintf(error, HOST_BRIDGE_ERROR_BYTES, "bad value for \"%s\": \"%.60s\"",
                     key_names[key], value != NULL ? value : "");
            return -EINVAL;
        }
        given[key] = true;
    }
    if (rc < 0) {
        snprintf(error, HOST_BRIDGE_ERROR_BYTES, "an empty item");
        return -EINVAL;
    }
    if (!given[KEY_ECAM] || !given[KEY_MEM]) {
        snprintf(error, HOST_BRIDGE_ERROR_BYTES, "\"%s\" is missing",
                 key_names[given[KEY_ECAM] ? KEY_MEM : KEY_ECAM]);
        return -EINVAL;
    }
    rc = check_windows(&parsed, given[KEY_BUS], error);
    if (rc == 0)
        *hb = parsed;
    return rc;
}

static bool buses_overlap(const struct host_bridge *a, const struct host_bridge *b)
{
    return a->segment == b->segment && a->bus_first <= b->bus_last && b->bus_first <= a->bus_last;
}

static bool windows_overlap(const struct host_bridge *a, const struct host_bridge *b)
{
    return ranges_overlap(a->ecam_base, a->ecam_bytes, b->ecam_base, b->ecam_bytes) ||
           ranges_overlap(a->ecam_base, a->ecam_bytes, b->mem_base, b->mem_bytes) ||
           ranges_overlap(a->mem_base, a->mem_bytes, b->ecam_base, b->ecam_bytes) ||
           ranges_overlap(a->mem_base, a->mem_bytes, b->mem_base, b->mem_bytes);
}

int host_bridge_list_check(const struct host_bridge *list, unsigned count,
                           char error[HOST_BRIDGE_ERROR_BYTES])
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            bool buses = buses_overlap(&list[i], &list[j]);

            if (!buses && !windows_overlap(&list[i], &list[j]))
                continue;
            snprintf(error, HOST_BRIDGE_ERROR_BYTES, "host bridges %u and %u share %s", j, i,
                     buses ? "a bus" : "guest addresses");
            return -EINVAL;
        }
    }
    return 0;
}

int host_bridge_format(const struct host_bridge *hb, char *text, unsigned text_bytes)
{
    int n =
        snprintf(text, text_bytes,
                 "seg=%u,bus=%u-%u,ecam=0x%" PRIx64 "+0x%" PRIx64 ",mem=0x%" PRIx64 "+0x%" PRIx64,
                 hb->segment, hb->bus_first, hb->bus_last, hb->ecam_base, hb->ecam_bytes,
                 hb->mem_base, hb->mem_bytes);

    return n >= (int)text_bytes ? -ENOSPC : n;
}

bool host_bridge_covers(const struct host_bridge *hb, sbdf_t sbdf)
{
    return sbdf_segment(sbdf) == hb->segment && sbdf_bus(sbdf) >= hb->bus_first &&
           sbdf_bus(sbdf) <= hb->bus_last;
}

uint64_t host_bridge_config_addr(const struct host_bridge *hb, sbdf_t sbdf)
{
    return hb->ecam_base + (uint64_t)(sbdf_bus(sbdf) - hb->bus_first) * ECAM_BYTES_PER_BUS +
           ((uint64_t)(sbdf.raw & 0xff) << XEN_PAGE_SHIFT_BITS);
}
