#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: install-packages.sh [LIST]...
#
# Install the packages of ci/packages.txt, or of the lists named (files in ci/), that are missing.
# Asks for root only when there are any.
set -eu
cd "$(dirname "$0")"

[ $# -gt 0 ] || set -- packages.txt
missing=
for package in $(sed 's/#.*//' "$@"); do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "these packages are missing and need root to install:$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends $missing
