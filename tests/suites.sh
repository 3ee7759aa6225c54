#!/usr/bin/env bash
# The suites of other people's clients against a running sluice: librdkafka's (out of the crate
# rdkafka-sys), kafka-python's and franz-go's (kgo, kadm). For whoever changes the broker; no part
# of CI, as it takes half an hour and wants compilers.
#
# tests/suites.sh [librdkafka|kafka-python|franz-go].. : all three without a name. Each suite gets a
# broker of its own with an empty log. SUITES_SERVER=host:port judges another server instead, a
# real Apache Kafka for instance. The outcome of each test is in target/suites/<suite>.txt; it ends
# with 1 if a test failed that is not in the lists below, each of which says why it fails.
#
# Needs cc, make, python3 with venv, go, and the network for the packages; SLUICE_BINARY (default
# target/release/sluice).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=${CARGO_TARGET_DIR:-$root/target}/suites
binary=${SLUICE_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/sluice}
mkdir -p "$work"
[ $# -gt 0 ] || set -- librdkafka kafka-python franz-go

# What fails for a known reason, one regular expression a line, `#` begins the reason.
known_librdkafka='
0077 # wants segments of 10,000 bytes: 1 MiB is the least, as in Kafka since 4.0
0081 do_test_[A-Za-z]*Acls # no authorizer, as a Kafka without one
0081 do_test_(AlterConfigs|IncrementalAlterConfigs) # sets an option of SASL of the running broker
0081 do_test_DescribeConfigs(_groups)? # settings of groups: KIP-848
0081 do_test_UserScramCredentials # SASL
0103 # transactions
0109 # ACLs
0115 # ACLs
0119 # ACLs
0129 # transactions
'
known_kafka_python='
test_create_describe_delete_acls # no authorizer, as a Kafka without one
test_kafka_version_infer # asks for DescribeLogDirs 5, which came with 4.3
test_transactional_producer # transactions
test_ssl_integration # wants to start a server of its own
'
known_franz_go='
TestTxnEtl # transactions
'

# Whether a failed test is among those that are known to fail.
is_known() { grep -qE -f <(sed 's/#.*//; s/ *$//; /^$/d' <<<"$1") <<<"$2"; }

broker=
stop() {
    [ -n "$broker" ] || return 0
    kill "$broker" 2>/dev/null && wait "$broker" 2>/dev/null || true
    broker=
}
trap stop EXIT

# Sets `server`: a broker of its own for suite $1 at port $2, with the settings in $3.
serve() {
    server=${SUITES_SERVER:-127.0.0.1:$2}
    [ -z "${SUITES_SERVER:-}" ] || return 0
    stop
    local home=$work/home-$1
    rm -rf "$home"
    mkdir -p "$home/conf"
    cat >"$home/conf/server.properties" <<CONF
listeners=PLAINTEXT://127.0.0.1:$2
advertised.listeners=PLAINTEXT://127.0.0.1:$2
node.id=0
log.dirs=$home/data
num.partitions=4
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
$3
CONF
    SLUICE_HOME=$home env "canal.metrics.pull.port=$(($2 + 1))" "$binary" run --broker-only \
        --server-properties "$home/conf/server.properties" >"$work/$1.broker.log" 2>&1 &
    broker=$!
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then return 0; fi
        kill -0 "$broker" || { cat "$work/$1.broker.log" >&2; exit 1; }
        sleep 0.1
    done
}

unexpected=0
# judge SUITE KNOWN: counts the lines `ok NAME`, `FAILED NAME` and `skipped NAME` of its outcome.
judge() {
    local outcome=$work/$1.txt name
    while read -r name; do
        if is_known "$2" "$name"; then
            echo "known  $1 $name"
        else
            echo "FAILED $1 $name"
            unexpected=$((unexpected + 1))
        fi
    done < <(sed -n 's/^FAILED //p' "$outcome")
    echo "$1: $(grep -c '^ok ' "$outcome" || true) passed," \
        "$(grep -c '^FAILED ' "$outcome" || true) failed, $(grep -c '^skipped ' "$outcome" || true) skipped"
}

# One test, or one part of it, into the outcome. KAFKA_PATH: some call bin/kafka-topics.sh.
librdkafka_one() {
    local built=$work/librdkafka name=$1${2:+ $2} outcome=ok
    (cd "$built/tests" && LD_LIBRARY_PATH=$built/src:$built/src-cpp KAFKA_PATH=$root BROKERS=$server \
        SLUICE_BINARY=$binary TEST_KAFKA_VERSION=4.0.0 TESTS=$1 SUBTESTS=$2 timeout 300 ./test-runner -p1 -Q -E) \
        >"$work/librdkafka.logs/${name// /-}.log" 2>&1 || outcome=FAILED
    [ $outcome = FAILED ] || ! grep -q 'SKIPPING TEST' "$work/librdkafka.logs/${name// /-}.log" || outcome=skipped
    echo "$outcome $name" >>"$work/librdkafka.txt"
}

librdkafka() {
    local built=$work/librdkafka crate test
    if [ ! -x "$built/tests/test-runner" ]; then
        cargo fetch --locked -q
        crate=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -name 'rdkafka-sys-*' | sort | tail -1)
        rm -rf "$built"
        cp -r "$crate/librdkafka" "$built"
        chmod -R u+w "$built"
        (cd "$built" && ./configure --disable-curl --disable-gssapi --enable-zlib && make libs && make -C tests build) \
            >"$work/librdkafka.build.log" 2>&1 || { tail "$work/librdkafka.build.log" >&2; return 1; }
    fi
    # Members of a group that come one after the other are to be in one generation (0118).
    serve librdkafka 29192 group.initial.rebalance.delay.ms=3000
    echo "bootstrap.servers=$server" >"$built/tests/test.conf"
    mkdir -p "$work/librdkafka.logs"
    : >"$work/librdkafka.txt"
    # All that want a broker.
    local all
    all=$(sed -n '/^struct test tests\[\]/,/^};/p' "$built/tests/test.c" | tr '\n' ' ' |
        grep -oE '_TEST\( *0[0-9]{3}_[A-Za-z0-9_]+, *[A-Z0-9_]+' | grep -v TEST_F_LOCAL | grep -oE '0[0-9]{3}' | sort -u)
    for test in $all; do
        [ "$test" != 0081 ] || continue
        librdkafka_one "$test" ""
    done
    # The first of these that fails would hide the others.
    for test in $(grep -oE '^static void do_test_[A-Za-z_]+' "$built/tests/0081-admin.c" | sed 's/.* //' | sort -u); do
        case $test in do_test_apis | do_test_acls_count) continue ;; esac
        librdkafka_one 0081 "$test"
    done
    judge librdkafka "$known_librdkafka"
}

