#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: boots.sh ARCH [N]    boot the current image N times (10) until dom0 is ready, and say how long it took
#
# Each boot has to succeed at the first attempt. Ends with "N passed, N failed".
set -u
here=$(cd "$(dirname "$0")" && pwd)
count=${2:-10}
image=$("$here/build.sh" --path "${1:-}") || {
    sed -n 's/^# \(usage: .*\)/\1/p' "$0" >&2
    exit 2
}
work=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-boots.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# A loop that ends at once: init then powers the machine off, and QEMU ends.
mkdir -p "$work/root/opt/ringproof"
printf '#!/bin/sh\n' >"$work/root/opt/ringproof/dom0-loop"
chmod 755 "$work/root/opt/ringproof/dom0-loop"
"$here/pack.sh" "$work/root" "$work/loop.cpio"
passed=0 failed=0
while [ $((passed + failed)) -lt "$count" ]; do
    rm -rf "$work/boot"
    mkdir "$work/boot"
    start=$(date +%s)
    timeout 300 "$image/boot" --dir "$work/boot" --add "$work/loop.cpio" </dev/null >"$work/control" 2>&1
    status=$?
    if [ $status -eq 0 ] && grep -q '@rp-boot dom0 loop ended 0' "$work/boot/console.log"; then
        passed=$((passed + 1))
        echo "boot $((passed + failed)): $(($(date +%s) - start)) s, $(grep -ao '@rp-boot dom0 ready.*"uptime_s":"[0-9.]*"' \
            "$work/control" | sed 's/.*"uptime_s":"\(.*\)"/dom0 ready after \1 s of its own time/')"
    else
        failed=$((failed + 1))
        echo "boot $((passed + failed)): failed, status $status; its console ends with"
        tail -n 20 "$work/boot/console.log" | sed 's/^/     | /'
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
