#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: fio-headers.sh --path    print the folder of fio's headers for the installed fio
#        fio-headers.sh           fill it, if it is not there yet
#
# An external engine must be compiled against the headers of exactly the fio that loads it. They
# come from the source package of the installed version, fetched by apt with a configuration of
# its own: the machine's package lists and settings are only read, no root is needed. The result
# is kept in ${XDG_CACHE_HOME:-$HOME/.cache}/ringproof and shared by all builds.
set -eu

die() {
    echo "fio-headers.sh: $*" >&2
    exit 1
}

version=$(dpkg-query -W -f '${source:Version}' fio 2>/dev/null) || version=
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ringproof
# Epochs and the like do not belong in a path.
folder=$cache/fio-$(printf %s "${version:-none}" | tr -c 'A-Za-z0-9.+~-' '_')

case ${1:-} in
--path)
    printf '%s\n' "$folder"
    exit 0
    ;;
'') ;;
*) die "unknown argument $1" ;;
esac

[ -n "$version" ] || die "fio is not installed"
[ ! -e "$folder/ready" ] || exit 0

mkdir -p "$cache"
exec 9>"$cache/fio.lock"
flock 9
# Another build may have done it while this one waited.
[ ! -e "$folder/ready" ] || exit 0

work=$(mktemp -d "$cache/fio-work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/source"

# The sources are where this machine gets its packages from: each Debian suite's binary index
# that apt knows has its source index beside it.
apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)' \
    'Created-By: Packages' 2>/dev/null | sort -u |
    while IFS='|' read -r uri release component origin; do
        [ "$origin" = Debian ] || continue
        printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s %s\n' \
            "$uri" "$release" "$component"
    done >"$work/sources.list"
[ -s "$work/sources.list" ] || die "apt knows no Debian suite (run apt-get update first)"

apt() {
    apt-get -q -q \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$work/state" -o Dir::State::status=/var/lib/dpkg/status \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

echo "  GET  fio $version (source package, for its headers)"
apt update || die "the package lists cannot be fetched"
(cd "$work/source" && apt source --download-only "fio=$version") ||
    die "the source package fio $version cannot be fetched"
# apt has checked the files against the signed index.
dpkg-source --no-check -x "$work"/source/fio_*.dsc "$work/tree" >/dev/null ||
    die "the source package cannot be unpacked"
(cd "$work/tree" && ./configure --disable-native >configure.log 2>&1) || {
    tail -n 20 "$work/tree/configure.log" >&2
    die "fio's configure failed"
}
grep -q 'FIO_IOOPS_VERSION' "$work/tree/ioengines.h" || die "not the headers of fio"

rm -rf "$folder"
touch "$work/tree/ready"
mv "$work/tree" "$folder"
