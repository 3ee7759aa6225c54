#!/usr/bin/env bash
# Makes the packages, and holds them to what they promise: the deb is installed on a bare Debian 12,
# its service's own command line runs there, tells that it is ready, answers, drains; and it is removed
# without a trace. The chart is linted, where there is helm.
#
#   packaging/check.sh [DEB]     a deb that is there already; else one is made
#
# As root, with debootstrap, cargo-deb and python3; cargo-generate-rpm and helm are used where they
# are there. The release build is made if there is none. SLUICE_DEBIAN_MIRROR is the mirror to fetch
# from (default: that of this machine's sources).
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "as root: it uses chroot" >&2; exit 1; }
for command in debootstrap cargo-deb python3; do
    command -v "$command" >/dev/null || { echo "$command is missing" >&2; exit 1; }
done
mirror=${SLUICE_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' | grep '/debian$' | head -n 1)}
deb=${1:-}
if [ -z "$deb" ]; then
    [ -x target/release/sluice ] || cargo build --release --locked
    packaging/stage.sh
    cargo deb --no-build --strip --quiet
    deb=$(find target/debian/ -name 'sluice_*.deb' -newer target/packaging/sluice | head -n 1)
fi
echo "== $deb: $(stat -c %s "$deb") bytes"

work=$(mktemp -d)
root=$work/root
running=
listener=
end() {
    for one in $running $listener; do kill "$one" 2>/dev/null || true; done
    umount "$root/proc" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
[ ! -e /etc/apt/apt.conf ] || cp /etc/apt/apt.conf "$root/etc/apt/"
cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
cp "$deb" "$root/sluice.deb"
# A link to /dev/null, a lock: what the package manager itself leaves is not ours. Neither is what it
# brings for us.
in_root apt-get install -y -qq --no-install-recommends adduser libssl3 zlib1g >/dev/null 2>&1
state() { (cd "$root" && find etc usr var/lib var/log -not -path 'var/lib/dpkg*' -not -path 'var/log/*' \
    -not -path 'var/lib/apt*' -not -name '*-' -not -name '.pwd.lock' | sort); getent_of; }
getent_of() { cut -d: -f1 "$root/etc/passwd" "$root/etc/group"; }
state >"$work/before"

echo "== install"
in_root apt-get install -y -qq --no-install-recommends ./sluice.deb >"$work/install.log" 2>&1 ||
    { cat "$work/install.log" >&2; exit 1; }
in_root sluice --version
[ "$(in_root stat -c %U:%G:%a /etc/sluice/canal.properties)" = root:sluice:640 ]
[ "$(in_root stat -c %U /var/lib/sluice)" = sluice ]
in_root sh -c 'zcat /usr/share/man/man1/sluice.1.gz' | grep -q 'TH sluice'
# What is not there in a bare root: the default source does not answer, and `check` says so.
if in_root sluice check >"$work/check.log" 2>&1; then
    echo "check finds a server where there is none" >&2
    exit 1
fi

echo "== run the unit"
unit=$root/usr/lib/systemd/system/sluice.service
[ -e "$unit" ] || unit=$root/lib/systemd/system/sluice.service
if command -v systemd-analyze >/dev/null; then
    systemd-analyze --root="$root" --man=no verify sluice.service 2>&1 | grep -i sluice && exit 1
fi
start=$(sed -n 's/^ExecStart=//p' "$unit")
environment=$(sed -n 's/^Environment=//p' "$unit")
# A socket as systemd has it, within the root; what is heard is a line each.
python3 - "$root/run/heard" >"$work/heard" <<'P' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
while True:
    print(s.recv(4096).decode(), flush=True)
P
listener=$!
# shellcheck disable=SC2086
chroot --userspec="$(in_root id -u sluice):$(in_root id -g sluice)" "$root" \
    env -i PATH=/usr/bin:/bin $environment NOTIFY_SOCKET=/run/heard WATCHDOG_USEC=2000000 \
    LISTENERS=PLAINTEXT://127.0.0.1:19092 CANAL_METRICS_PULL_PORT=21112 CANAL_IP=127.0.0.1 \
    $start >"$work/run.log" 2>&1 &
running=$!
heard() {
    local begun=$SECONDS
    until grep -q "^$1" "$work/heard"; do
        [ $((SECONDS - begun)) -lt 60 ] && kill -0 "$running" 2>/dev/null ||
            { echo "it never said $1:" >&2; cat "$work/heard" "$work/run.log" >&2; exit 1; }
        sleep 0.2
    done
}
heard READY=1
: >"$work/heard"
heard WATCHDOG=1
in_root env CANAL_METRICS_PULL_PORT=21112 CANAL_IP=127.0.0.1 sluice health >"$work/health" || true
grep -q "Kafka clients on 127.0.0.1:19092" "$work/health" || { cat "$work/health" >&2; exit 1; }
in_root sluice topics --list --bootstrap-server 127.0.0.1:19092 >/dev/null
in_root /usr/lib/sluice/bin/kafka-topics.sh --create --topic t --bootstrap-server 127.0.0.1:19092 2>&1 |
    tee "$work/topic" | grep -q 'Created topic' || { cat "$work/topic" >&2; exit 1; }
kill -TERM "$running"
heard STOPPING=1
wait "$running"
running=
grep -q 'sluice stopped' "$work/run.log"
# What the service needs to write lies in its own directories.
(cd "$root" && find var/lib/sluice var/log/sluice -newer "$work/install.log" -not -user "$(in_root id -u sluice)" \
    -not -type l) >"$work/foreign"
[ ! -s "$work/foreign" ] || { cat "$work/foreign" >&2; exit 1; }
kill "$listener"
listener=

echo "== remove"
in_root apt-get remove -y -qq sluice >/dev/null 2>&1
[ -e "$root/var/lib/sluice/data" ] && [ -e "$root/etc/sluice/canal.properties" ]
[ ! -e "$root/usr/bin/sluice" ] && [ ! -e "$root/usr/lib/sluice" ]
in_root apt-get purge -y -qq sluice >/dev/null 2>&1
state >"$work/after"
diff "$work/before" "$work/after" || { echo "this stays behind" >&2; exit 1; }

echo "== tarball"
tarball=$(packaging/tarball.sh)
mkdir "$work/home"
tar -xzf "$tarball" -C "$work/home"
for one in bin/sluice bin/startup.sh conf/canal.properties instances/example/instance.properties logs; do
    [ -e "$work/home/$one" ] || { echo "$tarball lacks $one" >&2; exit 1; }
done
"$work/home/bin/sluice" --version

echo "== rpm"
if command -v cargo-generate-rpm >/dev/null; then
    cargo generate-rpm
    ls -l target/generate-rpm/*.rpm
else
    echo "not made: there is no cargo-generate-rpm"
fi

echo "== chart"
if command -v helm >/dev/null; then
    helm lint --strict packaging/helm/sluice
    helm template sluice packaging/helm/sluice --set serviceMonitor.enabled=true >"$work/chart.yaml"
    python3 -c 'import sys, yaml; print(len([d for d in yaml.safe_load_all(open(sys.argv[1])) if d]), "objects")' \
        "$work/chart.yaml" || true
else
    echo "not linted: there is no helm"
fi
echo "== ok"
