#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: instructions.sh [arm|x86]
#        OUT=FOLDER instructions.sh ...    with programs built there
#
# Has the code that is executed for an operation on the real Xen become more? Measures a small part of
# `ringproof bench --instructions`, one boot, and compares it with the committed baseline. Where Xen, Linux,
# QEMU or the compiler is of another version than the baseline's, nothing is compared, and that is said.
# Needs an image (make images), on x86 the emulator (make emulator). The last line counts: rows that are as good as the baseline's, dearer ones,
# and those that cannot be compared.
set -u
cd "$(dirname "$0")/.." || exit 2
arch=${1:-arm}
ringproof=${OUT:-build/release}/bin/ringproof
baseline=results/baselines/xen-4.17-instructions
work=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-instructions.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

$ringproof bench --instructions --boots 1 --quiet -o "$work/run" "instructions-primitives[arch=$arch]" || {
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
$ringproof compare --all "$baseline" "$work/run" >"$work/compared"
status=$?
# What the baseline has beyond is left out on purpose.
grep -v 'not comparable: not measured now' "$work/compared"
if grep -q '^The versions differ' "$work/compared"; then
    echo "not comparable: the baseline was made with other versions"
fi
measured=$(grep -c "^| $arch" "$work/run/instructions.md")
same=$(grep -cE '\| (same|better) \|$' "$work/compared")
worse=$(grep -cE '\| worse \|$' "$work/compared")
# One for the measurement itself.
echo "$((1 + same)) passed, $worse failed, $((measured - same - worse)) skipped"
[ $status -eq 0 ]
