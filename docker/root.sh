#!/bin/sh
# Gathers the root of the image: root.sh DIRECTORY. It runs in a Debian that has the program in
# /opt/sluice, and what docker/Dockerfile installs.
set -eu
out=$1
home=$out/opt/sluice
mkdir -p "$out/bin" "$out/etc/ssl/certs" "$out/usr/share" "$out/usr/lib/ssl" "$home"
cp -a /opt/sluice/. "$home/"
# What the loader will look for, at the same places; and itself.
ldd /opt/sluice/bin/sluice | grep -o '/[^ ]*' | sort -u | while read -r library; do
    mkdir -p "$out$(dirname "$library")"
    cp -L "$library" "$out$library"
done
# Names of machines.
for library in $(ldconfig -p | grep -o '/.*/libnss_\(dns\|files\)\.so\.2'); do
    mkdir -p "$out$(dirname "$library")"
    cp -L "$library" "$out$library"
done
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
ln -s /etc/ssl/certs "$out/usr/lib/ssl/certs"
ln -s /etc/ssl/certs/ca-certificates.crt "$out/usr/lib/ssl/cert.pem"
# Zones of sluice.timezone.
cp -a /usr/share/zoneinfo "$out/usr/share/zoneinfo"
rm -rf "$out/usr/share/zoneinfo/right" "$out/usr/share/zoneinfo/posix"
# A shell, for ${exec:..} and for looking around.
cp "$(command -v busybox)" "$out/bin/busybox"
for name in sh ls cat ps wget; do ln -s busybox "$out/bin/$name"; done
echo 'sluice:x:10001:10001:sluice:/opt/sluice:/bin/sh' >"$out/etc/passwd"
echo 'sluice:x:10001:' >"$out/etc/group"
mkdir -p "$home/data" "$home/logs" "$home/run" "$out/tmp"
chmod 1777 "$out/tmp"
chown -R 10001:10001 "$home/data" "$home/logs" "$home/run"
