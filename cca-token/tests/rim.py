#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints the measurements that tests/rim.rs holds the crate to.

Written from the RMM specification with hashlib and struct alone. It lists the RTT entries of each
RMI_RTT_INIT_RIPAS by hand instead of modelling tables, so it shares no idea with the crate either.
"""

import hashlib
import struct


class Realm2:
    """Through RMI 2.0: begins with zero; parameters and RIPAS are not measured."""

    def __init__(self, algorithm):
        self.hash = lambda data: hashlib.new(algorithm, data).digest()
        self.rim = bytes(hashlib.new(algorithm).digest_size)

    def extend(self, kind, body):
        Realm.extend(self, kind, body)

    def data(self, ipa, content, measure=True):
        Realm.data(self, ipa, content, measure)

    def rec(self, pc, *gprs):
        Realm.rec(self, pc, *gprs)


class Realm:
    def __init__(self, algorithm, flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs):
        self.hash = lambda data: hashlib.new(algorithm, data).digest()
        number = {"sha256": 0, "sha512": 1}[algorithm]
        # RmiRealmParams: the seven measured fields lie at multiples of 8 from 0.
        page = struct.pack("<7Q", flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs, number)
        self.rim = self.hash(page.ljust(4096, b"\0"))

    def extend(self, kind, body):
        head = struct.pack("<QQ", kind, 256) + self.rim.ljust(64, b"\0")
        self.rim = self.hash((head + body).ljust(256, b"\0"))

    def ripas(self, *entries):
        for base, top in entries:
            self.extend(2, struct.pack("<QQ", base, top))

    def data(self, ipa, content, measure=True):
        assert len(content) == 4096
        body = struct.pack("<QQ", ipa, 1 if measure else 0)
        self.extend(0, body + (self.hash(content) if measure else b""))

    def rec(self, pc, *gprs):
        page = struct.pack("<Q", 1).ljust(0x200, b"\0") + struct.pack("<Q", pc)
        page = page.ljust(0x300, b"\0") + b"".join(struct.pack("<Q", x) for x in gprs)
        self.extend(1, self.hash(page.ljust(4096, b"\0")))


def show(name, realm):
    print(name, realm.rim.hex())


KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# The kernel of the tests: 10,000 bytes, each its own position modulo 251.
KERNEL = bytes(i % 251 for i in range(10_000)).ljust(12 * KIB, b"\0")


def every(size, base, top):
    return [(at, at + size) for at in range(base, top, size)]


def main():
    for algorithm in ("sha256", "sha512"):
        show(f"{algorithm} empty", Realm(algorithm, 0, 32, 0, 1, 1, 0))
        show(f"{algorithm} full", Realm(algorithm, 7, 52, 3, 5, 3, 6))

        # The usual order of a VMM: RAM, content, RECs. 40 bits; the RAM is two entries of 1 GiB.
        realm = Realm(algorithm, 2, 40, 0, 5, 3, 0)
        realm.ripas((2 * GIB, 3 * GIB), (3 * GIB, 4 * GIB))
        for page in range(3):
            realm.data(2 * GIB + 2 * MIB + page * 4096, KERNEL[page * 4096 : (page + 1) * 4096])
        realm.data(2 * GIB + 4 * MIB, bytes(4096), measure=False)
        realm.rec(2 * GIB + 2 * MIB, 0x8800_0000, 0xFFFF_FFFF_FFFF_FFFF)
        # RECs 1 and 2 are not runnable, REC 3 is.
        realm.rec(0, 1, 2, 3, 4, 5, 6, 7, 8)
        show(f"{algorithm} usual", realm)

        # Content first, then RAM: the table of the content has entries of 4 KiB.
        realm = Realm(algorithm, 0, 40, 0, 1, 1, 0)
        realm.data(2 * GIB + 4 * KIB, KERNEL[:4096])
        realm.ripas(*every(4 * KIB, 2 * GIB, 2 * GIB + 2 * MIB))
        realm.ripas(*every(2 * MIB, 2 * GIB + 2 * MIB, 2 * GIB + 8 * MIB))
        realm.ripas((2 * GIB + 8 * MIB, 2 * GIB + 8 * MIB + 4 * KIB))
        show(f"{algorithm} data first", realm)

        # Tables of level 3 throughout, made before.
        realm = Realm(algorithm, 0, 33, 0, 1, 1, 0)
        realm.ripas(*every(4 * KIB, 0, 4 * MIB))
        show(f"{algorithm} pages", realm)

    for algorithm in ("sha256", "sha384", "sha512"):
        realm = Realm2(algorithm)
        show(f"{algorithm} 2.0 empty", realm)
        for page in range(3):
            realm.data(2 * GIB + 2 * MIB + page * 4096, KERNEL[page * 4096 : (page + 1) * 4096])
        realm.data(2 * GIB + 4 * MIB, bytes(4096), measure=False)
        realm.rec(2 * GIB + 2 * MIB, 0x8800_0000, 0xFFFF_FFFF_FFFF_FFFF)
        realm.rec(0, 1, 2, 3, 4, 5, 6, 7, 8)
        show(f"{algorithm} 2.0 usual", realm)


if __name__ == "__main__":
    main()
