#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: job.sh DEVICE_TYPE x86|arm K/N FILES_URL UPLOAD_URL [XEN_OPTIONS] >job.yaml
#
# The LAVA job of one shard. FILES_URL has xen, kernel and dom0.tar.xz; results go to UPLOAD_URL.
set -eu
fail()
{
    echo "job.sh: $*" >&2
    exit 3
}
[ $# -eq 5 ] || [ $# -eq 6 ] || fail "usage: job.sh DEVICE_TYPE x86|arm K/N FILES_URL UPLOAD_URL [XEN_OPTIONS]"
case $2 in
x86) hypervisor=multiboot2 module=module2 ;;
arm) hypervisor=xen_hypervisor module=xen_module ;;
*) fail "architecture '$2': x86 or arm" ;;
esac
printf '%s\n' "$3" | grep -Eqx '[1-9][0-9]{0,4}/[1-9][0-9]{0,4}' || fail "shard '$3': K/N"
# What goes into YAML and through sed stays plain.
for word; do
    case $word in *[!A-Za-z0-9._:/=,+%\ -]*) fail "'$word' has characters that are not allowed" ;; esac
done
sed -e "s|@DEVICE@|$1|g" -e "s|@SHARD@|$3|g" -e "s|@FILES@|$4|g" -e "s|@UPLOAD@|$5|g" \
    -e "s|@ARCH@|$2|g" -e "s|@XEN_OPTIONS@|${6:-}|g" -e "s|@HYPERVISOR@|$hypervisor|g" \
    -e "s|@MODULE@|$module|g" \
    "$(dirname "$0")/job.yaml"
