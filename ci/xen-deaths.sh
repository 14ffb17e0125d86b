#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: xen-deaths.sh x86|arm [BIN_DIR]
#
# What can go wrong on a real machine: a backend is killed, a guest stops, dom0 or Xen panics, a disk is
# full. Each ends in a clear outcome with the end of the right log, within its limit, and leaves nothing.
set -u
cd "$(dirname "$0")/.."
arch=${1:-} bin=$(realpath "${2:-build/release/bin}")
case $arch in
x86) image=x86 ;;
arm) image=arm64 ;;
*)
    echo "usage: xen-deaths.sh x86|arm [BIN_DIR]" >&2
    exit 3
    ;;
esac
work=$(mktemp -d "${TMPDIR:-/tmp}/rp-deaths.XXXXXX") || exit 2
. ci/build/expect.sh
run=

end()
{
    [ -z "$run" ] || kill "$run" 2>/dev/null
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

said() { cat "$work/out" "$work"/results/*/result.json 2>/dev/null; }
left_over() { pgrep -af -- "$work/results"; }

# start ARGUMENT...: a run in the background, with results of its own
start()
{
    rm -rf "$work/results"
    "$bin/ringproof" run --testbed qemu --quiet --results "$work/results" "$@" >"$work/out" 2>&1 &
    run=$!
}

# in_dom0 WORD...: a program in the dom0 of the machine that the run has booted
in_dom0()
{
    keeper=$(pgrep -f -- "serve --socket .* --dir $work/results/") || return 1
    socket=$(tr '\0' '\n' <"/proc/$keeper/cmdline" | grep -A1 -x -e --socket | tail -n 1)
    timeout 60 "$bin/ringproof-machine" exec "$socket" "$@"
}

# The agent has given the result of a check: the domain is in the middle of its work.
guest_works() { in_dom0 grep -q '"ev":"result"' /var/log/xen/console/guest-ringproof.log; }
run_ended() { ! kill -0 "$run"; }
works_or_ended() { guest_works || run_ended; }
# when_it_works COMMAND...: once the guest works
when_it_works()
{
    within 240 works_or_ended && ! run_ended 2>/dev/null && "$@" >/dev/null 2>&1
}

# ends STATUS SECONDS PATTERN...: the run has to end within that time, and is judged.
ends()
{
    wanted=$1 limit=$2
    shift 2
    if ! within "$limit" run_ended; then
        kill "$run"
        wait "$run"
        run=
        bad "it did not end within $limit s"
        return
    fi
    wait "$run"
    status=$?
    run=
    judge "$status" "$wanted" "$@"
}

# scenario FILE DEVICE...
scenario()
{
    file=$1
    shift
    {
        printf 'scenario: deaths\ntitle: What can go wrong\ntestbeds: [qemu]\nmatrix: {arch: [%s]}\ndevice:\n' "$arch"
        for device; do
            echo "  - {type: blk, $device}"
        done
        echo 'checks: ["blk.r*"]'
    } >"$file"
}
blk=$work/deaths.yaml
scenario "$blk" 'sbdf: "0000:00:01.0", size: 16MiB'

name="a backend that is killed is a CRASH, and the checks go on"
start "$blk"
when_it_works in_dom0 killall -9 ringproof-backend
ends 1 300 'the backend died: killed by signal 9' '"CRASH"' '"PASS"'

name="a guest that stops is an ERROR with the end of its console"
start --slowness 2 --timeout 120s "$blk"
when_it_works in_dom0 xl pause ringproof
ends 2 400 'gave no answer in time' 'its console ends with' '@rp-boot domu ready'

name="a panic of dom0 is an ERROR with the end of the machine's console"
start "$blk"
when_it_works in_dom0 sh -c 'echo c >/proc/sysrq-trigger'
ends 2 120 'Kernel panic|Domain 0 crashed' 'console.log'

if [ "$arch" = x86 ]; then
    # A machine whose monitor listens, and whose Xen takes an NMI as the end.
    name="a panic of Xen is an ERROR with the end of the machine's console"
    mkdir -p "$work/images/image-$image"
    mkfifo "$work/monitor.in" "$work/monitor.out"
    real=$(ci/images/build.sh --path "$image")
    cat >"$work/images/image-$image/boot" <<BOOT
#!/bin/sh
exec "$real/boot" "\$@" --xen nmi=fatal -- -mon chardev=m -chardev pipe,id=m,path=$work/monitor
BOOT
    chmod +x "$work/images/image-$image/boot"
    RINGPROOF_IMAGES=$work/images
    export RINGPROOF_IMAGES
    start "$blk"
    unset RINGPROOF_IMAGES
    when_it_works sh -c "echo nmi >'$work/monitor.in'"
    ends 2 120 'FATAL TRAP|Panic on CPU' 'console.log'
fi

name="a full disk in dom0 is an ERROR that says so"
# More disks than dom0 has memory for.
scenario "$work/full.yaml" 'sbdf: "0000:00:01.0", size: 256MiB, fill: true' \
    'sbdf: "0000:00:02.0", size: 256MiB, fill: true' 'sbdf: "0000:00:03.0", size: 256MiB, fill: true'
start "$work/full.yaml"
ends 2 240 'No space left on device'

# A file system too small for what is put into the machine, and one too small for its initial ramdisk.
for size in 4m 28m; do
    name="a full disk of $size under the results is an ERROR that says so"
    rm -rf "$work/results"
    mkdir "$work/results"
    unshare -Urm sh -c "mount -t tmpfs -o size=$size none '$work/results' && exec '$bin/ringproof' run \
        --testbed qemu --quiet --results '$work/results' '$blk'" >"$work/out" 2>&1 &
    run=$!
    ends 2 240 'No space left on device'
done

echo "deaths on $arch: $passed passed, $failed failed"
[ $failed -eq 0 ]
