# SPDX-License-Identifier: BSD-3-Clause
# Makes vectors.rs: python3 vectors.py >vectors.rs, with the packages cbor2, cryptography and ecdsa.
# Nothing here comes from the monitor: the layouts are those of RMM specification 1.0, A7.2.3.
import hashlib, textwrap
import cbor2, ecdsa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

SECRET = 0x6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5
key = ecdsa.SigningKey.from_secret_exponent(SECRET, ecdsa.NIST384p, hashlib.sha384)
point = key.verifying_key.to_string()

def fill(first, size):
    return bytes((first + 3 * n) % 256 for n in range(size))

def token(size, name, platform, outer=lambda p, r: cbor2.CBORTag(399, {44234: p, 44241: r})):
    claims = cbor2.dumps({
        10: fill(0x10, 64),
        44235: fill(0x20, 64),
        44237: cbor2.dumps({1: 2, -1: 2, -2: point[:48], -3: point[48:]}),
        44236: name,
        44240: "sha-256",
        265: "tag:arm.com,2023:realm#1.0.0",
        44238: fill(0x30, size),
        44239: [fill(first, size) for first in (0x40, 0x50, 0x60, 0x70)],
    })
    protected = cbor2.dumps({1: -35})
    signed = cbor2.dumps(["Signature1", protected, b"", claims])
    signature = key.sign_deterministic(signed, hashfunc=hashlib.sha384)
    numbers = [int.from_bytes(signature[:48]), int.from_bytes(signature[48:])]
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), b"\x04" + point)
    public.verify(utils.encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA384()))
    realm = cbor2.dumps(cbor2.CBORTag(18, [protected, {}, claims, signature]))
    return cbor2.dumps(outer(platform, realm))

def show(doc, name, data):
    lines = "\\\n    ".join(textwrap.wrap(data.hex(), 94))
    print(f'\n/// {doc}\npub const {name}: &str = "\\\n    {lines}";')

PLATFORM = fill(0x80, 300)
print("// SPDX-License-Identifier: BSD-3-Clause\n//! Whole tokens with a platform token of 300 bytes, made by vectors.py.")
show("Realm with SHA-256.", "SHA_256", token(32, "sha-256", PLATFORM))
show("Realm with SHA-512.", "SHA_512", token(64, "sha-512", PLATFORM))
show("SHA-256 of the public key as a COSE_Key.", "KEY_HASH",
     hashlib.sha256(cbor2.dumps({1: 2, -1: 2, -2: point[:48], -3: point[48:]})).digest())
