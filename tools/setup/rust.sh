#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# rust.sh [--check] toolchain: the pinned Rust. `rust.sh target`: with core and
# alloc for the monitor's target; `rust.sh guest`: with std for a target of static
# programs for the guest. The toolchain's distributor has the targets ready-made;
# where it cannot be reached, the same version's library sources from Debian are
# compiled with the pinned compiler. --check only reports by its status whether it
# is there.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tools/setup/apt.sh
. "$ROOT/tools/setup/apt.sh"

check=
if [ "${1:-}" = --check ]; then
    check=1
    shift
fi
part=$1

# --- The toolchain -------------------------------------------------------------
pinned=$(sed -n 's/^channel *= *"\(.*\)".*/\1/p' rust-toolchain.toml)
TOOLCHAINS=${RUSTUP_HOME:-$HOME/.rustup}/toolchains

version_in() { "$1/bin/rustc" --version 2>/dev/null | cut -d' ' -f2; }

# links: the toolchains by the pinned number that are a link, by another name, to
# one that rustup may replace at any time.
links() { find "$TOOLCHAINS" -maxdepth 1 -type l -name "$pinned-*" -lname '*/toolchains/*' 2>/dev/null; }

# The pin asks for a toolchain by its number. One that was installed under
# another name (stable) and is of that very version serves as well: its files get
# second names (hard links), which stay when stable moves on.
adopt_toolchain() {
    local t new name
    for t in "$TOOLCHAINS"/*; do
        if [ ! -L "$t" ] && [ -x "$t/bin/rustc" ] && [ "$(version_in "$t")" = "$pinned" ]; then
            name=$pinned-$("$t/bin/rustc" -vV | sed -n 's/^host: //p')
            [ "${t##*/}" != "$name" ] || continue
            new=$TOOLCHAINS/.rmm-setup-$$
            cp -al "$t" "$new" 2>/dev/null || { rm -rf "$new" && cp -a "$t" "$new"; } || {
                rm -rf "$new"
                return 1
            }
            [ ! -L "$TOOLCHAINS/$name" ] || rm "$TOOLCHAINS/$name"
            mv -T "$new" "$TOOLCHAINS/$name"
            say "Rust $pinned has the files of the toolchain ${t##*/}."
            return
        fi
    done
    return 1
}

release=$(rustc --version 2>/dev/null | cut -d' ' -f2) || release=
if [ -n "$check" ]; then
    [ "$release" = "$pinned" ] && [ -z "$(links)" ] || exit 1
else
    link=$(links | head -n1)
    if [ -n "$link" ]; then
        if ! adopt_toolchain; then
            [ "$release" = "$pinned" ] || {
                say "the toolchain $pinned is a link to one that has moved on to ${release:-nothing}: removes the link."
                rm "$link"
            }
        fi
        release=$(rustc --version 2>/dev/null | cut -d' ' -f2) || release=
    fi
    if [ -z "$release" ]; then
        command -v rustup >/dev/null ||
            die "Rust $pinned is missing: install rustup (its own installer, or the package rustup of Debian 13, Fedora, Arch), then try again."
        adopt_toolchain || {
            say "installs Rust $pinned ..."
            logged rustup-toolchain timeout 600 rustup toolchain install "$pinned" --profile minimal --component rustfmt,clippy &&
                say "installed Rust $pinned."
        } || die "Rust $pinned is missing and rustup could not install it: $(reason rustup-toolchain)"
        release=$(rustc --version | cut -d' ' -f2)
    fi
    [ "$release" = "$pinned" ] ||
        die "Rust $pinned is needed (rust-toolchain.toml), and rustc here, $(command -v rustc), is $release: install rustup."
fi
[ "$part" != toolchain ] || exit 0

# --- The target ------------------------------------------------------------------
# The target that rustup downloads, the one that is built otherwise, what of the
# library, and the crates that show that it is there.
case $part in
    guest)
        # The one brings its C library along, the other takes Debian's.
        downloaded=aarch64-unknown-linux-musl built=aarch64-unknown-linux-gnu
        std=std,panic_abort features=
        crates=(std)
        ;;
    target)
        downloaded=$RUST_TARGET built=$RUST_TARGET
        std=core,alloc,compiler_builtins features=compiler-builtins-mem
        crates=(core alloc compiler_builtins)
        ;;
    *) die "rust.sh: $part?" ;;
esac

libdir() { rustc --print target-libdir --target "$1"; }
# Libraries that were built here are sealed, and serve only the compiler that built them.
compiler=$(rustc -vV)

# complete TARGET
complete() {
    local c dir
    dir=$(libdir "$1")
    for c in "${crates[@]}"; do
        compgen -G "$dir/lib$c-*.rlib" >/dev/null || return 1
    done
    [ ! -e "$dir/.built-from-source" ] ||
        { [ "$(cat "$dir/.built-from-source")" = "$compiler" ] && sealed "$dir" "$built"; }
}

if complete "$downloaded"; then exit 0; fi
libdir=$(libdir "$built")
if [ "$built" != "$downloaded" ] && complete "$built"; then
    if [ -z "$check" ]; then "$ROOT/tools/setup/packages.sh" cross libc; fi
    exec "$ROOT/tools/setup/packages.sh" --check cross libc
fi
[ -z "$check" ] || exit 1

