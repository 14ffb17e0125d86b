/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.16: a virtual IOMMU's configuration, and what it answers to each request. */
#define CHECK_FAMILY "iommu"

#include <string.h>

#include "conformance/iommudev.h"
#include "util/bits.h"

#define IOMMU  (NEED_DEVICE | NEED_IOMMU)
#define BEHIND (IOMMU | NEED_TESTBED)
#define RW     (VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE)
/* A place in the space of addresses, in units of the granularity. */
#define AT(k, n) ((k)->first + (uint64_t)(n) * (k)->granule)
/* More than this reference remembers; another device may have no such limit. */
#define MAPPINGS 17000u
/* Where a mapping leads does not matter while nobody uses it. */
#define PHYS(k, n) ((uint64_t)(n) * (k)->granule)

static void expect_status(struct check_ctx *t, enum check_level level, uint8_t got, uint8_t want,
                          const char *what)
{
    expect(t, level, got == want, "%s has status %u, not %u", what, got, want);
}

/* Pages first to last of a domain, to the same pages. */
static uint8_t map_pages(struct iommudev *k, uint32_t domain, unsigned first, unsigned last)
{
    return iommudev_map(k, domain, AT(k, first), AT(k, last + 1) - 1, PHYS(k, first), RW);
}

static uint8_t unmap_pages(struct iommudev *k, uint32_t domain, unsigned first, unsigned last)
{
    return iommudev_unmap(k, domain, AT(k, first), AT(k, last + 1) - 1);
}

/* Nothing else can be mapped where something is. */
static void expect_mapped(struct iommudev *k, uint32_t domain, unsigned page, bool mapped,
                          const char *when)
{
    uint8_t status = map_pages(k, domain, page, page);

    expect(k->d->t, SHOULD, status == (mapped ? VIRTIO_IOMMU_S_INVAL : VIRTIO_IOMMU_S_OK),
           "%s page %u is %s: mapping it has status %u", when, page,
           mapped ? "not mapped any more" : "still mapped", status);
    if (!mapped && status == VIRTIO_IOMMU_S_OK)
        (void)unmap_pages(k, domain, page, page);
}

CHECK(configuration_makes_sense, .judges = DEVICE, .proves = "xen.memory.iommu.1", .needs = IOMMU,
      .title = "A page granularity, ranges that are some, bypass 0 or 1, and the features of today")
{
    struct device *d = given_device(t);
    uint64_t bypasses = VIRTIO_F(VIRTIO_IOMMU_F_BYPASS) | VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG);

    expect(t, MUST, iommudev_config64(d, IOMMU_CONFIG(page_size_mask)) != 0,
           "page_size_mask has no bit");
    expect(t, SHOULD, d->offered & VIRTIO_F(VIRTIO_IOMMU_F_MAP_UNMAP), "MAP_UNMAP is not offered");
    expect(t, SHOULD, (d->offered & bypasses) != bypasses,
           "both BYPASS and BYPASS_CONFIG are offered");
    if (d->offered & VIRTIO_F(VIRTIO_IOMMU_F_INPUT_RANGE))
        expect(t, MUST,
               iommudev_config64(d, IOMMU_CONFIG(input_start)) <=
                   iommudev_config64(d, IOMMU_CONFIG(input_end)),
               "input_range ends before it begins");
    if (d->offered & VIRTIO_F(VIRTIO_IOMMU_F_DOMAIN_RANGE))
        expect(t, MUST,
               device_get(d, IOMMU_CONFIG(domain_start), 4) <=
                   device_get(d, IOMMU_CONFIG(domain_end), 4),
               "domain_range ends before it begins");
    if (d->offered & VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG))
        expect(t, MUST, device_get(d, IOMMU_CONFIG(bypass), 1) <= 1, "bypass is neither 0 nor 1");
}

static void bypass_write(struct iommudev *k, uint8_t value)
{
    must(k->d->t, k->d->v->ops->config_write(k->d->v, IOMMU_CONFIG(bypass), 1, value),
         "writing bypass");
}

static void expect_bypass(struct iommudev *k, enum check_level level, uint8_t want,
                          const char *when)
{
    uint64_t got = device_get(k->d, IOMMU_CONFIG(bypass), 1);

    expect(k->d->t, level, got == want, "%s bypass reads %llu, not %u", when,
           (unsigned long long)got, want);
}

