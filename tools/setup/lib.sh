# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What the set-up scripts share; sourced, never run.
#
# Nothing in the cache has its final name before it is complete: it is made in
# $WORK and then renamed. A folder that is made this way has a file `sealed` with
# the hashes of the others, a downloaded file has its hash beside it.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"
# shellcheck source=tools/versions.env
. "$ROOT/tools/versions.env"

CACHE=${RMM_CACHE:-$ROOT/build/cache}
case $CACHE in /*) ;; *) CACHE=$ROOT/$CACHE ;; esac
# A cache that cannot be written, which is shared or part of an image, serves as it is.
STATE=$CACHE
if [ -d "$CACHE" ] && ! [ -w "$CACHE" ]; then STATE=$ROOT/build/setup; fi
LOG=$STATE/log
WORK=$CACHE/work
# A missing target must not make every call of cargo try the network.
export RUSTUP_AUTO_INSTALL=0
# The toolchain is the pinned one.
unset RUSTUP_TOOLCHAIN

trap 'printf "setup: %s stopped at line %s.\n" "${0##*/}" "$LINENO" >&2' ERR

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 2
}

# have_version OLDEST VERSION: compares numbers with dots. A VERSION that is none
# is not good enough.
have_version() {
    local i oldest version
    [[ $2 =~ ^[0-9]+(\.[0-9]+)*$ ]] || return 1
    IFS=. read -ra oldest <<<"$1"
    IFS=. read -ra version <<<"$2"
    for i in "${!oldest[@]}"; do
        if ((10#${version[i]:-0} != 10#${oldest[i]})); then
            ((10#${version[i]:-0} > 10#${oldest[i]}))
            return
        fi
    done
}

# 1:10.0.2+ds-2 -> 10.0.2
upstream() { sed 's/^[0-9]*://; s/[^0-9.].*//' <<<"$1"; }

qemu_version() { "$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9.]*[0-9]\).*/\1/p'; }

# logged NAME COMMAND...: runs a command whose output is kept in a log file. Every
# ten seconds a line says that it still runs.
logged() {
    local log=$LOG/$1.log status=0 pulse out ready
    shift
    mkdir -p "$LOG" || die "$LOG cannot be made."
    # It must outlive neither this script nor keep its output or the lock open. A shell that is killed before it
    # has begun runs the EXIT trap of this one: it says when it has.
    exec {out}>&1
    exec {ready}< <(
        trap - EXIT
        echo
        exec 9>&- </dev/null >&"$out" {out}>&-
        n=0
        while sleep 10 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
            n=$((n + 10))
            say "... $n s (${log#"$ROOT"/})"
        done
    )
    pulse=$!
    read -r -u "$ready" || true
    exec {out}>&- {ready}<&-
    "$@" >"$log" 2>&1 </dev/null || status=$?
    kill $pulse 2>/dev/null || true
    wait $pulse 2>/dev/null || true
    return $status
}

# reason NAME: why a logged command failed, in one line.
reason() {
    local log=$LOG/$1.log line pattern
    for pattern in 'No space left on device' '^E: ' '^sudo: ' '^error' 'error: ' '\*\*\*'; do
        line=$(grep -am1 -- "$pattern" "$log" 2>/dev/null) && break
    done
    [ -n "$line" ] || line=$(grep -a . "$log" 2>/dev/null | tail -n1) || true
    # A log on a full disk may be empty.
    if [ -z "$line" ] && [ "$(df -Pk "$LOG" 2>/dev/null | awk 'NR == 2 { print $4 }')" = 0 ]; then
        line='No space left on device'
    fi
    printf '%s (%s)' "${line:-no message}" "${log#"$ROOT"/}"
}

# --- The cache ----------------------------------------------------------------

# writable WHAT: ends if the cache cannot take it.
writable() {
    if ! mkdir -p "$WORK" 2>/dev/null || ! [ -w "$CACHE" ]; then
        die "$1 is not in the cache $CACHE, which cannot be written."
    fi
}

# hashes FOLDER: of all files in it but the seal itself.
hashes() {
    (cd "$1" && find . -type f ! -path "./sealed*" -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum)
}

# seal FOLDER WHAT: notes that FOLDER is complete, and what it was made from.
seal() {
    { echo "$2" && hashes "$1"; } >"$1/sealed.new"
    mv "$1/sealed.new" "$1/sealed"
}

# sealed FOLDER WHAT: whether FOLDER is complete, unchanged, and made from WHAT.
sealed() {
    [ -f "$1/sealed" ] && [ "$(head -n1 "$1/sealed")" = "$2" ] &&
        [ "$(tail -n +2 "$1/sealed")" = "$(hashes "$1")" ]
}

# broken FOLDER WHAT: whether FOLDER was made from WHAT, and is damaged.
broken() {
    [ -f "$1/sealed" ] && [ "$(head -n1 "$1/sealed")" = "$2" ] && ! sealed "$1" "$2"
}

# place NEW FINAL: replaces the folder FINAL by NEW.
place() {
    mkdir -p "$(dirname "$2")"
    rm -rf "$2"
    mv -T "$1" "$2"
}

# intact FILE: whether a downloaded file is as it was when it was downloaded.
# Reports and removes one that is not.
intact() {
    local hash
    [ -f "$1" ] || return 1
    hash=$(cat "$1.sha256" 2>/dev/null) || hash=
    if [ -n "$hash" ] && [ "$(sha256sum <"$1")" = "$hash  -" ]; then return; fi
    say "$(basename "$1") in the cache is damaged or unfinished: gets it again."
    rm -f "$1" "$1.sha256"
    return 1
}

# keep NEW HASH FILE: gives a file that was checked its name in the cache.
keep() {
    mkdir -p "$(dirname "$3")"
    echo "$2" >"$1.sha256"
    mv "$1.sha256" "$3.sha256"
    mv "$1" "$3"
}

# plain FOLDER: FOLDER, or one in its place whose name holds no character that a
# makefile or a list of flags would not stand.
plain() {
    case $1 in
        *[!A-Za-z0-9_./+-]*) mktemp -d "/tmp/rmm-setup-XXXXXX" ;;
        *) mkdir -p "$1" && echo "$1" ;;
    esac
}
