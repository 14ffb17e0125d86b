#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build.sh --path    print the folder of the peers' programs, for what is installed now
#        build.sh           fill it, if it is not there yet
#
# Builds Linux's tools/virtio/ringtest from Debian's source package of the kernel, as it is and with its
# own Makefile. Peers that are packages as they are only have their versions noted here. The folder is in
# ${XDG_CACHE_HOME:-$HOME/.cache}/ringproof, and its name tells what went into ringtest: the package's
# version and the compiler's.
set -eu

die() {
    echo "bench/peers/build.sh: $*" >&2
    exit 1
}

package=linux-source-6.1
programs='ring virtio_ring_0_9 virtio_ring_inorder'
version_of() {
    dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo none
}
version=$(dpkg-query -W -f '${Version}' $package 2>/dev/null) || version=
compiler=$(gcc -dumpfullversion)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ringproof
folder=$cache/ringtest-$(printf %s "${version:-none}-gcc$compiler" | tr -c 'A-Za-z0-9.+~-' '_')

case ${1:-} in
--path)
    printf '%s\n' "$folder"
    exit 0
    ;;
'') ;;
*) die "unknown argument $1" ;;
esac

# What a run says of its peers; a package may have become a newer one.
say_versions() {
    {
        printf 'ringtest of %s, gcc %s' "$package $version" "$compiler"
        printf '; testpmd of dpdk-dev %s' "$(version_of dpdk-dev)"
        printf '; qemu-storage-daemon of qemu-system-common %s\n' "$(version_of qemu-system-common)"
    } >"$1/version.$$"
    mv "$1/version.$$" "$1/version"
}

if [ -e "$folder/version" ]; then
    say_versions "$folder"
    exit 0
fi
[ -n "$version" ] || die "$package is not installed (make bench-peers does it)"

mkdir -p "$cache"
exec 9>"$cache/ringtest.lock"
flock 9
# Another build may have done it while this one waited.
[ ! -e "$folder/version" ] || exit 0

work=$(mktemp -d "$cache/ringtest-work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "  PEER ringtest of $package $version"
mkdir "$work/out"
tar -C "$work" -xJf "/usr/src/$package.tar.xz" "$package/tools/virtio/ringtest" ||
    die "$package has no ringtest"
# The caller's make and its compiler are none of the peer's business.
# shellcheck disable=SC2086 # a list of words
env -u MAKEFLAGS -u MFLAGS -u CC -u CFLAGS -u LDFLAGS \
    make -s -C "$work/$package/tools/virtio/ringtest" CC=gcc $programs >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    die "ringtest does not build"
}
for program in $programs; do
    mv "$work/$package/tools/virtio/ringtest/$program" "$work/out/"
done
say_versions "$work/out"
rm -rf "$folder"
mv "$work/out" "$folder"
