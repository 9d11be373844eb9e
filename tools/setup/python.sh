#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Python with what the second verifier of tokens needs. Without it some tests are
# skipped; so this is tried once, and never fails.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(python3-cbor2 python3-cryptography)
tried=$CACHE/.python-tried

[ -z "${PYTHON:-}" ] && [ ! -f "$tried" ] && can_root && command -v apt-get >/dev/null || exit 0
# Debian's packages are of no use to another Python.
case $(command -v python3 || true) in
    '' | /usr/bin/python3) ;;
    *) exit 0 ;;
esac
! python3 -c 'import cbor2, cryptography' 2>/dev/null || exit 0

touch "$tried"
start=$SECONDS
apt_lists "${packages[*]}"
apt_update install || true
OPTIONS=()
apt_options install
if logged apt-python as_root env DEBIAN_FRONTEND=noninteractive apt-get "${OPTIONS[@]}" -y \
    --no-install-recommends --no-remove install "${packages[@]}"; then
    say "installed ${packages[*]} ($((SECONDS - start)) s)."
else
    say "${packages[*]} could not be installed: tests of the second verifier will be skipped."
fi
as_root rm -rf "$APT/cache/archives"
