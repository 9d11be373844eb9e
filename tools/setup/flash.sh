#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# flash.sh TFA-FOLDER RMM-IMAGE BL33-IMAGE OUT-FOLDER [sbsa]: the flash file
# QEMU starts from: bl1.bin at 0, the firmware package at 256 KiB. On sbsa-ref
# it follows at 72 KiB and BL33 is in another flash; each has 256 MiB.
set -euo pipefail

tfa=$1 rmm=$2 bl33=$3 out=$4 at=$((0x40000)) size=
[ "${5:-}" != sbsa ] || at=$((0x12000)) size=256M
nt_fw=()
[ -z "$bl33" ] || nt_fw=(--nt-fw "$bl33")

mkdir -p "$out"
if [ -f "$tfa/fip.bin" ]; then
    cp "$tfa/fip.bin" "$out/fip.bin"
    chmod u+w "$out/fip.bin"
    fiptool update --rmm-fw "$rmm" "${nt_fw[@]}" "$out/fip.bin"
else
    rm -f "$out/fip.bin"
    fiptool create --tb-fw "$tfa/bl2.bin" --soc-fw "$tfa/bl31.bin" \
        --rmm-fw "$rmm" "${nt_fw[@]}" "$out/fip.bin"
fi

bytes=$(stat -L -c %s "$tfa/bl1.bin")
if [ "$bytes" -gt "$at" ]; then
    echo "flash: $tfa/bl1.bin has $bytes bytes; $at fit before the firmware package." >&2
    exit 1
fi
cp "$tfa/bl1.bin" "$out/flash.tmp"
truncate -s "$at" "$out/flash.tmp"
cat "$out/fip.bin" >>"$out/flash.tmp"
[ -z "$size" ] || truncate -s "$size" "$out/flash.tmp"
mv "$out/flash.tmp" "$out/flash.bin"
