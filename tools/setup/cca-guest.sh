#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# cca-guest.sh FILE: builds the guest's program cca-guest as one static arm64
# file. --setup only gets what that takes.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -z "${LINUX:-}" ] || [ "$1" != --setup ] || exit 0

musl=aarch64-unknown-linux-musl

has_std() { compgen -G "$(rustc --print target-libdir --target "$1")/libstd-*.rlib" >/dev/null; }

if [ "$1" = --setup ]; then
    ! has_std $musl || exit 0
    start=$SECONDS
    command -v rustup >/dev/null && logged rustup-musl timeout 300 rustup target add $musl && has_std $musl ||
        die "the Rust target $musl, for the guest's program, could not be installed (${LOG#"$ROOT"/}/rustup-musl.log)."
    say "installed the Rust target $musl ($((SECONDS - start)) s)."
    exit 0
fi

# The linker comes with Rust, the C library with the target. Every byte of the file is measured at the launch:
# no symbols.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld CARGO_PROFILE_RELEASE_STRIP=symbols
cargo build -q --release -p cca-token --no-default-features --features guest --bin cca-guest --target $musl
built=${CARGO_TARGET_DIR:-target}/$musl/release/cca-guest
cmp -s "$built" "$1" || cp "$built" "$1"
