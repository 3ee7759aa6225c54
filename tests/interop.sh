#!/usr/bin/env bash
# Other people's programs against a running sluice: Apache Kafka's own tools, kcat, kafka-python,
# and kafkajs where npm is.
#
# tests/interop.sh: runs bin/demo.sh, which publishes the rows of bigdata.test, and then reads
# them with each client from the beginning, in groups, from committed offsets and by timestamp;
# Kafka's DumpLogSegments reads our files. Then sluice writes into a real node of Kafka, and what
# Kafka's own console consumer reads there makes the table of the source. Needs java, mvn, python3 with
# venv, and kcat; what it fetches is kept in target/servers and target/interop.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/interop
kafka=$target/servers/kafka/bin/kafka-run
topic=bigdata.test
mkdir -p "$work"

for tool in java mvn python3 kcat; do
    command -v "$tool" >/dev/null || { echo "interop: $tool is missing (packages: default-jdk-headless maven python3-venv kcat)" >&2; exit 1; }
done

passed=0 failed=0
# check NAME WANTED GOT: compares two texts.
check() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
        echo "ok     $1"
    else
        failed=$((failed + 1))
        echo "FAILED $1"
        diff <(echo "$2") <(echo "$3") | head -20 | sed 's/^/       /' || true
    fi
}
# contains NAME PATTERN TEXT: an extended regular expression must match a line.
contains() {
    if grep -qE -- "$2" <<<"$3"; then
        passed=$((passed + 1))
        echo "ok     $1"
    else
        failed=$((failed + 1))
        printf 'FAILED %s: no line matches %s in\n%s\n' "$1" "$2" "$3"
    fi
}

"$root/tests/servers/fetch-kafka.sh" "$target/servers/kafka"
if [ ! -e "$work/venv/.complete" ]; then
    rm -rf "$work/venv"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check kafka-python==2.2.15
    touch "$work/venv/.complete"
fi

trap '"$root/bin/demo.sh" --stop >/dev/null' EXIT
"$root/bin/demo.sh" >"$work/demo.log" 2>&1 || { cat "$work/demo.log"; exit 1; }
# shellcheck disable=SC1091
. "$root/.demo/ports"
# shellcheck disable=SC2154
server=127.0.0.1:$broker
wanted=$(cat "$root/.demo/read.jsonl")
first=$(head -2 <<<"$wanted") rest=$(tail -n +3 <<<"$wanted")
count=$(wc -l <<<"$wanted")

echo "== Apache Kafka's tools"
console() {
    "$kafka" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$server" \
        --topic "$topic" --timeout-ms 20000 "$@" 2>"$work/console.log" || tail -5 "$work/console.log"
}
groups() { "$kafka" org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$server" "$@" 2>&1; }
topics() { "$kafka" org.apache.kafka.tools.TopicCommand --bootstrap-server "$server" "$@" 2>&1; }

check 'console consumer, from the beginning' "$wanted" "$(console --from-beginning --max-messages "$count")"
check 'console consumer, in a group' "$first" "$(console --group apache --from-beginning --max-messages 2)"
check 'console consumer, the group goes on' "$rest" "$(console --group apache --from-beginning --max-messages $((count - 2)))"
contains 'groups, list' '^apache$' "$(groups --list)"
contains 'groups, describe: nothing is left' "apache +$topic +0 +$count +$count +0" "$(groups --describe --group apache)"
contains 'groups, reset to the earliest' "apache +$topic +0 +0" \
    "$(groups --reset-offsets --group apache --topic "$topic" --to-earliest --execute)"
check 'console consumer, the group reads it again' "$wanted" "$(console --group apache --max-messages "$count")"
contains 'groups, reset by time' "apache +$topic +0 +0" \
    "$(groups --reset-offsets --group apache --topic "$topic" --to-datetime 2020-01-01T00:00:00.000 --execute)"
contains 'topics, list' "^$topic\$" "$(topics --list)"
contains 'topics, describe' "Topic: $topic.*PartitionCount: 1.*ReplicationFactor: 1" "$(topics --describe --topic "$topic")"
contains 'topics, create' 'Created topic interop' "$(topics --create --topic interop --partitions 3 --replication-factor 1)"
contains 'topics, a second replica is refused' 'InvalidReplicationFactor' "$(topics --create --topic two --replication-factor 2 || true)"
seq 1 100 | "$kafka" org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$server" --topic interop 2>"$work/producer.log"
check 'console producer, and what it wrote' "$(seq 1 100)" \
    "$(topic=interop console --from-beginning --max-messages 100 | sort -n)"
contains 'offsets by GetOffsetShell' "^$topic:0:$count\$" \
    "$("$kafka" org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$server" --topic "$topic" 2>&1)"
dump=$("$kafka" org.apache.kafka.tools.DumpLogSegments --deep-iteration --print-data-log \
    --files "$(echo "$root/.demo/data/$topic-0/"*0.log)" 2>&1 || true)