CHECK(bypass_is_configured, .judges = DEVICE, .proves = "xen.memory.iommu.2", .needs = IOMMU,
      .title = "bypass is what the driver wrote, a reset leaves it, and it is never but 0 or 1")
{
    struct iommudev *k = given_iommu(t);

    if (!(k->d->v->features & VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG)))
        skip_check(t, "VIRTIO_IOMMU_F_BYPASS_CONFIG is not offered");
    bypass_write(k, 1);
    expect_bypass(k, MUST, 1, "after it was written");
    iommudev_restart(k);
    expect_bypass(k, SHOULD, 1, "after a reset");
    bypass_write(k, 2);
    expect(t, MUST, device_get(k->d, IOMMU_CONFIG(bypass), 1) <= 1,
           "bypass is neither 0 nor 1 after something else was written");
    bypass_write(k, 0);
    expect_bypass(k, MUST, 0, "after it was written");
}

CHECK(attach_and_detach_are_answered, .judges = DEVICE, .proves = "xen.memory.iommu.3",
      .needs = BEHIND, .title = "ATTACH and DETACH: reserved fields, flags, endpoints, domains")
{
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first, b = a + 1, endpoint = given_endpoint(t, 0);
    struct virtio_iommu_req_attach attach = {.head.type = VIRTIO_IOMMU_T_ATTACH,
                                             .domain = le32_make(a),
                                             .endpoint = le32_make(endpoint)};
    struct virtio_iommu_req_detach detach = {.head.type = VIRTIO_IOMMU_T_DETACH,
                                             .domain = le32_make(b),
                                             .endpoint = le32_make(endpoint)};

    expect_status(t, MUST, iommudev_attach(k, a, ENDPOINT_NONE, 0), VIRTIO_IOMMU_S_NOENT,
                  "attaching an endpoint that does not exist");
    expect_status(t, MUST, iommudev_detach(k, a, ENDPOINT_NONE), VIRTIO_IOMMU_S_NOENT,
                  "detaching an endpoint that does not exist");
    attach.reserved[3] = 1;
    expect_status(t, MUST, iommudev_send(k, &attach, sizeof(attach), 4).status,
                  VIRTIO_IOMMU_S_INVAL, "ATTACH with a reserved field that is not zero");
    expect_status(t, MUST, iommudev_attach(k, a, endpoint, 1u << 31), VIRTIO_IOMMU_S_INVAL,
                  "ATTACH with a flag that nobody knows");
    expect_status(t, SHOULD, map_pages(k, a, 0, 0), VIRTIO_IOMMU_S_NOENT,
                  "MAP in a domain that no ATTACH has made");
    memset(attach.head.reserved, 0xff, sizeof(attach.head.reserved));
    attach.reserved[3] = 0;
    expect_status(t, MUST, iommudev_send(k, &attach, sizeof(attach), 4).status, VIRTIO_IOMMU_S_OK,
                  "ATTACH with a head whose reserved field is not zero");
    expect_status(t, SHOULD, iommudev_attach(k, b, endpoint, 0), VIRTIO_IOMMU_S_OK,
                  "ATTACH of an endpoint that is in another domain");
    expect_status(t, SHOULD, map_pages(k, a, 0, 0), VIRTIO_IOMMU_S_NOENT,
                  "MAP in a domain that its only endpoint has left");
    memset(detach.reserved, 0xff, sizeof(detach.reserved));
    expect_status(t, MUST, iommudev_send(k, &detach, sizeof(detach), 4).status, VIRTIO_IOMMU_S_OK,
                  "DETACH with a reserved field that is not zero");
}

CHECK(domain_ends_with_its_last_endpoint, .judges = DEVICE, .proves = "xen.memory.iommu.4",
      .needs = BEHIND, .title = "A domain without endpoints is gone, and begins empty another time")
{
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first, endpoint = given_endpoint(t, 0);

    expect_status(t, MUST, iommudev_attach(k, a, endpoint, 0), VIRTIO_IOMMU_S_OK, "ATTACH");
    expect_status(t, MUST, map_pages(k, a, 0, 3), VIRTIO_IOMMU_S_OK, "MAP");
    expect_status(t, MUST, iommudev_detach(k, a, endpoint), VIRTIO_IOMMU_S_OK, "DETACH");
    expect_status(t, SHOULD, map_pages(k, a, 8, 8), VIRTIO_IOMMU_S_NOENT,
                  "MAP in a domain without endpoints");
    expect_status(t, MUST, iommudev_attach(k, a, endpoint, 0), VIRTIO_IOMMU_S_OK, "ATTACH");
    expect_status(t, MUST, map_pages(k, a, 1, 2), VIRTIO_IOMMU_S_OK,
                  "MAP in a domain of a number that was used before");
}

