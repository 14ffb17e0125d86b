# SPDX-License-Identifier: MIT
# Ringproof. `make help` lists the targets. GNU make, no generator.
#
# ci/build/layers.mk    who may include whom
# ci/build/rules.mk     how a file becomes an object, for each variant
# ci/build/programs.mk  what is linked from which modules

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VARIANT ?= release
PREFIX  ?= /usr/local
DESTDIR ?=

include ci/build/layers.mk
include ci/build/rules.mk
include ci/build/programs.mk
include ci/build/lint.mk
-include ci/build/fio.mk
include ci/build/images.mk
include ci/build/peers.mk

.PHONY: help build packages run check unit lint mutants xen-check install clean format

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make                  build programs, simxen and the platform plugin (VARIANT=release|san|mutant)
build: $(ALL_PRODUCTS)

## make packages         install the Debian packages that are missing (ci/packages.txt)
packages:
	@ci/install-packages.sh

## make run              install, build, run the main scenarios on simxen, leave a report
run: packages
	+@$(MAKE) --no-print-directory build fio-engine
	@$(BIN)/ringproof run --set main

## make check            unit tests and all quick scenarios on simxen (no root needed)
##                       XEN=quick: some on the real Xen, too; MUTANTS=all: as make mutants
XEN ?=
MUTANTS ?=
check: packages
	@ci/install-packages.sh packages-page.txt
	+@XEN='$(XEN)' MUTANTS='$(MUTANTS)' ci/check.sh

## make unit             only the unit tests, with sanitizers
unit:
	+@$(MAKE) --no-print-directory VARIANT=san unit-run

## make bench            the benchmarks in their short form: rings, fio, iperf3, designs (4 to 6 minutes)
.PHONY: bench
bench: packages
	+@$(MAKE) --no-print-directory build fio-engine
	@$(BIN)/ringproof bench

## make bench-instructions  what operations cost on the real Xen, in instructions (bench/instructions)
.PHONY: bench-instructions
bench-instructions: packages build images emulator guest-arm64
	@$(BIN)/ringproof bench --instructions

## make lint             format, static analysis, each header alone, layer rules
lint: packages
	+@ci/lint.sh

## make mutants          run every check against its deliberately broken backend
mutants: packages
	+@$(MAKE) --no-print-directory VARIANT=mutant build fio-engine
	+@$(MAKE) --no-print-directory build fio-engine
	@$(BIN)/ringproof mutants

## make xen-check        the same checks on the real Xen in QEMU, x86-64 and arm64 (no KVM, no root)
xen-check: packages
	+@ci/xen-check.sh

## make xen-deaths       killed backends, hung guests, panics and full disks on the real Xen in QEMU
.PHONY: xen-deaths
xen-deaths: packages build images guest-arm64
	@ci/xen-deaths.sh arm
	@ci/xen-deaths.sh x86

## make install          install to DESTDIR=, PREFIX=/usr/local
install: build
	@ci/build/install.sh '$(OUT)' '$(DESTDIR)$(PREFIX)'

## make format           clang-format all sources in place
format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

## make clean            remove build/ (caches outside the tree stay)
clean:
	rm -rf build
