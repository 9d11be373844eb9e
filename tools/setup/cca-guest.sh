#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# cca-guest.sh FILE: builds the guest's program cca-guest as one static arm64
# file, for a target that `rust.sh guest` has installed.

# shellcheck source=tools/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

target=aarch64-unknown-linux-musl
if ! compgen -G "$(rustc --print target-libdir --target $target)/libstd-*.rlib" >/dev/null; then
    target=aarch64-unknown-linux-gnu
fi

# The linker of the musl target comes with Rust.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static'
# Each page of the file is loaded and measured at the launch: no symbols.
export CARGO_PROFILE_RELEASE_STRIP=symbols
cargo build -q --release -p cca-token --no-default-features --features guest --bin cca-guest --target $target

built=${CARGO_TARGET_DIR:-target}/$target/release/cca-guest
cmp -s "$built" "$1" || { cp "$built" "$1.new" && mv "$1.new" "$1"; }