CHECK(reset_ends_all_domains, .judges = DEVICE, .proves = "xen.memory.iommu.5", .needs = BEHIND,
      .title = "After a reset of the IOMMU no endpoint is in a domain")
{
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first, endpoint = given_endpoint(t, 0);

    expect_status(t, MUST, iommudev_attach(k, a, endpoint, 0), VIRTIO_IOMMU_S_OK, "ATTACH");
    expect_status(t, MUST, map_pages(k, a, 0, 3), VIRTIO_IOMMU_S_OK, "MAP");
    iommudev_restart(k);
    expect_status(t, MUST, map_pages(k, a, 8, 8), VIRTIO_IOMMU_S_NOENT,
                  "MAP, after a reset, in a domain of before");
}

CHECK(map_is_answered, .judges = DEVICE, .proves = "xen.memory.iommu.6", .needs = BEHIND,
      .title = "MAP: granularity, what is mapped already, flags, domains, both ends of the space")
{
    static const struct {
        unsigned first, last;
    } overlaps[] = {{4, 7}, {4, 4}, {7, 7}, {5, 6}, {0, 4}, {7, 12}, {0, 12}};
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first;

    expect_status(t, SHOULD, map_pages(k, a, 0, 0), VIRTIO_IOMMU_S_NOENT,
                  "MAP in a domain that does not exist");
    expect_status(t, MUST, iommudev_attach(k, a, given_endpoint(t, 0), 0), VIRTIO_IOMMU_S_OK,
                  "ATTACH");
    if (k->granule > 1) {
        expect_status(t, SHOULD, iommudev_map(k, a, AT(k, 0) + 1, AT(k, 2) - 1, PHYS(k, 0), RW),
                      VIRTIO_IOMMU_S_RANGE, "MAP from inside of a page");
        expect_status(t, SHOULD, iommudev_map(k, a, AT(k, 0), AT(k, 1), PHYS(k, 0), RW),
                      VIRTIO_IOMMU_S_RANGE, "MAP up to the inside of a page");
        expect_status(t, SHOULD, iommudev_map(k, a, AT(k, 0), AT(k, 1) - 1, PHYS(k, 0) + 1, RW),
                      VIRTIO_IOMMU_S_RANGE, "MAP to the inside of a page");
    }
    expect_status(t, MUST, iommudev_map(k, a, AT(k, 0), AT(k, 1) - 1, PHYS(k, 0), RW | 1u << 31),
                  VIRTIO_IOMMU_S_INVAL, "MAP with a flag that nobody knows");
    if (!(k->d->v->features & VIRTIO_F(VIRTIO_IOMMU_F_MMIO)))
        expect_status(
            t, MUST,
            iommudev_map(k, a, AT(k, 0), AT(k, 1) - 1, PHYS(k, 0), RW | VIRTIO_IOMMU_MAP_F_MMIO),
            VIRTIO_IOMMU_S_INVAL, "MAP with MMIO, which is not offered,");
    if (k->last != UINT64_MAX)
        expect(t, MUST,
               iommudev_map(k, a, k->last + 1, k->last + k->granule, PHYS(k, 0), RW) !=
                   VIRTIO_IOMMU_S_OK,
               "what is outside of input_range is mapped");
    expect_status(t, MUST, map_pages(k, a, 4, 7), VIRTIO_IOMMU_S_OK, "MAP");
    for (unsigned i = 0; i < ARRAY_LENGTH(overlaps); i++)
        expect(t, SHOULD,
               map_pages(k, a, overlaps[i].first, overlaps[i].last) == VIRTIO_IOMMU_S_INVAL,
               "pages %u to %u are mapped over pages 4 to 7", overlaps[i].first, overlaps[i].last);
    expect_status(t, MUST, map_pages(k, a, 0, 3), VIRTIO_IOMMU_S_OK, "MAP of what is in front");
    expect_status(t, MUST, map_pages(k, a, 8, 8), VIRTIO_IOMMU_S_OK, "MAP of what is behind");
    expect_status(t, MUST, iommudev_map(k, a, k->last - (k->granule - 1), k->last, PHYS(k, 0), RW),
                  VIRTIO_IOMMU_S_OK, "MAP of the last page of the space");
    expect_status(t, MUST, iommudev_unmap(k, a, k->first, k->last), VIRTIO_IOMMU_S_OK,
                  "UNMAP of the whole space");
    expect_mapped(k, a, 5, false, "after UNMAP of the whole space");
}

