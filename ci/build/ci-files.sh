#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: ci-files.sh [BIN_DIR]
#
# What CI systems run elsewhere, as far as it can be tested here: shell syntax, every make target
# and every option of ringproof that a CI file names, LAVA's template and its report. (That the
# YAML is well-formed and its jobs fit together is a unit test, ci_files_test.)
set -u
cd "$(dirname "$0")/../.." || exit 2
bin=$(realpath "${1:-build/release/bin}")
work=$(mktemp -d "${TMPDIR:-/tmp}/rp-ci-files.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0

# check NAME COMMAND...
check()
{
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/     | /' "$work/out" | head -n 20
    fi
}
# refused STATUS COMMAND...: it ends with this status and says why.
refused()
{
    wanted=$1
    shift
    "$@" >/dev/null 2>"$work/said"
    [ $? -eq "$wanted" ] && [ -s "$work/said" ]
}

files="ci/gitlab/pipeline.yml ci/lava/job.yaml ci/gitlab/README.md ci/lava/README.md"
for script in ci/lava/*.sh; do
    check "$script: syntax" sh -n "$script"
done

# One command a line: a list's element with the lines that go on, or a line of a README.
# shellcheck disable=SC2086 # a list of words
awk '/^ *- |^ *[a-z_.-]+:|^$|^`|^[a-z]/ { print "" } { sub(/^ *- /, ""); printf " %s", $0 } END { print "" }' \
    $files >"$work/commands"

# ---- make targets ----
make -pRrq : 2>/dev/null | sed -n 's/^\([a-z0-9-]*\):.*/\1/p' | sort -u >"$work/targets"
{
    sed -n 's/^ *make\( .*\)$/\1/p' "$work/commands"
    sed -n 's/.*TARGETS: \([^,}]*\).*/\1/p' ci/gitlab/pipeline.yml
} | tr ' ' '\n' | grep -E '^[a-z]' | sort -u >"$work/named-targets"
check "make targets are named" test -s "$work/named-targets"
while read -r target; do
    check "make $target" grep -qx "$target" "$work/targets"
done <"$work/named-targets"

# ---- ringproof's commands and options ----
"$bin/ringproof" --help >"$work/help"
sed -n 's/.*ringproof \([a-z][a-z-]*\) \(.*\)/\1 \2/p' "$work/commands" |
    grep -E '^(run|list|merge|compare|mutants) ' | tr -d '`"' >"$work/calls"
check "calls of ringproof are named" grep -q '^run ' "$work/calls"
while read -r command rest; do
    "$bin/ringproof" "$command" --help >"$work/options"
    for option in $(printf '%s\n' "$rest" | tr ' ' '\n' | sed -n 's/^\(--*[a-z][a-z-]*\).*/\1/p'); do
        check "ringproof $command $option" grep -qE "^ +$option( |\$)" "$work/options"
    done
done <"$work/calls"

# ---- LAVA ----
job() { ci/lava/job.sh lab-x86 "$@"; }
job x86 2/4 http://files/rp http://in/rp "console=com1 com1=115200,8n1" >"$work/job.yaml"
check "a job has nothing left to fill in" sh -c "! grep -n '@[A-Z_]*@' '$work/job.yaml'"
check "a job has its shard" grep -q -- '--shard 2/4 ' "$work/job.yaml"
check "a job of another architecture" sh -c "ci/lava/job.sh d arm 1/1 u v | grep -q 'xen_hypervisor .*TEE'"
check "no architecture" refused 3 job mips 2/4 u v
check "no shard" refused 3 job x86 2 u v
check "characters that would be YAML" refused 3 job x86 2/4 'u"v' w
check "characters that would be sed" refused 3 job x86 2/4 'u|e' w
check "too few words" refused 3 job x86

for helper in lava-test-set lava-test-case lava-test-reference; do
    # shellcheck disable=SC2016 # for the helper
    printf '#!/bin/sh\necho "%s $*"\n' "$helper" >"$work/$helper"
    chmod +x "$work/$helper"
done
report() { PATH=$work:$PATH ci/lava/report-tap.sh "$@"; }
cat >"$work/one.tap" <<'END_TAP'
TAP version 14
1..3
# a note
# Subtest: abi[arch=x86] on xen
    1..4
    ok 1 - abi.a
    not ok 2 - abi.b
      ---
      outcome: FAIL
      reason: "ok 9 - forged"
    ok 7 - forged.in_details
      ...
    ok 3 - abi.c # SKIP no \# irq
    not ok 4 - abi.d # TODO known
not ok 1 - abi[arch=x86] on xen
# Subtest: blk;rm -rf
    1..0 # SKIP no disk
ok 2 - blk;rm -rf # SKIP no disk
END_TAP
cat >"$work/wanted" <<'CASES'
lava-test-set start abi_arch_x86__on_xen
lava-test-case abi.a --result pass
lava-test-case abi.b --result fail
lava-test-case abi.c --result skip
lava-test-case abi.d --result skip
lava-test-case cell --result fail
lava-test-set stop
lava-test-set start blk_rm_-rf
lava-test-case cell --result skip
lava-test-set stop
lava-test-case run --result fail
CASES
report "$work/one.tap" >"$work/cases"
check "a report in LAVA's terms" diff "$work/wanted" "$work/cases"
{ cat "$work/one.tap" && printf '# Subtest: c\n    1..1\n    ok 1 - a.b\nok 3 - c\n'; } >"$work/whole.tap"
report "$work/whole.tap" >"$work/cases"
check "a run that is whole" grep -qx 'lava-test-case run --result pass' "$work/cases"
{ cat "$work/whole.tap" && echo 'Bail out! interrupted'; } >"$work/bail.tap"
report "$work/bail.tap" >"$work/cases"
check "a run that was interrupted" grep -qx 'lava-test-case run --result fail' "$work/cases"
check "no TAP" refused 2 report ci/lava/job.yaml
check "no file" refused 2 report "$work/none"

echo "ci files: $passed passed, $failed failed"
[ $failed -eq 0 ]
