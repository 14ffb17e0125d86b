/* SPDX-License-Identifier: MIT */
/*
 * What a device is to be: the same keys on the command line (--device blk,sbdf=...,path=...) and
 * in Xenstore (one node a key). One table (device_spec.c) knows every key, checks its value and
 * explains itself in --help.
 */
#ifndef RP_BACKEND_DEVICE_SPEC_H
#define RP_BACKEND_DEVICE_SPEC_H

#include <stdio.h>

#include "backend/place.h"
#include "backend/teller.h"
#include "device/blk.h"

#define DEVICE_SPEC_ERROR_BYTES    256
#define DEVICE_SERIAL_BYTES_MAX    20
#define DEVICE_SPEC_FEATURES_BYTES 256
#define DEVICE_SPEC_MEMORY_BYTES   32
#define DEVICE_MEMORY_SHARED       "shared" /* of memory: the front-end's, without Xen */
#define DEVICE_PORTS_MAX           16
#define DEVICE_PORT_NAME_BYTES_MAX 63
#define DEVICE_SPEC_TAP_BYTES      16 /* IFNAMSIZ */

struct device_type;

struct device_port {
    char *end; /* owned; NULL: there is no such port */
    char name[DEVICE_PORT_NAME_BYTES_MAX + 1];
    bool has_console, console;
};

struct device_spec {
    const struct device_type *type; /* NULL: not said yet */
    uint64_t keys;                  /* which were set: bits of device_spec.c's table */
    struct place place;
    bool has_sbdf;
    bool has_port;
    sbdf_t port;                               /* the root port whose slot it is in */
    char *path;                                /* owned; NULL: none was given, or null:SIZE */
    enum blk_store store;                      /* without an image */
    uint64_t null_bytes;                       /* and its size */
    uint32_t queue_size;                       /* 0: the default */
    char memory[DEVICE_SPEC_MEMORY_BYTES];     /* strategy, "" for the program's */
    char *vhost;                               /* owned; see the key; NULL: none */
    char *vhost_listen;                        /* owned; NULL: none */
    bool has_endpoint;                         /* it is behind the IOMMU */
    uint32_t endpoint;                         /* and what it is called there */
    char features[DEVICE_SPEC_FEATURES_BYTES]; /* edits as they were written */
    /* After device_spec_check: feature bits added to, taken from the default. */
    uint64_t features_on, features_off;
    /* blk */
    bool read_only, direct;
    uint32_t queues; /* blk and net (pairs); 0: the default */
    uint32_t block_bytes, physical_block_bytes, seg_max, size_max;
    uint32_t zone_bytes, zone_append_bytes; /* 0: no zones; no appends */
    char *hold;                             /* owned; path of a file, or NULL */
    char serial[DEVICE_SERIAL_BYTES_MAX + 1];
    /* rng */
    uint32_t rate_bytes_per_s; /* 0: no limit */
    /* console */
    struct device_port ports[DEVICE_PORTS_MAX];
    uint32_t ports_max; /* 0: the ports that there are */
    uint32_t cols, rows;
    char *manage; /* owned; path of a socket, or NULL */
    /* net */
    char tap[DEVICE_SPEC_TAP_BYTES]; /* "": none */
    uint32_t wire_fd;                /* with has_wire_fd */
    bool has_wire_fd, has_mac;
    uint8_t mac[6];
    uint32_t mtu; /* 0: not said */
    /* virtio-pci */
    uint32_t vectors; /* 0: one a queue and one for configuration changes */
    bool no_msix, bars_32bit;
    uint32_t notify_multiplier; /* as in transport/virtio_pci.h; 0: the default */
    uint8_t interrupt_pin;      /* 0: INTA */
    bool has_told_domid;
    enum told_in told_in;
    uint32_t told_domid; /* whom the driver is told to grant its memory to */
};

void device_spec_init(struct device_spec *spec);
void device_spec_fini(struct device_spec *spec);

/* Set one key, in any order. -EINVAL with a sentence in `error`: unknown key, value not of its form
 * or out of its bounds. -ENOMEM. */
int device_spec_set(struct device_spec *spec, const char *key, const char *value,
                    char error[DEVICE_SPEC_ERROR_BYTES]);
/* Whether `key` is one that device_spec_set knows. */
bool device_spec_knows(const char *key);

/* A whole --device value. `spec` is initialised in any case. */
int device_spec_parse(struct device_spec *spec, const char *text,
                      char error[DEVICE_SPEC_ERROR_BYTES]);

/* Its memory is what a front-end shares with it. */
bool device_spec_is_shared(const struct device_spec *spec);

/*
 * After all keys: what is missing or contradicts itself, keys and features that this type of
 * device does not have. Fills features_on and features_off.
 */
int device_spec_check(struct device_spec *spec, char error[DEVICE_SPEC_ERROR_BYTES]);

/* The bits that are a device type's own (VIRTIO 2.2), not the queue's and the negotiation's. */
uint64_t device_spec_own_features(uint64_t features);

void device_spec_help(FILE *out);

#endif
