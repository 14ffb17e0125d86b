#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: run-units.sh PROGRAM...
#
# Runs each unit test program, shows what it says, and goes on after a failure. A program that
# hangs is ended after UNIT_TIMEOUT seconds (default 120). The last line counts. Exit status 0
# when all passed, 1 when one failed, 2 when none was given.
set -u

timeout_s=${UNIT_TIMEOUT:-120}
passed=0
failed=0

if [ $# -eq 0 ]; then
    echo "run-units.sh: no test programs" >&2
    exit 2
fi

out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
trap 'exit 130' INT TERM

for program in "$@"; do
    name=$(basename "$program")
    timeout --kill-after=5 "$timeout_s" "$program" >"$out" 2>&1
    status=$?
    sed "s/^/$name: /" "$out"
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        continue
    fi
    failed=$((failed + 1))
    case $status in
    124 | 137) echo "$name: FAILED: no end within $timeout_s s" ;;
    *) echo "$name: FAILED: exit status $status" ;;
    esac
done

echo "units: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
