# SPDX-License-Identifier: MIT
# Programs of others, measured beside ours. Not part of `make`: they need packages of their own.

## make bench-peers      the same, and programs of others in the same pairs (needs their packages)
.PHONY: bench-peers
bench-peers: packages
	@ci/install-packages.sh packages-peers.txt
	@bench/peers/build.sh
	+@$(MAKE) --no-print-directory build fio-engine
	@$(BIN)/ringproof bench --peers "$$(bench/peers/build.sh --path)"
