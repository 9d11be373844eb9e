#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Stands in for the programs that set-up calls, by the name it is called by, and
# notes each call in a file `calls`. The file `fault` has a line "NAME MATTER": what
# that program does wrong.
#   half   writes half of a file and is killed with all its group
#   short  writes half of a file and reports success
#   none   does nothing and reports success
#   fail   fails
set -euo pipefail

name=${0##*/}
# Beside the folder of programs; the environment may be empty.
STUBS=$(dirname "$(dirname "$0")")
echo "$name $*" >>"$STUBS/calls"
fault=$(sed -n "s/^$name //p" "$STUBS/fault" 2>/dev/null) || true

# put SOURCE TARGET, with the fault in it.
put() {
    case $fault in
        half | short) head -c "$(($(stat -c %s "$1") / 2))" "$1" >"$2" ;;
        *) cp "$1" "$2" ;;
    esac
    [ "$fault" != half ] || kill -9 0
}
last() { echo "${*: -1}"; }

[ "$fault" != fail ] || {
    echo "E: $name cannot" >&2
    exit 1
}
case $name in
    apt-get)
        case " $* " in
            *' update '*) ;;
            *' download '*)
                package=$(last "$@")
                for file in "$STUBS/mirror/${package%%=*}"_*.deb; do put "$file" "${file##*/}"; done
                ;;
            *' source '*)
                for file in "$STUBS"/mirror/arm-trusted-firmware_*.dsc "$STUBS"/mirror/arm-trusted-firmware_*.orig.tar.gz; do
                    put "$file" "${file##*/}"
                done
                ;;
            *' install '*)
                [ "$fault" = none ] || cp -a "$STUBS/installs/." "$STUBS/bin/"
                ;;
        esac
        ;;
    apt-cache)
        case " $* " in
            *' madison '*) sed -n "s/^\($(last "$@")\) \(.*\)/ \1 | \2 | x/p" "$STUBS/mirror/index" ;;
            *' show '*)
                package=$(last "$@")
                cat "$STUBS/mirror/${package%%=*}.show"
                ;;
        esac
        ;;
    dpkg) [[ "$*" != *architecture* ]] || echo amd64 ;;
    dpkg-query) ;;
    dpkg-deb) put "$(last "$@")" /dev/stdout ;;
    make)
        for word; do
            case $word in
                BUILD_BASE=*) base=${word#*=} ;;
                DEBUG=1) variant=debug ;;
                DEBUG=0) variant=release ;;
            esac
        done
        # A makefile stands no space.
        [[ $base != *' '* ]]
        for b in bl1 bl2 bl31; do
            mkdir -p "$base/qemu/$variant/$b"
            echo "$b code of $variant" >"$base/$b"
            put "$base/$b" "$base/qemu/$variant/$b.bin"
            echo "$b symbols" >"$base/qemu/$variant/$b/$b.elf"
        done
        ;;
    cargo)
        # Without a library in the toolchain's stand-in, as the real one.
        [ -f "$PWD/../sysroot/lib/rustlib/src/rust/library/core" ]
        deps=$CARGO_TARGET_DIR/aarch64-unknown-none-softfloat/release/deps
        mkdir -p "$deps"
        for library in core alloc compiler_builtins sysroot_probe; do
            echo "$library" >"$CARGO_TARGET_DIR/$library"
            put "$CARGO_TARGET_DIR/$library" "$deps/lib$library-1.rlib"
        done
        ;;
    qemu-system-aarch64 | 'my qemu') echo "QEMU emulator version ${QEMU_IS:-10.0.2} (Debian)" ;;
    fiptool) echo '  --rmm-fw' ;;
    id) echo "${UID_IS:-0}" ;;
    sudo)
        echo 'sudo: a password is required' >&2
        exit 1
        ;;
    rustc)
        # As rustup's: the toolchain by its number, if there is one.
        for t in "$RUSTUP_HOME"/toolchains/1.*; do
            [ ! -x "$t/bin/rustc" ] || exec "$t/bin/rustc" "$@"
        done
        exit 1
        ;;
    rustup)
        echo 'error: the network is unreachable' >&2
        exit 1
        ;;
esac
