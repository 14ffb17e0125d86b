#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: xen.sh arm64
#
# Build the hypervisor from Debian's source package, with what Debian leaves out on Arm: the IOREQ
# server. Once for each source version and compiler; print the folder that has it: xen, config,
# version. (On x86 Debian's own hypervisor has it.)
set -eu
name=xen.sh arch=${1:-}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
[ "$arch" = arm64 ] || die "only for arm64"

apt_setup
versions=$(source_versions xen)
[ -n "$versions" ] || die "no source package of xen is known"

hash=$({
    echo "$versions"
    cat "$here/xen.sh"
    "${cross}gcc" --version
    "${cross}ld" --version
} | hash_of)
folder=$cache/xen-$arch-$hash
if [ ! -e "$folder" ]; then
    enter_lock "xen-$arch"
fi
if [ ! -e "$folder" ]; then
    make_work "xen-$arch"
    mkdir "$work/out"
    # shellcheck disable=SC2086 # a list of versions
    source_unpack xen $versions

    echo "  MAKE Xen $source_version ($arch)" >&2
    export XEN_BUILD_DATE='Thu Jan  1 00:00:00 UTC 2026' XEN_BUILD_TIME=00:00:00
    export XEN_BUILD_HOST=ringproof XEN_WHOAMI=ringproof XEN_DOMAIN=ringproof SOURCE_DATE_EPOCH=1767225600
    # The folder's name would go into the debug information, and from there into the build id.
    export EXTRA_CFLAGS_XEN_CORE="-ffile-prefix-map=$work/tree=."
    unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
    xmake()
    {
        make -s -C "$work/tree/xen" XEN_TARGET_ARCH=arm64 CROSS_COMPILE="$cross" \
            PYTHON=/usr/bin/python3 debug=n "$@" >"$work/make.log" 2>&1 9>&- || {
            tail -n 30 "$work/make.log" >&2
            die "Xen does not build"
        }
    }
    options='CONFIG_EXPERT=y CONFIG_UNSUPPORTED=y CONFIG_IOREQ_SERVER=y'
    # shellcheck disable=SC2086 # a line for each
    printf '%s\n' $options >"$work/tree/xen/arch/arm/configs/ringproof_defconfig"
    xmake ringproof_defconfig
    for option in $options; do
        grep -qxF "$option" "$work/tree/xen/.config" || die "Xen refuses $option"
    done
    xmake -j"${JOBS:-$(nproc)}" build
    cp "$work/tree/xen/xen" "$work/out/xen"
    cp "$work/tree/xen/.config" "$work/out/config"
    echo "$source_version" >"$work/out/version"
    mv "$work/out" "$folder"
fi
echo "$folder"
