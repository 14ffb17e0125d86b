# SPDX-License-Identifier: MIT
# The fio engine. Not part of `make`: it needs fio's source package, once (fio-headers.sh).

FIO_HEADERS := $(shell ci/build/fio-headers.sh --path)
FIO_ENGINE_MODULES := util virtq gmem frontend fioengine

## make fio-engine       build the external engine for fio (fetches fio's headers once)
.PHONY: fio-engine
fio-engine: $(LIB)/ringproof-fio.so

$(FIO_HEADERS)/ready:
	@ci/build/fio-headers.sh

# fio's headers are written in GNU C and are not free of the warnings that ours are.
$(OBJ)/bench/fio/engine.o: cppflags_fioengine = -isystem $(FIO_HEADERS) \
    -include $(FIO_HEADERS)/config-host.h
$(OBJ)/bench/fio/engine.o: override CFLAGS += -std=gnu11
$(OBJ)/bench/fio/engine.o: | $(FIO_HEADERS)/ready

# Symbols of fio itself stay undefined: fio resolves them when it loads the engine.
$(LIB)/ringproof-fio.so: $(call modules_objs,$(FIO_ENGINE_MODULES))
	@mkdir -p $(@D)
	@echo "  LD   $(VARIANT) $@"
	@$(CC) -shared $(LDFLAGS_COMMON) $(ldflags_$(VARIANT)) $(LDFLAGS) -o $@ $^ -ldl
