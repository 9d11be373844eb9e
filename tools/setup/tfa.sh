#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TF-A's bl1, bl2 and bl31 for QEMU virt with RME, built from Debian's source
# package. TFA_DEBUG=1 makes a debug build beside the release build;
# TFA=folder (bl1.bin and fip.bin) replaces both. --check only reports by
# its status whether the build is there.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ -n "${TFA:-}" ]; then
    for f in bl1.bin fip.bin; do
        [ -f "$TFA/$f" ] || die "TFA=$TFA has no $f: TF-A $TFA_MIN or newer, built with PLAT=qemu ENABLE_RME=1, makes it."
    done
    exit 0
fi

# A quiet EL3 in the release build: it shares the UART with the monitor.
variant=release
options=(PLAT=qemu ENABLE_RME=1 QEMU_USE_GIC_DRIVER=QEMU_GICV3 DEBUG=0 LOG_LEVEL=20)
if [ "${TFA_DEBUG:-0}" = 1 ]; then
    variant=debug
    options=(PLAT=qemu ENABLE_RME=1 QEMU_USE_GIC_DRIVER=QEMU_GICV3 DEBUG=1 LOG_LEVEL=40)
fi

out=$CACHE/tfa/$variant
stamp="$TFA_VERSION ${options[*]}"

if [ -f "$out/bl31.bin" ] && [ "$(cat "$out/built" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
if [ "${1:-}" = --check ]; then exit 1; fi

start=$SECONDS
mkdir -p "$CACHE/tfa"
find_orig() { compgen -G "$CACHE/tfa/arm-trusted-firmware_$1.orig.tar.*" | grep -v '\.asc$' | head -n1; }

version=$TFA_VERSION
if ! orig=$(find_orig "${version%-*}"); then
    apt_lists TF-A
    apt_update tfa || die "TF-A $TFA_VERSION could not be had: no package lists of $TFA_SUITE (${LOG#"$ROOT"/}/apt-update-tfa.log). TFA=folder takes a TF-A of your own."
    version=$(apt_versions tfa arm-trusted-firmware | choose "$TFA_VERSION" "$TFA_MIN")
    [ -n "$version" ] || die "TF-A $TFA_VERSION is no longer in $TFA_SUITE. TFA=folder takes a TF-A of your own."
    moved_on TF-A "$TFA_VERSION" "$version"
    OPTIONS=()
    apt_options tfa
    (cd "$CACHE/tfa" && logged tfa-source apt-get "${OPTIONS[@]}" source --download-only "arm-trusted-firmware=$version") ||
        die "the source of TF-A $version could not be downloaded (${LOG#"$ROOT"/}/tfa-source.log). TFA=folder takes a TF-A of your own."
    orig=$(find_orig "${version%-*}") || die "the source package of TF-A $version is not what was expected."
fi

work=$CACHE/tfa/work
rm -rf "$work" "$out"
mkdir -p "$work/src" "$out"
tar -x -f "$orig" -C "$work/src" --strip-components=1
# A clean environment: the variables of our own make must not reach theirs.
logged "tfa-$variant" env -i PATH="$PATH" HOME="$HOME" LC_ALL=C \
    make -C "$work/src" -j"$(nproc)" CROSS_COMPILE=aarch64-linux-gnu- "${options[@]}" \
    BUILD_BASE="$work/build" BUILD_STRING="$version" BUILD_MESSAGE_TIMESTAMP="\"$variant\"" \
    bl1 bl2 bl31 ||
    die "TF-A $version could not be built (${LOG#"$ROOT"/}/tfa-$variant.log)."
for b in bl1 bl2 bl31; do
    cp "$work/build/qemu/$variant/$b.bin" "$work/build/qemu/$variant/$b/$b.elf" "$out/"
done
rm -rf "$work"
echo "$stamp" >"$out/built"
say "built TF-A $version, $variant ($((SECONDS - start)) s)."
