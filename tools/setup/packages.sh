#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# packages.sh [--check] TOOL...: the tools named, out of the machine's packages:
#   cc       C compiler of the build machine: cargo links with it
#   cross    C compiler for arm64
#   libc     C library for arm64, for static programs
#   qemu     QEMU, unless QEMU=path names one
#   fiptool  packs TF-A's firmware package
#   xz       unpacks what Debian has packed
# --check only reports by its status whether they are there.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tools/setup/apt.sh
. "$ROOT/tools/setup/apt.sh"

# there TOOL: whether it can be used.
there() {
    local version
    case $1 in
        cc) command -v cc >/dev/null ;;
        cross) command -v aarch64-linux-gnu-gcc >/dev/null ;;
        # The compiler prints the path of a library that it has, and the name of another.
        libc) [ -f "$(aarch64-linux-gnu-gcc -print-file-name=libc.a 2>/dev/null)" ] ;;
        qemu)
            version=$(qemu_version qemu-system-aarch64 || true)
            have_version "$QEMU_MIN" "$version"
            ;;
        fiptool) command -v fiptool >/dev/null && [[ $(fiptool help create 2>&1) == *--rmm-fw* ]] ;;
        xz) command -v xz >/dev/null ;;
        *) die "packages.sh: $1?" ;;
    esac
}

# title TOOL: what a message calls it.
title() {
    case $1 in
        cc) echo "a C compiler (cc)" ;;
        cross) echo "a C compiler for arm64 (aarch64-linux-gnu-gcc)" ;;
        libc) echo "a C library for arm64" ;;
        qemu) echo "QEMU $QEMU_MIN or newer (qemu-system-aarch64)" ;;
        *) echo "$1" ;;
    esac
}

# in_debian TOOL, in_fedora TOOL, in_arch TOOL: the packages that have it.
in_debian() {
    case $1 in
        cc) echo gcc libc6-dev ;;
        cross) echo gcc-aarch64-linux-gnu ;;
        libc) echo libc6-dev-arm64-cross ;;
        qemu) echo qemu-system-arm ;;
        fiptool) echo arm-trusted-firmware-tools ;;
        xz) echo xz-utils ;;
    esac
}
in_fedora() {
    case $1 in
        cc) echo gcc glibc-devel ;;
        cross) echo gcc-aarch64-linux-gnu ;;
        libc) echo "(rustup target add aarch64-unknown-linux-musl)" ;;
        qemu) echo qemu-system-aarch64 ;;
        fiptool) echo "(fiptool: make fiptool in TF-A's sources)" ;;
        xz) echo xz ;;
    esac
}
in_arch() {
    case $1 in
        cc) echo gcc ;;
        cross) echo aarch64-linux-gnu-gcc ;;
        libc) echo aarch64-linux-gnu-glibc ;;
        qemu) echo qemu-system-aarch64 ;;
        fiptool) echo "(fiptool: make fiptool in TF-A's sources)" ;;
        xz) echo xz ;;
    esac
}

# by_hand WHY: ends with the list of what to install.
by_hand() {
    local tool list system
    {
        printf 'setup: %s Missing here:\n' "$1"
        for tool in "${missing[@]}"; do printf '    %s\n' "$(title "$tool")"; done
        printf 'Install it, then try again. The packages are:\n'
        for system in debian fedora arch; do
            list=()
            for tool in "${missing[@]}"; do list+=("$("in_$system" "$tool")"); done
            case $system in
                debian) printf '    Debian, Ubuntu: %s\n' "${list[*]}" ;;
                fedora) printf '    Fedora:         %s\n' "${list[*]}" ;;
                arch) printf '    Arch:           %s\n' "${list[*]}" ;;
            esac
        done
        [[ " ${missing[*]} " != *' cross '* ]] || echo 'TFA=folder takes a TF-A that is built, and needs no compiler for arm64.'
        [[ " ${missing[*]} " != *' qemu '* ]] ||
            printf 'QEMU=path takes a QEMU that is elsewhere.%s\n' \
                "$([ "$(os VERSION_CODENAME)" != bookworm ] || echo " Debian 12 has one in $QEMU_SUITE.")"
    } >&2
    exit 2
}

