#!/usr/bin/env bash
# Stops the sluice of SLUICE_HOME, if it runs, and starts it. Exit codes of bin/startup.sh.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_binary
stop
start "$@"
