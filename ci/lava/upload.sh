#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: upload.sh FOLDER URL
#
# The folder as URL/<machine>-<time>.tar.gz by HTTP PUT, and a reference to it in the LAVA job.
set -u
if [ $# -ne 2 ]; then
    echo "usage: upload.sh FOLDER URL" >&2
    exit 2
fi
file=$(uname -n)-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
if tar -czf "/tmp/$file" -C "$1" . && curl --fail --silent --show-error --retry 3 \
    --upload-file "/tmp/$file" "$2/$file"; then
    lava-test-reference upload --result pass --reference "$2/$file"
else
    lava-test-case upload --result fail
fi
rm -f "/tmp/$file"
