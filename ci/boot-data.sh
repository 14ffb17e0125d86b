#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: boot-data.sh [BIN_DIR]
#
# Does somebody else's reader take what ringproof-bootdata writes? The ACPI table goes through
# iasl, which says when a header or a checksum is wrong; so that this is known to be said, a table
# with another domid in it and the old checksum goes through as well.
set -u
cd "$(dirname "$0")/.."
bin=$(realpath "${1:-build/release/bin}")
work=$(mktemp -d "${TMPDIR:-/tmp}/rp-boot.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

if ! command -v iasl >/dev/null; then
    echo "iasl is missing (package acpica-tools)"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

verdict()
{
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1"
        cat "$work/out"
    fi
}

bridge=seg=0,bus=0-63,ecam=0x10000000+0x4000000,mem=0x20000000+0x1000000
"$bin/ringproof-bootdata" acpi "$bridge" 0000:00:01.0 3 >"$work/table.aml" || exit 2
(cd "$work" && iasl -d table.aml) >"$work/out" 2>&1
grep -q 'valid ACPI table' "$work/out" && grep -q '"UEFI"' "$work/table.dsl" &&
    ! grep -qi 'incorrect checksum' "$work/out" "$work/table.dsl"
verdict "the table is one for iasl" $?

# The domid is in front of the last two bytes (ref/spec/discovery.h).
cp "$work/table.aml" "$work/changed.aml"
printf '\007' | dd of="$work/changed.aml" bs=1 seek=60 conv=notrunc 2>/dev/null
(cd "$work" && iasl -d changed.aml) >"$work/out" 2>&1
grep -qi 'incorrect checksum' "$work/out" "$work/changed.dsl"
verdict "a table that does not add up is told from it" $?

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