/* The examples of 5.16.6.6, by their numbers, a page for each byte. */
CHECK(
    unmap_removes_whole_mappings, .judges = DEVICE, .proves = "xen.memory.iommu.7", .needs = BEHIND,
    .title = "UNMAP takes whole mappings and holes between them; one that would cut takes nothing")
{
    static const struct {
        const char *what;
        unsigned maps;
        unsigned map[2][2], unmap[2];
        uint8_t status;
    } examples[] = {
        {"(1) UNMAP of nothing", 0, {{0, 0}, {0, 0}}, {0, 4}, VIRTIO_IOMMU_S_OK},
        {"(2) UNMAP of a mapping", 1, {{0, 9}, {0, 0}}, {0, 9}, VIRTIO_IOMMU_S_OK},
        {"(3) UNMAP of two mappings", 2, {{0, 4}, {5, 9}}, {0, 9}, VIRTIO_IOMMU_S_OK},
        {"(4) UNMAP of half a mapping", 1, {{0, 9}, {0, 0}}, {0, 4}, VIRTIO_IOMMU_S_RANGE},
        {"(5) UNMAP of the first of two", 2, {{0, 4}, {5, 9}}, {0, 4}, VIRTIO_IOMMU_S_OK},
        {"(6) UNMAP of more than is mapped", 1, {{0, 4}, {0, 0}}, {0, 9}, VIRTIO_IOMMU_S_OK},
        {"(7) UNMAP of a hole, too", 2, {{0, 4}, {10, 14}}, {0, 14}, VIRTIO_IOMMU_S_OK},
        {"UNMAP of the end of a mapping", 1, {{0, 9}, {0, 0}}, {5, 9}, VIRTIO_IOMMU_S_RANGE},
        {"UNMAP of the inside of a mapping", 1, {{0, 9}, {0, 0}}, {3, 6}, VIRTIO_IOMMU_S_RANGE},
        {"UNMAP of one and a half", 2, {{0, 4}, {5, 9}}, {0, 6}, VIRTIO_IOMMU_S_RANGE},
    };
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first;

    expect_status(t, SHOULD, unmap_pages(k, a, 0, 0), VIRTIO_IOMMU_S_NOENT,
                  "UNMAP in a domain that does not exist");
    expect_status(t, MUST, iommudev_attach(k, a, given_endpoint(t, 0), 0), VIRTIO_IOMMU_S_OK,
                  "ATTACH");
    for (unsigned i = 0; i < ARRAY_LENGTH(examples); i++) {
        for (unsigned m = 0; m < examples[i].maps; m++)
            expect_status(t, MUST, map_pages(k, a, examples[i].map[m][0], examples[i].map[m][1]),
                          VIRTIO_IOMMU_S_OK, "MAP");
        expect_status(t, SHOULD, unmap_pages(k, a, examples[i].unmap[0], examples[i].unmap[1]),
                      examples[i].status, examples[i].what);
        for (unsigned m = 0; m < examples[i].maps; m++) {
            const unsigned *p = examples[i].map[m];
            bool there = examples[i].status != VIRTIO_IOMMU_S_OK || p[0] > examples[i].unmap[1];

            expect_mapped(k, a, p[0], there, examples[i].what);
            expect_mapped(k, a, p[1], there, examples[i].what);
        }
        expect_status(t, SHOULD, unmap_pages(k, a, 0, 20), VIRTIO_IOMMU_S_OK,
                      "UNMAP of more than all");
    }
}

CHECK(bypass_domain_maps_nothing, .judges = DEVICE, .proves = "xen.memory.iommu.8", .needs = BEHIND,
      .title = "A bypass domain takes no mapping, and no endpoint of another kind")
{
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first, one = given_endpoint(t, 0), two = given_endpoint(t, 1);

    if (!(k->d->v->features & VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG)))
        skip_check(t, "VIRTIO_IOMMU_F_BYPASS_CONFIG is not offered");
    expect_status(t, MUST, iommudev_attach(k, a, one, VIRTIO_IOMMU_ATTACH_F_BYPASS),
                  VIRTIO_IOMMU_S_OK, "ATTACH to a bypass domain");
    expect_status(t, SHOULD, map_pages(k, a, 0, 0), VIRTIO_IOMMU_S_INVAL, "MAP in a bypass domain");
    expect_status(t, SHOULD, unmap_pages(k, a, 0, 0), VIRTIO_IOMMU_S_INVAL,
                  "UNMAP in a bypass domain");
    expect_status(t, SHOULD, iommudev_attach(k, a, two, 0), VIRTIO_IOMMU_S_INVAL,
                  "ATTACH without the flag to a bypass domain");
    expect_status(t, MUST, iommudev_attach(k, a + 1, two, 0), VIRTIO_IOMMU_S_OK, "ATTACH");
    expect_status(t, SHOULD, iommudev_attach(k, a + 1, one, VIRTIO_IOMMU_ATTACH_F_BYPASS),
                  VIRTIO_IOMMU_S_INVAL, "ATTACH with the flag to a domain of the other kind");
}