start=$SECONDS
if [ -e "$libdir/.built-from-source" ]; then
    say "the Rust target $built was built for another compiler or is damaged: makes it again."
    rm -rf "$libdir"
fi

what="the Rust target $built"
if command -v rustup >/dev/null; then
    say "gets the Rust target $downloaded ..."
    # Of an installation that was cut short rustup believes that it is complete.
    add_target() { logged "rustup-$downloaded" timeout 300 rustup target add --toolchain "$pinned" "$downloaded"; }
    if add_target && ! complete "$downloaded"; then
        logged rustup-remove rustup target remove --toolchain "$pinned" "$downloaded" || true
        add_target || true
    fi
    if complete "$downloaded"; then
        say "installed the Rust target $downloaded ($((SECONDS - start)) s)."
        exit 0
    fi
    what="$what (rustup: $(reason "rustup-$downloaded"))"
fi

# --- From source -----------------------------------------------------------------
[ "$built" = "$downloaded" ] || "$ROOT/tools/setup/packages.sh" cross libc
mkdir -p "$libdir" 2>/dev/null || true
[ -w "$libdir" ] || die "$what could not be downloaded, and $libdir cannot be written: run 'make setup' as the owner of the Rust toolchain."
command -v cc >/dev/null || die "$what cannot be built without a C compiler (gcc)."
writable "the source of $what"

VERSION=
for DEB in "$CACHE/packages/rust-src_${pinned}+"*.deb; do
    if intact "$DEB"; then
        VERSION=$DEB
        break
    fi
done
if [ -z "$VERSION" ]; then
    say "gets Debian's sources of the Rust library ..."
    apt_list rust "$what"
    lists rust || die "$what could not be downloaded, and neither could the package lists of $RUST_SRC_SUITE: $(reason package-lists-rust)"
    version_of rust rust-src "$RUST_SRC_VERSION" ""
    [ "$(upstream "$VERSION")" = "$pinned" ] ||
        die "$what could not be downloaded, and $RUST_SRC_SUITE has no library sources of Rust $pinned (package rust-src)."
    moved_on rust-src "$RUST_SRC_VERSION" "$VERSION"
    deb rust rust-src "$VERSION" "$CACHE/packages" ||
        die "$what could not be downloaded, and neither could Debian's rust-src $VERSION: $WHY"
fi

say "builds the Rust target $built ..."
rm -rf "$WORK/rust"
work=$(plain "$WORK/rust")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src" "$work/crate/src" "$work/sysroot/lib/rustlib/src/rust"
unpack() { dpkg-deb --fsys-tarfile "$DEB" | tar -x -C "$work/src" --strip-components=4 "./usr/src/rustc-$pinned/library"; }
logged rust-unpack unpack || die "Debian's rust-src could not be unpacked: $(reason rust-unpack)"
library=$work/src/library

# Cargo looks for the library's sources inside the toolchain. The installed one
# stays as it is: a folder of links stands in for it.
sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
for f in "$sysroot"/lib/*; do
    [ "$(basename "$f")" = rustlib ] || ln -s "$f" "$work/sysroot/lib/"
done
ln -s "$sysroot/bin" "$work/sysroot/bin"
ln -s "$sysroot/lib/rustlib/$host" "$work/sysroot/lib/rustlib/$host"
ln -s "$library" "$work/sysroot/lib/rustlib/src/rust/library"
printf '#!/bin/sh\nexec "%s/bin/rustc" --sysroot "%s" "$@"\n' "$sysroot" "$work/sysroot" >"$work/rustc"
chmod +x "$work/rustc"

printf '#![no_std]\n' >"$work/crate/src/lib.rs"
cat >"$work/crate/Cargo.toml" <<'TOML'
[package]
name = "sysroot-probe"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
panic = "abort"
codegen-units = 1
TOML

# Bitcode is what link-time optimisation of the monitor reads. The paths are
# those of the distributor's build. Nothing of the caller's flags counts.
build_std() {
    cd "$work/crate" || return
    env -i PATH="$PATH" HOME="$HOME" ${RUSTUP_HOME:+RUSTUP_HOME="$RUSTUP_HOME"} RUSTUP_AUTO_INSTALL=0 \
        CARGO_HOME="$work/home" CARGO_TARGET_DIR="$work/target" RUSTUP_TOOLCHAIN="$pinned" \
        RUSTC="$work/rustc" RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-C embed-bitcode=yes --remap-path-prefix=$work/sysroot/lib/rustlib/src/rust=/rustc/$commit" \
        cargo build --release --offline --target "$built" \
        -Z build-std="$std" -Z build-std-features="$features" \
        --config 'source.crates-io.replace-with="library"' \
        --config "source.library.directory=\"$library/vendor\""
}
export -f build_std
export work pinned commit library built std features
logged rust-build bash -euc build_std || die "$what could not be built: $(reason rust-build)"
rm "$work/target/$built/release/deps/libsysroot_probe"*
# Beside its final place: the cache may be on another disk.
new=$(dirname "$libdir")/.lib-new
rm -rf "$new"
mkdir "$new"
cp "$work/target/$built/release/deps/"lib*.rlib "$new/"
echo "$compiler" >"$new/.built-from-source"
seal "$new" "$built"
place "$new" "$libdir"
complete "$built" || die "$what was built but is not complete."
say "built the Rust target $built from Debian's ${DEB##*/} ($((SECONDS - start)) s)."
