# SPDX-License-Identifier: MIT
# Programs of others, measured beside ours. Not part of `make`: they need a source package, once.

## make bench-peers      the same, and Linux's own rings in the same pairs (needs its source package)
.PHONY: bench-peers
bench-peers: packages
	@ci/install-packages.sh packages-peers.txt
	@bench/peers/build.sh
	+@$(MAKE) --no-print-directory build
	@$(BIN)/ringproof bench --peers "$$(bench/peers/build.sh --path)"
