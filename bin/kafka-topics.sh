#!/usr/bin/env bash
# kafka-topics: makes, lists, describes, grows and deletes topics.
# Kafka's own options; no JVM. --help lists them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_binary
exec "$binary" topics "$@"
