#!/usr/bin/env bash
# Stops the sluice of SLUICE_HOME: it finishes what it has in hand, and ends.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
stop
