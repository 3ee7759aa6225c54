#!/usr/bin/env bash
# Makes what packages ship beside the program: completions and man pages, in target/packaging.
#
#   packaging/stage.sh [BINARY]     default: target/release/sluice
#
# The steps to a package: cargo build --release --locked, this, then `cargo deb --no-build --strip`,
# `cargo generate-rpm` or packaging/tarball.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-target/release/sluice}")
out=target/packaging
[ -x "$binary" ] || {
    echo "There is no program $binary: cargo build --release --locked" >&2
    exit 1
}
rm -rf "$out"
mkdir -p "$out/completions" "$out/man"
"$binary" completions bash >"$out/completions/sluice"
"$binary" completions zsh >"$out/completions/_sluice"
"$binary" completions fish >"$out/completions/sluice.fish"
"$binary" man >"$out/man/sluice.1"
for command in $("$binary" man list); do
    "$binary" man "$command" >"$out/man/sluice-$command.1"
done
gzip -9n "$out"/man/*.1
# What only a debugger reads is left out.
strip -o "$out/sluice" "$binary"
