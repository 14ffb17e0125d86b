#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: pack.sh DIR CPIO
#
# Make an archive that the kernel unpacks as (a part of) an initial ramdisk. The same files always
# give the same bytes: sorted, owned by root, of one time. gzip when the name ends in .gz. Padded
# to 512 bytes, so that archives may be joined with cat: Linux wants each to begin on a multiple
# of 4. The folder is not touched.
set -eu
if [ $# -ne 2 ] || [ ! -d "$1" ]; then
    echo "usage: pack.sh DIR CPIO" >&2
    exit 2
fi
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
copy=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-pack.XXXXXX")
trap 'rm -rf "$copy" "$out.part"' EXIT
cp -a "$1/." "$copy/"
find "$copy" -exec touch -h -d '2026-01-01 00:00:00 UTC' {} +
pack()
{
    (cd "$copy" && find . -mindepth 1 | LC_ALL=C sort |
        cpio --quiet --create --format=newc --reproducible --owner=+0:+0)
}
case $out in
*.gz) pack | gzip -n -6 >"$out.part" ;;
*) pack >"$out.part" ;;
esac
# A pipe hides cpio's failure; an archive without its end mark tells it.
case $out in
*.gz) gzip -dc "$out.part" | tail -c 600 | grep -aq 'TRAILER!!!' ;;
*) tail -c 600 "$out.part" | grep -aq 'TRAILER!!!' ;;
esac || {
    echo "pack.sh: $2 could not be written" >&2
    exit 1
}
truncate -s %512 "$out.part"
mv "$out.part" "$out"
