#!/bin/sh
# SPDX-License-Identifier: MIT
# The quick test suite: everything that needs neither root nor a hypervisor. Each stage prints its
# own lines and ends with "N passed, N failed[, N skipped]"; the sum is the last line.
set -u
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
xen=${XEN:-}
case $xen in
'' | quick) ;;
*)
    echo "check: XEN is quick or nothing" >&2
    exit 3
    ;;
esac
mutants=${MUTANTS:-}
case $mutants in
'' | all) ;;
*)
    echo "check: MUTANTS is all or nothing" >&2
    exit 3
    ;;
esac
log_dir=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-check.XXXXXX") || exit 2
trap 'rm -rf "$log_dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

passed=0 failed=0 skipped=0

# stage NAME COMMAND...: run it, show it, add its counts. A stage that fails without saying so in
# its counts, or that counts nothing, is one failure.
stage()
{
    name=$1
    shift
    echo "== $name"
    start=$(date +%s)
    { "$@" 2>&1; echo $? >"$log_dir/status"; } | tee "$log_dir/out"
    status=$(cat "$log_dir/status")
    line=$(grep -E '[0-9]+ passed, [0-9]+ failed' "$log_dir/out" | tail -n1)
    p=$(printf '%s\n' "$line" | sed -n 's/.*\b\([0-9]\{1,\}\) passed, .*/\1/p')
    f=$(printf '%s\n' "$line" | sed -n 's/.* \([0-9]\{1,\}\) failed.*/\1/p')
    s=$(printf '%s\n' "$line" | sed -n 's/.* \([0-9]\{1,\}\) skipped.*/\1/p')
    p=${p:-0} f=${f:-0} s=${s:-0}
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1
    elif [ $((p + f)) -eq 0 ]; then
        echo "$name: no test was run"
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [ "$f" -eq 0 ] || { echo "== $name: failed, and ended so:"; tail -n 40 "$log_dir/out"; } >>"$log_dir/failed"
    echo "== $name: $p passed, $f failed, $s skipped ($(($(date +%s) - start)) s)"
}

build()
{
    make --no-print-directory -j"$jobs" VARIANT="$1" build >"$log_dir/build" 2>&1 && return 0
    cat "$log_dir/build"
    return 1
}

echo "== build"
for variant in release san; do
    build $variant || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
done
make --no-print-directory fio-engine || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }

stage "unit tests (ASan, UBSan)" make --no-print-directory -j"$jobs" VARIANT=san unit-run
stage "unit tests (valgrind)" ci/build/valgrind-units.sh
stage "ABI of the drop-in libraries" ci/build/abi-symbols.sh
stage "catalogue" ci/build/catalog-lint.sh
stage "CI files" ci/build/ci-files.sh
stage "bad input" ci/bad-input.sh
stage "boot data" ci/boot-data.sh
stage "figures of the manual" ci/manual-figures.sh
stage "page of a benchmark" ci/bench-page.sh
stage "scenarios" build/release/bin/ringproof run --set quick
stage "scenarios (ASan, UBSan)" build/san/bin/ringproof run --set sanitized
if [ -z "$xen" ]; then
    stage "certificates" ci/certify.sh --quick
else
    stage "certificates" ci/certify.sh
fi
[ -z "$mutants" ] || stage "mutants" make --no-print-directory -j"$jobs" mutants
[ -z "$xen" ] || stage "the real Xen" ci/xen-check.sh --quick
[ -z "$xen" ] || stage "instructions on the real Xen" ci/instructions.sh

# Stages are long: what a reader of the end wants to know stands there.
[ ! -e "$log_dir/failed" ] || cat "$log_dir/failed"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
