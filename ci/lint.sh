#!/bin/sh
# SPDX-License-Identifier: MIT
# Style and structure. Prints what is wrong; exit status 1 when anything is.
set -u
cd "$(dirname "$0")/.."
bad=0
note() { echo "lint: $*"; bad=1; }

sources=$(git ls-files '*.c' '*.h')

echo "== clang-format"
# shellcheck disable=SC2086 # a list of words
clang-format --dry-run -Werror $sources || bad=1

echo "== licence lines"
for f in $sources $(git ls-files '*.sh' '*.mk' Makefile); do
    head -n2 "$f" | grep -q 'SPDX-License-Identifier: ' || note "$f: no SPDX line"
done

echo "== layers"
# The -I flags enforce the table; what they cannot see is a path that climbs out of its folder.
for f in $sources; do
    grep -nE '^#include "(\.\./|/)' "$f" /dev/null && bad=1
done
# libxen's headers: only in the modules that the table names (harness/simxen and its like).
libxen=$(make -s --no-print-directory libxen-dirs)
for f in $sources; do
    if grep -qE '^#include <(xen|xen/[a-z_/-]+|xen[a-z]+)\.h>' "$f"; then
        for d in $libxen; do
            case $f in "$d"/*) continue 2 ;; esac
        done
        note "$f: includes libxen's headers"
    fi
done

echo "== each public header alone"
make -s --no-print-directory header-check || bad=1

echo "== cppcheck"
cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --suppressions-list=ci/build/cppcheck.txt --library=ci/build/cppcheck.cfg \
    --enable=warning,performance,portability -j "$(nproc)" ref harness bench || bad=1

echo "== clang-tidy"
make -s --no-print-directory -j"$(nproc)" tidy || bad=1

echo "== gcc and clang"
for cc in gcc clang; do
    make -s --no-print-directory -j"$(nproc)" CC=$cc OUT="build/lint-$cc" build >/dev/null || note "does not build with $cc"
done

[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
