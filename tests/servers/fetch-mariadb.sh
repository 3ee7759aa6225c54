#!/usr/bin/env bash
# fetch-mariadb.sh DIR [newest]: a MariaDB server in DIR, without installing anything and without
# root.
#
# Out: DIR/bin/{mariadbd,mariadb,mariadb-binlog}, and DIR/data, an initialised data directory with
# the accounts of fetch-mysql.sh. Run again, it does nothing. The version is that of the machine's
# own release (Debian 12: 10.11), or the newest that Debian has; Ubuntu's newest is its own.
#
# fetch-mariadb.sh DIR [newest] plugins: what that server may load, in DIR/root/usr/lib/mysql/plugin;
# with `types` in its place, the types that its makers test plug-ins of types with.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/packages.sh"

case "${*:2}" in
'' | newest | plugins | 'newest plugins' | types | 'newest types') ;;
*) die "usage: $0 DIR [newest] [plugins | types]" ;;
esac
wanted=${2:-}

is_ubuntu() { grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; }

suites() {
    if is_ubuntu; then echo own,own-updates,own-security
    elif [ "$wanted" = newest ]; then echo sid
    else echo own,own-updates; fi
}

# A package that has plugins, and much else, which is not kept.
only_plugins() {
    command -v apt-get >/dev/null || die "the plugins of a server are fetched by apt-get"
    alone=yes unpack "$1" "$(suites)" "$2"
    find "$1/root" -type f ! -path "*/lib/mysql/plugin/$3" -delete
}

plugins() { only_plugins "$1" mariadb-server '*'; }
types() { only_plugins "$1" mariadb-test 'type_*.so'; }

build() {
    local dir=$1 name
    if command -v apt-get >/dev/null; then
        local suites
        suites=$(suites)
        unpack "$dir" "$suites" mariadb-server-core mariadb-client-core
        starter "$dir" mariadbd.bare usr/sbin/mariadbd
        for name in mariadb mariadb-binlog mariadb-dump mariadb-admin; do
            [ ! -e "$dir/root/usr/bin/$name" ] || starter "$dir" "$name" "usr/bin/$name"
        done
        # 11.8 names its folders for itself.
        cat >"$dir/bin/mariadbd" <<'STARTER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
usr=$here/../root/usr
share=$usr/share/mariadb
[ -d "$share" ] || share=$usr/share/mysql
exec "$here/mariadbd.bare" --no-defaults --basedir="$usr" --lc-messages-dir="$share" \
    --character-sets-dir="$share/charsets" --plugin-dir="$usr/lib/mysql/plugin" --secure-file-priv= "$@"
STARTER
        chmod +x "$dir/bin/mariadbd"
        share=$dir/root/usr/share/mariadb
        [ -d "$share" ] || share=$dir/root/usr/share/mysql
    elif command -v mariadbd >/dev/null; then
        mkdir "$dir/bin"
        printf '#!/bin/sh\nexec "%s" --no-defaults "$@"\n' "$(command -v mariadbd)" >"$dir/bin/mariadbd"
        chmod +x "$dir/bin/mariadbd"
        share=/usr/share/mariadb
        [ -d "$share" ] || share=/usr/share/mysql
    else
        die "neither apt-get nor mariadbd is here; give a running server by SLUICE_TEST_MARIADB"
    fi
    initialise "$dir"
}

# What mariadb-install-db does, without the script's own search for the server.
initialise() {
    local dir=$1 user=()
    [ "$(id -u)" != 0 ] || user=(--user=root)
    say "initialising the data directory"
    mkdir "$dir/data"
    {
        echo 'CREATE DATABASE mysql;'
        echo 'USE mysql;'
        echo "SET @auth_root_socket = NULL;"
        local own=mariadb
        [ -e "$share/mariadb_system_tables.sql" ] || own=mysql
        cat "$share/${own}_system_tables.sql" "$share/${own}_performance_tables.sql" \
            "$share/${own}_system_tables_data.sql"
        [ ! -e "$share/fill_help_tables.sql" ] || cat "$share/fill_help_tables.sql"
        echo "FLUSH PRIVILEGES;"
        echo "CREATE USER root@'%' IDENTIFIED BY '';"
        echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
        echo "CREATE USER canal@'%' IDENTIFIED BY 'canal';"
        echo "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO canal@'%';"
    } >"$dir/accounts.sql"
    "$dir/bin/mariadbd" "${user[@]}" --datadir="$dir/data" --bootstrap --skip-networking \
        --innodb-log-file-size=8M --max-allowed-packet=16M --net-buffer-length=16K \
        <"$dir/accounts.sql" >"$dir/initialise.log" 2>&1 ||
        { tail -20 "$dir/initialise.log" >&2; die "mariadbd --bootstrap failed"; }
}

case "${*: -1}" in
plugins | types)
    once "$1" "${*: -1}"
    say "plugins of MariaDB are in $1"
    exit
    ;;
esac
once "$1" build
say "MariaDB is in $1"
