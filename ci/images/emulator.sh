#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: emulator.sh x86           build the emulator that counts instructions, unless it is there
#        emulator.sh --path x86    print the folder of the current one; status 1: there is none
#
# Debian's QEMU from its source package, with emulator.patch, and nothing but what boot.sh asks of it: under
# --icount Debian's own delivers an interrupt of a guest twice now and then (the patch says how). Once for
# each source version, patch and compiler. (On Arm Debian's QEMU does.)
set -eu
name=emulator.sh
here=$(cd "$(dirname "$0")" && pwd)
path=
if [ "${1:-}" = --path ]; then
    path=1
    shift
fi
arch=${1:-}
. "$here/common.sh"
[ "$arch" = x86 ] || die "only for x86"
link=$cache/emulator-$arch
if [ -n "$path" ]; then
    [ -e "$link/version" ] || exit 1
    readlink -f "$link"
    exit 0
fi

apt_setup
versions=$(source_versions qemu)
[ -n "$versions" ] || die "no source package of qemu is known"
hash=$({
    echo "$versions"
    cat "$here/emulator.sh" "$here/emulator.patch"
    gcc --version
} | hash_of)
folder=$link-$hash
enter_lock "emulator-$arch"
if [ ! -e "$folder" ]; then
    make_work "emulator-$arch"
    mkdir "$work/out"
    # shellcheck disable=SC2086 # a list of versions
    source_unpack qemu $versions
    patch -d "$work/tree" -p1 -s <"$here/emulator.patch" || die "emulator.patch does not fit $source_version"

    echo "  MAKE QEMU $source_version ($arch)" >&2
    unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
    mkdir "$work/tree/build"
    (
        cd "$work/tree/build"
        PATH=/usr/bin:/bin # Debian's meson and its python, whatever else there is
        ../configure --target-list=x86_64-softmmu --without-default-features \
            --enable-system --enable-tcg --firmwarepath=/usr/share/qemu:/usr/share/seabios \
            --with-pkgversion="Debian $source_version and emulator.patch" &&
            ninja ${JOBS:+-j"$JOBS"} qemu-system-x86_64
    ) >"$work/make.log" 2>&1 9>&- || {
        tail -n 30 "$work/make.log" >&2
        die "QEMU does not build"
    }
    strip -o "$work/out/qemu-system-x86_64" "$work/tree/build/qemu-system-x86_64"
    echo "$source_version" >"$work/out/version"
    mv "$work/out" "$folder"
fi
replace_link "$link" "$(basename "$folder")"
touch "$folder"
find "$cache" -maxdepth 1 -name "emulator-$arch-*" -mtime +30 -exec rm -rf {} +
echo "$folder"
