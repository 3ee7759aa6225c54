# shellcheck shell=bash
# Sourced by the fetch scripts: unpacks Debian or Ubuntu packages into a private folder.
#
# In: the machine's own apt sources (which mirror), a suite, package names. Out: a folder that
# holds the unpacked files of those packages and of all that they depend on, the C library
# included, and starters in DIR/bin that run a program of it with the unpacked loader, so that
# nothing of the machine's own libraries is used or changed.
# Always: nothing is installed, no root is needed, a folder is whole or absent (built aside, then
# renamed), and two callers at once do the work once (a lock beside the folder).

set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }
need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "$tool is missing; install it, or give a running server by SLUICE_TEST_MYSQL / SLUICE_TEST_MARIADB"
    done
}

# once DIR FUNCTION: calls FUNCTION with an empty folder that becomes DIR, unless DIR is there.
once() {
    local dir=$1 build=$2
    mkdir -p "$(dirname "$dir")"
    exec 9>"$dir.lock"
    flock 9
    if [ -e "$dir/.complete" ]; then return; fi
    rm -rf "$dir" "$dir".new.*
    aside=$dir.new.$$
    trap 'rm -rf "$aside"' EXIT
    mkdir "$aside"
    "$build" "$aside"
    touch "$aside/.complete"
    mv "$aside" "$dir"
}

# The address of the archive that the machine takes its own release from.
own_archive() {
    [ -z "${SLUICE_DEBIAN_MIRROR:-}" ] || { echo "$SLUICE_DEBIAN_MIRROR"; return; }
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk -v release="$1" '$2 == release { print $1; exit }'
}

# unpack DIR SUITES ROOTS...: the named packages and their dependencies into DIR/root.
# SUITES are separated by commas; the first release named in /etc/os-release is "own". With
# `alone` set, nothing that they depend on.
unpack() {
    local dir=$1 suites=$2 apt=$1/apt archive keyring suite own id components pattern
    shift 2
    need apt-get apt-cache dpkg-deb flock awk
    # shellcheck disable=SC1091
    id=$(. /etc/os-release && echo "$ID")
    # shellcheck disable=SC1091
    own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    archive=$(own_archive "$own")
    [ -n "$archive" ] || die "no apt source of this machine names its release '$own'; name a mirror in SLUICE_DEBIAN_MIRROR"
    case $id in
    ubuntu) components='main universe' ;;
    *) components=main ;;
    esac
    keyring=/usr/share/keyrings/$id-archive-keyring.gpg
    [ -e "$keyring" ] && keyring="[signed-by=$keyring] " || keyring=
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$dir/root"
    : >"$apt/status"
    for suite in ${suites//,/ }; do
        echo "deb $keyring$archive ${suite/#own/$own} $components"
    done >"$apt/sources.list"
    local options=(
        -qq -o "Dir::State=$apt" -o "Dir::State::Lists=$apt/lists" -o "Dir::State::Status=$apt/status"
        -o "Dir::Cache=$apt/cache" -o "Dir::Etc::SourceList=$apt/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Languages=none
        -o Acquire::Retries=3 -o APT::Get::List-Cleanup=0
        # A frozen mirror or a clock that is off is no reason to fail; signatures are verified.
        -o Acquire::Check-Valid-Until=false
    )
    say "reading the package lists of ${suites/#own/$own}"
    apt-get "${options[@]}" update >"$apt/update.log" 2>&1 ||
        { cat "$apt/update.log" >&2; die "the package lists of ${suites/#own/$own} cannot be read from this machine's mirror"; }
    # What they run at installation, or what a server does without, is left out.
    pattern='^(perl|perl-base|perl-modules.*|libperl.*|debconf|dpkg|mysql-common|mariadb-common|adduser|passwd|init-system-helpers|systemd.*|tar)$'
    # `apt-get download` wants real packages: of virtual ones (<name>) a provider stands beside them.
    apt-cache "${options[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances "$@" >"$apt/depends" 2>"$apt/depends.log" ||
        { cat "$apt/depends.log" >&2; die "no package $* in ${suites/#own/$own}"; }
    [ -z "${alone:-}" ] || printf '%s\n' "$@" >"$apt/depends"
    awk '/^[a-z0-9]/ { print $1 }' "$apt/depends" | grep -v ':' | grep -Ev "$pattern" | sort -u >"$apt/names"
    say "fetching $(wc -l <"$apt/names") packages"
    mkdir "$apt/debs"
    (cd "$apt/debs" && xargs apt-get "${options[@]}" download <"$apt/names") >"$apt/download.log" 2>&1 ||
        { cat "$apt/download.log" >&2; die "some packages cannot be fetched"; }
    local deb
    for deb in "$apt"/debs/*.deb; do
        dpkg-deb -x "$deb" "$dir/root"
    done
    rm -rf "$apt"
}

# starter DIR NAME PROGRAM [LIBRARY_FOLDER]: DIR/bin/NAME runs DIR/root/PROGRAM by DIR's own loader.
starter() {
    local dir=$1 name=$2 program=$3 private=${4:-}
    mkdir -p "$dir/bin"
    cat >"$dir/bin/$name" <<STARTER
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")/root
for loader in "\$root"/usr/lib*/ld-linux-*.so.? "\$root"/lib*/ld-linux-*.so.? "\$root"/usr/lib/*/ld-linux-*.so.? "\$root"/lib/*/ld-linux-*.so.?; do
    [ -e "\$loader" ] && break
done
libraries=
for folder in "\$root"/lib/*-linux-gnu "\$root"/usr/lib/*-linux-gnu "\$root/$private"; do
    [ ! -d "\$folder" ] || libraries=\$libraries:\$folder
done
exec "\$loader" --library-path "\${libraries#:}" "\$root/$program" "\$@"
STARTER
    chmod +x "$dir/bin/$name"
}
