#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Debian packages: QEMU, the C compilers, fiptool. QEMU=path and TFA=folder
# leave out what they replace. `packages.sh cc`: the C compiler alone;
# `packages.sh cross`: also what links static programs for arm64.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=()
names=()
qemu_wanted=
xz_wanted=

want() { # NAME PACKAGE...
    names+=("$1")
    shift
    packages+=("$@")
}

# Cargo links the tools of the build machine with it.
command -v cc >/dev/null || want cc gcc libc6-dev

want_cross() {
    command -v aarch64-linux-gnu-gcc >/dev/null || want aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
}

if [ "${1:-}" = cross ]; then
    want_cross
    # The compiler prints the path of a library that it has, and the name of another.
    [ -f "$(aarch64-linux-gnu-gcc -print-file-name=libc.a 2>/dev/null)" ] ||
        want 'the C library for arm64' libc6-dev-arm64-cross
elif [ "${1:-}" != cc ]; then
    fiptool_ok() { command -v fiptool >/dev/null && [[ $(fiptool help create 2>&1) == *--rmm-fw* ]]; }
    fiptool_ok || want fiptool arm-trusted-firmware-tools

    if [ -z "${TFA:-}" ] && ! "$ROOT/tools/setup/tfa.sh" --check; then
        want_cross
        xz_wanted=1
    fi
    "$ROOT/tools/setup/guest.sh" --check || xz_wanted=1
    [ -z "$xz_wanted" ] || command -v xz >/dev/null || want xz xz-utils

    if [ -n "${QEMU:-}" ]; then
        command -v "$QEMU" >/dev/null || die "QEMU=$QEMU is not a program."
        version=$(qemu_version "$QEMU")
        have_version "$QEMU_MIN" "$version" ||
            die "QEMU=$QEMU is version ${version:-unknown}; $QEMU_MIN or newer is needed."
    else
        version=$(qemu_version qemu-system-aarch64 || true)
        have_version "$QEMU_MIN" "$version" || { want QEMU; qemu_wanted=1; }
    fi
fi

[ ${#names[@]} -gt 0 ] || exit 0

# What is still missing is installed in one go: that is what needs root.
if ! can_root; then
    die "${names[*]} missing, and installing needs root or sudo: run 'make setup' once as root, or install ${packages[*]}${qemu_wanted:+ QEMU $QEMU_MIN or newer}."
fi
start=$SECONDS
apt_lists "${names[*]}"
# A source that fails does not matter while the mirror itself answers.
apt_update install || [ -n "$(apt_versions install gcc)" ] ||
    die "the package lists could not be had (${LOG#"$ROOT"/}/apt-update-install.log): ${names[*]} is missing."

if [ -n "$qemu_wanted" ]; then
    qemu=$(apt_versions install qemu-system-arm | choose "$QEMU_VERSION" "$QEMU_MIN")
    [ -n "$qemu" ] || die "QEMU $QEMU_MIN or newer is not among this machine's Debian packages: install it and pass QEMU=path."
    moved_on QEMU "$QEMU_VERSION" "$qemu"
    packages+=("qemu-system-arm=$qemu" "qemu-system-common=$qemu" "qemu-system-data=$qemu")
    # Other packages of QEMU on the machine go with the shared one.
    while read -r p; do
        case $p in '' | qemu-system-arm | qemu-system-common | qemu-system-data) ;;
        *) packages+=("$p=$qemu") ;;
        esac
    done < <(dpkg-query -W -f '${db:Status-Status} ${source:Package} ${Package}\n' 'qemu*' 2>/dev/null |
        awk '$1 == "installed" && $2 == "qemu" { print $3 }')
fi

OPTIONS=()
apt_options install
[ "$(id -u)" = 0 ] || say "sudo installs ${names[*]}."
# --no-remove: never remove a package of the machine for ours.
logged apt-install as_root env DEBIAN_FRONTEND=noninteractive apt-get "${OPTIONS[@]}" -y \
    -o Dpkg::Options::=--force-confold --no-install-recommends --no-remove \
    install "${packages[@]}" ||
    die "apt-get could not install ${packages[*]}: $(grep -m1 '^E:' "$LOG/apt-install.log" || echo "see ${LOG#"$ROOT"/}/apt-install.log")"
as_root rm -rf "$APT/cache/archives"
say "installed ${names[*]} ($((SECONDS - start)) s)."
