#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: bench-page.sh
#
# What a run of benchmarks leaves, drawn from the committed baseline and from a run of invented values on
# simxen: pictures in both forms, and a page that is whole, in a browser when there is one. A run compared
# with itself did not change. The last line counts.
set -u
cd "$(dirname "$0")/.."
ringproof=build/release/bin/ringproof
work=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-bench.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
. ci/build/expect.sh

browser=$(command -v chromium || true)
for run in results/baselines/*/bench.json harness/unit/bench-invented.json; do
    machine=$(basename "$(dirname "$run")")
    pictures='batch latency safety peers designs scaling'
    [ "$machine" != unit ] || pictures='designs scaling'
    page=$work/$machine/bench.html
    expect 0 "$machine is drawn again" $ringproof bench --redraw "$run" -o "$work/$machine"
    for picture in $pictures; do
        expect 0 "$machine: $picture has axes with units" grep -q '\[.*\]' "$work/$machine/$picture.svg"
        expect 0 "$machine: $picture is a PNG, too" \
            [ "$(head -c 8 "$work/$machine/$picture.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
    done
    expect 0 "$machine did not change since itself" $ringproof compare "$run" "$run"
    $ringproof compare "$run" "$run" >"$work/compared"
    expect 0 "$machine: nothing is better or worse" \
        grep -qE '^0 better, [0-9]+ same, 0 worse' "$work/compared"
    expect 1 "$machine: the page asks for nothing from elsewhere" \
        grep -qiE '(src|href)="?(https?:|//|file:|[a-z.]+/)' "$page"
    [ -n "$browser" ] || continue
    "$browser" --headless --no-sandbox --disable-gpu --dump-dom "file://$page" >"$work/dom" 2>/dev/null
    rows=$(grep -c '<tr class="row">' "$work/dom")
    measured=$(grep -o '"testbed"' "$run" | wc -l)
    expect 0 "$machine: the page shows all rows" [ "$rows" -gt 0 -a "$rows" -eq "$measured" ]
    expect 0 "$machine: and all pictures" [ "$(grep -o '<img ' "$work/dom" | wc -l)" -eq "$(echo "$pictures" | wc -w)" ]
    designs=$(grep -o '"own_kib"' "$run" | wc -l)
    expect 0 "$machine: and what each backend has of memory" \
        [ "$(grep -cE '<td>(the same|otherwise)' "$work/dom")" -eq "$designs" ]
    # A picture that the browser cannot draw has no size: the page's own height tells.
    expect 0 "$machine: that the browser can draw" "$browser" --headless --no-sandbox --disable-gpu \
        --window-size=1200,3000 --screenshot="$work/shot.png" "file://$page"
    expect 0 "$machine: and it did" [ "$(wc -c <"$work/shot.png")" -gt 100000 ]
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
