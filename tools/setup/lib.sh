# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What the set-up scripts share; sourced, never run.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"
# shellcheck source=tools/versions.env
. "$ROOT/tools/versions.env"

CACHE=${RMM_CACHE:-$ROOT/build/cache}
case $CACHE in /*) ;; *) CACHE=$ROOT/$CACHE ;; esac
LOG=$CACHE/log
APT=$CACHE/apt

# A missing target must not make every call of cargo try the network.
export RUSTUP_AUTO_INSTALL=0

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# have_version OLDEST VERSION
have_version() { [ -n "$2" ] && dpkg --compare-versions "$2" ge "$1"; }

# logged NAME COMMAND...: runs quietly; the output is kept in a log file.
logged() {
    local log=$LOG/$1.log
    shift
    mkdir -p "$LOG"
    "$@" >"$log" 2>&1 </dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

can_root() { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }

qemu_version() { "$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9.]*[0-9]\).*/\1/p'; }

# --- Debian packages ---------------------------------------------------------
# The suites added here are known to this folder's apt state alone: the lists,
# sources and architectures of the machine stay as they are.

# Prints "URI SUITE" of every enabled binary source of the machine that is
# Debian's own: it has a component main and no other's key.
machine_sources() {
    local f files=()
    for f in /etc/apt/sources.list.d/*.sources; do
        [ -f "$f" ] && files+=("$f")
    done
    [ ${#files[@]} = 0 ] || awk '
        function flush(   i, j, n, m, u, s) {
            if (v["types"] ~ /(^|[ \t])deb([ \t]|$)/ && tolower(v["enabled"]) !~ /^[ \t]*(no|false|off|0)/ &&
                v["components"] ~ /(^|[ \t])main([ \t]|$)/ &&
                (v["signed-by"] !~ /\// || v["signed-by"] ~ /debian-archive/ || v["signed-by"] ~ /BEGIN PGP/)) {
                n = split(v["uris"], u); m = split(v["suites"], s)
                for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print u[i], s[j]
            }
            split("", v); key = ""
        }
        FNR == 1 { flush() }
        /^#/ { next }
        /^[ \t]*$/ { flush(); next }
        /^[ \t]/ { v[key] = v[key] " " $0; next }
        { i = index($0, ":"); key = tolower(substr($0, 1, i - 1)); v[key] = substr($0, i + 1) }
        END { flush() }
    ' "${files[@]}"
    files=()
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$f" ] && files+=("$f")
    done
    [ ${#files[@]} = 0 ] || awk '
        $1 == "deb" {
            sub(/#.*/, "")
            if ($0 ~ /signed-by=/ && $0 !~ /signed-by=[^] \t]*debian-archive/) next
            sub(/\[[^]]*\]/, "")
            for (i = 4; i <= NF; i++) if ($i == "main") { print $2, $3; break }
        }
    ' "${files[@]}"
}

# Writes the private lists: install (what the machine has, and QEMU's suite),
# rust, tfa and guest (for downloads only; guest is of another architecture).
apt_lists() {
    local codename mirror all options='' guest
    command -v apt-get >/dev/null || die "this machine has no apt-get: $1 cannot be installed from Debian's packages."
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    all=$(machine_sources)
    mirror=$(awk -v s="$codename" '$2 == s || $2 == "stable" || $2 == "oldstable" { print $1; exit }' <<<"$all")
    [ -n "$mirror" ] || die "no Debian mirror is configured in /etc/apt: $1 cannot be had."
    [ ! -r /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        options=" signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
    guest="[arch=arm64$options]"
    options="[arch=$(dpkg --print-architecture)$options]"
    mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial"
    {
        awk -v c="$codename" -v o="$options" '{ s = $2; sub(/-(updates|security|proposed-updates)$/, "", s) }
            s == c || s == "stable" || s == "oldstable" { print "deb", o, $1, $2, "main" }' <<<"$all"
        [ "$QEMU_SUITE" != "$codename-backports" ] || echo "deb $options $mirror $QEMU_SUITE main"
    } | sort -u >"$APT/install.list"
    echo "deb $options $mirror $RUST_SRC_SUITE main" >"$APT/rust.list"
    echo "deb-src $options $mirror $TFA_SUITE main" >"$APT/tfa.list"
    printf 'deb %s main\n' "$guest $mirror $LINUX_SUITE" "$guest $mirror $BUSYBOX_SUITE" >"$APT/guest.list"
}

# apt_options LIST: sets OPTIONS.
apt_options() {
    OPTIONS=(
        -o "Dir::Etc::sourcelist=$APT/$1.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$APT/lists" -o "Dir::Cache=$APT/cache"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::GzipIndexes=true -o Acquire::Retries=2
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
    )
    [ "$1" != guest ] || OPTIONS+=(-o APT::Architecture=arm64 -o APT::Architectures=arm64)
}

# apt_update LIST
apt_update() {
    local OPTIONS
    apt_options "$1"
    logged "apt-update-$1" apt-get "${OPTIONS[@]}" -o APT::Update::Error-Mode=any update
}

# apt_versions LIST PACKAGE: the versions to be had, newest first.
apt_versions() {
    local OPTIONS
    apt_options "$1"
    apt-cache "${OPTIONS[@]}" madison "$2" 2>/dev/null | awk '{ print $3 }' | awk '!seen[$0]++'
}

# choose WANTED OLDEST: of the versions on standard input the wanted one, else
# the newest of the same upstream version, else (OLDEST given) the newest that
# is not older. Sets nothing; prints it.
choose() {
    local all wanted=$1 oldest=$2 v
    all=$(cat)
    if grep -qxF -- "$wanted" <<<"$all"; then
        echo "$wanted"
        return
    fi
    for v in $all; do
        if [ "$(upstream "$v")" = "$(upstream "$wanted")" ]; then
            echo "$v"
            return
        fi
    done
    [ -n "$oldest" ] || return 0
    for v in $all; do
        if have_version "$oldest" "$(upstream "$v")"; then
            echo "$v"
            return
        fi
    done
}

# 1:10.0.2+ds-2 -> 10.0.2
upstream() { sed 's/^[0-9]*://; s/[^0-9.].*//' <<<"$1"; }

# moved_on NAME PINNED TAKEN
moved_on() { [ "$2" = "$3" ] || say "$1 $2 is no longer offered; takes $3."; }