/* The device cannot tell what it is about: it gives the buffers back as they were. */
static void expect_not_understood(struct iommudev *k, const void *request, uint32_t bytes,
                                  uint32_t room, const char *what)
{
    struct iommudev_reply r = iommudev_send(k, request, bytes, room);

    expect(k->d->t, SHOULD, r.used_len == 0, "%s is used with a length of %u", what, r.used_len);
    expect(k->d->t, SHOULD, r.status == STATUS_UNWRITTEN, "%s is answered with %u", what, r.status);
}

CHECK(unknown_requests_are_not_written, .judges = DEVICE, .proves = "xen.memory.iommu.9",
      .needs = BEHIND, .title = "Requests of no known type, or too short, go back as they came")
{
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first;
    struct virtio_iommu_req_map map = {.head.type = VIRTIO_IOMMU_T_MAP,
                                       .domain = le32_make(a),
                                       .virt_start = le64_make(AT(k, 0)),
                                       .virt_end = le64_make(AT(k, 1) - 1),
                                       .flags = le32_make(RW)};
    uint8_t unknown[64] = {0};

    expect_not_understood(k, unknown, sizeof(unknown), 4, "a request of type 0");
    unknown[0] = 0xff;
    expect_not_understood(k, unknown, sizeof(unknown), 4, "a request of type 255");
    if (!(k->d->offered & VIRTIO_F(VIRTIO_IOMMU_F_PROBE))) {
        unknown[0] = VIRTIO_IOMMU_T_PROBE;
        expect_not_understood(k, unknown, sizeof(unknown), 4, "PROBE, which is not offered,");
    }
    expect_not_understood(k, &map, 3, 4, "a part of a head");
    expect_not_understood(k, &map, sizeof(map) - 1, 4, "a MAP that lacks its last byte");
    expect_not_understood(k, &map, sizeof(map), 0, "a MAP without a tail");
    expect_not_understood(k, &map, sizeof(map), 3, "a MAP with a part of a tail");
    expect_status(t, MUST, iommudev_attach(k, a, given_endpoint(t, 0), 0), VIRTIO_IOMMU_S_OK,
                  "ATTACH after that");
}

/* ---- PROBE ---- */

/* The properties of an endpoint, ours to look at; the status. */
static uint8_t probe(struct iommudev *k, uint32_t endpoint, uint32_t room, uint8_t *properties)
{
    struct virtio_iommu_req_probe q = {.head.type = VIRTIO_IOMMU_T_PROBE,
                                       .endpoint = le32_make(endpoint)};
    uint32_t total = room + (uint32_t)sizeof(struct virtio_iommu_req_tail);

    /* "The device MUST ignore field reserved" */
    memset(q.reserved, 0xff, sizeof(q.reserved));
    (void)iommudev_send(k, &q, sizeof(q), total);
    memcpy(properties, k->tail->va, room);
    return k->tail->va[room];
}

