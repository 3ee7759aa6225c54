#!/usr/bin/env bash
# make.sh: asks a real Apache Kafka 4.3 everything that tests/it/kafka_answers asks of us, and
# writes its answers here: keys.txt (the settings of a topic as its own table has them),
# settings.txt, batches.txt, requests.txt, contradictions.txt and repetitions.txt. It also asks Kafka's
# own clients, for src/config/cluster:
# client-keys.txt (their settings) and jaas-lines.txt (lines of sasl.jaas.config, and what is read of each).
# src/config/cluster/native.txt comes from the librdkafka that is built in: scope (C consumer, P producer, * both),
# name and range of its properties. Needs a JDK 17 and mvn. The tests compare with these files.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=$PWD/tests/golden/kafka
servers=${CARGO_TARGET_DIR:-$PWD/target}/servers
port=${1:-39392}

tests/servers/fetch-kafka.sh "$servers/kafka"
java -cp "$servers/kafka/libs/*" "$here/Keys.java" >"$here/keys.txt"
java -cp "$servers/kafka/libs/*" "$here/ClientKeys.java" >"$here/client-keys.txt"
java -cp "$servers/kafka/libs/*" "$here/JaasLines.java" >"$here/jaas-lines.txt"

rdkafka=$(cargo metadata --locked --format-version 1 | grep -o '[^"]*/rdkafka-sys-[^"/]*/Cargo.toml')
awk -F' *[|] *' '$2 ~ /^[CP*]$/ && $1 !~ /(_cb|opaque|_conf|_data)$|^(ssl_key|ssl_ca|ssl_certificate|builtin.features)$/ { print $2 "\t" $1 "\t" $3 }' \
    "$(dirname "$rdkafka")/librdkafka/CONFIGURATION.md" | sort -u -k2,2 -t"$(printf '\t')" >src/config/cluster/native.txt
# ciphers.txt: the registry's name and OpenSSL's of each cipher suite.
openssl ciphers -stdname ALL | awk '{ print $1 "\t" $3 }' >"$here/ciphers.txt"

folder=$(mktemp -d)
"$servers/kafka/bin/kafka-broker" "$folder" "$port" >"$folder/log" 2>&1 &
broker=$!
trap 'kill $broker; wait $broker || true; rm -rf "$folder"' EXIT
for _ in $(seq 120); do
    grep -q 'Kafka Server started' "$folder/log" && break
    sleep 0.5
done
SLUICE_KAFKA=127.0.0.1:$port cargo test --locked --test it kafka_answers:: -- --test-threads 1
