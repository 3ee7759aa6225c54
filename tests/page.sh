#!/usr/bin/env bash
# The page in headless Chromium, over a running sluice with a real MySQL, load, a group that reads,
# an instance that has stopped, and at the end a process that is gone.
#
# tests/page.sh: runs bin/demo.sh, and tests/page/drive.mjs against it. Needs node, npm and chromium;
# what is fetched is kept in target/page, and so are the pictures of each screen.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/page
mkdir -p "$work"
rm -rf "$work"/*.png "$work"/profile-*

for tool in node npm chromium; do
    command -v "$tool" >/dev/null || { echo "page: $tool is missing (packages: npm chromium)" >&2; exit 1; }
done
[ -e "$work/node_modules/axe-core/axe.min.js" ] ||
    npm install --silent --no-audit --no-fund --prefix "$work" axe-core@4 >"$work/npm.log" 2>&1 ||
    { cat "$work/npm.log"; exit 1; }

load=
stop_all() {
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    "$root/bin/demo.sh" --stop >/dev/null
}
trap stop_all EXIT
"$root/bin/demo.sh" >"$work/demo.log" 2>&1 || { cat "$work/demo.log"; exit 1; }
# shellcheck disable=SC1091
. "$root/.demo/ports"
export SLUICE_HOME=$root/.demo
# shellcheck source=bin/lib.sh
. "$root/bin/lib.sh"
find_binary

# A file that the server never had: the instance stops, with advice.
mkdir -p "$SLUICE_HOME/instances/lost"
sed -e 's/^canal.instance.master.journal.name *=.*/canal.instance.master.journal.name = binlog.009999/' \
    -e 's/^canal.instance.master.position *=.*/canal.instance.master.position = 4/' \
    "$SLUICE_HOME/instances/demo/instance.properties" >"$SLUICE_HOME/instances/lost/instance.properties"
# shellcheck disable=SC2154
"$root/bin/kafka-console-consumer.sh" --bootstrap-server "127.0.0.1:$broker" --topic bigdata.test \
    --group readers --from-beginning --max-messages 2 --timeout-ms 20000 >/dev/null
# shellcheck disable=SC2154
sql=("$target/servers/mysql/bin/mysql" -h 127.0.0.1 -P "$mysql_port" -u root bigdata)
(while echo "INSERT INTO test (name, price) SELECT 'load', 1 FROM information_schema.columns LIMIT 200;" |
    "${sql[@]}" 2>/dev/null; do sleep 0.2; done) &
load=$!
tries=0
# It says so by its exit code, too.
until grep -q 'lost: stopped' <<<"$("$binary" health || true)"; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo 'page: the instance without its file does not stop' >&2; exit 1; }
    sleep 0.2
done
echo 'a long password' | "$binary" user add alice --role view >/dev/null
link=$("$binary" login | head -1)
# shellcheck disable=SC2154
node tests/page/drive.mjs "http://127.0.0.1:$metrics" "$link" "$work" "$(cat "$SLUICE_HOME/sluice.pid")"
