#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The guest of `make run`: Debian's arm64 kernel with the modules that the
# guest's user space loads, and busybox, out of their packages and otherwise as
# they are. LINUX=file replaces it. --check only reports by its status whether it
# is there.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tools/setup/apt.sh
. "$ROOT/tools/setup/apt.sh"

out=$CACHE/guest
packages=$CACHE/packages
stamp="$LINUX_VERSION $BUSYBOX_VERSION"

if sealed "$out" "$stamp"; then exit 0; fi
if [ "${1:-}" = --check ]; then exit 1; fi

! broken "$out" "$stamp" || say "the guest's kernel in the cache is damaged: unpacks it again."
writable "the guest's kernel"
command -v xz >/dev/null || die "xz is missing: run 'make setup', or install xz-utils."

start=$SECONDS
own='LINUX=file takes your own.'
mkdir -p "$packages"

# depends PACKAGE VERSION NAME: what the package depends on by that name.
depends() {
    apt-cache "${OPTIONS[@]}" show "$1=$2" 2>/dev/null | sed -n 's/^\(Pre-\)\?Depends: //p' |
        tr ',' '\n' | tr '|' '\n' | sed 's/^ *//; s/ .*//' | grep -m1 "^$3"
}

# get PACKAGE VERSION: sets DEB.
get() {
    deb guest "$1" "$2" "$packages" || die "Debian's $1 $2 could not be downloaded: $WHY. $own"
}

# What was downloaded is enough to unpack it again.
plan=$packages/guest
files=()
if [ "$(head -n1 "$plan" 2>/dev/null)" = "$stamp" ]; then
    { read -r _ && read -r linux release busybox && mapfile -t names; } <"$plan"
    for name in "${names[@]}"; do
        ! intact "$packages/$name" || files+=("$packages/$name")
    done
fi

if [ ${#files[@]} != 3 ]; then
    say "gets the guest's kernel, 100 MB ..."
    apt_list guest "the guest's kernel" "$own"
    lists guest ||
        die "the guest's kernel: no package lists of $LINUX_SUITE: $(reason package-lists-guest). $own"
    OPTIONS=()
    apt_options guest
    version_of guest linux-image-arm64 "$LINUX_VERSION" "$LINUX_MIN"
    linux=$VERSION
    [ -n "$linux" ] || die "$LINUX_SUITE has no arm64 kernel $LINUX_MIN or newer. $own"
    moved_on Linux "$LINUX_VERSION" "$linux"
    # linux-image-arm64 is empty: it leads to the packages of one version.
    wrong="linux-image-arm64 $linux does not lead to a kernel. $own"
    image=$(depends linux-image-arm64 "$linux" linux-image-) || die "$wrong"
    binary=$(depends "$image" "$linux" linux-binary-) || die "$wrong"
    modules=$(depends "$image" "$linux" linux-modules-) || die "$wrong"
    release=${binary#linux-binary-}
    version_of guest busybox-static "$BUSYBOX_VERSION" "$BUSYBOX_MIN"
    busybox=$VERSION
    [ -n "$busybox" ] || die "$BUSYBOX_SUITE has no arm64 busybox-static $BUSYBOX_MIN or newer."
    moved_on busybox "$BUSYBOX_VERSION" "$busybox"
    files=()
    get "$binary" "$linux"
    files+=("$DEB")
    get "$modules" "$linux"
    files+=("$DEB")
    get busybox-static "$busybox"
    files+=("$DEB")
    printf '%s\n' "$stamp" "$linux $release $busybox" "${files[@]##*/}" >"$WORK/plan"
    mv "$WORK/plan" "$plan"
fi

work=$WORK/guest
new=$WORK/guest-new
rm -rf "$work" "$new"
mkdir -p "$work" "$new/bin" "$new/modules"

# unpack DEB PATTERN...
unpack() {
    local deb=$1
    shift
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --wildcards "$@"
}
unpack_all() {
    unpack "${files[0]}" "*/lib/modules/$release/vmlinuz" &&
    unpack "${files[1]}" '*/configfs.ko*' '*/tsm_report.ko*' '*/arm-cca-guest.ko*' '*/virtio_mmio.ko*' '*/virtio_blk.ko*' &&
    unpack "${files[2]}" '*bin/busybox' &&
    find "$work" -name '*.ko.xz' -exec xz -d {} +
}
logged guest-unpack unpack_all || die "the guest's kernel could not be unpacked: $(reason guest-unpack)"
find "$work" -name '*.ko' -exec cp {} "$new/modules/" \;
cp "$(find "$work" -path '*bin/busybox' -type f | head -n1)" "$new/bin/busybox"
cp "$(find "$work" -name vmlinuz | head -n1)" "$new/Image"
rm -rf "$work"
echo "Linux $release (Debian $linux)" >"$new/version"
echo "$stamp" >"$new/wanted"
seal "$new" "$stamp"
place "$new" "$out"
say "unpacked the guest: Linux $release, Debian's package $linux, and busybox ${busybox#*:} ($((SECONDS - start)) s)."
