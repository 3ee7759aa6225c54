#!/usr/bin/env bash
# Stops the sluice of SLUICE_HOME, if it runs, and starts it. Exit codes of bin/startup.sh, and
# 4: the configuration is not valid, so that what runs was left running; it says why.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_binary
if find_process && ! "$binary" check --offline "$@" >&2; then
    echo "sluice was not stopped (pid $pid): the configuration is not valid, see above" >&2
    exit 4
fi
stop
start "$@"
