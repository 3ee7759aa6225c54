#!/usr/bin/env bash
# Packs sluice as canal.deployer is packed: bin, conf, instances and logs at the top, so that
#
#   mkdir sluice && tar -xzf sluice-VERSION-linux-ARCH.tar.gz -C sluice && sluice/bin/startup.sh
#
# is an installation. packaging/stage.sh comes before. Prints the name of the file.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x target/packaging/sluice ] || {
    echo "packaging/stage.sh comes first" >&2
    exit 1
}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
file=target/packaging/sluice-$version-linux-$(uname -m).tar.gz
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/logs" "$tree/share"
cp -r bin conf instances docs LICENSE README.md CHANGELOG.md "$tree/"
# They need a checkout.
rm -f "$tree/bin/demo.sh" "$tree/bin/sluice"
cp target/packaging/sluice "$tree/bin/sluice"
cp -r target/packaging/completions target/packaging/man "$tree/share/"
touch "$tree/logs/.keep"
tar -C "$tree" --owner=0 --group=0 --sort=name -czf "$file" .
echo "$file"
