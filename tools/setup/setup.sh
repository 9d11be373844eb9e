#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# setup.sh [cc|packages|rust|tfa|guest|guest-rust|python]...: everything that is missing, by default all.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -gt 0 ] || set -- packages rust tfa guest guest-rust python

# Two calls of make at once must not install the same thing twice.
mkdir -p "$CACHE" 2>/dev/null || die "the cache folder $CACHE cannot be written."
exec 9>"$CACHE/.lock"
flock 9
for part in "$@"; do
    case $part in
        cc) "$ROOT/tools/setup/packages.sh" cc 9>&- ;;
        guest-rust) [ -n "${LINUX:-}" ] || "$ROOT/tools/setup/rust.sh" guest 9>&- ;;
        *) "$ROOT/tools/setup/$part.sh" 9>&- ;;
    esac
done