contains 'DumpLogSegments reads our segment' 'isvalid: true' "$dump"
check 'DumpLogSegments finds each record' "$count" "$(grep -c '| offset:' <<<"$dump")"

echo "== kcat ($(kcat -V | grep -o 'librdkafka [0-9.]*'))"
check 'kcat, from the beginning' "$wanted" "$(kcat -b "$server" -C -t "$topic" -o beginning -e -q)"
check 'kcat, in a group' "$first" \
    "$(kcat -b "$server" -G kcat -X auto.offset.reset=earliest -c 2 -q "$topic" 2>/dev/null)"
check 'kcat, the group goes on' "$rest" \
    "$(kcat -b "$server" -G kcat -X auto.offset.reset=earliest -c $((count - 2)) -q "$topic" 2>/dev/null)"
check 'kcat, offset by time' "$topic [0] offset 0" "$(kcat -b "$server" -Q -t "$topic:0:1577836800000" | head -1)"
contains 'kcat, headers' 'tx=0' "$(kcat -b "$server" -C -t "$topic" -o beginning -e -q -f '%h\n')"

echo '== kafka-python'
python() { "$work/venv/bin/python" - "$server" "$topic" "$@" 2>"$work/python.log" || tail -5 "$work/python.log"; }
check 'kafka-python, from the beginning' "$wanted" "$(python <<'PY'
import sys
from kafka import KafkaConsumer
for record in KafkaConsumer(sys.argv[2], bootstrap_servers=sys.argv[1], auto_offset_reset="earliest",
                            enable_auto_commit=False, consumer_timeout_ms=4000):
    print(record.value.decode())
PY
)"
in_group() {
    python "$1" <<'PY'
import sys
from kafka import KafkaConsumer
from kafka.structs import OffsetAndMetadata, TopicPartition
consumer = KafkaConsumer(sys.argv[2], bootstrap_servers=sys.argv[1], group_id="python",
                         auto_offset_reset="earliest", enable_auto_commit=False, consumer_timeout_ms=20000)
left = int(sys.argv[3])
for record in consumer:
    print(record.value.decode())
    left -= 1
    if not left:
        break
at = TopicPartition(record.topic, record.partition)
consumer.commit({at: OffsetAndMetadata(record.offset + 1, "", -1)})
consumer.close()
PY
}
check 'kafka-python, in a group' "$first" "$(in_group 2)"
check 'kafka-python, the group goes on' "$rest" "$(in_group $((count - 2)))"
check 'kafka-python, seek by timestamp' "$wanted" "$(python <<'PY'
import sys
from kafka import KafkaConsumer, TopicPartition
consumer = KafkaConsumer(bootstrap_servers=sys.argv[1], enable_auto_commit=False, consumer_timeout_ms=4000)
partition = TopicPartition(sys.argv[2], 0)
consumer.assign([partition])
consumer.seek(partition, consumer.offsets_for_times({partition: 1577836800000})[partition].offset)
for record in consumer:
    print(record.value.decode())
PY
)"

if command -v npm >/dev/null && npm install --silent --prefix "$work/node" kafkajs@2.2.4 >"$work/npm.log" 2>&1; then
    echo '== kafkajs'
    # kafkajs COUNT: as a member of a group, the next COUNT values.
    kafkajs() {
        NODE_PATH=$work/node/node_modules KAFKAJS_NO_PARTITIONER_WARNING=1 timeout 60 \
            node - "$server" "$topic" "$@" 2>"$work/node.log" <<'JS' || tail -5 "$work/node.log"
const { Kafka, logLevel } = require('kafkajs')
const [server, topic, count] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'interop', brokers: [server], logLevel: logLevel.ERROR })
const consumer = kafka.consumer({ groupId: 'kafkajs' })
let left = Number(count)
const done = (async () => {
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise((resolve) => consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      if (left === 0) return
      console.log(message.value.toString())
      await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
      if (--left === 0) resolve()
    },
  }))
  await consumer.disconnect()
})()
done.catch((error) => { console.error(error); process.exit(1) })
JS
    }
    check 'kafkajs, in a group' "$first" "$(kafkajs 2)"
    check 'kafkajs, the group goes on' "$rest" "$(kafkajs $((count - 2)))"
    check 'kafkajs, compressed, idempotent, and found by time' 'gzip 500' "$(
        NODE_PATH=$work/node/node_modules KAFKAJS_NO_PARTITIONER_WARNING=1 timeout 60 node - "$server" 2>"$work/node.log" <<'JS'
