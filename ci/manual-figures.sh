#!/bin/sh
# SPDX-License-Identifier: MIT
# The figures in harness/man/discovery.md are those that a run measures. Times are not among them.
set -u
cd "$(dirname "$0")/.."
manual=harness/man/discovery.md
dir=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-figures.XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! build/release/bin/ringproof run --quiet --results "$dir" scenarios/discovery/mechanisms.yaml \
    scenarios/discovery/options.yaml >"$dir/out" 2>&1; then
    cat "$dir/out"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

# Cells of Markdown tables as fields, without spaces, marks and escapes.
cells='
function trim(s) { gsub(/^[ `*\\]+|[ `*\\]+$/, "", s); gsub(/\\/, "", s); return s }
function split_row(line,   i, n) { n = split(line, f, "|"); for (i = 1; i <= n; i++) f[i] = trim(f[i]); return n }
'
# NAME VALUES of each row of the run: by the names of its columns.
awk "$cells"'
/^## / { table = substr($0, 4); header = 0 }
!/^\|/ { next }
/^\|-/ { next }
{
    n = split_row($0)
    if (!header) { delete at; for (i = 2; i < n; i++) at[f[i]] = i; header = 1; next }
}
table == "discovery" && f[at["memory"]] == "auto" && f[at["config"]] == "command-line" {
    print f[at["discovery"]] "|" f[at["accesses"]] "|" f[at["round trips"]] "|" f[at["bytes"]] "|" f[at["tells devices apart"]]
}
table == "backend-options" {
    what = f[at["row"]] (f[at["features"]] == "default" ? "" : ", one option more")
    print what ", " f[at["config"]] "|" f[at["round trips"]]
}' "$dir"/*/tables.md | sort >"$dir/measured"

# The same of the manual.
awk "$cells"'
/^\| mechanism \| form \|/ { table = "discovery" }
/^\| \| command line \| Xenstore \|/ { table = "options" }
!/^\|/ { table = "" }
/^\|-/ { next }
table == "discovery" { split_row($0); if (f[2] != "mechanism") print f[2] "|" f[4] "|" f[5] "|" f[6] "|" f[7] }
table == "options" {
    split_row($0)
    if (f[2] ~ /starts/) what = "start with 3 devices"
    else if (f[2] ~ /comes/) what = "the first device comes"
    else if (f[2] ~ /goes/) what = "the first device goes"
    else if (f[2] !~ /one option more/) next
    more = f[2] ~ /one option more/ ? ", one option more" : ""
    if (f[3] ~ /^[0-9]+$/) print what more ", command-line|" f[3]
    if (f[4] ~ /^[0-9]+$/) print what more ", xenstore|" f[4]
}' "$manual" | sort >"$dir/printed"

passed=0 failed=0
while read -r line; do
    if grep -Fqx -e "$line" "$dir/measured"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$manual says $line; the run measured $(grep -F -e "${line%%|*}|" "$dir/measured" || echo nothing)"
    fi
done <"$dir/printed"
for name in $(awk -F'|' 'NF == 5 { print $1 }' "$dir/measured"); do
    grep -q "^$name|" "$dir/printed" && continue
    failed=$((failed + 1))
    echo "$manual says nothing of $name"
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
