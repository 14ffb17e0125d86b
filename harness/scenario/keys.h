/* SPDX-License-Identifier: MIT */
/* Private to scenario/: the keys of a scenario, each read by a file of its own. */
#ifndef RP_SCENARIO_KEYS_H
#define RP_SCENARIO_KEYS_H

#include "scenario/reader.h"

/* Of a device and of an axis, of the domain and of an axis. */
#define QUEUE_SIZE_MAX 32768u
#define QUEUES_MAX     64u
#define VCPUS_MAX      128u
/* A key of every device but the IOMMU itself. */
#define ENDPOINT_KEY "endpoint"

/* The value of a key into r->s. */
int keys_read_backends(struct reader *r, const struct doc_node *n);
int keys_read_bridges(struct reader *r, const struct doc_node *n);
int keys_read_devices(struct reader *r, const struct doc_node *n);
int keys_read_domain(struct reader *r, const struct doc_node *n);
int keys_read_matrix(struct reader *r, const struct doc_node *n);
int keys_read_run(struct reader *r, const struct doc_node *n);
int keys_read_neighbour(struct reader *r, const struct doc_node *n);
int keys_read_timeline(struct reader *r, const struct doc_node *n);
int keys_read_expect(struct reader *r, const struct doc_node *n);
/* What no single key can say; when all were read. */
int keys_check_whole(struct reader *r, const struct doc_node *root);

/* Does an axis have this value? */
bool scenario_axis_has(const struct scenario *s, enum scenario_axis axis, const char *value);
/* The bridge that a place is behind; s->bridge_count: none. */
unsigned scenario_bridge_of(const struct scenario *s, const char *sbdf);
bool scenario_device_takes_key(enum scenario_device_type type, const char *key);

#endif
