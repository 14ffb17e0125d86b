#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: xen-check.sh [x86|arm]...
#        OUT=FOLDER xen-check.sh ...    with programs built there
#
# The same checks on the real Xen, in QEMU without KVM: builds or finds the images, runs, and lays
# the observations of simxen and of Xen side by side. Results in results/runs. Status 0 when all
# passed and nothing differed.
set -u
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- x86 arm
build=${OUT:-build/release}
make="${MAKE:-make} --no-print-directory OUT=$build"
ringproof=$build/bin/ringproof
out=$(mktemp -d "${TMPDIR:-/tmp}/xen-check.XXXXXX")
trap 'rm -rf "$out"' EXIT
status=0

$make build || exit 2
cells=
for arch; do
    case $arch in
    x86) $make image-x86 || exit 2 ;;
    arm) $make image-arm64 guest-arm64 || exit 2 ;;
    *)
        echo "xen-check: x86 or arm" >&2
        exit 3
        ;;
    esac
    cells="$cells abi[arch=$arch] basic[arch=$arch,* blk[arch=$arch,* ecam-one[arch=$arch* pci[arch=$arch,*"
    cells="$cells grant[arch=$arch,* foreign[arch=$arch,* lifecycle[arch=$arch,addressing=grants]"
done

# One architecture after the other: a machine boots once.
for arch; do
    mine=
    for cell in $cells; do
        case $cell in *"arch=$arch"*) mine="$mine $cell" ;; esac
    done
    echo "== $arch, the real Xen"
    # shellcheck disable=SC2086 # patterns of cells
    (set -f && $ringproof run --testbed qemu --results "$out/qemu-$arch" $mine) || status=1
    echo "== $arch, simxen"
    $ringproof run --results "$out/sim-$arch" --quiet "abi[arch=$arch]" >/dev/null || status=1
done
echo "== what both observed"
for arch; do
    # shellcheck disable=SC2046 # one folder each
    $ringproof compare $(ls -d "$out/sim-$arch"/*) $(ls -d "$out/qemu-$arch"/*) || status=1
done
mkdir -p results/runs
for run in "$out"/*/*; do
    [ ! -d "$run" ] || cp -r "$run" results/runs/
done
exit $status
