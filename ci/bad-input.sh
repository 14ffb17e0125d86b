#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: bad-input.sh [BIN_DIR]
#
# A user's mistakes and a subject's deaths: each ends with a clear line and the right exit status,
# and leaves no process, folder, socket or shared memory behind.
set -u
cd "$(dirname "$0")/.."
bin=$(realpath "${1:-build/release/bin}")
work=$(mktemp -d "${TMPDIR:-/tmp}/rp-bad.XXXXXX") || exit 2
. ci/build/expect.sh

# Everything that a run makes lies below its TMPDIR, and its processes name that folder.
tmp=$work/tmp
mkdir "$tmp"
shm() { find /dev/shm -user "$(id -u)" | sort; }
shm >"$work/shm"

end()
{
    pkill -KILL -f -- "$tmp" 2>/dev/null
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

said() { cat "$work/out"; }
left_now()
{
    ls -A "$tmp"
    pgrep -af -- "$tmp"
    shm | comm -3 "$work/shm" -
}
nothing_left() { [ -z "$(left_now)" ]; }
left_over() { within 5 nothing_left || left_now; }

# ringproof_run WANTED PATTERN ARGUMENT...
ringproof_run()
{
    wanted=$1 pattern=$2
    shift 2
    TMPDIR=$tmp "$bin/ringproof" run --quiet --results "$work/results" "$@" >"$work/out" 2>&1
    judge $? "$wanted" "$pattern"
}

# scenario NAME DEVICE [LINE]: writes $work/NAME.yaml
scenario()
{
    cat >"$work/$1.yaml" <<YAML
scenario: $1
title:    Bad input
testbeds: [sim]
device:   {type: blk, sbdf: "0000:00:01.0", $2}
checks:   ["blk.read_one_sector", "blk.written_data_is_read_back"]
${3-}
YAML
}

# ---- the user's mistakes ----
name="unknown key in a scenario"
scenario unknown-key "size: 1MiB" "speed: fast"
ringproof_run 3 'unknown-key.yaml:6:1: .*speed' "$work/unknown-key.yaml"

name="value out of range"
scenario out-of-range "size: 1MiB, queue-size: 100000"
ringproof_run 3 'out-of-range.yaml:4:[0-9]+: ' "$work/out-of-range.yaml"

name="no such scenario"
ringproof_run 3 'no-such-scenario' no-such-scenario

name="no such option"
ringproof_run 3 'frobnicate' --frobnicate

name="no such testbed"
ringproof_run 3 'moon' --testbed moon

name="missing disk image"
scenario no-image "path: $work/none.img"
ringproof_run 2 'none.img' "$work/no-image.yaml"

name="read-only image for a writable disk"
truncate -s 1M "$work/read-only.img"
chmod 444 "$work/read-only.img"
scenario read-only "path: $work/read-only.img"
# Even root, who could write it, is refused.
ringproof_run 2 'read-only.img' "$work/read-only.yaml"

name="no network namespaces"
if unshare --user --map-root-user true 2>/dev/null; then
    # Within this user namespace nobody may make another.
    TMPDIR=$tmp unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' sh \
        "$bin/ringproof" run --quiet --results "$work/results" net-udp >"$work/out" 2>&1
    judge $? 2 'user and network namespace.*max_user_namespaces'
else
    ringproof_run 2 'user and network namespace.*max_user_namespaces' net-udp
fi

name="no device for the network frontend"
"$bin/ringproof-netfront" --platform simxen --tap rpfront0 >"$work/out" 2>&1
judge $? 2 '--sbdf'

# ---- results from elsewhere ----
# ringproof_results WANTED PATTERN COMMAND ARGUMENT...
ringproof_results()
{
    wanted=$1 pattern=$2
    shift 2
    TMPDIR=$tmp "$bin/ringproof" "$@" >"$work/out" 2>&1
    judge $? "$wanted" "$pattern"
}
for k in 1 2; do
    TMPDIR=$tmp "$bin/ringproof" run --quiet --results "$work/shard$k" --shard $k/2 \
        --filter 'abi.evtchn_bind_*' abi >"$work/out" 2>&1
done
shard1=$(echo "$work"/shard1/*/result.json) shard2=$(echo "$work"/shard2/*/result.json)

name="shards that are merged"
ringproof_results 0 '^9 passed, 0 failed, 0 skipped' merge -o "$work/both" "$shard1" "$shard2"
name="a result that would be overwritten"
ringproof_results 3 'both/result.json is there already' merge -o "$work/both" "$shard1" "$shard2"
name="a shard that is missing"
ringproof_results 2 'missing: shard 2/2 of ' merge -o "$work/half" "$shard1"
name="a shard that may be missing"
ringproof_results 0 ' 1 skipped' merge --partial -o "$work/part" "$shard1"
name="the same shard twice"
ringproof_results 3 "is there twice: in $shard1 and in $(dirname "$shard1")\$" \
    merge -o "$work/twice" "$shard1" "$(dirname "$shard1")"
name="no result to merge"
ringproof_results 3 'no result is named' merge
name="a result that is no file"
ringproof_results 3 '/dev/null: is no regular file' merge /dev/null
name="a folder without a result"
ringproof_results 3 'result.json: No such file' merge "$work"
name="a result cut short"
head -c 1000 "$shard1" >"$work/cut.json"
ringproof_results 3 'cut.json:[0-9]+:[0-9]+: ' merge "$work/cut.json"
name="a result whose cells were changed"
sed '0,/"outcome": "PASS"/s//"outcome": "FAIL"/' "$shard1" >"$work/forged.json"
ringproof_results 3 'forged.json: cells\[0\].outcome: is PASS' merge "$work/forged.json"
name="a result to compare that is of another format"
sed 's/"format": [0-9]*/"format": 99/' "$shard1" >"$work/format.json"
ringproof_results 3 'format.json: format: this program reads format' \
    compare "$work/format.json" "$shard2"
name="one testbed to compare"
ringproof_results 1 '^0 rows: ' compare "$shard1" "$shard2"
# Two testbeds: the second is a copy under another name, and differs in one note.
sed 's/"testbed": "sim"/"testbed": "qemu"/;s/"name": "sim"/"name": "qemu"/' "$shard1" >"$work/qemu.json"
name="two testbeds that observed the same"
ringproof_results 0 '^compared: x86 [1-9]' compare "$shard1" "$work/qemu.json"
name="too few rows to compare"
ringproof_results 1 'at least 40 wanted' compare --at-least 40 "$shard1" "$work/qemu.json"
name="a number of rows that is none"
ringproof_results 3 "'many' is not valid" compare --at-least many "$shard1" "$work/qemu.json"
name="two testbeds that differ"
sed 's/EINVAL/EPERM/' "$work/qemu.json" >"$work/differs.json"
ringproof_results 1 '^DIFFERENT .*x86: sim EINVAL, qemu EPERM$' compare "$shard1" "$work/differs.json"
name="a merge of testbeds that differ"
ringproof_results 1 '^FAIL merge.equivalence ' merge --partial -o "$work/different" "$shard1" "$shard2" \
    "$work/differs.json"

# ---- deaths ----
cat >"$work/dying-agent" <<'SH'
#!/bin/sh
# An agent that is killed while its first check runs.
exec 3<&0
while IFS= read -r line; do
    case $line in *'"run"'*) kill -KILL "$(cat "$0.pid")" $$; exit ;; esac
    printf '%s\n' "$line"
