#!/bin/sh
# SPDX-License-Identifier: MIT
# The unit tests once more, under valgrind's memcheck (no sanitizer in the build). Prints
# "valgrind: N passed, N failed".
set -u
cd "$(dirname "$0")/../.."
make --no-print-directory -s -j"$(nproc)" VARIANT=release unit-build || exit 1
passed=0 failed=0
# Left out: what lives in children that end without cleaning up (agent_run), and what uses system
# calls that memcheck does not model: io_uring fills buffers unseen (device_blk), close_range and
# pidfd (testbed_process). These run under ASan and UBSan.
left_out=' agent_run_test device_blk_test testbed_process_test machine_keeper_test '
for program in build/release/unit/*_test; do
    case $left_out in *" $(basename "$program") "*) continue ;; esac
    out=$(mktemp)
    # Property tests shrink their rounds: valgrind is about 30 times slower.
    if CK_DEFAULT_TIMEOUT=0 RINGPROOF_TEST_ROUNDS=small \
        timeout 120 valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
        --errors-for-leak-kinds=definite --track-fds=no "$program" >"$out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "valgrind: $program"
        tail -n 40 "$out"
    fi
    rm -f "$out"
done
echo "valgrind: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
