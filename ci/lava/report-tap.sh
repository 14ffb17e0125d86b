#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: report-tap.sh RESULT.TAP
#
# Every check of a result as a LAVA test case, every cell as a test set, with LAVA's own helpers
# lava-test-set and lava-test-case. A run that did not come to its end is a failed case "run".
# Status 2 when the file is no TAP.
set -u
if [ $# -ne 1 ] || [ ! -r "$1" ]; then
    echo "usage: report-tap.sh RESULT.TAP" >&2
    exit 2
fi

# Lines "set NAME", "case NAME RESULT", "end". LAVA's names have letters, digits and ._- only.
parse()
{
    awk '
    function plain(text) { gsub(/[^A-Za-z0-9._-]/, "_", text); return text == "" ? "_" : text }
    function result(line) {
        if (line ~ /^ *not ok/) return line ~ / # TODO / ? "skip" : "fail"
        return line ~ / # SKIP / ? "skip" : "pass"
    }
    function name(line) {
        sub(/^ *(not )?ok [0-9]+ - /, "", line)
        sub(/ # (SKIP|TODO) .*/, "", line)
        return plain(line)
    }
    NR == 1 { if ($0 != "TAP version 14") exit 2; next }
    NR == 2 { planned = substr($1, 4) + 0; next }
    /^# Subtest: / { print "set " plain(substr($0, 12)); next }
    /^ *---$/ { details = 1 }
    /^ *\.\.\.$/ { details = 0; next }
    details { next }
    /^    (not )?ok / { print "case " name($0) " " result($0); next }
    /^(not )?ok / { print "case cell " result($0); print "end"; cells++; next }
    /^Bail out!/ { bailed = 1 }
    END {
        if (NR < 2) exit 2
        print "case run " (cells == planned && planned && !bailed ? "pass" : "fail")
    }' "$1"
}

lines=$(parse "$1") || {
    echo "report-tap.sh: $1 is no TAP" >&2
    exit 2
}
printf '%s\n' "$lines" | while read -r what name result; do
    case $what in
    set) lava-test-set start "$name" ;;
    end) lava-test-set stop ;;
    case) lava-test-case "$name" --result "$result" ;;
    esac
done
