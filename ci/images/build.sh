#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build.sh ARCH           make the image of that architecture (x86, arm64), unless it is there
#        build.sh --path ARCH    print the folder of the current image; status 1: there is none
#
# README.md says what is in an image. Everything is made in a folder of its own in the cache and
# renamed when it is whole; builds that run at the same time wait for each other.
set -eu
name=build.sh
here=$(cd "$(dirname "$0")" && pwd)
path=
if [ "${1:-}" = --path ]; then
    path=1
    shift
fi
arch=${1:-}
. "$here/common.sh"

if [ -n "$path" ]; then
    [ -e "$cache/image-$arch/versions.json" ] || exit 1
    readlink -f "$cache/image-$arch"
    exit 0
fi

enter_lock "image-$arch"
make_work "image-$arch"
apt_setup
export IMAGES_REFRESH=0 # once is enough

boot_packages=$(packages_of "$here/boot.packages")
dom0_packages=$(packages_of "$here/dom0.packages")
domu_packages=$(packages_of "$here/domu.packages")
sysroot_packages=$(packages_of "$here/sysroot.packages")

# shellcheck disable=SC2046,SC2086 # lists of names
apt_resolve $(printf '%s\n' $boot_packages $dom0_packages $domu_packages $sysroot_packages | sort -u) \
    >"$work/resolved"
kernel=$("$here/kernel.sh" "$arch")
xen=
[ "$arch" = x86 ] || xen=$("$here/xen.sh" "$arch")
fio=$("$here/fio.sh" "$arch")
hash=$({
    cat "$work/resolved"
    basename "$kernel"
    [ -z "$xen" ] || basename "$xen"
    basename "$fio"
    cd "$here" && cat build.sh common.sh pack.sh boot.sh ./*.packages ./*.asl dts/* dom0/* domu/*
} | hash_of)
folder=$cache/image-$arch-$hash
if [ -e "$folder/versions.json" ]; then
    replace_link "$cache/image-$arch" "$(basename "$folder")"
    exit 0
fi
echo "  IMG  $arch" >&2

# ---- packages ----
missing=
while read -r package version file _; do
    case $package in linux-source-*) continue ;; esac
    [ -e "$debs/$file" ] || missing="$missing $package=$version"
done <"$work/resolved"
# shellcheck disable=SC2086
[ -z "$missing" ] || apt_fetch $missing

# unpack FOLDER PACKAGE...
unpack()
{
    root=$1
    shift
    mkdir -p "$root"
    for p; do
        # shellcheck disable=SC2046 # file and hash
        deb=$(deb_path $(awk -v p="$p" '$1 == p {print $3, $4}' "$work/resolved"))
        dpkg -x "$deb" "$root" || die "$p cannot be unpacked"
    done
}
# Documentation, translations and what needs an interpreter that is not there.
slim()
{
    (cd "$1" && rm -rf usr/share usr/lib/python3* usr/lib/debug usr/include usr/lib/systemd lib/systemd \
        etc var usr/lib/*/gconv usr/lib/*/audit usr/lib/xen-*/bin/oxenstored usr/lib/xen-*/bin/xentop \
        usr/lib/xen-*/boot usr/lib/xen-*/lib)
}
# No program lacks a library.
check_closure()
{
    find "$1" -type f \( -perm -100 -o -name '*.so*' \) | while read -r f; do
        readelf -d "$f" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r so; do
            [ -e "$1/lib/$triplet/$so" ] || [ -e "$1/usr/lib/$triplet/$so" ] || [ -e "$1/lib/$so" ] ||
                [ -e "$1/lib64/$so" ] || echo "${f#"$1"} needs $so"
        done
    done | sort >"$work/closure"
    [ ! -s "$work/closure" ] || {
        cat "$work/closure" >&2
        die "libraries are missing in $(basename "$1")"
    }
}
case $arch in
x86) triplet=x86_64-linux-gnu ;;
arm64) triplet=aarch64-linux-gnu ;;
esac

out=$work/out
mkdir "$out"
# shellcheck disable=SC2086
unpack "$work/domu" $domu_packages
slim "$work/domu"
check_closure "$work/domu"
cp "$here"/domu/init "$work/domu/init"
if [ "$arch" = arm64 ]; then
    # A guest that Xen starts has no console in dom0: its loop's lines go through shared memory.
    unpack "$work/utils" xen-utils-4.17 xenstore-utils libxenmisc4.17
    mkdir -p "$work/domu/usr/bin"
    cp "$work"/utils/usr/lib/xen-*/bin/vchan-socket-proxy "$work"/utils/usr/bin/xenstore-read "$work/domu/usr/bin/"
    for lib in vchan ctrl; do
        cp -P "$work/utils/usr/lib/$triplet/libxen$lib".so.* "$work/domu/usr/lib/$triplet/"
    done
    check_closure "$work/domu"
