// SPDX-License-Identifier: BSD-3-Clause
//! REM extension, against values computed by an independent program.

use rmm_abi::rmi::HashAlgorithm;
use rmm_attest::{Measurement, SoftHash, rem};

/// A new REM extended by nothing, then by bytes 0 to 4, then by 64 bytes of 0xFF.
const SHA_256: [&str; 3] = [
    "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
    "73a5f44a325787128f76e25955cbcde790c917d5406985c55cca9c0a495c5f5d",
    "e4299c49214f7067ab574a0155bb63327d30f8ac8793250e3115d7929b3b4b0a",
];

/// The same with SHA-512.
const SHA_512: [&str; 3] = [
    "7be9fda48f4179e611c698a73cff09faf72869431efee6eaad14de0cb44bbf66503f752b7a8eb17083355f3ce6eb7d2806f236b25af96a24e22b887405c20081",
    "273359b44514011b3301e091bffd6598d05a00b18232bb618d1929a9a844afa3cf5e4334b4cf9180f2a683cb5e46cb3dcc73570ad27d84a391fdd3cb352da7b5",
    "62d63a8797162a446bd81798c05a9fcd811fa6e1f1940986b3c06f47b989fb85a89bd317a4602dd09c4c144ad19df95193bb5aef0c246e267c1cec3dac6e0714",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(algorithm: HashAlgorithm, expected: [&str; 3]) {
    let values: [&[u8]; 3] = [&[], &[0, 1, 2, 3, 4], &[0xFF; 64]];
    let mut rem = Measurement::ZERO;
    for (value, expected) in values.iter().zip(expected) {
        rem = rem::extend(&SoftHash, algorithm, &rem, value);
        assert_eq!(hex(rem.digest(algorithm)), expected);
        assert_eq!(
            hex(&rem.0),
            format!("{expected:0<128}"),
            "filled up with zeroes"
        );
    }
}

// Conformance: RSI_MEASUREMENT_EXTEND value
#[test]
fn sha_256_extensions() {
    check(HashAlgorithm::Sha256, SHA_256);
}

// Conformance: RSI_MEASUREMENT_EXTEND value
#[test]
fn sha_512_extensions() {
    check(HashAlgorithm::Sha512, SHA_512);
}
