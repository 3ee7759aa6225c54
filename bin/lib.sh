# shellcheck shell=bash
# What the scripts share: where things are, what must be installed, the binary, the process.
# Sourced, after `set -eu`; the caller is a script of this folder.

# The checkout or installation these scripts belong to, and the home they work on.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SLUICE_HOME=${SLUICE_HOME:-$root}
export SLUICE_HOME
pid_file=$SLUICE_HOME/sluice.pid

die() {
    echo "$*" >&2
    exit 1
}

# Fails with one line to install all that is missing.
check_prerequisites() {
    local missing=() line
    command -v c++ >/dev/null && command -v make >/dev/null || missing+=(build-essential)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
    command -v git >/dev/null || missing+=(git)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    if [ ${#missing[@]} -gt 0 ]; then
        line="apt-get install -y ${missing[*]}"
        [ "$(id -u)" = 0 ] || line="sudo $line"
        die "Some things are missing to build sluice; install them with
    $line"
    fi
    command -v cargo >/dev/null || die "Rust is missing to build sluice; get it with
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
}

# Builds the binary of a checkout.
build() {
    check_prerequisites
    echo "Building sluice; the first time it takes about 5 minutes on two cores." >&2
    (cd "$root" && CARGO_TARGET_DIR=$root/target cargo build --release --locked) ||
        die "The build failed; cargo says why above."
    link_binary
}

# A checkout's binary can be called as an installation's is: bin/sluice.
link_binary() {
    ln -sfn ../target/release/sluice "$root/bin/sluice" 2>/dev/null || true
}

# Sets `binary`: the one SLUICE_BINARY names, else what is here; a checkout that has none builds it.
find_binary() {
    binary=${SLUICE_BINARY:-}
    if [ -n "$binary" ]; then
        [ -x "$binary" ] || die "SLUICE_BINARY names $binary, which is no program"
        return 0
    fi
    binary=$root/bin/sluice
    [ ! -x "$binary" ] || return 0
    binary=$root/target/release/sluice
    if [ -x "$binary" ]; then
        link_binary
        return 0
    fi
    [ -e "$root/Cargo.toml" ] || die "There is no program $root/bin/sluice"
    build
    binary=$root/target/release/sluice
}

# Whether process $1 is a sluice that runs. A pid file can be stale, and its number taken by
# another program since.
is_sluice() {
    local name
    [ -n "$1" ] && kill -0 "$1" 2>/dev/null || return 1
    [ -e /proc/self/comm ] || return 0
    name=$(cat "/proc/$1/comm" 2>/dev/null) || return 1
    [ "$name" = sluice ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# Sets `pid` to the process of this home; fails if none runs. A stale pid file is removed.
find_process() {
    pid=
    [ -e "$pid_file" ] || return 1
    pid=$(cat "$pid_file" 2>/dev/null || true)
    case $pid in '' | *[!0-9]*) pid= ;; esac
    if is_sluice "$pid"; then return 0; fi
    rm -f "$pid_file"
    return 1
}

# start ARGUMENTS...: runs `sluice run ARGUMENTS` in the background and waits until it is ready.
# 0: all ready. 1: nothing runs. 3: it runs, but not every instance does.
start() {
    local output status=0
    find_binary
    if find_process; then
        echo "sluice is running already (pid $pid)"
        "$binary" health
        return
    fi
    mkdir -p "$SLUICE_HOME/logs"
    output=$SLUICE_HOME/logs/sluice_stdout.log
    # `setsid`: the terminal's Ctrl-C is not meant for it.
    setsid "$binary" run "$@" </dev/null >"$output" 2>&1 &
    pid=$!
    echo "$pid" >"$pid_file"
    # Whatever hinders it is in its output, warnings too.
    "$binary" health --wait "${SLUICE_START_TIMEOUT:-30}" --pid "$pid" \
        >"$output.health" 2>&1 || status=$?
    if ! is_sluice "$pid"; then
        rm -f "$pid_file" "$output.health"
        echo "sluice did not start:" >&2
        tail -n 40 "$output" >&2
        return 1
    fi
    cat "$output"
    cat "$output.health"
    rm -f "$output.health"
    if [ "$status" = 1 ]; then
        echo "It is not ready after ${SLUICE_START_TIMEOUT:-30} s (SLUICE_START_TIMEOUT); it goes on starting. See $SLUICE_HOME/logs/server.log" >&2
    fi
    return "$status"
}

# Asks the process of this home to drain, and waits until it has.
stop() {
    local begun=$SECONDS
    if ! find_process; then
        echo "sluice is not running"
        return 0
    fi
    echo "Stopping sluice (pid $pid)"
    kill -TERM "$pid"
    while is_sluice "$pid"; do sleep 0.1; done
    rm -f "$pid_file"
    echo "Stopped after $((SECONDS - begun)) s"
}
