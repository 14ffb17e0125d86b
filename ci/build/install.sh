#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh BUILD_DIR PREFIX: programs to bin, plugins to lib/ringproof, simxen's libraries to
# lib/ringproof/simxen (never on the default library path), data and LAVA's scripts to
# share/ringproof.
set -eu
cd "$(dirname "$0")/../.."
out=$1 prefix=$2

install -d "$prefix/bin" "$prefix/lib/ringproof/bin" "$prefix/lib/ringproof/lib" \
    "$prefix/lib/ringproof/simxen" "$prefix/share/ringproof"
install -m 755 "$out"/bin/* "$prefix/lib/ringproof/bin"
# What safety costs is measured from a tree: a build without it is nothing to install.
rm -f "$prefix/lib/ringproof/bin/ringproof-ring-unchecked"
install -m 644 "$out"/lib/*.so "$prefix/lib/ringproof/lib"
install -m 644 "$out"/simxen/*.so* "$prefix/lib/ringproof/simxen"
for program in ringproof ringproof-backend simxenctl; do
    ln -sf "../lib/ringproof/bin/$program" "$prefix/bin/$program"
done
install -d "$prefix/share/ringproof/lava"
install -m 755 ci/lava/report-tap.sh ci/lava/upload.sh "$prefix/share/ringproof/lava"
install -d "$prefix/share/ringproof/harness/profile"
install -m 644 harness/profile/*.yaml "$prefix/share/ringproof/harness/profile"
install -m 644 -D bench/designs.yaml "$prefix/share/ringproof/bench/designs.yaml"
for dir in scenarios harness/catalog harness/man bench/fio/jobs results/schema; do
    install -d "$prefix/share/ringproof/$dir"
    cp -R "$dir/." "$prefix/share/ringproof/$dir"
done
