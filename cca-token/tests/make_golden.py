#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/golden: tokens, keys and what is in them, with cbor2 and cryptography alone.

Usage: make_golden.py FOLDER. The keys are made of small public numbers: trust them in tests only.
"""

import base64
import hashlib
import json
import pathlib
import struct
import sys

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CURVES = {
    "ES256": (-7, ec.SECP256R1(), hashes.SHA256(), 32, "P-256", 1),
    "ES384": (-35, ec.SECP384R1(), hashes.SHA384(), 48, "P-384", 2),
    "ES512": (-36, ec.SECP521R1(), hashes.SHA512(), 66, "P-521", 3),
}


class Key:
    def __init__(self, alg, scalar):
        self.alg = alg
        self.number, curve, self.hash, self.size, self.curve, self.crv = CURVES[alg]
        self.private = ec.derive_private_key(scalar, curve)
        numbers = self.private.public_key().public_numbers()
        self.x = numbers.x.to_bytes(self.size, "big")
        self.y = numbers.y.to_bytes(self.size, "big")

    def sign(self, message):
        der = self.private.sign(message, ec.ECDSA(self.hash, deterministic_signing=True))
        return b"".join(n.to_bytes(self.size, "big") for n in decode_dss_signature(der))

    def cose_key(self):
        return cbor2.dumps({1: 2, -1: self.crv, -2: self.x, -3: self.y})

    def raw(self):
        return b"\4" + self.x + self.y

    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def jwk(self):
        text = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()
        return {"kty": "EC", "crv": self.curve, "alg": self.alg, "x": text(self.x), "y": text(self.y)}


# Encodings that cbor2 does not produce: longer than needed, and indefinite.


def head(major, number):
    return struct.pack(">BQ", major << 5 | 27, number)


def odd(value):
    if isinstance(value, bool) or value is None:
        return cbor2.dumps(value)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        half = len(value) // 2
        return b"\x5f" + head(2, half) + value[:half] + cbor2.dumps(value[half:]) + b"\xff"
    if isinstance(value, str):
        return b"\x7f" + head(3, len(value)) + value.encode() + b"\xff"
    if isinstance(value, list):
        return b"\x9f" + b"".join(map(odd, value)) + b"\xff"
    if isinstance(value, dict):
        return b"\xbf" + b"".join(odd(k) + odd(v) for k, v in value.items()) + b"\xff"
    if isinstance(value, cbor2.CBORTag):
        return head(6, value.tag) + odd(value.value)
    raise TypeError(value)


def sign1(key, claims, dumps):
    protected = dumps({1: key.number})
    payload = dumps(claims)
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    return dumps(cbor2.CBORTag(18, [protected, {}, payload, key.sign(signed)]))


def pattern(first, size):
    return bytes((first + i) % 256 for i in range(size))


CHALLENGE = pattern(0x10, 64)
RPV = pattern(0x80, 64)
IMPLEMENTATION_ID = pattern(0xA0, 32)
INSTANCE_ID = b"\1" + pattern(0xC0, 32)


def platform_claims(profile, rak_hash):
    component = lambda n, name: {1: name, 2: pattern(n, 32), 4: "1.2.3", 5: pattern(n + 1, 32), 6: "sha-256"}
    return {
        265: profile,
        10: rak_hash,
        2396: IMPLEMENTATION_ID,
        256: INSTANCE_ID,
        2401: b"\xcf\xcf\xcf\xcf",
        2395: 0x3003,
        2402: "sha-256",
        2400: "https://verifier.example/",
        2399: [component(1, "BL1"), component(2, "BL2"), {2: pattern(3, 32), 5: pattern(4, 32)}],
    }


def realm_claims(profile, rak, size, algorithm):
    claims = {
        10: CHALLENGE,
        44235: RPV,
        44237: rak,
        44236: algorithm,
        44240: "sha-256",
        44238: pattern(0x20, size),
        44239: [pattern(0x30 + i, size) for i in range(4)],
    }
    if profile:
        claims[265] = profile
    return claims


NEW = "tag:arm.com,2023:cca_platform#1.0.0"
OLD = "http://arm.com/CCA-SSD/1.0.0"
REALM = "tag:arm.com,2023:realm#1.0.0"


def token(cpak, rak, new=True, realm_profile=REALM, size=32, cmw=False, dumps=cbor2.dumps, extra=None):
    public = rak.cose_key() if new else rak.raw()
    platform = platform_claims(NEW if new else OLD, hashlib.sha256(public).digest())
    realm = realm_claims(realm_profile if new else None, public, size, {32: "sha-256", 64: "sha-512"}[size])
    platform.update(extra or {})
    realm.update(extra or {})
    wrap = (lambda x: [263, x]) if cmw else (lambda x: x)
    body = {44234: wrap(sign1(cpak, platform, dumps)), 44241: wrap(sign1(rak, realm, dumps))}
    return dumps(cbor2.CBORTag(907 if cmw else 399, body))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    cpaks = {alg: Key(alg, 0x1234_5678_9ABC + n) for n, alg in enumerate(CURVES)}
    rak = Key("ES384", 0xFEED_BEEF_CAFE)
    for alg, key in cpaks.items():
        (folder / f"cpak-{alg.lower()}.pem").write_bytes(key.pem())
    keys = [key.jwk() for key in cpaks.values()]
    (folder / "cpak-es384.jwk").write_text(json.dumps(keys[1], indent=1) + "\n")
    (folder / "cpaks.jwks").write_text(json.dumps({"keys": keys}, indent=1) + "\n")

    cpak = cpaks["ES384"]
    unknown = {70000: [1, {"a": None}], "vendor": b"\1\2", -5: True}
    tokens = {
        "rel0": token(cpak, rak),
        "rel0-sha512": token(cpak, rak, size=64),
        "rel0-no-realm-profile": token(cpak, rak, realm_profile=None),
        "rel0-es256": token(cpaks["ES256"], rak),
        "rel0-es512": token(cpaks["ES512"], rak),
        "old-profile": token(cpak, rak, new=False),
        "cmw": token(cpak, rak, cmw=True),
        "odd": token(cpak, rak, dumps=odd),
        "odd-unknown": token(cpak, rak, dumps=odd, extra=unknown),
        "unknown": token(cpak, rak, extra=unknown),
    }
    for name, value in tokens.items():
        (folder / f"{name}.cbor").write_bytes(value)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