check=
if [ "${1:-}" = --check ]; then
    check=1
    shift
fi
missing=()
for tool in "$@"; do
    if [ "$tool" = qemu ] && [ -n "${QEMU:-}" ]; then
        command -v "$QEMU" >/dev/null || die "QEMU=$QEMU is not a program."
        version=$(qemu_version "$QEMU" || true)
        have_version "$QEMU_MIN" "$version" ||
            die "QEMU=$QEMU is version ${version:-unknown}; $QEMU_MIN or newer is needed."
    else
        there "$tool" || missing+=("$tool")
    fi
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ -z "$check" ] || exit 1

# What is missing is installed in one go: that is what needs root.
command -v apt-get >/dev/null || by_hand "This machine has no apt-get."
packages=()
for tool in "${missing[@]}"; do
    [ "$tool" = qemu ] || read -ra more <<<"$(in_debian "$tool")"
    [ "$tool" = qemu ] || packages+=("${more[@]}")
done
may_install "${missing[*]}" || by_hand "Installing packages needs root or sudo."

start=$SECONDS
say "installs ${missing[*]} ..."
apt_list install "${missing[*]}"
# A source that fails does not matter while the mirror itself answers.
apt_update install || [ -n "$(apt_versions install gcc)" ] ||
    by_hand "The package lists could not be had: $(reason package-lists-install)."

if [[ " ${missing[*]} " == *' qemu '* ]]; then
    version_of install qemu-system-arm "$QEMU_VERSION" "$QEMU_MIN"
    [ -n "$VERSION" ] || by_hand "This machine's package sources have no QEMU $QEMU_MIN or newer."
    packages+=("qemu-system-arm=$VERSION" "qemu-system-common=$VERSION" "qemu-system-data=$VERSION")
    # Other packages of QEMU on the machine go with the shared one.
    while read -r p; do
        case $p in '' | qemu-system-arm | qemu-system-common | qemu-system-data) ;;
        *) packages+=("$p=$VERSION") ;;
        esac
    done < <(dpkg-query -W -f '${db:Status-Status} ${source:Package} ${Package}\n' 'qemu*' 2>/dev/null |
        awk '$1 == "installed" && $2 == "qemu" { print $3 }')
fi

OPTIONS=()
apt_options install
# install NAME ARGUMENT...
# --no-remove: never remove a package of the machine for ours. What apt starts must
# not keep the lock of the cache.
install() {
    local name=$1
    shift
    logged "$name" as_root env DEBIAN_FRONTEND=noninteractive apt-get "${OPTIONS[@]}" -y \
        -o Dpkg::Options::=--force-confold --no-install-recommends --no-remove \
        install "$@" "${packages[@]}" 9>&-
}
all_there() {
    local tool
    for tool in "${missing[@]}"; do there "$tool" || return 1; done
}

# An installation that was cut short is first brought to its end.
[ -z "$(dpkg --audit 2>/dev/null)" ] || logged dpkg-configure as_root env DEBIAN_FRONTEND=noninteractive \
    dpkg --force-confold --configure -a 9>&- || true
installed=1
install packages || installed=
if [ -n "$installed" ] && ! all_there; then
    # The package manager believes that they are there.
    install packages-again --reinstall || true
fi
as_root rm -rf "$APT/cache/archives"
[ -n "$installed" ] || by_hand "apt-get could not install ${packages[*]}: $(reason packages)."
all_there || {
    still=()
    for tool in "${missing[@]}"; do there "$tool" || still+=("$tool"); done
    missing=("${still[@]}")
    by_hand "apt-get says that it has installed ${packages[*]}, and yet it is not so."
}
say "installed ${missing[*]} ($((SECONDS - start)) s)."
