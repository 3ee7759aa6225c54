#!/usr/bin/env bash
# fetch-kafka.sh DIR: Apache Kafka's own jars (broker and tools) in DIR, by Maven.
#
# Needs a JDK 17 or newer and mvn. Out: DIR/libs/*.jar, DIR/bin/kafka-run CLASS ARGUMENTS...,
# which runs one of Kafka's programs, and DIR/bin/kafka-broker FOLDER PORT, which runs a broker of
# one node on loopback with its data in FOLDER. Run again, it does nothing.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/packages.sh"

[ $# = 1 ] || die "usage: $0 DIR"
kafka=4.3.1
log4j=2.25.1

build() {
    local dir=$1
    mkdir "$dir/bin" "$dir/libs"
    pom >"$dir/pom.xml"
    say "fetching Kafka $kafka"
    mvn -q -B -f "$dir/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$dir/libs" >"$dir/maven.log" 2>&1 ||
        { tail -20 "$dir/maven.log" >&2; die "mvn cannot fetch Kafka $kafka"; }
    # Kafka's log lines go to stderr, warnings and worse; a tool's stdout is its answer.
    cat >"$dir/log4j2.properties" <<'LOG'
status = off
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = ${sys:kafka.log.level:-warn}
rootLogger.appenderRef.stderr.ref = stderr
LOG
    cat >"$dir/bin/kafka-run" <<'STARTER'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")
# shellcheck disable=SC2086
exec java ${KAFKA_JVM:--Xmx512m} -Dlog4j2.configurationFile="$home/log4j2.properties" -cp "$home/libs/*" "$@"
STARTER
    cat >"$dir/bin/kafka-broker" <<'STARTER'
#!/bin/sh
set -eu
run=$(dirname "$(readlink -f "$0")")/kafka-run
folder=$1 port=$2 controller=${3:-$(($2 + 1))}
mkdir -p "$folder"
if [ ! -e "$folder/server.properties" ]; then
    cat >"$folder/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$folder/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
CONF
    "$run" kafka.tools.StorageTool format --standalone -t "$("$run" kafka.tools.StorageTool random-uuid)" \
        -c "$folder/server.properties" >"$folder/format.log" 2>&1
fi
KAFKA_JVM="-Xmx512m -Dkafka.log.level=info" exec "$run" kafka.Kafka "$folder/server.properties"
STARTER
    chmod +x "$dir"/bin/*
}

# What to fetch. Kafka 4 brings slf4j 1.7, so the binding is not log4j-slf4j2-impl.
pom() {
    cat <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$kafka</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-api</artifactId><version>$log4j</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>$log4j</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-1.2-api</artifactId><version>$log4j</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$log4j</version></dependency>
  </dependencies>
</project>
POM
}

need_kafka() {
    local tool
    for tool in java mvn flock; do
        command -v "$tool" >/dev/null || die "$tool is missing: apt-get install -y default-jdk-headless maven"
    done
}

[ -e "$1/.complete" ] || need_kafka
once "$1" build
say "Kafka $kafka is in $1"
