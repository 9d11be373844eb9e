#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# flash.sh TFA-FOLDER RMM-IMAGE BL33-IMAGE OUT-FOLDER: the flash file QEMU
# starts from: bl1.bin at 0, the firmware package at 256 KiB.
set -euo pipefail

tfa=$1 rmm=$2 bl33=$3 out=$4

mkdir -p "$out"
if [ -f "$tfa/fip.bin" ]; then
    cp "$tfa/fip.bin" "$out/fip.bin"
    chmod u+w "$out/fip.bin"
    fiptool update --rmm-fw "$rmm" --nt-fw "$bl33" "$out/fip.bin"
else
    rm -f "$out/fip.bin"
    fiptool create --tb-fw "$tfa/bl2.bin" --soc-fw "$tfa/bl31.bin" \
        --rmm-fw "$rmm" --nt-fw "$bl33" "$out/fip.bin"
fi

size=$(stat -L -c %s "$tfa/bl1.bin")
if [ "$size" -gt $((0x40000)) ]; then
    echo "flash: $tfa/bl1.bin has $size bytes; 262144 fit before the firmware package." >&2
    exit 1
fi
cp "$tfa/bl1.bin" "$out/flash.tmp"
truncate -s $((0x40000)) "$out/flash.tmp"
cat "$out/fip.bin" >>"$out/flash.tmp"
mv "$out/flash.tmp" "$out/flash.bin"
