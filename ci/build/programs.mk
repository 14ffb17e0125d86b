# SPDX-License-Identifier: MIT
# What is linked from what.
comma := ,

ALL_PRODUCTS :=

# ---- simxen: core library, drop-in libraries, hypervisor, guest plugin, tools ----
# build/<variant>/simxen holds what LD_LIBRARY_PATH points at.
SIM := harness/simxen
sim_objs = $(patsubst %.c,$(OBJ)/%.o,$(filter-out %_main.c %/main.c,$(wildcard $(SIM)/$(1)/*.c)))

$(SIMLIB)/libsimxen.so: $(call sim_objs,core) $(call objs_of,util)
	@mkdir -p $(@D)
	@echo "  LD   $(VARIANT) $@"
	@$(CC) -shared $(LDFLAGS_COMMON) $(ldflags_$(VARIANT)) $(LDFLAGS) -Wl,-soname,libsimxen.so -o $@ $^
ALL_PRODUCTS += $(SIMLIB)/libsimxen.so

# One drop-in library: harness/simxen/libs/<name>.c (or <name>_*.c) and <name>.map, the SONAME and
# version nodes of Debian's library.
# $(call dropin,name,soname)
define dropin
$(SIMLIB)/$(2): $(patsubst %.c,$(OBJ)/%.o,$(wildcard $(SIM)/libs/$(1).c $(SIM)/libs/$(1)_*.c)) \
                $(OBJ)/$(dir_util)/mutant.o $(SIM)/libs/$(1).map $(SIMLIB)/libsimxen.so
	@echo "  LD   $(VARIANT) $$@"
	@$(CC) -shared $(LDFLAGS_COMMON) $(ldflags_$(VARIANT)) $(LDFLAGS) -Wl,-soname,$(2) \
	    -Wl,--version-script=$(SIM)/libs/$(1).map -Wl,-rpath,'$$$$ORIGIN' \
	    -o $$@ $$(filter %.o,$$^) -L$(SIMLIB) -l:libsimxen.so
ALL_PRODUCTS += $(SIMLIB)/$(2)
endef
XENCTRL_SONAME := $(shell objdump -p $$(find /usr/lib -name libxenctrl.so 2>/dev/null | head -n1) /dev/null 2>/dev/null | awk '/SONAME/{print $$2}')
$(eval $(call dropin,xentoolcore,libxentoolcore.so.1))
$(eval $(call dropin,xengnttab,libxengnttab.so.1))
$(eval $(call dropin,xenevtchn,libxenevtchn.so.1))
$(eval $(call dropin,xenforeignmemory,libxenforeignmemory.so.1))
$(eval $(call dropin,xendevicemodel,libxendevicemodel.so.1))
$(eval $(call dropin,xencall,libxencall.so.1))
ifneq ($(XENCTRL_SONAME),)
$(eval $(call dropin,xenctrl,$(XENCTRL_SONAME)))
endif

$(eval $(call link_program,simxen-hv,$(call sim_objs,hv) $(OBJ)/$(SIM)/hv/main.o $(call objs_of,util)))
$(eval $(call link_program,simxenctl,$(call sim_objs,ctl) $(OBJ)/$(SIM)/ctl/main.o $(call objs_of,util),-L$(SIMLIB) -l:libsimxen.so -Wl$(comma)-rpath$(comma)'$$$$ORIGIN/../simxen' -lxenstore))
$(eval $(call link_program,simxen-xenbus,$(call sim_objs,xenbus) $(OBJ)/$(SIM)/xenbus/main.o $(call objs_of,util),-L$(SIMLIB) -l:libsimxen.so -Wl$(comma)-rpath$(comma)'$$$$ORIGIN/../simxen'))
$(BIN)/simxenctl $(BIN)/simxen-xenbus: | $(SIMLIB)/libsimxen.so

# Measures the fast paths, on the drop-in libraries.
$(eval $(call link_program,simxen-bench,$(OBJ)/$(SIM)/bench/main.o,-L$(SIMLIB) -l:libsimxen.so -lxengnttab -lxenforeignmemory -lxenevtchn -lxendevicemodel -Wl$(comma)-rpath$(comma)'$$$$ORIGIN/../simxen' -ldl))
$(BIN)/simxen-bench: | $(SIMLIB)/libsimxen.so $(SIMLIB)/libxengnttab.so.1 $(SIMLIB)/libxenforeignmemory.so.1 \
                       $(SIMLIB)/libxenevtchn.so.1 $(SIMLIB)/libxendevicemodel.so.1 $(BIN)/simxen-hv $(LIB)/platform-simxen.so

# Redirects xenstored's two files in /proc/xen (LD_PRELOAD).
$(SIMLIB)/xenstored-preload.so: $(OBJ)/$(SIM)/preload/xsd.o
	@mkdir -p $(@D)
	@$(CC) -shared $(LDFLAGS_COMMON) $(LDFLAGS) -o $@ $^ -ldl
ALL_PRODUCTS += $(SIMLIB)/xenstored-preload.so

# A host with larger pages, for a backend (LD_PRELOAD).
$(SIMLIB)/page-size-preload.so: $(OBJ)/$(SIM)/preload/page_size.o
	@mkdir -p $(@D)
	@$(CC) -shared $(LDFLAGS_COMMON) $(LDFLAGS) -o $@ $^ -ldl
ALL_PRODUCTS += $(SIMLIB)/page-size-preload.so

# A host that has no entropy yet, for a backend (LD_PRELOAD).
$(SIMLIB)/unseeded-preload.so: $(OBJ)/$(SIM)/preload/unseeded.o
	@mkdir -p $(@D)
	@$(CC) -shared $(LDFLAGS_COMMON) $(LDFLAGS) -o $@ $^
ALL_PRODUCTS += $(SIMLIB)/unseeded-preload.so

$(LIB)/platform-simxen.so: $(call sim_objs,guest) $(call objs_of,util) | $(SIMLIB)/libsimxen.so
	@mkdir -p $(@D)
	@echo "  LD   $(VARIANT) $@"
	@$(CC) -shared $(LDFLAGS_COMMON) $(ldflags_$(VARIANT)) $(LDFLAGS) -Wl,-rpath,'$$ORIGIN/../simxen' -o $@ $^ -L$(SIMLIB) -l:libsimxen.so -lxenstore
ALL_PRODUCTS += $(LIB)/platform-simxen.so

# ---- the platform plugin for a real domU ----
$(LIB)/platform-linux.so: $(call modules_objs,platform_linux util)
	@mkdir -p $(@D)
	@echo "  LD   $(VARIANT) $@"
	@$(CC) -shared $(LDFLAGS_COMMON) $(ldflags_$(VARIANT)) $(LDFLAGS) -o $@ $^ -lxencall -lxenstore
ALL_PRODUCTS += $(LIB)/platform-linux.so

# ---- the reference backend: the same file in every testbed ----
BACKEND_MODULES := util virtq gmem xen pci transport device backend
XEN_LIBS := -lxengnttab -lxenforeignmemory -lxenevtchn -lxendevicemodel -lxentoolcore -lxenstore
$(eval $(call link_program,ringproof-backend,$(call modules_objs,$(BACKEND_MODULES)) $(OBJ)/ref/backend/main.o,$(XEN_LIBS) -luring))

# ---- the agent: runs checks in a domU, on ours or a stock Linux, and the libxen checks in dom0 ----
AGENT_MODULES := util virtq gmem frontend check abi conformance stock agent
$(eval $(call link_program,ringproof-agent,$(call modules_objs,$(AGENT_MODULES)) $(OBJ)/harness/agent/main.o,$(XEN_LIBS) -lxencall -ljansson -ldl))

# ---- the network frontend: a TAP in the domU ----
$(eval $(call link_program,ringproof-netfront,$(call modules_objs,util virtq gmem frontend netfront) $(OBJ)/ref/netfront/main.o,-ldl))

# ---- what a toolstack leaves for a guest's driver ----
$(eval $(call link_program,ringproof-bootdata,$(call objs_of,util) $(OBJ)/ref/toolstack/main.o,-lfdt))

# ---- machines: who keeps them, and what runs in their dom0 ----
MACHINE_OBJS := $(call objs_of,machine) $(OBJ)/harness/testbed/process.o $(OBJ)/harness/testbed/image.o
$(eval $(call link_program,ringproof-machine,$(MACHINE_OBJS) $(OBJ)/harness/machine/main.o,-lxenstore))
$(eval $(call link_program,ringproof-dom0-loop,$(MACHINE_OBJS) $(OBJ)/harness/machine/loop_main.o,-lxenstore))

# libxenctrl goes with one release of Xen: what needs it is a program of its own.
$(eval $(call link_program,ringproof-target,$(OBJ)/harness/machine/target_main.o,-lxenctrl))

# Counts what a backend asks of the real Xen (LD_PRELOAD).
$(LIB)/costs-preload.so: $(OBJ)/harness/machine/preload/costs.o
	@mkdir -p $(@D)
	@$(CC) -shared $(LDFLAGS_COMMON) $(LDFLAGS) -o $@ $^ -ldl
ALL_PRODUCTS += $(LIB)/costs-preload.so

# A domU of the testbed `xen` is made by the script that the images' dom0 has, too.
$(BIN)/rp-domu-create: ci/images/dom0/rp-domu-create
	@mkdir -p $(@D) && cp $< $@
ALL_PRODUCTS += $(BIN)/rp-domu-create

# ---- what runs in a guest image of another architecture ----
## make guest-arm64      programs for the arm64 image of the testbed qemu (needs: make image-arm64)
.PHONY: guest-programs guest-arm64
guest-programs: $(BIN)/ringproof-backend $(BIN)/ringproof-agent $(BIN)/ringproof-dom0-loop $(LIB)/platform-linux.so $(LIB)/costs-preload.so \
                $(BIN)/ringproof-target $(BIN)/ringproof $(BIN)/rp-domu-create
guest-arm64:
	+@sysroot=$$(ci/images/build.sh --path arm64)/sysroot && \
	$(MAKE) --no-print-directory VARIANT=release OUT=$(dir $(OUT))arm64 \
	    CC="aarch64-linux-gnu-gcc --sysroot=$$sysroot" guest-programs

# ---- the ring benchmark, and the same without checks of what the peer wrote ----
RING_MODULES := util virtq gmem stats ringbench
$(eval $(call link_program,ringproof-ring,$(call modules_objs,$(RING_MODULES)) $(OBJ)/bench/ring/main.o,))

UNCHECKED_MODULES := virtq ringbench
UNCHECKED_OBJS := $(patsubst $(OBJ)/%,$(OBJ)/unchecked/%,$(call modules_objs,$(UNCHECKED_MODULES)) $(OBJ)/bench/ring/main.o)
define unchecked_rule
$(OBJ)/unchecked/$(dir_$(1))/%.o: $(dir_$(1))/%.c ci/build/rules.mk ci/build/layers.mk | $(INC_LINKS)
	@mkdir -p $$(@D)
	@echo "  CC   $(VARIANT) $$< (unchecked)"
	@$(CC) $(CPPFLAGS_COMMON) -DRP_VIRTQ_UNCHECKED $(call inc_flags,$(1)) $(CFLAGS_COMMON) $(cflags_$(VARIANT)) $$(CFLAGS) \
	    -MMD -MP -c $$< -o $$@
endef
$(foreach m,$(UNCHECKED_MODULES),$(eval $(call unchecked_rule,$(m))))
$(eval $(call link_program,ringproof-ring-unchecked,$(UNCHECKED_OBJS) $(call modules_objs,util gmem stats),))

# ---- programs of others, measured as ours are ----
PEER_OBJS := $(call objs_of,peers) $(addprefix $(OBJ)/bench/ring/,cpu.o shared.o floor.o) $(OBJ)/harness/testbed/process.o $(call modules_objs,util virtq stats)
$(eval $(call link_program,ringproof-ringtest,$(OBJ)/bench/peers/ringtest_main.o $(PEER_OBJS),-ljansson))
$(eval $(call link_program,ringproof-blk,$(OBJ)/bench/blk/main.o $(call objs_of,blkbench) $(addprefix $(OBJ)/ref/device/,vhost_ask.o vhost_message.o) $(PEER_OBJS),-ljansson))
$(eval $(call link_program,ringproof-testpmd,$(OBJ)/bench/peers/testpmd_main.o $(PEER_OBJS),-ljansson))
$(eval $(call link_program,ringproof-wire,$(OBJ)/bench/peers/wire_main.o $(OBJ)/harness/testbed/netns.o $(PEER_OBJS),-ljansson))

# ---- the runner ----
# Results name the sources that they come from; the stamp makes a new name recompile.
RP_VERSION := $(shell git describe --always --dirty 2>/dev/null || cut -c-12 .revision 2>/dev/null || echo unknown)
VERSION_STAMP := $(OBJ)/version-$(RP_VERSION)
VERSION_OBJS := $(OBJ)/harness/runner/main.o $(OBJ)/harness/runner/command_run.o $(OBJ)/ref/backend/main.o
$(VERSION_STAMP):
	@mkdir -p $(@D) && rm -f $(OBJ)/version-* && touch $@
$(VERSION_OBJS): $(VERSION_STAMP)
$(VERSION_OBJS): cppflags_runner = -DRP_VERSION='"$(RP_VERSION)"'
$(VERSION_OBJS): cppflags_backend = $(cppflags_runner)
RUNNER_MODULES := util check scenario profile machine testbed runner report certify catalog stats plot suite insns
$(eval $(call link_program,ringproof,$(call modules_objs,$(RUNNER_MODULES)) $(call sim_objs,ctl) $(OBJ)/harness/runner/main.o,-L$(SIMLIB) -l:libsimxen.so -Wl$(comma)-rpath$(comma)'$$$$ORIGIN/../simxen' -lyaml -ljansson -lxenstore -lm))
$(BIN)/ringproof: | $(SIMLIB)/libsimxen.so

# ---- unit tests: one program a file ----
# Linked from an archive, so that a program takes the objects it uses and no others. What tests share
# is in it, too: a stand-in for a library goes before the library.
UNIT_SRCS := $(wildcard harness/unit/*_test.c)
UNIT_PROGRAMS := $(patsubst harness/unit/%.c,$(OUT)/unit/%,$(UNIT_SRCS))
UNIT_MODULES := util virtq gmem xen pci device transport backend frontend netfront check agent scenario profile machine testbed \
                report catalog certify stats plot suite peers insns
UNIT_ARCHIVE := $(OUT)/unit/libmodules.a

$(UNIT_ARCHIVE): $(call modules_objs,$(UNIT_MODULES)) \
                 $(patsubst %.c,$(OBJ)/%.o,$(filter-out $(UNIT_SRCS),$(wildcard harness/unit/*.c)))
	@mkdir -p $(@D)
	@rm -f $@ && $(AR) rcs $@ $^

$(UNIT_PROGRAMS): $(OUT)/unit/%: $(OBJ)/harness/unit/%.o $(UNIT_ARCHIVE)
	@mkdir -p $(@D)
	@echo "  LD   $(VARIANT) $@"
	@$(CC) $(LDFLAGS_COMMON) $(ldflags_$(VARIANT)) $(LDFLAGS) -o $@ $^ \
	    $$(pkg-config --libs check) $(XEN_LIBS) -luring -lyaml -ljansson -ldl -lm

.PHONY: unit-build unit-run
unit-build: $(UNIT_PROGRAMS)
unit-run: $(UNIT_PROGRAMS)
	@ci/build/run-units.sh $(UNIT_PROGRAMS)
