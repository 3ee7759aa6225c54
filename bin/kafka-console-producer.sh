#!/usr/bin/env bash
# kafka-console-producer: writes lines of the standard input into a topic.
# Kafka's own options; no JVM. --help lists them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
find_binary
exec "$binary" produce "$@"
