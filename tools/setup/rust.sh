#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The pinned Rust with core and alloc for the monitor's target; `rust.sh guest`:
# with std for a target of static programs for the guest. The toolchain's
# distributor has the targets ready-made; where it cannot be reached, the same
# version's library sources from Debian are compiled with the pinned compiler.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pinned=$(sed -n 's/^channel *= *"\(.*\)".*/\1/p' rust-toolchain.toml)
TOOLCHAINS=${RUSTUP_HOME:-$HOME/.rustup}/toolchains

# The pin asks for a toolchain by its number. One that was installed under
# another name (stable) and is of that very version serves as well.
adopt_toolchain() {
    local t
    for t in "$TOOLCHAINS"/*; do
        if [ -x "$t/bin/rustc" ] && [ "$("$t/bin/rustc" --version | cut -d' ' -f2)" = "$pinned" ]; then
            ln -s "$t" "$TOOLCHAINS/$pinned-$("$t/bin/rustc" -vV | sed -n 's/^host: //p')"
            say "Rust $pinned is the toolchain $(basename "$t")."
            return
        fi
    done
    return 1
}

if ! release=$(rustc --version 2>/dev/null); then
    command -v rustup >/dev/null || die "Rust $pinned is missing: install it with rustup."
    adopt_toolchain ||
        { logged rustup-toolchain timeout 600 rustup toolchain install "$pinned" --profile minimal --component rustfmt,clippy &&
            say "installed Rust $pinned."; } ||
        die "Rust $pinned is missing and rustup could not install it."
    release=$(rustc --version)
fi
release=$(cut -d' ' -f2 <<<"$release")
[ "$release" = "$pinned" ] || die "Rust $pinned is needed (rust-toolchain.toml), and rustc here is $release: install rustup."

# The target that rustup downloads, the one that is built otherwise, what of the
# library, and the crates that show that it is there.
if [ "${1:-}" = guest ]; then
    # The one brings its C library along, the other takes Debian's.
    downloaded=aarch64-unknown-linux-musl built=aarch64-unknown-linux-gnu
    std=std,panic_abort features=
    crates=(std)
else
    downloaded=$RUST_TARGET built=$RUST_TARGET
    std=core,alloc,compiler_builtins features=compiler-builtins-mem
    crates=(core alloc compiler_builtins)
fi

libdir() { rustc --print target-libdir --target "$1"; }

# complete TARGET
complete() {
    local c dir stamp
    dir=$(libdir "$1")
    stamp=$dir/.built-from-source
    for c in "${crates[@]}"; do
        compgen -G "$dir/lib$c-*.rlib" >/dev/null || return 1
    done
    # Libraries built here serve only the compiler that built them.
    [ ! -f "$stamp" ] || [ "$(cat "$stamp")" = "$(rustc -vV)" ]
}

complete "$downloaded" && exit 0
libdir=$(libdir "$built")
if [ "$built" != "$downloaded" ] && complete "$built"; then
    "$ROOT/tools/setup/packages.sh" cross
    exit 0
fi
start=$SECONDS
[ ! -f "$libdir/.built-from-source" ] || rm -rf "$libdir"

if command -v rustup >/dev/null &&
    logged "rustup-$downloaded" timeout 300 rustup target add --toolchain "$pinned" "$downloaded" && complete "$downloaded"; then
    say "installed the Rust target $downloaded ($((SECONDS - start)) s)."
    exit 0
fi

# --- From source ---------------------------------------------------------------
what="the Rust target $built"
[ "$built" = "$downloaded" ] || "$ROOT/tools/setup/packages.sh" cross
mkdir -p "$libdir" 2>/dev/null || true
[ -w "$libdir" ] || die "$what could not be downloaded, and $libdir cannot be written: run 'make setup' as the owner of the Rust toolchain."
command -v cc >/dev/null || die "$what cannot be built without a C compiler (gcc)."

deb=$(compgen -G "$CACHE/rust-src_${pinned}+*.deb" | head -n1 || true)
if [ -z "$deb" ]; then
    apt_lists "$what"
    apt_update rust || die "$what could not be downloaded, and neither could the package lists of $RUST_SRC_SUITE (${LOG#"$ROOT"/}/apt-update-rust.log)."
    version=$(apt_versions rust rust-src | choose "$RUST_SRC_VERSION" "")
    [ "$(upstream "$version")" = "$pinned" ] ||
        die "$what could not be downloaded, and $RUST_SRC_SUITE has no library sources of Rust $pinned (package rust-src)."
    moved_on rust-src "$RUST_SRC_VERSION" "$version"
    OPTIONS=()
    apt_options rust
    (cd "$CACHE" && logged rust-src apt-get "${OPTIONS[@]}" download "rust-src=$version") ||
        die "$what could not be downloaded, and neither could Debian's rust-src $version."
    deb=$(compgen -G "$CACHE/rust-src_${pinned}+*.deb" | head -n1)
fi

work=$CACHE/rust
rm -rf "$work"
mkdir -p "$work/src" "$work/crate/src" "$work/sysroot/lib/rustlib/src/rust"
dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/src" --strip-components=4 "./usr/src/rustc-$pinned/library"
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
# those of the distributor's build.
build_std() {
    cd "$work/crate"
    env -u MAKEFLAGS -u MFLAGS -u CARGO_BUILD_TARGET -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER \
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
logged rust-build bash -euc build_std ||
    die "$what could not be built (${LOG#"$ROOT"/}/rust-build.log)."
rm "$work/target/$built/release/deps/libsysroot_probe"*
cp "$work/target/$built/release/deps/"lib*.rlib "$libdir/"
rustc -vV >"$libdir/.built-from-source"
rm -rf "$work"
complete "$built" || die "$what was built but is not complete."
say "built $what from Debian's $(basename "$deb") ($((SECONDS - start)) s)."
