#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A second verifier of CCA tokens, which shares no code with the crate: cbor2 and cryptography.

Usage: verify.py TOKEN ANCHOR CHALLENGE RIM
       TOKEN: file; ANCHOR: PEM file; CHALLENGE, RIM: hexadecimal
Prints "verified", or "refused: " and why. Exit code 0, 1, or 77 if a package is missing.
"""

import hashlib
import io
import sys

try:
    import cbor2
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ALGORITHMS = {
    -7: ("secp256r1", hashes.SHA256(), 32),
    -35: ("secp384r1", hashes.SHA384(), 48),
    -36: ("secp521r1", hashes.SHA512(), 66),
}
HASHES = {"sha-256": hashlib.sha256, "sha-384": hashlib.sha384, "sha-512": hashlib.sha512}
PLATFORM = {
    "http://arm.com/CCA-SSD/1.0.0": "raw",
    "tag:arm.com,2023:cca_platform#1.0.0": "cose",
}
REALM = "tag:arm.com,2023:realm#1.0.0"


class Refused(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Refused(why)


def load(data):
    stream = io.BytesIO(data)
    value = cbor2.CBORDecoder(stream).decode()
    need(stream.read() == b"", "bytes after the end")
    return value


def open_sign1(data, key_of):
    """Checks a COSE_Sign1 with the key that key_of(claims) returns; returns the claims."""
    message = load(data)
    need(isinstance(message, cbor2.CBORTag) and message.tag == 18, "not COSE_Sign1")
    protected, _, payload, signature = message.value
    claims = load(payload)
    curve, hash_, size = ALGORITHMS[load(protected)[1]]
    key = key_of(claims)
    need(key.curve.name == curve, "the key is on another curve than the algorithm's")
    need(len(signature) == 2 * size, "size of the signature")
    r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hash_))
    return claims


def verify(token, anchor, challenge, rim):
    outer = load(token)
    need(isinstance(outer, cbor2.CBORTag) and outer.tag in (399, 907), "not a CCA token")
    unwrap = (lambda x: x) if outer.tag == 399 else (lambda x: x[1])
    platform = open_sign1(unwrap(outer.value[44234]), lambda _: anchor)
    encoding = PLATFORM[platform[265]]

    def rak(claims):
        public = claims[44237]
        profile = claims.get(265)
        need(profile in (None, REALM), "Realm profile")
        digest = HASHES[claims[44240]](public).digest()
        need(digest == platform[10], "the platform token does not name this Realm key")
        if profile is None and encoding == "raw":
            point = public
        else:
            key = load(public)
            need(key[1] == 2 and key[-1] == 2, "the Realm key is not on P-384")
            point = b"\4" + key[-2] + key[-3]
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point)

    realm = open_sign1(unwrap(outer.value[44241]), rak)
    need(platform[2395] >> 8 == 0x30, "lifecycle")
    need(realm[10] == challenge, "challenge")
    need(realm[44238] == rim, "RIM")
    size = HASHES[realm[44236]]().digest_size
    need(all(len(m) == size for m in [realm[44238], *realm[44239]]), "size of a measurement")


def main():
    token, anchor, challenge, rim = sys.argv[1:]
    with open(anchor, "rb") as file:
        key = serialization.load_pem_public_key(file.read())
    try:
        with open(token, "rb") as file:
            verify(file.read(), key, bytes.fromhex(challenge), bytes.fromhex(rim))
    except InvalidSignature:
        print("refused: signature")
        return 1
    except Refused as why:
        print(f"refused: {why}")
        return 1
    except (cbor2.CBORDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        print(f"refused: {type(error).__name__}: {error}")
        return 1
    print("verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
