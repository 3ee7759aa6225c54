#!/bin/sh
# The program of the package, on the home that its service runs on: its commands find the service's
# configuration, and what root does there belongs to the service's account.
set -eu
program=/usr/lib/sluice/bin/sluice
if [ -z "${SLUICE_HOME:-}" ]; then
    SLUICE_HOME=/var/lib/sluice
    export SLUICE_HOME
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid=sluice --regid=sluice --init-groups "$program" "$@"
    fi
fi
exec "$program" "$@"
