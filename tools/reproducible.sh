#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds the images of all boards twice, in folders of different names and with
# different users' settings, and compares them bit by bit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$PWD/build/reproducible
rm -rf "$work"
mkdir -p "$work/one" "$work/the other folder" "$work/cargo"
trap 'rm -rf "$work"/one "$work/the other folder" "$work/cargo"' EXIT
for folder in one 'the other folder'; do
    tar -c --exclude=./build --exclude=./target --exclude=./.git . | tar -x -C "$work/$folder"
done

# As a rule.
build() { env -u CARGO_BUILD_TARGET_DIR CARGO_TARGET_DIR="$work/$1/target" "${@:3}" make -s -C "$work/$1" image PLAT="$2"; }

# Another place of the crates' sources, with settings of its own; flags of each kind that the environment can
# have; another language, time zone and permission mask.
cargo=${CARGO_HOME:-$HOME/.cargo}
for f in "$cargo"/*; do
    case ${f##*/} in config | config.toml | bin) ;; *) ln -s "$f" "$work/cargo/" ;; esac
done
cat >"$work/cargo/config.toml" <<'TOML'
[build]
rustflags = ["-C", "opt-level=0"]
target-dir = "elsewhere"
[profile.release]
opt-level = 0
overflow-checks = false
TOML
hostile=(
    CARGO_HOME="$work/cargo" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}"
    RUSTFLAGS='-C opt-level=0' CARGO_ENCODED_RUSTFLAGS='-Copt-level=0' CARGO_BUILD_RUSTFLAGS='-C opt-level=0'
    CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS='-C opt-level=0'
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_BUILD_TARGET=riscv64gc-unknown-none-elf
    RUSTC_WRAPPER=/nonexistent CARGO_INCREMENTAL=1 RUSTC_BOOTSTRAP=1
    TIME=1 RMM=nothing LC_ALL=C TZ=Asia/Tokyo SOURCE_DATE_EPOCH=1
)

same=0
for board in qemu sbsa fvp; do
    build one "$board"
    (umask 077 && build 'the other folder' "$board" "${hostile[@]}")
    if cmp "$work/one/build/$board/rmm.img" "$work/the other folder/build/$board/rmm.img"; then
        sha256sum <"$work/one/build/$board/rmm.img" | sed "s|-\$|build/$board/rmm.img|"
    else
        cp "$work/one/build/$board/rmm.img" "$work/$board-one.img"
        cp "$work/the other folder/build/$board/rmm.img" "$work/$board-other.img"
        echo "reproducible: PLAT=$board: the images differ; they are in build/reproducible." >&2
        same=1
    fi
done
[ $same != 0 ] || echo 'reproducible: ok'
exit $same
