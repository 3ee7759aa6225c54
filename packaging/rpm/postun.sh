# shellcheck shell=sh
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
if [ "$1" -ge 1 ] && [ -d /run/systemd/system ]; then
    systemctl try-restart sluice.service || true
fi
