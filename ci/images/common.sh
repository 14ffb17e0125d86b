# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154,SC2034 # the sourcing script sets and uses them
# Sourced by the scripts in this folder, with `name` and `arch` (x86 or arm64) set. Shell functions
# for the cache, for apt with a configuration of its own, and for what must never be half-made.

die()
{
    echo "$name: $*" >&2
    exit 1
}

# Packages are resolved for this release of Debian, whatever runs here.
suite=bookworm
case $arch in
x86) debian_arch=amd64 kernel_arch=x86_64 cross= ;;
arm64) debian_arch=arm64 kernel_arch=arm64 cross=aarch64-linux-gnu- ;;
*) die "the architecture must be x86 or arm64" ;;
esac

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ringproof/images
mkdir -p "$cache"
apt_dir=$cache/apt-$arch
debs=$cache/debs

# enter_lock NAME: hold the lock until this shell ends.
enter_lock()
{
    exec 9>"$cache/$1.lock"
    flock 9
}

# make_work NAME: an empty folder in $work, gone when the script ends; call it under a lock of
# that name. What an earlier, killed build left is removed.
make_work()
{
    rm -rf "$cache/work-$1".*
    work=$(mktemp -d "$cache/work-$1.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# packages_of FILE: the names in it that are for this architecture
packages_of()
{
    sed 's/#.*//' "$1" | while read -r package only; do
        [ -z "$package" ] || [ "${only:-$arch}" != "$arch" ] || echo "$package"
    done
}

# Where the machine gets the release from, or a mirror that its user names.
apt_sources()
{
    # shellcheck disable=SC2016 # apt's variables
    apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)' \
        'Created-By: Packages' 2>/dev/null | sort -u >"$apt_dir/known"
    if ! grep -q "|$suite|main|Debian\$" "$apt_dir/known"; then
        if [ -z "${RINGPROOF_DEBIAN_MIRROR-}" ]; then
            echo "apt knows no source of Debian $suite: name one in RINGPROOF_DEBIAN_MIRROR" >&2
            return 1
        fi
        echo "$RINGPROOF_DEBIAN_MIRROR|$suite|main|Debian" >"$apt_dir/known"
    fi
    while IFS='|' read -r uri release component origin; do
        [ "$origin" = Debian ] || continue
        case $release in "$suite" | "$suite-updates" | "$suite-security") ;; *) continue ;; esac
        by='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
        echo "deb $by $uri $release $component"
        echo "deb-src $by $uri $release $component"
    done <"$apt_dir/known"
}

apt_in() { (cd "$1" && shift && "$@"); }

# The machine's package lists and settings are read for its mirrors and proxies, never changed.
apt_setup()
{
    mkdir -p "$apt_dir/state/lists/partial" "$apt_dir/cache/archives/partial" "$debs"
    apt_sources >"$apt_dir/sources.new"
    cmp -s "$apt_dir/sources.new" "$apt_dir/sources.list" || rm -f "$apt_dir/fresh"
    mv "$apt_dir/sources.new" "$apt_dir/sources.list"
    : >"$apt_dir/status"
    cat >"$apt_dir/apt.conf" <<END
#clear APT::Architectures;
#clear APT::Update;
#clear DPkg;
APT::Architecture "$debian_arch";
APT::Architectures { "$debian_arch"; };
APT::Sandbox::User "$(id -un)";
APT::Get::Download-Only "true";
Dir::Etc::sourcelist "$apt_dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$apt_dir/state";
Dir::State::status "$apt_dir/status";
Dir::Cache "$apt_dir/cache";
Acquire::Retries "3";
Acquire::Languages "none";
END
    # Lists of a day ago will do; without a network, older ones.
    refresh=${IMAGES_REFRESH:-}
    if [ -z "$refresh" ]; then
        refresh=1
        [ -z "$(find "$apt_dir/fresh" -mmin -1440 2>/dev/null)" ] || refresh=0
    fi
    if [ "$refresh" = 1 ]; then
        echo "  GET  package lists ($debian_arch)" >&2
        if apt_get update >"$apt_dir/update.log" 2>&1; then
            touch "$apt_dir/fresh"
        elif [ -e "$apt_dir/fresh" ]; then
            echo "$name: the package lists cannot be refreshed; the old ones are used" >&2
        else
            cat "$apt_dir/update.log" >&2
            die "the package lists cannot be fetched"
        fi
    fi
    [ -e "$apt_dir/fresh" ] || die "there are no package lists yet and IMAGES_REFRESH=0 forbids fetching them"
}

apt_get() { apt-get -q -q -c "$apt_dir/apt.conf" "$@"; }

# apt_resolve PACKAGE...: a line for each, "package version file hash", of the version that apt
# would install
apt_resolve()
{
    apt_get --print-uris download "$@" >"$apt_dir/uris" 2>"$apt_dir/uris.err" || {
        cat "$apt_dir/uris.err" >&2
        die "some packages are not to be had"
    }
    # 'uri' package_version_arch.deb size SHA256:hash
    while read -r _ file _ hash; do
        version=${file#*_}
        echo "${file%%_*} ${version%_*} $file ${hash#*:}"
    done <"$apt_dir/uris" | sed 's/%3a/:/' | sort
}

# apt_fetch PACKAGE=VERSION...: into $debs, where only whole files are. Needs $work.
apt_fetch()
{
    mkdir -p "$work/get"
    apt_in "$work/get" apt_get download "$@" >&2 || die "packages cannot be downloaded"
    mv "$work/get"/*.deb "$debs/"
}

# deb_path FILE HASH: of a package that was fetched. The hash is the one in the signed lists.
deb_path()
{
    [ "$(sha256sum <"$debs/$1" | cut -d' ' -f1)" = "$2" ] || {
        rm -f "$debs/$1"
        die "$1 was damaged; it is removed, try again"
    }
    touch "$debs/$1" # was of use: see build.sh
    echo "$debs/$1"
}

# source_versions PACKAGE: those of a source package that the lists name, the newest first
source_versions()
{
    apt-cache -c "$apt_dir/apt.conf" showsrc "$1" | sed -n 's/^Version: //p' | sort -u -V -r
}

# source_unpack PACKAGE VERSION...: into $work/tree, and its version into $source_version. The
# archive lists sources that its servers don't always have: the first one that can be fetched is
# taken. Needs $work.
source_unpack()
{
    source_package=$1 source_version=
    shift
    mkdir -p "$work/source"
    for v; do
        echo "  GET  $source_package $v (source package)" >&2
        if apt_in "$work/source" apt_get source --download-only "$source_package=$v" \
            >"$work/get.log" 2>&1; then
            source_version=$v
            break
        fi
        echo "$name: the source package $source_package $v cannot be fetched" >&2
        rm -f "$work"/source/*
    done
    [ -n "$source_version" ] || {
        cat "$work/get.log" >&2
        die "no source package of $source_package can be fetched"
    }
    # apt has checked the files against the signed index.
    dpkg-source --no-check -x "$work/source/$source_package"_*.dsc "$work/tree" >"$work/get.log" 2>&1 || {
        cat "$work/get.log" >&2
        die "the source package $source_package cannot be unpacked"
    }
}

# hash_of: of standard input, short enough for a name
hash_of() { sha256sum | cut -c1-16; }

# replace_link LINK TARGET, in one step
replace_link()
{
    ln -sfn "$2" "$1.new.$$"
    mv -T "$1.new.$$" "$1"
}
