#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: xen-check.sh [x86|arm]...
#        OUT=FOLDER xen-check.sh ...    with programs built there
#
# The same checks on the real Xen, in QEMU without KVM: builds or finds the images, runs, and merges
# all into one result in results/runs, in which the observations of simxen and of Xen stand side by
# side. What each run left is in its folder parts/. Status 0 when all passed, nothing differed and
# enough was compared.
set -u
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- x86 arm
build=${OUT:-build/release}
make="${MAKE:-make} --no-print-directory OUT=$build"
ringproof=$build/bin/ringproof
out=results/runs/$(date -u +%Y%m%dT%H%M%SZ)-$$
rows=40 # of libxen's promises, on each architecture
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
    cells="$cells linux-blk[arch=$arch,*"
    # Guests that Xen starts: a boot for each check of the first, one for all of the second.
    [ "$arch" != arm ] || cells="$cells dom0less[arch=arm,* dom0less-driver[arch=arm,addressing=grants,*"
done

# One architecture after the other: a machine boots once.
for arch; do
    mine=
    for cell in $cells; do
        case $cell in *"arch=$arch"*) mine="$mine $cell" ;; esac
    done
    echo "== $arch, the real Xen"
    # shellcheck disable=SC2086 # patterns of cells
    (set -f && $ringproof run --testbed qemu --results "$out/parts/qemu-$arch" $mine) || status=1
    echo "== $arch, simxen"
    $ringproof run --results "$out/parts/sim-$arch" --quiet "abi[arch=$arch]" >/dev/null || status=1
done
echo "== all of it, and what both observed"
results=
for arch; do
    for testbed in sim qemu; do
        result=$(ls "$out/parts/$testbed-$arch"/*/result.json) || status=2
        results="$results $result"
    done
done
# shellcheck disable=SC2086 # paths without blanks
$ringproof merge -o "$out" --at-least $rows $results || status=1
exit $status
