#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: qemu-xenpvh.sh
#
# Prints the path of a QEMU with the machine xenpvh (harness/profile/qemu-xenpvh.yaml), which Debian 12
# has in bookworm-backports: the package is fetched by apt's own client and unpacked into the cache.
# Nothing of the machine's apt is changed, and nothing is installed. Once a week it is looked for anew.
set -eu
cd "$(dirname "$0")"
name=qemu-xenpvh.sh
# shellcheck disable=SC2034 # common.sh's
arch=x86
# shellcheck source=ci/images/common.sh
. images/common.sh
package=qemu-system-xen program=usr/libexec/xen-qemu-system-i386

ci_root=$cache/../qemu-xenpvh
mkdir -p "$ci_root"
apt_dir=$ci_root/apt
exec 9>"$ci_root.lock"
flock 9

# Where the machine gets the release from, for its backports.
apt_sources()
{
    # shellcheck disable=SC2016 # apt's variables
    uri=$(apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)' \
        'Created-By: Packages' 2>/dev/null | sed -n "s/|$suite|main|Debian\$//p" | head -n1)
    [ -n "$uri" ] || uri=${RINGPROOF_DEBIAN_MIRROR:-}
    [ -n "$uri" ] || die "apt knows no source of Debian $suite: name one in RINGPROOF_DEBIAN_MIRROR"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite-backports main"
}

if [ -z "$(find "$ci_root/current" -mtime -7 2>/dev/null)" ]; then
    make_work qemu-xenpvh
    apt_setup
    version=$(apt_resolve "$package" | cut -d' ' -f2)
    if [ ! -e "$ci_root/$version/$program" ]; then
        echo "  GET  $package $version" >&2
        apt_fetch "$package=$version"
        dpkg-deb -x "$debs/$(apt_resolve "$package" | cut -d' ' -f3)" "$work/root"
        rm -rf "${ci_root:?}/$version"
        mv "$work/root" "$ci_root/$version"
    fi
    ln -sfn "$version" "$ci_root/current.new"
    mv -T "$ci_root/current.new" "$ci_root/current"
    touch -h "$ci_root/current"
fi
readlink -f "$ci_root/current/$program"
