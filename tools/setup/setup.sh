#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# setup.sh [host|image|machine|guest|checks]...: what is missing for
#   host     programs of the build machine: C compiler, Rust
#   image    the monitor: its Rust target
#   machine  what boots it: QEMU, fiptool, TF-A
#   guest    Debian's kernel as a Realm: kernel, busybox, a Rust target for its program
#   checks   tests that are otherwise skipped: Python's packages
# Each includes those above it, up to image. By default all.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -gt 0 ] || set -- machine guest checks
S=$ROOT/tools/setup

# Each step is a script with arguments.
# done_already STEP...: whether it is; ends if it cannot be.
done_already() {
    local status=0
    "$S/$1" --check "${@:2}" || status=$?
    case $status in
        0) ;;
        1) return 1 ;;
        *) exit 1 ;;
    esac
}

# The packages are installed first and at once, since that needs root.
tools=(cc)
steps=('rust.sh toolchain')
for part in "$@"; do
    [ "$part" = host ] || steps+=('rust.sh target')
    case $part in
        host | image) ;;
        machine)
            tools+=(qemu fiptool)
            done_already tfa.sh || tools+=(cross xz)
            steps+=(tfa.sh)
            ;;
        guest)
            if [ -z "${LINUX:-}" ]; then
                done_already guest.sh || tools+=(xz)
                steps+=(guest.sh 'rust.sh guest')
            fi
            ;;
        checks) steps+=(python.sh) ;;
        *) die "setup.sh: $part?" ;;
    esac
done
mapfile -t tools < <(printf '%s\n' "${tools[@]}" | awk '!seen[$0]++')
mapfile -t steps < <(printf '%s\n' "packages.sh ${tools[*]}" "${steps[@]}" | awk '!seen[$0]++')

missing=()
for step in "${steps[@]}"; do
    read -ra words <<<"$step"
    done_already "${words[@]}" || missing+=("$step")
done
# A cache that has everything need not be written.
[ ${#missing[@]} -gt 0 ] || exit 0

mkdir -p "$STATE" "$LOG" 2>/dev/null || die "$STATE cannot be written."
# Two calls of make at once must not make the same thing twice. What a killed set-up
# has left running keeps the lock until its end.
exec 9>"$STATE/.lock"
flock -n 9 || {
    say "waits for another set-up that uses $STATE ..."
    flock 9
}
if [ -w "$CACHE" ]; then rm -rf "$WORK"; fi
for step in "${missing[@]}"; do
    read -ra words <<<"$step"
    "$S/${words[0]}" "${words[@]:1}" || exit 1
done
if [ -w "$CACHE" ]; then rm -rf "$WORK"; fi
