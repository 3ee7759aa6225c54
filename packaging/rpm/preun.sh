# shellcheck shell=sh
# Only a removal stops the service; an upgrade restarts it behind.
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl disable --now sluice.service || true
fi
