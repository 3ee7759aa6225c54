#!/usr/bin/env bash
# The whole way on one machine: a MySQL server, sluice beside it, and a Kafka client that prints
# the row changes of table bigdata.test as JSON.
#
#   bin/demo.sh                 runs it and leaves everything running, to play on
#   bin/demo.sh --once          stops everything at its end
#   bin/demo.sh --stop          stops what an earlier run left running
#   bin/demo.sh --docker        takes MySQL from Docker
#   bin/demo.sh --mysql HOST:PORT    uses your server; MYSQL_USER (root) and MYSQL_PWD are an account
#                               that may create an account, a database and a table there
#
# Without --docker and --mysql a MySQL server is unpacked (not installed) into target/servers.
# All else goes to the folder .demo; delete it and nothing is left.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
home=$root/.demo
servers=${CARGO_TARGET_DIR:-$root/target}/servers
export SLUICE_HOME=$home
# shellcheck source=bin/lib.sh
. "$root/bin/lib.sh"

# A heading, bold on a terminal.
say() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }

once='' docker='' address=''
while [ $# -gt 0 ]; do
    case $1 in
    --once) once=1 ;;
    --stop) once=stop ;;
    --docker) docker=1 ;;
    --mysql) address=${2:?--mysql wants HOST:PORT}; shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit ;;
    *) die "$1 is no option; see bin/demo.sh --help" ;;
    esac
    shift
done

stop_all() {
    [ ! -e "$home/sluice.pid" ] || "$root/bin/stop.sh" || true
    if [ -e "$home/mysql/server.pid" ]; then
        kill "$(cat "$home/mysql/server.pid")" 2>/dev/null || true
        local tries=0
        while [ -e "$home/mysql/server.pid" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    fi
    if [ -e "$home/container" ]; then docker rm -f "$(cat "$home/container")" >/dev/null || true; fi
    rm -f "$home/container"
}

if [ "$once" = stop ]; then
    stop_all
    echo 'stopped; the folder .demo may be deleted'
    exit 0
fi

# A port of loopback that nobody listens on, near the one asked for.
free_port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

# Sets host, port, user and sql, the command that runs SQL from its standard input.
mysql_server() {
    user=${MYSQL_USER:-root} host=127.0.0.1
    if [ -n "$address" ]; then
        host=${address%:*} port=${address##*:}
        command -v mysql >/dev/null || "$root/tests/servers/fetch-mysql.sh" "$servers/mysql"
        sql=("$(command -v mysql || echo "$servers/mysql/bin/mysql")" -h "$host" -P "$port" -u "$user")
    elif [ -n "$docker" ]; then
        command -v docker >/dev/null || die '--docker wants docker, which is not here'
        port=$(free_port 13306)
        say "Starting MySQL in Docker on port $port"
        docker run --detach --publish "127.0.0.1:$port:3306" --env MYSQL_ALLOW_EMPTY_PASSWORD=yes mysql:9 >"$home/container"
        sql=(docker exec -i "$(cat "$home/container")" mysql -h 127.0.0.1 -u root)
    else
        [ -e "$servers/mysql/.complete" ] || say 'Fetching a MySQL server (60 MB; it is unpacked, not installed)'
        "$root/tests/servers/fetch-mysql.sh" "$servers/mysql"
        port=$(free_port 13306)
        say "Starting MySQL with row binlogs on port $port"
        cp -r "$servers/mysql/data" "$home/mysql"
        local as=()
        [ "$(id -u)" != 0 ] || as=(--user=root)
        setsid "$servers/mysql/bin/mysqld" "${as[@]}" --datadir="$home/mysql" --socket=server.sock \
            --pid-file="$home/mysql/server.pid" --bind-address=127.0.0.1 --port="$port" --mysqlx=OFF \
            --server-id=1 --log-bin=binlog --gtid-mode=ON --enforce-gtid-consistency=ON \
            --innodb-redo-log-capacity=8M </dev/null >"$home/mysql.log" 2>&1 &
        sql=("$servers/mysql/bin/mysql" -h "$host" -P "$port" -u root)
    fi
    local tries=0
    until echo 'SELECT 1' | "${sql[@]}" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { [ ! -e "$home/mysql.log" ] || tail -5 "$home/mysql.log"; die "MySQL at $host:$port does not answer"; }
        sleep 0.2
    done
    echo "CREATE USER IF NOT EXISTS 'canal'@'%' IDENTIFIED BY 'canal';
        GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'canal'@'%';" | "${sql[@]}"
}

# setting FILE KEY VALUE: prints the file with that value for the key.
setting() { sed "s|^$2 *=.*|$2 = $3|" "$1"; }

start_sluice() {
    broker=$(free_port 9092)
    metrics=$(free_port 11112)
    mkdir -p "$home/conf" "$home/instances/demo"
    # The shipped files, with what this run needs in the place of what they say.
    setting "$root/conf/canal.properties" canal.destinations demo |
        setting - canal.metrics.pull.port "$metrics" >"$home/conf/canal.properties"
    setting "$root/conf/server.properties" listeners "PLAINTEXT://127.0.0.1:$broker" |
        setting - log.dirs "$home/data" >"$home/conf/server.properties"
    setting "$root/instances/example/instance.properties" canal.instance.master.address "$host:$port" \
        >"$home/instances/demo/instance.properties"
    # For scripts that go on from here.
    printf 'broker=%s\nmetrics=%s\nmysql_port=%s\n' "$broker" "$metrics" "$port" >"$home/ports"
    say "Starting sluice: its Kafka broker on port $broker, health and metrics on port $metrics"
    "$root/bin/startup.sh"
}

# In a checkout cargo knows whether there is anything to build; bin/sluice is a link then, or absent.
if [ -e "$root/Cargo.toml" ] && [ -z "${SLUICE_BINARY:-}" ]; then
    if [ -L "$root/bin/sluice" ] || [ ! -e "$root/bin/sluice" ]; then build; fi
fi
stop_all
rm -rf "$home"
mkdir -p "$home"
trap 'stop_all' EXIT
mysql_server
start_sluice

changes="CREATE DATABASE IF NOT EXISTS bigdata;
USE bigdata;
CREATE TABLE IF NOT EXISTS test (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20), price DECIMAL(8,2));
INSERT INTO test (name, price) VALUES ('apple', 1.20), ('pear', 2.50);
UPDATE test SET price = price * 2 WHERE name = 'pear';
DELETE FROM test WHERE name = 'apple';"
say 'Changing rows in MySQL:'
echo "$changes"
echo "$changes" | "${sql[@]}"

read_it=(bin/kafka-console-consumer.sh --bootstrap-server "127.0.0.1:$broker" --topic bigdata.test --from-beginning)
say "What a Kafka client reads: ${read_it[*]}"
(cd "$root" && "${read_it[@]}" --max-messages 4 --timeout-ms 20000) | tee "$home/read.jsonl"
grep -q '"type":"DELETE"' "$home/read.jsonl" || die "the DELETE has not come; see $home/logs"

if [ -n "$once" ]; then
    say 'That was all; stopping'
    exit 0
fi
trap - EXIT
say 'All of it is still running. To go on playing:'
cat <<HINTS
  watch       ${read_it[*]}
  change rows ${sql[*]} bigdata
  health      curl -s http://127.0.0.1:$metrics/health
  page        SLUICE_HOME=.demo bin/sluice login     (prints a link)
  stop        bin/demo.sh --stop
Any Kafka client works: its bootstrap server is 127.0.0.1:$broker.
HINTS
