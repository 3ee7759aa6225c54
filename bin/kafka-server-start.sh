#!/usr/bin/env bash
# kafka-server-start: the log and its broker alone, without instances.
#
#   bin/kafka-server-start.sh [-daemon] server.properties [--override key=value]...
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { die "usage: $0 [-daemon] server.properties [--override key=value]..."; }

daemon=
if [ "${1:-}" = -daemon ]; then
    daemon=1
    shift
fi
[ $# -gt 0 ] || usage
case $1 in -*) usage ;; esac
properties=$1
shift
if [ -n "$daemon" ]; then
    start --broker-only --server-properties "$properties" "$@"
    exit
fi
find_binary
! find_process || die "sluice is running already (pid $pid)"
echo $$ >"$pid_file"
exec "$binary" run --broker-only --server-properties "$properties" "$@"
