#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: xen-inside.sh x86|arm RESULTS CELL...
#        OUT=FOLDER xen-inside.sh ...    with programs built there
#
# The testbed `xen` at work: boots an image, installs the harness in its dom0 and runs the cells from inside, as
# on a lab machine. The run's folder is brought to RESULTS. Ends with the run's status.
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 3 ] || {
    sed -n 's/^# \(usage: .*\)/\1/p' "$0" >&2
    exit 3
}
arch=$1 results=$2
shift 2
build=${OUT:-build/release}
case $arch in
x86) image=x86 programs=$build ;;
arm) image=arm64 programs=$(dirname "$build")/arm64 ;;
*)
    echo "xen-inside: x86 or arm" >&2
    exit 3
    ;;
esac
boot=$(ci/images/build.sh --path "$image")/boot || {
    echo "xen-inside: there is no image (make images)" >&2
    exit 2
}
machine=$build/bin/ringproof-machine
work=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-inside.XXXXXX")
keeper=
finish()
{
    [ -z "$keeper" ] || kill "$keeper" 2>/dev/null || true
    wait
    # A boot that failed is what its console says.
    [ ! -d "$work/machines" ] || { mkdir -p "$results" && cp -R "$work/machines" "$results/"; }
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ci/build/install.sh "$programs" "$work/root/opt/ringproof"
cp "$programs/bin/ringproof-dom0-loop" "$work/root/opt/ringproof/dom0-loop"
ci/images/pack.sh "$work/root" "$work/harness.cpio"

mkdir "$work/machines"
mkfifo "$work/up"
"$machine" serve --socket "$work/s" --dir "$work/machines" --machine "$image=$boot,$work/harness.cpio" &
keeper=$!
# Holding a machine boots it; the first line says how that went.
tries=200
until [ -S "$work/s" ]; do
    [ $((tries -= 1)) -gt 0 ] && kill -0 "$keeper" || exit 2
    sleep 0.05
done
"$machine" hold "$work/s" "$image" 2>"$work/up" &
{ read -r line && [ "${line#booted}" != "$line" ]; } <"$work/up" || {
    echo "xen-inside: no machine: ${line:-}" >&2
    exit 2
}
status=0
"$machine" exec "$work/s" RINGPROOF_GUEST=/boot ringproof run --testbed xen --slowness 6 \
    --results /run/results "$@" || status=$?
mkdir -p "$results"
"$machine" exec "$work/s" tar -C /run/results -cf - . | tar -xf - -C "$results"
exit $status
