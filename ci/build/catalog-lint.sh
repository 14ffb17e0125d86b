#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: catalog-lint.sh [AGENT]
#
# Catalogue, checks and mutants fit together: every check proves requirements that exist; no statement
# of VIRTIO is missing between others, and none that a check proves counts as not observable; every
# requirement is paraphrased; every ABI observation in the catalogue has its check; every mutant in
# mutants.tsv names a check that exists and a fault that is in the sources, every fault in the sources is listed, and every check
# is named by a mutant that it must fail. Prints what does not fit; exit status 1 when anything does not, 2 when it could not be looked at.
set -u
cd "$(dirname "$0")/../.." || exit 2
agent=${1:-build/release/bin/ringproof-agent}
dir=harness/catalog

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

"$agent" --list-checks >"$work/checks" || {
    echo "catalog-lint: $agent --list-checks failed" >&2
    exit 2
}
[ -s "$work/checks" ] || {
    echo "catalog-lint: $agent has no checks" >&2
    exit 2
}

# MUTANT(name) where the macro is used, not where it is defined or explained.
grep -rhoE 'MUTANT\([a-z_0-9]+\)' --include='*.[ch]' --exclude=mutant.h ref harness bench |
    sed 's/MUTANT(\(.*\))/\1/' | grep -vx name | sort -u >"$work/used"

bad=0
awk -F'\t' -v checks="$work/checks" -v used="$work/used" -v mutants="$dir/mutants.tsv" \
    -v virtio="$dir/virtio.tsv" -v unobservable="$dir/unobservable.tsv" '
    # No agent has these: programs in the guest are what checks.
    BEGIN {
        check["fio.verify"] = check["fio.nothing_left"] = "harness/runner/fio.c"
        check["neighbour.verify"] = "harness/runner/neighbour.c"
        proven["xen.lifecycle.death.3"] = proven["xen.lifecycle.neighbour.1"] = 1
        check["iperf3.verify"] = check["transfer.verify"] = "harness/runner/net_run.c"
    }
    function complain(text) { print "catalog-lint: " text; bad = 1 }
    FILENAME == unobservable {
        if ($1 ~ /^#/ || $1 == "id") next
        hidden[$1] = 1
        next
    }
    FILENAME ~ /\.tsv$/ && FILENAME != mutants {
        if ($1 ~ /^#/ || $1 == "" || $1 == "id") next
        if ($1 in requirement) complain("requirement " $1 " is listed twice")
        requirement[$1] = FILENAME
        columns = FILENAME == virtio ? 6 : 5
        if (NF != columns)
            complain("requirement " $1 " has " NF " columns, not " columns)
        else if ($columns !~ /[^ ]/)
            complain("requirement " $1 " has no paraphrase")
        if (FILENAME == virtio) {
            section = $1
            sub(/\.[0-9]+$/, "", section)
            n = substr($1, length(section) + 2) + 0
            rows[section]++
            if (n > last[section]) last[section] = n
        }
        next
    }
    FILENAME == checks {
        check[$1] = $4
        n = split($3, ids, " ")
        if (n == 0) complain("check " $1 " proves nothing (" $4 ")")
        for (i = 1; i <= n; i++) {
            if (!(ids[i] in requirement))
                complain("check " $1 " proves " ids[i] ", which is not in the catalogue (" $4 ")")
            proven[ids[i]] = 1
        }
        next
    }
    FILENAME == used { in_source[$1] = 1; next }
    FILENAME == mutants {
        if ($1 ~ /^#/ || $1 == "" || $1 == "mutant") next
        if (NF != 4) complain("mutants.tsv:" FNR ": " NF " columns, not 4")
        if ($1 in listed) complain("mutant " $1 " is listed twice")
        listed[$1] = 1
        n = split($3, names, " ")
        if (n == 0) complain("mutant " $1 " names no check")
        for (i = 1; i <= n; i++) {
            if (!(names[i] in check))
                complain("mutant " $1 " names the check " names[i] ", which does not exist")
            failed[names[i]] = 1
        }
        if (!($1 in in_source)) complain("mutant " $1 " is listed, but MUTANT(" $1 ") is nowhere")
    }
    END {
        for (id in requirement)
            if (requirement[id] ~ /abi\.tsv$/ && !(id in proven))
                complain("requirement " id " has no check")
        for (section in rows)
            if (rows[section] != last[section])
                complain("virtio.tsv: a statement of " section " is missing")
        for (id in hidden)
            if (id in proven)
                complain("requirement " id " is said to be not observable, and a check proves it")
        for (name in check)
            if (!(name in failed)) complain("no mutant fails the check " name " (" check[name] ")")
        for (name in in_source)
            if (!(name in listed)) complain("MUTANT(" name ") is not in mutants.tsv")
        exit bad
    }
' "$dir/unobservable.tsv" "$dir/virtio.tsv" "$dir/xen.tsv" "$dir/abi.tsv" "$work/checks" "$work/used" "$dir/mutants.tsv" || bad=1

# Counted by check: one that nothing is wrong with passes; when anything is wrong, that is a failure.
if [ $bad -eq 0 ]; then
    echo "catalog-lint: $(wc -l <"$work/checks") checks fit the catalogue"
    echo "catalog-lint: $(wc -l <"$work/checks") passed, 0 failed"
else
    echo "catalog-lint: 0 passed, 1 failed"
fi
exit $bad
