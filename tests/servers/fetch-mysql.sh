#!/usr/bin/env bash
# fetch-mysql.sh DIR: a MySQL server in DIR, without installing anything and without root.
#
# Out: DIR/bin/{mysqld,mysql,mysqlbinlog,mysqldump,mysqladmin}, and DIR/data, an initialised data
# directory: user root without a password, and user canal (password canal) with the rights of a
# replica. Copy the data directory for each server started. Run again, it does nothing.
# Debian has MySQL in its unstable suite only; Ubuntu in each release.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/packages.sh"

[ $# = 1 ] || die "usage: $0 DIR"

is_ubuntu() { grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; }

build() {
    local dir=$1 name
    if command -v apt-get >/dev/null; then
        if is_ubuntu; then
            unpack "$dir" own,own-updates,own-security mysql-server-core-8.0 mysql-client-core-8.0
        else
            unpack "$dir" sid mysql-server-core mysql-client-core
        fi
        starter "$dir" mysqld usr/sbin/mysqld usr/lib/mysql/private
        for name in mysql mysqlbinlog mysqldump mysqladmin; do
            starter "$dir" "$name" "usr/bin/$name" usr/lib/mysql/private
        done
        # The server's own folders, which it would look for under /usr.
        cat >"$dir/bin/mysqld.tmp" <<'STARTER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
usr=$here/../root/usr
exec "$here/mysqld.bare" --no-defaults --basedir="$usr" --lc-messages-dir="$usr/share/mysql" \
    --character-sets-dir="$usr/share/mysql/charsets" --plugin-dir="$usr/lib/mysql/plugin" --secure-file-priv= "$@"
STARTER
        mv "$dir/bin/mysqld" "$dir/bin/mysqld.bare"
        mv "$dir/bin/mysqld.tmp" "$dir/bin/mysqld"
        chmod +x "$dir/bin/mysqld"
    elif command -v mysqld >/dev/null; then
        mkdir "$dir/bin"
        printf '#!/bin/sh\nexec "%s" --no-defaults "$@"\n' "$(command -v mysqld)" >"$dir/bin/mysqld"
        chmod +x "$dir/bin/mysqld"
        for name in mysql mysqlbinlog mysqldump mysqladmin; do
            ln -s "$(command -v "$name" || echo /nonexistent)" "$dir/bin/$name"
        done
    else
        die "neither apt-get nor mysqld is here; give a running server by SLUICE_TEST_MYSQL"
    fi
    initialise "$dir"
}

initialise() {
    local dir=$1 user=()
    [ "$(id -u)" != 0 ] || user=(--user=root)
    say "initialising the data directory"
    # The server reads statements of an init file one a line.
    cat >"$dir/accounts.sql" <<'SQL'
CREATE USER root@'%' IDENTIFIED BY '';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE USER canal@'%' IDENTIFIED BY 'canal';
GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO canal@'%';
SQL
    "$dir/bin/mysqld" "${user[@]}" --datadir="$dir/data" --initialize-insecure \
        --init-file="$dir/accounts.sql" --innodb-redo-log-capacity=8M --disable-log-bin \
        --mysqlx=OFF >"$dir/initialise.log" 2>&1 ||
        { tail -20 "$dir/initialise.log" >&2; die "mysqld --initialize failed"; }
    # Each server shall make a UUID of its own.
    rm -f "$dir/data/auto.cnf"
}

once "$1" build
say "MySQL is in $1"