const { Kafka, CompressionTypes, logLevel } = require('kafkajs')
const kafka = new Kafka({ clientId: 'interop', brokers: [process.argv[2]], logLevel: logLevel.ERROR })
const run = async () => {
  const [admin, topic] = [kafka.admin(), 'interop-kafkajs']
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = [...Array(1000).keys()].map((n) => ({ value: `value ${n}`, timestamp: String(1000000 + n) }))
  await producer.send({ topic, compression: CompressionTypes.GZIP, messages })
  const [{ offset }] = await admin.fetchTopicOffsetsByTimestamp(topic, 1000500)
  console.log('gzip', offset)
  await producer.disconnect()
  await admin.disconnect()
}
run().catch((error) => { console.error(error); process.exit(1) })
JS
    )"
else
    echo 'not run: kafkajs (npm is missing, or cannot install it)'
fi

echo "== Into Apache Kafka itself"
# sql STATEMENTS: at the demo's MySQL server.
# shellcheck disable=SC2154
sql() { "$target/servers/mysql/bin/mysql" -h 127.0.0.1 -P "$mysql_port" -u root -N -B -e "$1"; }
# free_port FROM: a port of loopback that nobody listens on.
free_port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}
cluster=$work/cluster
rm -rf "$cluster"
mkdir -p "$cluster/conf" "$cluster/instances/interop"
port=$(free_port 19092)
server=127.0.0.1:$port
"$target/servers/kafka/bin/kafka-broker" "$cluster/kafka" "$port" "$(free_port $((port + 1)))" >"$cluster/kafka.log" 2>&1 &
kafka_pid=$!
cat >"$cluster/conf/canal.properties" <<CONF
canal.serverMode = kafka
kafka.bootstrap.servers = $server
canal.destinations = interop
canal.metrics.pull.port = $(free_port 11212)
CONF
# shellcheck disable=SC2154
cat >"$cluster/instances/interop/instance.properties" <<CONF
canal.instance.master.address = 127.0.0.1:$mysql_port
canal.instance.dbUsername = canal
canal.instance.dbPassword = canal
canal.instance.filter.regex = interop\\\\..*
CONF
stop_cluster() {
    SLUICE_HOME=$cluster "$root/bin/stop.sh" >/dev/null 2>&1 || true
    kill "$kafka_pid" 2>/dev/null || true
    "$root/bin/demo.sh" --stop >/dev/null
}
trap stop_cluster EXIT
sql 'DROP DATABASE IF EXISTS interop; CREATE DATABASE interop;
    CREATE TABLE interop.t (id INT PRIMARY KEY, name VARCHAR(20), price DECIMAL(8,2))'
SLUICE_HOME=$cluster SLUICE_START_TIMEOUT=120 "$root/bin/startup.sh" >"$cluster/start.log" 2>&1 || cat "$cluster/start.log"
sql "USE interop;
    INSERT INTO t VALUES (1, 'apple', 1.20), (2, 'pear', 2.50), (3, NULL, 0), (4, 'fig', 4);
    BEGIN; INSERT INTO t VALUES (5, 'never', 5); UPDATE t SET price = 9; ROLLBACK;
    BEGIN; UPDATE t SET price = price * 2 WHERE id < 3; DELETE FROM t WHERE id = 3; COMMIT;
    UPDATE t SET id = 7 WHERE id = 4;
    INSERT INTO t VALUES (100, 'last', 100)"
# Prints the table that the topic's messages make, as it is behind each of them.
replay=$(cat <<'PY'
import json, sys
rows = {}
for line in sys.stdin:
    message = json.loads(line)
    if message["isDdl"]:
        continue
    for row, old in zip(message["data"], message.get("old") or [{}] * len(message["data"])):
        if message["type"] != "INSERT":
            del rows[int(old.get("id", row["id"]))]
        if message["type"] != "DELETE":
            rows[int(row["id"])] = [row["id"], row["name"] or "NULL", row["price"]]
print("\n".join("\t".join(rows[id]) for id in sorted(rows)))
PY
)
table=$(sql 'SELECT * FROM interop.t ORDER BY id')
# Until all of it is there; the consumer ends by its time-out.
for _ in 1 2 3 4 5 6; do
    messages=$(topic=interop.t console --from-beginning --isolation-level read_committed | grep '^{' || true)
    ! grep -q '"last"' <<<"$messages" || break
done
check 'console consumer, read_committed, of a cluster: the messages make the table' "$table" "$(python3 -c "$replay" <<<"$messages")"
contains 'transactions, list: those of the instance are ended' '__sluice.interop[[:space:]].*(CompleteCommit|Empty)' \
    "$("$kafka" org.apache.kafka.tools.TransactionsCommand --bootstrap-server "$server" list 2>&1)"
check 'transactions, find-hanging: none' '' \
    "$("$kafka" org.apache.kafka.tools.TransactionsCommand --bootstrap-server "$server" find-hanging --broker-id 1 2>/dev/null | tail -n +2)"
contains 'groups, describe: the lock has one member' '__sluice.interop.lock +__sluice.interop.lock +0 ' \
    "$("$kafka" org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$server" --describe --group __sluice.interop.lock 2>&1)"

echo "interop: $passed passed, $failed failed"
[ "$failed" = 0 ]
