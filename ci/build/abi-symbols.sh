#!/bin/sh
# SPDX-License-Identifier: MIT
# Do simxen's drop-in libraries look like the real ones? usage: abi-symbols.sh [OUT]
#
# Compared with the installed libxen libraries: SONAME, symbol names, version nodes. Of
# libxenctrl, which is large and has no stable ABI, a subset is enough. Then every libxen function
# that Debian's xenstored and qemu-system-xen import must be found at its version. The QEMU
# packages come from the archive into the cache; without a network the list in
# harness/simxen/libs/imports.txt stands in.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-build/release}/simxen
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ringproof/abi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

prefixes='xen(toolcore|evtchn|call|gnttab|gntshr|foreignmemory|devicemodel)_|xc_'
failures=0
fail() {
    echo "abi-symbols: $*" >&2
    failures=$((failures + 1))
}

# name@version of every symbol that a library defines
exports() {
    objdump -T "$1" | awk 'NF > 5 && !/\*UND\*/ && $(NF-1) ~ /^\(?VERS_/ {
        gsub(/[()]/, "", $(NF-1)); print $NF "@" $(NF-1) }' | sort -u
}

# name@version of every function of these libraries that a program needs
imports() {
    nm -D --undefined-only "$1" | awk -v p="^($prefixes)" '$2 ~ p { sub(/@@/, "@", $2); print $2 }' |
        sort -u
}

soname() {
    objdump -p "$1" | awk '$1 == "SONAME" { print $2 }'
}

libraries=0
compared=0
for real in /usr/lib/*/libxentoolcore.so.1 /usr/lib/*/libxenevtchn.so.1 \
    /usr/lib/*/libxengnttab.so.1 /usr/lib/*/libxenforeignmemory.so.1 \
    /usr/lib/*/libxendevicemodel.so.1 /usr/lib/*/libxencall.so.1 /usr/lib/*/libxenctrl.so.4.*[0-9]; do
    [ -e "$real" ] || { fail "$real: not installed (libxen-dev)"; continue; }
    name=$(soname "$real")
    # libxenctrl.so.4.17.0 is the file behind libxenctrl.so.4.17.
    [ "${real##*/}" = "$name" ] || continue
    ours=$out/$name
    [ -e "$ours" ] || { fail "$ours: not built"; continue; }
    libraries=$((libraries + 1))
    [ "$(soname "$ours")" = "$name" ] || fail "$ours: SONAME is $(soname "$ours"), not $name"
    exports "$real" >"$work/real"
    exports "$ours" >"$work/ours"
    cat "$work/ours" >>"$work/all"
    comm -13 "$work/real" "$work/ours" | while read -r symbol; do
        echo "$name: $symbol is not in the real library"
    done >"$work/faults"
    case $name in
    libxenctrl.*) compared=$((compared + $(wc -l <"$work/ours"))) ;;
    *)
        compared=$((compared + $(wc -l <"$work/real")))
        comm -23 "$work/real" "$work/ours" | while read -r symbol; do
            echo "$name: $symbol is missing"
        done >>"$work/faults"
        ;;
    esac
    while read -r fault; do fail "$fault"; done <"$work/faults"
done
sort -u -o "$work/all" "$work/all"

# fetch NAME APT-OPTION...: the imports of a qemu-system-xen package, kept in $cache/NAME.imports
fetch() {
    name=$1
    shift
    [ -s "$cache/$name.imports" ] && return 0
    mkdir -p "$cache" && (
        cd "$work" && rm -rf deb && mkdir deb && cd deb &&
            timeout 120 apt-get "$@" -qq download qemu-system-xen &&
            dpkg -x qemu-system-xen_*.deb x
    ) >/dev/null 2>&1 || return 1
    program=$(find "$work/deb/x" -type f -name xen-qemu-system-i386)
    [ -n "$program" ] && imports "$program" >"$work/imports" && mv "$work/imports" "$cache/$name.imports"
}

# Sources and lists of our own: neither root nor the machine's configuration is touched.
backports_options() {
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
    # shellcheck disable=SC2016 # apt's variables
    mirror=${RINGPROOF_DEBIAN_MIRROR:-$(apt-get indextargets \
        --format '$(REPO_URI) $(LABEL) $(COMPONENT)' 'Created-By: Packages' |
        sed -n 's/ Debian main$//p' | head -n1)}
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "$mirror bookworm-backports main" \
        >"$cache/apt/sources.list"
    echo "-o Dir::Etc::sourcelist=$cache/apt/sources.list -o Dir::Etc::sourceparts=/dev/null" \
        "-o Dir::State::lists=$cache/apt/lists -o Dir::Cache::archives=$cache/apt/archives" \
        "-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
}

fallback() {
    echo "abi-symbols: $1 could not be downloaded: its imports come from imports.txt" >&2
    sed -n "s/^$1 //p" harness/simxen/libs/imports.txt >"$work/$1"
}

for program in /usr/lib/xen-*/bin/xenstored; do
    [ -e "$program" ] && imports "$program" >"$work/xenstored"
done
[ -s "$work/xenstored" ] || fallback xenstored

if fetch qemu-7.2; then
    cp "$cache/qemu-7.2.imports" "$work/qemu-7.2"
else
    fallback qemu-7.2
fi
# shellcheck disable=SC2046 # a list of words; the cache's name has no blanks in any sane home
if [ -s "$cache/qemu-10.0.imports" ] || {
    timeout 120 apt-get $(backports_options) -qq update >/dev/null 2>&1 &&
        fetch qemu-10.0 $(backports_options)
}; then
    cp "$cache/qemu-10.0.imports" "$work/qemu-10.0"
else
    fallback qemu-10.0
fi

resolved=0
for program in xenstored qemu-7.2 qemu-10.0; do
    sort -u -o "$work/$program" "$work/$program"
    [ -s "$work/$program" ] || fail "$program: no imports known"
    comm -23 "$work/$program" "$work/all" >"$work/faults"
    while read -r symbol; do fail "$program imports $symbol, which no library has"; done <"$work/faults"
    resolved=$((resolved + $(comm -12 "$work/$program" "$work/all" | wc -l)))
done

echo "abi-symbols: $libraries libraries, $compared symbols compared, $resolved imports resolved"
echo "abi-symbols: $((compared + resolved)) passed, $failures failed"
[ "$failures" -eq 0 ]