fi
mkdir -p "$work/domu/opt/ringproof" "$work/domu/proc" "$work/domu/dev" "$work/domu/usr/bin"
cp "$fio/fio" "$work/domu/usr/bin/fio"
"$here/pack.sh" "$work/domu" "$out/domu.cpio.gz"

# shellcheck disable=SC2086
unpack "$work/dom0" $dom0_packages
slim "$work/dom0"
check_closure "$work/dom0"
mkdir -p "$work/dom0/usr/bin" "$work/dom0/boot" "$work/dom0/opt/ringproof" "$work/dom0/etc/xen"
mkdir -p "$work/dom0/proc" "$work/dom0/dev"
cp "$here"/dom0/init "$work/dom0/init"
cp "$here"/dom0/rp-* "$work/dom0/usr/bin/"
printf 'autoballoon="off"\nrun_hotplug_scripts=0\n' >"$work/dom0/etc/xen/xl.conf"
cp "$kernel"/kernel* "$work/dom0/boot/"
cp "$out/domu.cpio.gz" "$work/dom0/boot/"

# ---- what firmware would say ----
if [ "$arch" = x86 ]; then
    tables=$work/acpi/kernel/firmware/acpi
    mkdir -p "$tables"
    for t in mcfg ssdt; do
        iasl -p "$tables/$t" "$here/$t.asl" >"$work/iasl.log" 2>&1 || {
            cat "$work/iasl.log" >&2
            die "iasl refuses $t.asl"
        }
    done
    "$here/pack.sh" "$work/acpi" "$out/acpi.cpio"
    cp "$out/acpi.cpio" "$work/dom0/boot/"
else
    for t in "$here"/dts/*.dts; do
        b=$(basename "$t" .dts)
        dtc -q -I dts -O dtb -o "$out/$b.dtb" "$t" || die "dtc refuses $b.dts"
    done
    cp "$out"/*.dtb "$work/dom0/boot/"
fi
"$here/pack.sh" "$work/dom0" "$out/dom0.cpio.gz"

# ---- hypervisor, kernel, the rest ----
if [ "$arch" = x86 ]; then
    unpack "$work/boot" xen-hypervisor-4.17-amd64
    gzip -dc "$work"/boot/boot/xen-*.gz >"$out/xen"
    xen_version=$(awk '$1 == "xen-hypervisor-4.17-amd64" {print $2}' "$work/resolved")
else
    cp "$xen/xen" "$out/xen"
    xen_version=$(cat "$xen/version")
    # shellcheck disable=SC2086
    unpack "$out/sysroot" $sysroot_packages
    (cd "$out/sysroot" && rm -rf usr/share etc)
fi
[ -s "$out/xen" ] || die "no hypervisor"
cp "$kernel"/kernel* "$out/"
cp "$kernel/config" "$out/kernel.config"
cp "$here/boot.sh" "$out/boot"
echo "$arch" >"$out/arch"

{
    echo '{'
    echo "  \"arch\": \"$arch\","
    echo "  \"inputs\": \"$hash\","
    echo "  \"xen\": \"$xen_version\","
    echo "  \"linux\": \"$(cat "$kernel/version")\","
    echo "  \"fio\": \"$(cat "$fio/version")\","
    echo "  \"sha256\": {"
    (cd "$out" && for f in xen kernel kernel-foreign *.cpio*; do
        [ -e "$f" ] || continue
        echo "    \"$f\": \"$(sha256sum <"$f" | cut -d' ' -f1)\""
    done) | sed '$!s/$/,/'
    echo '  },'
    echo '  "packages": {'
    awk '{printf "    \"%s\": \"%s\"\n", $1, $2}' "$work/resolved" | sed '$!s/$/,/'
    echo '  }'
    echo '}'
} >"$out/versions.json"

rm -rf "$folder"
mv "$out" "$folder"
# One that is in use may still be the one before; older ones go, and what was of no use for a month.
previous=$(readlink "$cache/image-$arch" 2>/dev/null || true)
replace_link "$cache/image-$arch" "$(basename "$folder")"
for old in "$cache/image-$arch"-*; do
    case ${old##*/} in "${folder##*/}" | "$previous") ;; *) rm -rf "$old" ;; esac
done
touch "$kernel" "$fio" ${xen:+"$xen"}
find "$debs" -name '*.deb' -mtime +30 -delete
find "$cache" -maxdepth 1 \( -name "kernel-$arch-*" -o -name "xen-$arch-*" -o -name "fio-$arch-*" \) \
    -mtime +30 -exec rm -rf {} +