done <&3 | sh -c 'echo $$ >"$0.pid"; exec AGENT "$@"' "$0" "$@"
SH
sed -i "s,AGENT,$bin/ringproof-agent," "$work/dying-agent"
chmod +x "$work/dying-agent"
name="an agent that dies"
scenario dying "size: 1MiB"
ringproof_run 2 'ERROR' --agent-bin "$work/dying-agent" "$work/dying.yaml"

printf '#!/bin/sh\necho "no disk today" >&2\nexit 1\n' >"$work/dying-backend"
chmod +x "$work/dying-backend"
name="a backend that does not start"
ringproof_run 2 'no disk today' --backend-bin "$work/dying-backend" "$work/dying.yaml"

# ---- an interrupted run ----
interrupt()
{
    signal=$1 wanted=$2
    : >"$work/out"
    # A shell without job control lets its background children ignore SIGINT; env(1) undoes that.
    TMPDIR=$tmp env --default-signal=INT "$bin/ringproof" run --results "$work/results" --jobs 2 \
        split lifecycle >"$work/out" 2>&1 &
    pid=$!
    if ! within 30 grep -q PASS "$work/out"; then
        kill -KILL $pid
        bad "no cell was done within 30 s"
        return
    fi
    kill "-$signal" $pid
    wait $pid 2>/dev/null
    judge $? "$wanted" PASS
}
name="Ctrl-C during a run"
interrupt INT 2
name="a killed runner"
interrupt KILL 137

