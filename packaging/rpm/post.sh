# shellcheck shell=sh
# The account, the home, and who may read the configuration: passwords stand in it.
getent passwd sluice >/dev/null || useradd --system --user-group --home-dir /var/lib/sluice --no-create-home \
    --shell /usr/sbin/nologin sluice
install -d -o sluice -g sluice -m 0750 /var/lib/sluice /var/log/sluice
[ -e /var/lib/sluice/conf ] || ln -s /etc/sluice /var/lib/sluice/conf
[ -e /var/lib/sluice/instances ] || ln -s /etc/sluice/instances /var/lib/sluice/instances
[ -e /var/lib/sluice/logs ] || ln -s /var/log/sluice /var/lib/sluice/logs
# An upgrade writes the files that it replaces as root's.
chgrp -R sluice /etc/sluice
if [ "$1" = 1 ]; then
    find /etc/sluice -type d -exec chmod 2770 {} +
    find /etc/sluice -type f -exec chmod 0640 {} +
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
