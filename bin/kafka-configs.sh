#!/usr/bin/env bash
# kafka-configs: shows and changes the settings of topics.
# Kafka's own options; no JVM. --help lists them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_binary
exec "$binary" configs "$@"