# ---- two backends, a full store ----
sim=$tmp/sim
mkdir "$sim"
TMPDIR=$tmp "$bin/simxenctl" --run-dir "$sim" start >"$work/sim.out" 2>&1 &
sim_pid=$!
ctl() { "$bin/simxenctl" --run-dir "$sim" "$@"; }
bridge=seg=0,bus=0-63,ecam=0xE0000000+0x4000000,mem=0xE4000000+0x4000000
# in_domain ID COMMAND...
in_domain()
{
    domain_env=$(ctl env "$1")
    shift
    (eval "$domain_env" && exec "$@")
}
backend() { in_domain "$1" "$bin/ringproof-backend" --domid "$2" --host-bridge $bridge "$3" "$4"; }

name="a second backend for the same domain"
if within 10 ctl list && guest=$(ctl create guest) && truncate -s 1M "$work/disk.img"; then
    mkfifo "$work/ready"
    (eval "$(ctl env 0)" && exec "$bin/ringproof-backend" --domid "$guest" --host-bridge $bridge \
        --device "blk,sbdf=0000:00:01.0,path=$work/disk.img" --ready-fd 3 3>"$work/ready") &
    first=$!
    read -r _ <"$work/ready"
    backend 0 "$guest" --device blk,sbdf=0000:00:02.0,path=null:1M >"$work/out" 2>&1
    status=$?
    if [ $status -eq 1 ] && [ "$(wc -l <"$work/out")" -eq 1 ] && kill -0 $first; then ok; else
        bad "exit status $status"
    fi

    name="an image that another backend has open"
    other=$(ctl create other)
    backend 0 "$other" --device "blk,sbdf=0000:00:01.0,path=$work/disk.img" >"$work/out" 2>&1
    status=$?
    if [ $status -eq 1 ] && grep -q disk.img "$work/out"; then ok; else bad "exit status $status"; fi
    kill $first
    wait $first

    name="a domain that is destroyed under its backend"
    (eval "$(ctl env 0)" && exec "$bin/ringproof-backend" --domid "$other" --host-bridge $bridge \
        --device blk,sbdf=0000:00:01.0,path=null:1M --ready-fd 3 3>"$work/ready") >"$work/out" 2>&1 &
    orphan=$!
    read -r _ <"$work/ready"
    ctl destroy "$other" >>"$work/out" 2>&1
    gone() { ! kill -0 $orphan; }
    if within 10 gone && wait $orphan; then ok; else
        bad "the backend did not end by itself, with status 0"
        kill $orphan
    fi

    # xenstored limits what a domU may store; a backend in a driver domain meets that limit.
    name="a store that is full"
    driver=$(ctl create driver)
    ctl set-target "$driver" "$guest"
    # A folder's list of names is limited too: spread them. The last ones go in one by one.
    fill=0
    for step in 50 1; do
        # shellcheck disable=SC2046 # pairs of words
        while [ $fill -lt 10000 ] && in_domain "$driver" xenstore-write $(
            seq $fill $((fill + step - 1)) |
                sed "s,\\(.*\\)\\(..\\),/local/domain/$driver/data/f\\1/\\2 x,;t;s,.*,/local/domain/$driver/data/f/& x,"
        ) >"$work/out" 2>&1; do
            fill=$((fill + step))
        done
    done
    held() { ctl audit | grep -E 'grants|foreign' | tr -s ' '; }
    before=$(held)
    backend "$driver" "$guest" --device blk,sbdf=0000:00:01.0,path=null:1M >"$work/out" 2>&1
    status=$?
    if [ $status -ne 1 ]; then bad "exit status $status"
    elif ! grep -qiE 'quota|space|full' "$work/out"; then bad "no clear line"
    elif [ "$(held)" != "$before" ]; then bad "something is still held: $(held)"
    else ok; fi
else
    cp "$work/sim.out" "$work/out"
    bad "the simulation did not start"
fi
name="simxenctl stop leaves nothing"
ctl stop >"$work/out" 2>&1
echo >>"$work/out"
wait $sim_pid
status=$?
rm -f "$sim"/*.log # a folder that was given keeps its logs
rmdir "$sim" 2>>"$work/out"
judge $status 0 '^'

echo "bad input: $passed passed, $failed failed"
[ $failed -eq 0 ]
