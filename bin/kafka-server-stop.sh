#!/usr/bin/env bash
# kafka-server-stop: stops what runs in SLUICE_HOME.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_process || die "No kafka server to stop"
stop
