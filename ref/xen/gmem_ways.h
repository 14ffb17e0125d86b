/* SPDX-License-Identifier: MIT */
/* Private to ref/xen: the constructors behind the table of gmem_strategy.c. */
#ifndef RP_XEN_GMEM_WAYS_H
#define RP_XEN_GMEM_WAYS_H

#include "xen/gmem_strategy.h"

int gmem_auto_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_grant_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_persistent_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_copy_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_foreign_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_buckets_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_whole_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_static_create(const struct gmem_strategy_args *args, struct gmem **out);
int gmem_shim_create(const struct gmem_strategy_args *args, struct gmem **out);

#endif
