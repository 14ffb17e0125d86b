#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: certify.sh [--quick]
#
# Certifies two backends on simxen, the reference and QEMU as Debian has it, and tries what can be done
# with a certificate: verify, verify one that was changed, replay, and the page in a browser when there
# is one. --quick takes a part of the scenarios. The last line counts.
set -u
cd "$(dirname "$0")/.."
ringproof=build/release/bin/ringproof
quick=
[ "${1:-}" != --quick ] || quick=1
work=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-certify.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
. ci/build/expect.sh
PATH=$PWD/build/release/bin:$PATH

# certificate SUBJECT: where the newest one of a subject is
certificate()
{
    find "$work/$1" -name certificate.json | sort | tail -n1
}

ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/key" || exit 2
printf 'vendor@example.org %s\n' "$(cat "$work/key.pub")" >"$work/signers"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/other" || exit 2
printf 'vendor@example.org %s\n' "$(cat "$work/other.pub")" >"$work/strangers"

# The reference: everything that it claims, or a part.
# shellcheck disable=SC2046 # words
expect 0 "the reference is certified" $ringproof certify --quiet --key "$work/key" \
    --profile harness/profile/reference.yaml --results "$work/reference" \
    $([ -z "$quick" ] || echo basic pci grant)
made=$(certificate reference)
expect 0 "it verifies" $ringproof verify "$made"
expect 0 "it verifies as its signer's" $ringproof verify --signers "$work/signers" \
    --identity vendor@example.org "$made"
expect 1 "a stranger's key does not do" $ringproof verify --signers "$work/strangers" \
    --identity vendor@example.org "$made"
mkdir "$work/changed"
sed '0,/"verdict": "PASS"/s//"verdict": "FAIL"/' "$made" >"$work/changed/certificate.json"
cp "$made.sig" "$work/changed/certificate.json.sig"
expect 1 "one that was changed does not verify" $ringproof verify "$work/changed/certificate.json"
sed '0,/PASS/s//PASs/' "$made" >"$work/changed/certificate.json"
expect 1 "not even by a byte" $ringproof verify "$work/changed/certificate.json"
rm "$work/changed/certificate.json.sig"
cp "$made" "$work/changed/"
expect 1 "one without a signature does not verify" $ringproof verify "$work/changed/certificate.json"
expect 0 "a part of it is replayed" $ringproof certify --quiet --results "$work/part" \
    --profile harness/profile/reference.yaml basic
expect 0 "to the same verdicts" $ringproof replay --quiet --results "$work/replayed" \
    "$(certificate part)"

# QEMU: what its profile documents is known, and nothing else is wrong.
qemu=$(ci/qemu-xenpvh.sh) || failed=$((failed + 1))
# shellcheck disable=SC2046 # words
expect 0 "QEMU is certified, with what its profile explains" $ringproof certify --quiet \
    --profile harness/profile/qemu-xenpvh.yaml --backend-bin "$qemu" --results "$work/qemu" \
    $([ -z "$quick" ] || echo basic 'blk[*ring=split*' 'rng[*ring=split*' 'grant[*ring=split*')
page=$(certificate qemu)
page=${page%.json}.html

# What the page's script makes of it: every requirement is there, and a filter leaves its own.
browser=$(command -v chromium || true)
if [ -n "$browser" ]; then
    "$browser" --headless --no-sandbox --disable-gpu --dump-dom "file://$page" >"$work/dom" 2>/dev/null
    rows=$(grep -c '<details data-verdict' "$work/dom")
    listed=$(grep -c '"verdict"' "${page%.html}.json")
    expect 0 "the page shows all requirements" [ "$rows" -gt 0 -a "$rows" -eq "$listed" ]
    expect 0 "and its script counts them" grep -q "<span id=\"shown\">$rows</span>" "$work/dom"
    expect 1 "and it asks for nothing from elsewhere" grep -qE '(src|href)=' "$page"
fi

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
