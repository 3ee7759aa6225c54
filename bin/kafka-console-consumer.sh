#!/usr/bin/env bash
# kafka-console-consumer: prints the records of topics.
# Kafka's own options; no JVM. --help lists them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_binary
exec "$binary" consume "$@"
