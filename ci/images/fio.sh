#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: fio.sh ARCH
#
# Build fio for a domU from Debian's source package: one static program with the engines that need
# no library (psync, io_uring, ...). Debian's own drags in the libraries of cluster file systems.
# Once for each source version, C library and compiler; print the folder that has it: fio, version.
set -eu
name=fio.sh arch=${1:-}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

apt_setup
versions=$(source_versions fio)
[ -n "$versions" ] || die "no source package of fio is known"
# shellcheck disable=SC2046 # a list of names
resolved=$(apt_resolve $(packages_of "$here/fio.packages"))

hash=$({
    echo "$versions"
    echo "$resolved"
    cat "$here/fio.sh"
    "${cross}gcc" --version
    "${cross}ld" --version
} | hash_of)
folder=$cache/fio-$arch-$hash
if [ ! -e "$folder" ]; then
    enter_lock "fio-$arch"
fi
if [ ! -e "$folder" ]; then
    make_work "fio-$arch"
    # Headers and libraries of the release, not of this machine: configure finds nothing else.
    mkdir "$work/out" "$work/sysroot"
    echo "$resolved" | while read -r package version file sum; do
        [ -e "$debs/$file" ] || apt_fetch "$package=$version"
        deb=$(deb_path "$file" "$sum")
        dpkg -x "$deb" "$work/sysroot" || die "$package cannot be unpacked"
    done
    # shellcheck disable=SC2086 # a list of versions
    source_unpack fio $versions

    echo "  MAKE fio $source_version ($arch)" >&2
    unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
    step()
    {
        # No pkg-config: it would speak of this machine's libraries.
        (cd "$work/tree" && PATH="$work/bin:$PATH" "$@") \
            >"$work/step.log" 2>&1 9>&- || {
            tail -n 30 "$work/step.log" >&2
            die "fio does not build"
        }
    }
    mkdir "$work/bin"
    printf '#!/bin/sh\nexit 1\n' >"$work/bin/pkg-config"
    chmod +x "$work/bin/pkg-config"
    step ./configure --cc="${cross}gcc --sysroot=$work/sysroot" \
        --extra-cflags="-ffile-prefix-map=$work=." --build-static --disable-native --disable-lex
    step make -j"${JOBS:-$(nproc)}" fio
    "${cross}strip" -o "$work/out/fio" "$work/tree/fio"
    ! readelf -d "$work/out/fio" 2>/dev/null | grep -q NEEDED || die "fio is not static"
    echo "$source_version" >"$work/out/version"
    mv "$work/out" "$folder"
fi
echo "$folder"