/* Each is whole, and of a form that is known; the list ends with zeroes. */
static void expect_properties(struct iommudev *k, const uint8_t *p, uint32_t bytes)
{
    struct check_ctx *t = k->d->t;
    struct virtio_iommu_probe_resv_mem m;
    uint64_t start = 0, end = 0;
    uint32_t at = 0;

    while (at + sizeof(m.head) <= bytes) {
        uint32_t type, length;

        memcpy(&m.head, p + at, sizeof(m.head));
        type = le16_get(m.head.type);
        length = le16_get(m.head.length);
        if (type == VIRTIO_IOMMU_PROBE_T_NONE)
            break;
        expect(t, SHOULD, !(type & ~VIRTIO_IOMMU_PROBE_T_MASK), "a property has type 0x%x", type);
        expect(t, MUST, length <= bytes - at - sizeof(m.head),
               "a property of %u bytes does not fit the list", length);
        if (length > bytes - at - sizeof(m.head))
            return;
        if ((type & VIRTIO_IOMMU_PROBE_T_MASK) == VIRTIO_IOMMU_PROBE_T_RESV_MEM) {
            expect(t, MUST, length == sizeof(m) - sizeof(m.head),
                   "a RESV_MEM property has length %u, not %zu", length,
                   sizeof(m) - sizeof(m.head));
            memcpy(&m, p + at, sizeof(m));
            start = le64_get(m.start);
            end = le64_get(m.end);
            expect(t, MUST, start <= end, "a reserved range ends before it begins");
            expect(t, SHOULD, !m.reserved[0] && !m.reserved[1] && !m.reserved[2],
                   "the reserved field of a RESV_MEM property is not zero");
        }
        at += (uint32_t)sizeof(m.head) + length;
    }
    for (; at < bytes && p[at] == 0; at++)
        ;
    expect(t, SHOULD, at == bytes, "byte %u behind the last property is 0x%x", at,
           at < bytes ? p[at] : 0);
    if (start >= end || !is_aligned(start | (end + 1), k->granule) || end > k->last)
        return;
    expect(t, SHOULD,
           iommudev_map(k, k->domain_first, start, end, PHYS(k, 0), RW) != VIRTIO_IOMMU_S_OK,
           "the reserved range 0x%llx to 0x%llx is mapped", (unsigned long long)start,
           (unsigned long long)end);
    expect(t, SHOULD,
           iommudev_map(k, k->domain_first, start, start + k->granule - 1, PHYS(k, 0), RW) !=
               VIRTIO_IOMMU_S_OK,
           "the first page of a reserved range is mapped");
}

CHECK(
    probe_tells_properties, .judges = DEVICE, .proves = "xen.memory.iommu.21", .needs = BEHIND,
    .title = "PROBE gives a list of properties that are whole, and what is reserved is not mapped")
{
    struct iommudev *k = given_iommu(t);
    uint32_t endpoint = given_endpoint(t, 0);
    uint8_t properties[1024];

    if (!k->probe_bytes)
        skip_check(t, "VIRTIO_IOMMU_F_PROBE is not offered");
    if (k->probe_bytes > sizeof(properties) - 4)
        error_out(t, "probe_size is %u", k->probe_bytes);
    expect_status(t, SHOULD, probe(k, ENDPOINT_NONE, k->probe_bytes, properties),
                  VIRTIO_IOMMU_S_NOENT, "PROBE of an endpoint that does not exist");
    expect_status(t, SHOULD, probe(k, endpoint, k->probe_bytes - 1, properties),
                  VIRTIO_IOMMU_S_INVAL, "PROBE without room for all properties");
    expect_status(t, MUST, iommudev_attach(k, k->domain_first, endpoint, 0), VIRTIO_IOMMU_S_OK,
                  "ATTACH");
    expect_status(t, MUST, probe(k, endpoint, k->probe_bytes, properties), VIRTIO_IOMMU_S_OK,
                  "PROBE");
    expect_properties(k, properties, k->probe_bytes);
}

CHECK(
    what_is_mapped_stays_mapped, .judges = DEVICE, .proves = "xen.memory.iommu.22", .needs = BEHIND,
    .timeout_ms = 60000,
    .title = "As many mappings as there is room for, none of which another one takes the place of")
{
    struct iommudev *k = given_iommu(t);
    uint32_t a = k->domain_first;
    unsigned count = 0;
    uint8_t status;

    expect_status(t, MUST, iommudev_attach(k, a, given_endpoint(t, 0), 0), VIRTIO_IOMMU_S_OK,
                  "ATTACH");
    do
        status = map_pages(k, a, 2 * count, 2 * count);
    while (status == VIRTIO_IOMMU_S_OK && ++count < MAPPINGS);
    note(t, "mappings", "%u%s", count, count == MAPPINGS ? " or more" : "");
    expect(t, MUST, count > 0, "not even one page can be mapped");
    if (count < MAPPINGS)
        expect_status(t, SHOULD, status, VIRTIO_IOMMU_S_NOMEM,
                      "MAP of more than there is room for");
    for (unsigned i = 0; i < 4 && count; i++)
        expect_mapped(k, a, 2 * (i * (count - 1) / 3), true, "with as many mappings as possible");
    expect_status(t, MUST, iommudev_unmap(k, a, k->first, k->last), VIRTIO_IOMMU_S_OK,
                  "UNMAP of all of them");
    expect_status(t, MUST, map_pages(k, a, 0, 2 * count), VIRTIO_IOMMU_S_OK, "MAP of it all");
}
