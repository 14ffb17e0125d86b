/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for libxen, so that what calls it can be tested without a Xen.
 *
 * It defines the calls of libxengnttab, libxenevtchn, libxenforeignmemory and libxendevicemodel
 * that ref/xen makes, under their own names. It lies in the archive that unit tests are linked
 * from, before the real libraries: a program that reaches such a call gets this one.
 *
 * The calls know nothing of a test, so there is one state for a process, `libxen_fake`. All zero is
 * its beginning; each test is a process of its own (CK_FORK). Every call asserts that it is about
 * the one domain, LIBXEN_FAKE_DOMID, and about the one IOREQ server, LIBXEN_FAKE_SERVER, where it
 * names one.
 *
 * Guest memory (libxen_fake_memory_create()) is a memfd: grant reference n and frame n are both its
 * page n. The slots of the IOREQ server are an array of the test's. The remote port of vCPU v is
 * LIBXEN_FAKE_REMOTE_PORT + v; that port, bound, is LIBXEN_FAKE_LOCAL_PORT + v.
 */
#ifndef UNIT_LIBXEN_FAKE_H
#define UNIT_LIBXEN_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/grant_table.h>

#include "xen/ioreq_slot.h"

#define LIBXEN_FAKE_DOMID       7u
#define LIBXEN_FAKE_SERVER      3u
#define LIBXEN_FAKE_VCPUS_MAX   256u
#define LIBXEN_FAKE_REMOTE_PORT 1000u
#define LIBXEN_FAKE_LOCAL_PORT  5000u

struct libxen_fake {
    /* ---- what a test sets ---- */
    struct ioreq_slot *slots; /* borrowed; whole pages of them */
    unsigned vcpus;           /* slots that get a port when the server is enabled */
    bool ports_taken;         /* somebody else has bound them: binding is EINVAL */
    unsigned map_fails_in;    /* the n-th mapping of memory from now is EINVAL; 0: none */
    bool copy_fails;          /* a call to copy is EINVAL, and copies nothing */

    /* ---- what a test looks at ---- */
    unsigned map_calls, unmap_calls; /* of grants and foreign frames */
    long pages_mapped;               /* now */
    int last_prot;                   /* of the last mapping */
    unsigned copy_calls, copy_segments;
    unsigned servers_created, servers_destroyed;
    unsigned slot_frames;                /* of the last mapping of the slots */
    unsigned ports_bound, ports_unbound; /* calls that succeeded */
    unsigned notified[LIBXEN_FAKE_VCPUS_MAX];
    /* MMIO ranges that are registered, also those of before; an overlap is EEXIST. */
    struct libxen_fake_range {
        uint64_t first, last;
    } ranges[64];
    unsigned range_count;
    /*
     * What was done, in order, each with a space behind it: "enable", "disable", "destroy" the
     * server, "unmap" its slots, "+FIRST-LAST" and "-FIRST-LAST" a range (hexadecimal), "+devD.F"
     * and "-devD.F" a PCI function, "lineN=LEVEL", "isaN=LEVEL", "pinN=LEVEL" (4 * device + pin) an
     * interrupt line.
     */
    char log[1024];

    /* ---- its own ---- */
    int memory_fd;
    uint32_t memory_pages, read_only_from;
    uint8_t *memory;
    grant_entry_v1_t *table;
    int event_fd;
    uint32_t pending_port;
};

extern struct libxen_fake libxen_fake;

/**
 * Append to the log, so that a test's own events stand between libxen's.
 */
__attribute__((format(printf, 1, 2))) void libxen_fake_log(const char *fmt, ...);

/**
 * Give the domain its memory. References from `read_only_from` on are granted read-only.
 *
 * Returns the pages, mapped; the bytes of page n are all n.
 */
uint8_t *libxen_fake_memory_create(uint32_t pages, uint32_t read_only_from);

void libxen_fake_memory_destroy(void);

/**
 * The domain's grant table: one frame of version 1, borrowed, which a test fills. What maps or
 * copies by reference does not look at it.
 */
grant_entry_v1_t *libxen_fake_table(void);

/**
 * Give each vCPU's slot its port, as Xen does when a server is enabled.
 */
void libxen_fake_give_ports(void);

/**
 * Let the bound port of a vCPU fire: the descriptor of the event channels becomes readable.
 */
void libxen_fake_fire(unsigned vcpu);

#endif
