#!/usr/bin/env bash
# kafka-consumer-groups: lists, describes, resets and deletes groups.
# Kafka's own options; no JVM. --help lists them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_binary
exec "$binary" groups "$@"
