#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The guest of `make run`: Debian's arm64 kernel with the modules that the
# guest's user space loads, and busybox, out of their packages and otherwise as
# they are. LINUX=file replaces it. --check only reports by its status whether it
# is there.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -z "${LINUX:-}" ] || exit 0

out=$CACHE/guest
stamp="$LINUX_VERSION $BUSYBOX_VERSION"

if [ -f "$out/Image" ] && [ "$(cat "$out/wanted" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
if [ "${1:-}" = --check ]; then exit 1; fi
command -v xz >/dev/null || die "xz is missing: run 'make setup', or install xz-utils."

start=$SECONDS
work=$out/work
packages=$out/packages
rm -rf "$work" "$out/Image" "${out:?}/bin" "$out/modules" "$out/wanted"
mkdir -p "$work" "$packages" "$out/bin" "$out/modules"

apt_lists "the guest's kernel"
apt_update guest ||
    die "the guest's kernel could not be had: no package lists of $LINUX_SUITE (${LOG#"$ROOT"/}/apt-update-guest.log). LINUX=file takes your own."
OPTIONS=()
apt_options guest

# depends PACKAGE VERSION NAME: what the package depends on by that name.
depends() {
    apt-cache "${OPTIONS[@]}" show "$1=$2" 2>/dev/null | sed -n 's/^\(Pre-\)\?Depends: //p' |
        tr ',' '\n' | tr '|' '\n' | sed 's/^ *//; s/ .*//' | grep -m1 "^$3"
}

# fetch PACKAGE VERSION: sets DEB.
fetch() {
    DEB=$packages/$1_${2//:/%3a}_arm64.deb
    [ -f "$DEB" ] || (cd "$packages" && logged "download-$1" apt-get "${OPTIONS[@]}" download "$1=$2") ||
        die "Debian's $1 $2 could not be downloaded (${LOG#"$ROOT"/}/download-$1.log)."
    [ -f "$DEB" ] || die "the package $1 $2 is not what was expected."
}

# unpack DEB PATTERN...
unpack() {
    local deb=$1
    shift
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --wildcards "$@"
}

# linux-image-arm64 is empty: it leads to the packages of one version.
linux=$(apt_versions guest linux-image-arm64 | choose "$LINUX_VERSION" "$LINUX_MIN")
[ -n "$linux" ] || die "$LINUX_SUITE has no arm64 kernel $LINUX_MIN or newer. LINUX=file takes your own."
moved_on Linux "$LINUX_VERSION" "$linux"
wrong="linux-image-arm64 $linux does not lead to a kernel. LINUX=file takes your own."
image=$(depends linux-image-arm64 "$linux" linux-image-) || die "$wrong"
binary=$(depends "$image" "$linux" linux-binary-) || die "$wrong"
modules=$(depends "$image" "$linux" linux-modules-) || die "$wrong"
release=${binary#linux-binary-}

fetch "$binary" "$linux"
unpack "$DEB" "*/lib/modules/$release/vmlinuz"
fetch "$modules" "$linux"
unpack "$DEB" '*/configfs.ko*' '*/tsm_report.ko*' '*/arm-cca-guest.ko*' '*/virtio_mmio.ko*' '*/virtio_blk.ko*'
find "$work" -name '*.ko.xz' -exec xz -d {} +
find "$work" -name '*.ko' -exec cp {} "$out/modules/" \;

busybox=$(apt_versions guest busybox-static | choose "$BUSYBOX_VERSION" "$BUSYBOX_MIN")
[ -n "$busybox" ] || die "$BUSYBOX_SUITE has no arm64 busybox-static $BUSYBOX_MIN or newer."
moved_on busybox "$BUSYBOX_VERSION" "$busybox"
fetch busybox-static "$busybox"
unpack "$DEB" '*bin/busybox'
cp "$(find "$work" -path '*bin/busybox' -type f | head -n1)" "$out/bin/busybox"

cp "$(find "$work" -name vmlinuz | head -n1)" "$out/Image"
rm -rf "$work"
echo "Linux $release (Debian $linux)" >"$out/version"
echo "$stamp" >"$out/wanted"
say "unpacked the guest: Linux $release, Debian's package $linux, and busybox ${busybox#*:} ($((SECONDS - start)) s)."
