#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: kernel.sh ARCH
#
# Build Linux for the images, once for each source version, configuration and compiler, and print
# the folder that has it: kernel, kernel-foreign (x86), config, version.
set -eu
name=kernel.sh arch=${1:-}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

package=linux-source-6.12
apt_setup
resolved=$(apt_resolve "$package")
# shellcheck disable=SC2086 # four words
set -- $resolved
version=$2 file=$3 source_hash=$4

jobs=${JOBS:-$(nproc)}
hash=$({
    echo "$version $source_hash"
    cat "$here/kernel.sh" "$here/kernel-common.config" "$here/kernel-$arch"*.config
    "${cross}gcc" --version
    "${cross}ld" --version
} | hash_of)
folder=$cache/kernel-$arch-$hash
if [ ! -e "$folder" ]; then
    enter_lock kernel # one at a time: each uses all processors
fi
if [ ! -e "$folder" ]; then
    make_work "kernel-$arch"

    [ -e "$debs/$file" ] || apt_fetch "$package=$version"
    deb=$(deb_path "$file" "$source_hash")
    echo "  TAR  $package $version" >&2
    # All that Kconfig reads, and no drivers that cannot be chosen here.
    dpkg --fsys-tarfile "$deb" | tar -xO "./usr/src/$package.tar.xz" |
        tar -xJ -C "$work" --exclude='*/drivers/gpu/*.[ch]' --exclude='*/sound/*.[ch]' \
            --exclude='*/drivers/media/*.[ch]' --exclude='*/drivers/staging/*.[ch]' \
            --exclude='*/drivers/net/wireless/*.[ch]' --exclude='*/drivers/infiniband/*.[ch]' \
            --exclude='*/drivers/scsi/*.[ch]' --exclude='*/tools/testing/*' --exclude='*/Documentation/*.rst'
    # A broken pipe is seen here.
    source=$work/$package
    [ -e "$source/lib/zstd/Makefile" ] && [ -e "$source/virt/Makefile" ] ||
        die "the source of Linux cannot be unpacked"

    # Nothing of this machine goes into the result.
    export KBUILD_BUILD_USER=ringproof KBUILD_BUILD_HOST=ringproof KBUILD_BUILD_VERSION=1
    export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026'
    unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
    kmake()
    {
        make -s -C "$source" O="$work/build" ARCH="$kernel_arch" CROSS_COMPILE="$cross" "$@" \
            >"$work/make.log" 2>&1 9>&- || {
            tail -n 30 "$work/make.log" >&2
            die "Linux does not build"
        }
    }
    # What was asked for is what is there: Kconfig drops an option without a word when one that
    # it depends on is missing.
    configure()
    {
        cat "$@" >"$work/wanted"
        kmake KCONFIG_ALLCONFIG="$work/wanted" allnoconfig
        while read -r line; do
            case $line in
            CONFIG_*) grep -qxF -e "$line" "$work/build/.config" || die "the kernel refuses $line" ;;
            '# CONFIG_'*)
                option=${line#\# }
                ! grep -q "^${option%% *}=" "$work/build/.config" || die "the kernel insists on ${option%% *}"
                ;;
            esac
        done <"$work/wanted"
    }
    mkdir "$work/build" "$work/out"
    if [ "$arch" = x86 ]; then
        echo "  MAKE Linux $version ($arch)" >&2
        configure "$here/kernel-common.config" "$here/kernel-x86.config"
        kmake -j"$jobs" vmlinux
        cp "$work/build/.config" "$work/out/config"
        strip -o "$work/out/kernel" "$work/build/vmlinux"
        # Few files differ.
        grep -v FORCE_GRANT "$here/kernel-x86.config" >"$work/x86.config"
        configure "$here/kernel-common.config" "$work/x86.config" "$here/kernel-x86-foreign.config"
        kmake -j"$jobs" vmlinux
        strip -o "$work/out/kernel-foreign" "$work/build/vmlinux"
    else
        echo "  MAKE Linux $version ($arch)" >&2
        configure "$here/kernel-common.config" "$here/kernel-arm64.config"
        kmake -j"$jobs" Image
        cp "$work/build/.config" "$work/out/config"
        cp "$work/build/arch/arm64/boot/Image" "$work/out/kernel"
    fi
    echo "$version" >"$work/out/version"
    mv "$work/out" "$folder"
fi
echo "$folder"
