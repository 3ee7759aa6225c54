#!/usr/bin/env bash
# Starts sluice in the background and waits until it is ready, SLUICE_START_TIMEOUT seconds (30)
# at most.
#
#   bin/startup.sh            exit code 0: all ready
#                             1: nothing runs (configuration, port, log); it says why
#                             3: it runs, but the instances it names do not; it says why
#
# A checkout without a binary builds one first. SLUICE_HOME is the folder that holds conf/,
# instances/, logs/ and data/ (default: the one that holds bin/).
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start "$@"
