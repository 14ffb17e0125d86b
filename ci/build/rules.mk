# SPDX-License-Identifier: MIT
# One rule per kind of file. build/<variant>/obj mirrors the source tree.

VARIANTS := release san mutant
ifeq ($(filter $(VARIANT),$(VARIANTS)),)
$(error VARIANT must be one of: $(VARIANTS))
endif

OUT := build/$(VARIANT)
OBJ := $(OUT)/obj
BIN := $(OUT)/bin
LIB := $(OUT)/lib
SIMLIB := $(OUT)/simxen
INC := build/include

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wpointer-arith -Wno-unused-parameter
CPPFLAGS_COMMON := -D_GNU_SOURCE
CFLAGS_COMMON := -std=c11 -g -fPIC -fvisibility=hidden -pthread $(WARN)
LDFLAGS_COMMON := -pthread -Wl,--as-needed -Wl,-z,relro

# Small fields that are written one by one must not be read as a vector: it would wait for the stores.
cflags_release := -O2 -fno-tree-slp-vectorize -D_FORTIFY_SOURCE=2 -fstack-protector-strong
cflags_san     := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
cflags_mutant  := -O1 -DRP_MUTANTS
ldflags_san    := -fsanitize=address,undefined

# The layer table as include folders: build/include/<m>/<m> is a link to the module.
inc_link = $(INC)/$(1)/$(1)
inc_flags = $(foreach m,$(1) $(sees_$(1)),-I$(INC)/$(m))
INC_LINKS := $(foreach m,$(MODULES),$(call inc_link,$(m)))

define inc_rule
$(call inc_link,$(1)):
	@mkdir -p $(INC)/$(1) && ln -sfn $(CURDIR)/$(dir_$(1)) $$@
endef
$(foreach m,$(MODULES),$(eval $(call inc_rule,$(m))))

# Sources of a module: all its .c files, main programs apart (main.c, *_main.c).
srcs_of = $(filter-out %/main.c %_main.c,$(wildcard $(dir_$(1))/*.c))
objs_of = $(patsubst %.c,$(OBJ)/%.o,$(call srcs_of,$(1)))
modules_objs = $(foreach m,$(1),$(call objs_of,$(m)))

define compile_rule
$(OBJ)/$(dir_$(1))/%.o: $(dir_$(1))/%.c ci/build/rules.mk ci/build/layers.mk | $(INC_LINKS)
	@mkdir -p $$(@D)
	@echo "  CC   $(VARIANT) $$<"
	@$(CC) $(CPPFLAGS_COMMON) $$(cppflags_$(1)) $(call inc_flags,$(1)) $(CFLAGS_COMMON) $(cflags_$(VARIANT)) $$(CFLAGS) \
	    -MMD -MP -c $$< -o $$@
endef
$(foreach m,$(MODULES),$(eval $(call compile_rule,$(m))))

-include $(shell [ -d $(OBJ) ] && find $(OBJ) -name '*.d')

# $(call link_program,name,objects,libraries)
define link_program
$(BIN)/$(1): $(2)
	@mkdir -p $$(@D)
	@echo "  LD   $(VARIANT) $$@"
	@$(CC) $(LDFLAGS_COMMON) $(ldflags_$(VARIANT)) $(LDFLAGS) -o $$@ $(2) $(3)
ALL_PRODUCTS += $(BIN)/$(1)
endef
