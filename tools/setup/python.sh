#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Python with what the second verifier of tokens needs. Without it some tests are
# skipped; so this is tried once, and never fails. --check only reports by its
# status whether there is nothing to be tried.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tools/setup/apt.sh
. "$ROOT/tools/setup/apt.sh"

packages=(python3-cbor2 python3-cryptography)
tried=$CACHE/.python-tried

if [ -n "${PYTHON:-}" ] || [ -f "$tried" ] || ! command -v apt-get >/dev/null || [ "$STATE" != "$CACHE" ]; then exit 0; fi
# Debian's packages are of no use to another Python.
case $(command -v python3 || true) in
    '' | /usr/bin/python3) ;;
    *) exit 0 ;;
esac
if python3 -c 'import cbor2, cryptography' 2>/dev/null; then exit 0; fi
if [ "${1:-}" = --check ]; then exit 1; fi

touch "$tried"
skipped="tests of the second verifier will be skipped (it needs ${packages[*]})"
may_install "${packages[*]}" || {
    say "installing packages needs root or sudo: $skipped."
    exit 0
}
start=$SECONDS
say "installs ${packages[*]} ..."
apt_list install "${packages[*]}"
apt_update install || true
OPTIONS=()
apt_options install
if logged python as_root env DEBIAN_FRONTEND=noninteractive apt-get "${OPTIONS[@]}" -y \
    --no-install-recommends --no-remove install "${packages[@]}" 9>&-; then
    say "installed ${packages[*]} ($((SECONDS - start)) s)."
else
    say "$skipped: $(reason python)"
fi
as_root rm -rf "$APT/cache/archives"