kafka_python() {
    local version=3.0.12 source=$work/kafka_python-3.0.12 venv=$work/venv
    if [ ! -e "$venv/.complete" ]; then
        rm -rf "$venv" "$source"
        python3 -m venv "$venv"
        "$venv/bin/pip" download -q --no-deps --no-binary :all: -d "$work" "kafka-python==$version"
        tar -C "$work" -xzf "$work/kafka_python-$version.tar.gz"
        "$venv/bin/pip" install -q "$source" pytest pytest-mock pytest-timeout lz4 python-snappy zstandard crc32c
        # Two files that its source package leaves out; an external server needs no more of them.
        touch "$source/test/__init__.py"
        cat >"$source/test/service.py" <<'PY'
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def close(self):
        pass


class SpawnedService:
    pass
PY
        mkdir -p "$source/servers/none"
        touch "$venv/.complete"
    fi
    serve kafka-python 29202 group.initial.rebalance.delay.ms=0
    (cd "$source" && PYTHONPATH=$source KAFKA_VERSION=4.3.0 KAFKA_ROOT=$source/servers/none KAFKA_URI="kafka://$server" \
        "$venv/bin/python" -m pytest test/integration -p no:logging -rA -q --timeout=120) \
        >"$work/kafka-python.log" 2>&1 || true
    sed -nE 's/^PASSED ([^ ]+).*/ok \1/p; s/^(FAILED|ERROR) ([^ ]+).*/FAILED \2/p; s/^SKIPPED (.*)/skipped \1/p' \
        "$work/kafka-python.log" >"$work/kafka-python.txt"
    judge kafka-python "$known_kafka_python"
}

franz_go() {
    local source=$work/franz-go module
    if [ ! -e "$source/kgo.test" ]; then
        rm -rf "$source"
        mkdir -p "$source"
        (cd "$source" && go mod init suites >/dev/null 2>&1)
        for module in github.com/twmb/franz-go@v1.22.3 github.com/twmb/franz-go/pkg/kadm@v1.20.0; do
            (cd "$source" && go mod download "$module")
            cp -r "$(go env GOMODCACHE)/$module" "$source/$(basename "${module%@*}")"
        done
        chmod -R u+w "$source"
        (cd "$source/franz-go" && go test -c -o "$source/kgo.test" ./pkg/kgo)
        (cd "$source/kadm" && go test -c -o "$source/kadm.test" .)
    fi
    serve franz-go 29212 group.initial.rebalance.delay.ms=0
    : >"$work/franz-go.log"
    (cd "$source/franz-go/pkg/kgo" && KGO_SEEDS=$server KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-10000} \
        KGO_LOG_LEVEL=none "$source/kgo.test" -test.count=1 -test.timeout 30m -test.v -test.skip '^TestTxnEtl$') >>"$work/franz-go.log" 2>&1 || true
    (cd "$source/kadm" && KGO_SEEDS=$server "$source/kadm.test" -test.count=1 -test.v) >>"$work/franz-go.log" 2>&1 || true
    sed -nE 's/^ *--- PASS: ([^ ]+).*/ok \1/p; s/^ *--- FAIL: ([^ ]+).*/FAILED \1/p; s/^ *--- SKIP: ([^ ]+).*/skipped \1/p' \
        "$work/franz-go.log" >"$work/franz-go.txt"
    # Without transactions it waits for ever.
    echo 'FAILED TestTxnEtl' >>"$work/franz-go.txt"
    # A panic or the time limit leaves tests without an outcome.
    ! grep -qE '^panic:' "$work/franz-go.log" || echo 'FAILED panic' >>"$work/franz-go.txt"
    judge franz-go "$known_franz_go"
}

for suite; do
    case $suite in
    librdkafka) librdkafka ;;
    kafka-python) kafka_python ;;
    franz-go) franz_go ;;
    *) echo "suites: $suite is none: librdkafka, kafka-python, franz-go" >&2; exit 1 ;;
    esac
done
stop
[ "$unexpected" = 0 ]
