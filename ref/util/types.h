/* SPDX-License-Identifier: MIT */
/*
 * Integer types for values that another party supplies.
 *
 * Little-endian wire integers and guest addresses are one-member structs, so that a raw value
 * from the other side can neither be dereferenced nor mixed with a host integer by accident: it
 * has to pass through an accessor first. A value is fetched once, then checked, then used.
 */
#ifndef RP_UTIL_TYPES_H
#define RP_UTIL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "only little-endian hosts are supported: both architectures that Xen runs guests on are"
#endif

/* Little-endian integers as they lie in shared memory. */
typedef struct {
    uint16_t raw;
} le16_t;
typedef struct {
    uint32_t raw;
} le32_t;
typedef struct {
    uint64_t raw;
} le64_t;

static inline uint16_t le16_get(le16_t v)
{
    return v.raw;
}
static inline uint32_t le32_get(le32_t v)
{
    return v.raw;
}
static inline uint64_t le64_get(le64_t v)
{
    return v.raw;
}
static inline le16_t le16_make(uint16_t v)
{
    return (le16_t){v};
}
static inline le32_t le32_make(uint32_t v)
{
    return (le32_t){v};
}
static inline le64_t le64_make(uint64_t v)
{
    return (le64_t){v};
}

/*
 * An address as the driver writes it into a descriptor or a queue register: guest-physical, or
 * a grant reference when bit 63 is set (see gmem/gref.h).
 */
typedef struct {
    uint64_t raw;
} gpa_t;

static inline gpa_t gpa_make(uint64_t v)
{
    return (gpa_t){v};
}
static inline gpa_t gpa_add(gpa_t a, uint64_t off)
{
    return (gpa_t){a.raw + off};
}

/* A grant reference of the domain that owns the memory. */
typedef struct {
    uint32_t raw;
} gref_t;

static inline gref_t gref_make(uint32_t v)
{
    return (gref_t){v};
}

/* Xen's granularity for grants and frames; never the host's page size. */
#define XEN_PAGE_SHIFT_BITS 12
#define XEN_PAGE_BYTES      4096u

/* segment 31-16, bus 15-8, device 7-3, function 2-0: one PCI function of one guest. */
typedef struct {
    uint32_t raw;
} sbdf_t;

#define SBDF(seg, bus, dev, fn)                                                                    \
    ((sbdf_t){((uint32_t)(seg) << 16) | ((uint32_t)(bus) << 8) | ((uint32_t)(dev) << 3) |          \
              (uint32_t)(fn)})
static inline uint16_t sbdf_segment(sbdf_t s)
{
    return (uint16_t)(s.raw >> 16);
}
static inline uint8_t sbdf_bus(sbdf_t s)
{
    return (uint8_t)(s.raw >> 8);
}
static inline uint8_t sbdf_device(sbdf_t s)
{
    return (s.raw >> 3) & 0x1f;
}
static inline uint8_t sbdf_function(sbdf_t s)
{
    return s.raw & 7;
}

#endif
