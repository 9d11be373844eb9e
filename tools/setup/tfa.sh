#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TF-A's bl1, bl2 and bl31 for QEMU virt with RME, built from Debian's source
# package. TFA_DEBUG=1 makes a debug build beside the release build;
# TFA=folder (bl1.bin and fip.bin) replaces both. --check only reports by
# its status whether the build is there.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tools/setup/apt.sh
. "$ROOT/tools/setup/apt.sh"

if [ -n "${TFA:-}" ]; then
    made_by="TF-A $TFA_MIN or newer, built with PLAT=qemu"
    [ "${PLAT:-qemu}" != sbsa ] || made_by="TF-A 2.13 or newer, built with PLAT=qemu_sbsa"
    for f in bl1.bin fip.bin; do
        [ -f "$TFA/$f" ] || die "TFA=$TFA has no $f: $made_by ENABLE_RME=1, makes it."
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

if sealed "$out" "$stamp"; then exit 0; fi
if [ "${1:-}" = --check ]; then exit 1; fi

! broken "$out" "$stamp" || say "the build of TF-A in the cache is damaged: builds it again."
writable "TF-A ($variant)"
start=$SECONDS
folder=$CACHE/tfa
own='TFA=folder takes a TF-A of your own.'

# orig VERSION: sets ORIG to the source in the cache, if it is there and intact.
orig() {
    for ORIG in "$folder/arm-trusted-firmware_${1%-*}.orig.tar."*; do
        case $ORIG in *.asc | *.sha256) continue ;; esac
        ! intact "$ORIG" || return 0
    done
    return 1
}

# download: sets ORIG. The description of a source package, which apt compares with
# the lists, has the hash of each of its files.
download() {
    local OPTIONS name hash
    apt_options tfa
    rm -rf "$WORK/download"
    mkdir -p "$WORK/download"
    (cd "$WORK/download" && logged tfa-source apt-get "${OPTIONS[@]}" source --download-only "arm-trusted-firmware=$VERSION") ||
        return 1
    ORIG=$(find "$WORK/download" -name '*.orig.tar.*' ! -name '*.asc')
    name=${ORIG##*/}
    hash=$(awk -v n="$name" '/^Checksums-Sha256:/ { on = 1; next } /^[^ ]/ { on = 0 } on && $3 == n { print $1 }' "$WORK/download/"*.dsc)
    if ! [ -f "$ORIG" ] || [ "$(sha256sum <"$ORIG")" != "$hash  -" ]; then
        echo "E: $name is not what its description says" >"$LOG/tfa-source.log"
        return 1
    fi
    keep "$ORIG" "$hash" "$folder/$name"
    ORIG=$folder/$name
}

VERSION=$TFA_VERSION
if ! orig "$VERSION"; then
    say "gets the source of TF-A $VERSION ..."
    apt_list tfa "the source of TF-A" "$own"
    lists tfa || die "the source of TF-A: no package lists of $TFA_SUITE: $(reason package-lists-tfa). $own"
    version_of tfa arm-trusted-firmware "$TFA_VERSION" "$TFA_MIN"
    [ -n "$VERSION" ] || die "$TFA_SUITE has no TF-A $TFA_MIN or newer. $own"
    moved_on TF-A "$TFA_VERSION" "$VERSION"
    orig "$VERSION" || download || { lists_anew tfa && download; } ||
        die "the source of TF-A $VERSION could not be downloaded: $(reason tfa-source). $own"
fi

say "builds TF-A $VERSION, $variant ..."
work=$(plain "$WORK/tfa")
trap 'rm -rf "$work"' EXIT
rm -rf "$work" "$WORK/tfa-built"
mkdir -p "$work/src" "$WORK/tfa-built"
logged tfa-unpack tar -x -f "$ORIG" -C "$work/src" --strip-components=1 ||
    die "the source of TF-A could not be unpacked: $(reason tfa-unpack)"
# A clean environment: the variables of our own make must not reach theirs.
logged "tfa-$variant" env -i PATH="$PATH" HOME="$HOME" LC_ALL=C \
    make -C "$work/src" -j"$(nproc)" CROSS_COMPILE=aarch64-linux-gnu- "${options[@]}" \
    BUILD_BASE="$work/build" BUILD_STRING="$VERSION" BUILD_MESSAGE_TIMESTAMP="\"$variant\"" \
    bl1 bl2 bl31 ||
    die "TF-A $VERSION could not be built: $(reason "tfa-$variant")"
for b in bl1 bl2 bl31; do
    cp "$work/build/qemu/$variant/$b.bin" "$work/build/qemu/$variant/$b/$b.elf" "$WORK/tfa-built/"
done
echo "$stamp" >"$WORK/tfa-built/built"
seal "$WORK/tfa-built" "$stamp"
place "$WORK/tfa-built" "$out"
say "built TF-A $VERSION, $variant ($((SECONDS - start)) s)."
