#!/usr/bin/env bash
# fetch-unsynced.sh DIR: DIR/libeatmydata.so, a library that lets a program sync nothing.
#
# A server of a test syncs its files with each statement that changes a table, and waits for the disk
# most of the time. What it has written outlives its process all the same, however that ends: only the
# machine must not go down, and then there is no test either. Run again, it does nothing.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/packages.sh"

[ $# = 1 ] || die "usage: $0 DIR"

build() {
    local library
    command -v apt-get >/dev/null || die "libeatmydata is fetched by apt-get"
    alone=yes unpack "$1" own libeatmydata1
    for library in "$1"/root/usr/lib/*/libeatmydata.so; do
        ln -s "${library#"$1/"}" "$1/libeatmydata.so"
    done
}

once "$1" build
say "libeatmydata is in $1"
