#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: xen-check.sh [--quick] [x86|arm]...
#        OUT=FOLDER xen-check.sh ...    with programs built there
#
# The same checks on the real Xen, in QEMU without KVM: builds or finds the images, runs, and merges
# all into one result in results/runs, in which the observations of simxen and of Xen stand side by
# side. What each run left is in its folder parts/. --quick takes the part that CI has time for.
# Status 0 when all passed, nothing differed and enough was compared.
set -u
cd "$(dirname "$0")/.."
quick='' inside=xen # the testbed that is run from inside of a dom0
if [ "${1:-}" = --quick ]; then
    quick=1 inside=
    shift
fi
[ $# -gt 0 ] || set -- x86 arm
build=${OUT:-build/release}
make="${MAKE:-make} --no-print-directory OUT=$build"
ringproof=$build/bin/ringproof
out=results/runs/$(date -u +%Y%m%dT%H%M%SZ)-$$
rows=40 # of libxen's promises, on each architecture
status=0

# cells ARCH: patterns of what runs on the real Xen of an architecture
cells()
{
    # What libxen promises; the kernel's own drivers; ours.
    echo "abi[arch=$1] linux-blk[arch=$1,addressing=grants,transport=pci] basic[arch=$1,addressing=grants,transport=pci]"
    # What is in flight when a device is reset, breaks, goes or ends: seconds each.
    [ "$1" = arm ] && echo "memory-flight[arch=arm,addressing=grants,transport=pci,ring=split,*" ||
        echo "memory-flight[arch=x86,addressing=foreign,transport=pci,ring=packed,*"
    if [ -z "$quick" ] || [ "$1" = arm ]; then
        echo "linux-net[arch=$1,addressing=grants] linux-rng[arch=$1,addressing=grants]"
        echo "linux-console[arch=$1,addressing=grants]"
    fi
    [ -z "$quick" ] || return 0
    echo "linux-blk[arch=$1,addressing=foreign,transport=pci] basic[arch=$1,addressing=foreign,transport=pci]"
    echo "blk[arch=$1,*transport=pci,ring=split] blk[arch=$1,addressing=grants,transport=pci,ring=packed]"
    echo "grant[arch=$1,*memory=auto,transport=pci,ring=split] foreign[arch=$1,*memory=auto,transport=pci,ring=split]"
    echo "pci[arch=$1,*"
    # What a request costs by each way to memory, which simxen has to count the same.
    [ "$1" = arm ] || echo "memory-costs memory-costs-foreign memory-costs-kept"
    # Requests in flight, and a device behind an IOMMU while it is mapped and unmapped.
    echo "memory-flight[arch=$1,*transport=pci,* iommu-access[arch=$1,addressing=grants,transport=pci,ring=split]"
    # A stock Linux's driver of hot-plug slots, and its rescan.
    echo "linux-hotplug[arch=$1,*"
    # A table in a PVH domain's ACPI; grants that are copied, or looked up.
    [ "$1" = arm ] || echo "discovery-on-xen[arch=x86,discovery=acpi] memory-grant-strategies[*transport=pci,ring=split]"
    [ "$1" = arm ] || return 0
    # Ways to reach memory, under a stock Linux's fio.
    echo "linux-memory[arch=arm,* linux-memory-foreign[arch=arm,*"
    # A backend in a domU of its own; every way to reach memory.
    echo "driver-domain[arch=arm,* memory-rings[arch=arm,*transport=pci,ring=split] memory-offsets[arch=arm,*"
    echo "iommu[arch=arm,addressing=grants,transport=pci,ring=split] iommu-access[arch=arm,addressing=foreign,transport=pci,ring=split]"
    echo "memory-foreign-strategies[arch=arm,*transport=pci]"
    # Thousands of trapped accesses and a fresh domain for each check: minutes each on x86's machine.
    echo "ecam-one[arch=arm] lifecycle[arch=arm,addressing=grants,transport=pci]"
    # How a driver finds its backend.
    echo "discovery-on-xen[arch=arm,* discovery-mmio[arch=arm,*"
    # virtio-mmio, as libxl has it.
    echo "mmio[arch=arm,addressing=grants,* mmio-from-store[arch=arm,addressing=grants,*"
    echo "linux-blk[arch=arm,addressing=grants,transport=mmio]"
    # Guests that Xen starts: a boot for each check of the first, one for all of the second.
    echo "dom0less[arch=arm,* dom0less-driver[arch=arm,addressing=grants,*"
}

$make build || exit 2
for arch; do
    case $arch in
    x86) $make image-x86 || exit 2 ;;
    arm) $make image-arm64 guest-arm64 || exit 2 ;;
    *)
        echo "usage: xen-check.sh [--quick] [x86|arm]..." >&2
        exit 3
        ;;
    esac
done

# What is asked of one architecture: a machine boots once.
check()
{
    bad=0
    echo "== $1, the real Xen"
    # shellcheck disable=SC2046 # patterns of cells
    (set -f && $ringproof run --testbed qemu --results "$out/parts/qemu-$1" $(cells "$1")) || bad=1
    echo "== $1, simxen"
    costs=
    [ "$1" = arm ] || [ -n "$quick" ] || costs="memory-costs memory-costs-foreign memory-costs-kept"
    # shellcheck disable=SC2086 # names of scenarios
    $ringproof run --results "$out/parts/sim-$1" --quiet "abi[arch=$1]" $costs >/dev/null || bad=1
    if [ -n "$costs" ]; then
        echo "== what requests cost, on both"
        $ringproof compare --filter 'memory.requests_cost_*' --at-least 200 \
            "$out/parts/sim-$1"/*/result.json "$out/parts/qemu-$1"/*/result.json || bad=1
    fi
    [ -n "$inside" ] || return $bad
    echo "== $1, the real Xen, from inside of its dom0"
    OUT=$build ci/xen-inside.sh "$1" "$out/parts/xen-$1" "abi[arch=$1]" \
        "basic[arch=$1,addressing=grants,transport=pci]" || bad=1
    return $bad
}

# Beside each other: an emulated machine takes one processor. They end with this script.
mkdir -p "$out/parts"
running=
trap 'trap "" TERM; kill 0; wait; exit 130' INT TERM
for arch; do
    check "$arch" >"$out/parts/$arch.log" 2>&1 &
    running="$running $!"
done
for pid in $running; do
    wait "$pid" || status=1
done
for arch; do
    cat "$out/parts/$arch.log"
done
echo "== all of it, and what both observed"
results=
for arch; do
    for testbed in sim qemu $inside; do
        result=$(ls "$out/parts/$testbed-$arch"/*/result.json) || status=2
        results="$results $result"
    done
done
# shellcheck disable=SC2086 # paths without blanks
$ringproof merge -o "$out" --at-least $rows $results || status=1
exit $status
