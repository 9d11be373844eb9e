// SPDX-License-Identifier: BSD-3-Clause
//! Public keys: from COSE_Key, bare points, PEM and JWK; signatures; keys that deserve no trust.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::cbor::{Error, Item, Value};
use crate::claims::{Claim, Claims, bytes};
use crate::cose::Algorithm;

const KTY: Claim = Claim(1, "kty");
const KEY_ALG: Claim = Claim(3, "alg");
const KEY_OPS: Claim = Claim(4, "key_ops");
const CRV: Claim = Claim(-1, "crv");
const X: Claim = Claim(-2, "x");
const Y: Claim = Claim(-3, "y");

const KTY_EC2: i64 = 2;
const OP_VERIFY: i64 = 2;

/// Keys whose private halves are public, by [`PublicKey::fingerprint`], with their names.
pub const TEST_KEYS: &[([u8; 32], &str)] = &[
    (
        [
            0x9b, 0xdb, 0x47, 0x04, 0x56, 0xc7, 0xc1, 0x34, 0x83, 0x49, 0xe8, 0x8f, 0x38, 0x54,
            0x0f, 0x43, 0xe7, 0xa7, 0x99, 0x3a, 0xc3, 0x2e, 0x9c, 0x9a, 0x0b, 0x3c, 0x8d, 0x87,
            0x33, 0xcc, 0x63, 0xf0,
        ],
        "sample CPAK of TF-A",
    ),
    (
        [
            0xb5, 0x97, 0x3c, 0xb6, 0x8b, 0xaa, 0x9f, 0xc5, 0x55, 0x58, 0x78, 0x6b, 0x7e, 0xc6,
            0x7f, 0x69, 0xe4, 0x0d, 0xf5, 0xba, 0x5a, 0xa9, 0x21, 0xcd, 0x0c, 0x27, 0xf4, 0x05,
            0x87, 0xa0, 0x11, 0xea,
        ],
        "sample RAK of TF-A",
    ),
];

/// An elliptic curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Size in bytes of a coordinate.
    pub fn coordinate_size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// Its number in the registry of COSE curves.
    fn cose_number(self) -> i64 {
        match self {
            Self::P256 => 1,
            Self::P384 => 2,
            Self::P521 => 3,
        }
    }

    /// The algorithm that goes with it.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
        }
    }
}

/// Its name in a JWK.
impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        })
    }
}

#[derive(Clone)]
enum Verifier {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

/// A public key: a point on its curve, and not the point at infinity.
#[derive(Clone)]
pub struct PublicKey(Verifier);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({}, {})",
            self.curve(),
            crate::hex::encode(&self.fingerprint())
        )
    }
}

impl PublicKey {
    /// The key that a point in the form of SEC 1, section 2.3.3 stands for. `None` if it is not on `curve`.
    pub fn from_point(curve: Curve, point: &[u8]) -> Option<Self> {
        Some(Self(match curve {
            Curve::P256 => Verifier::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?),
            Curve::P384 => Verifier::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?),
            Curve::P521 => Verifier::P521(p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?),
        }))
    }

    /// The key in an uncompressed point: 04, X, Y, as tokens of the old profile have it.
    ///
    /// # Errors
    /// Of another form or size, or not on the curve.
    pub fn from_raw(point: &[u8], offset: usize) -> Result<Self, Error> {
        let curve = Curve::ALL.into_iter().find(|curve| {
            point.len() == 1 + 2 * curve.coordinate_size() && point.first() == Some(&4)
        });
        curve
            .and_then(|curve| Self::from_point(curve, point))
            .ok_or_else(|| {
                Error::new(
                    offset,
                    "the public key is not an uncompressed point on a known curve",
                )
            })
    }

    /// The key in a COSE_Key (RFC 9052, section 7) of type EC2.
    ///
    /// # Errors
    /// Malformed; another type; a curve that is not known; a point not on the curve; an algorithm or
    /// operations that do not fit a key for verifying.
    pub fn from_cose_key(input: &[u8], base: usize) -> Result<Self, Error> {
        let value = Value::parse(input, base)?;
        let key = Claims::of(&value, "the COSE_Key")?;
        let kty = key.require(KTY)?;
        if kty.integer() != Some(KTY_EC2) {
            return Err(Error::new(
                kty.offset,
                format!("COSE_Key: key type {kty} is not EC2 (2)"),
            ));
        }
        let named = key.require(CRV)?;
        let curve = Curve::ALL
            .into_iter()
            .find(|curve| named.integer() == Some(curve.cose_number()))
            .ok_or_else(|| Error::new(named.offset, format!("COSE_Key: unknown curve {named}")))?;
        if let Some(alg) = key.get(KEY_ALG)
            && alg.integer() != Some(curve.algorithm().number())
        {
            return Err(Error::new(
                alg.offset,
                format!("COSE_Key: algorithm {alg} does not fit {curve}"),
            ));
        }
        if let Some(ops) = key.get(KEY_OPS) {
            let verifies = match &ops.item {
                Item::Array(ops) => ops.iter().any(|op| op.integer() == Some(OP_VERIFY)),
                _ => false,
            };
            if !verifies {
                return Err(Error::new(
                    ops.offset,
                    "COSE_Key: key_ops do not include verify (2)",
                ));
            }
        }
        let size = [curve.coordinate_size()];
        let x = key.bytes(X, &size)?;
        let y = key.require(Y)?;
        let mut point = Vec::with_capacity(1 + 2 * curve.coordinate_size());
        match y.item {
            // A compressed point: the sign bit of Y.
            Item::Bool(sign) => {
                point.push(if sign { 3 } else { 2 });
                point.extend_from_slice(&x.content);
            }
            _ => {
                point.push(4);
                point.extend_from_slice(&x.content);
                point.extend_from_slice(&bytes(Y, y, &size)?.content);
            }
        }
        Self::from_point(curve, &point).ok_or_else(|| {
            Error::new(
                value.offset,
                format!("COSE_Key: the point is not on {curve}"),
            )
        })
    }

    /// Its curve.
    pub fn curve(&self) -> Curve {
        match self.0 {
            Verifier::P256(_) => Curve::P256,
            Verifier::P384(_) => Curve::P384,
            Verifier::P521(_) => Curve::P521,
        }
    }

    /// The uncompressed point: 04, X, Y.
    pub fn point(&self) -> Vec<u8> {
        match &self.0 {
            Verifier::P256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
            Verifier::P384(key) => key.to_sec1_point(false).as_bytes().to_vec(),
            Verifier::P521(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    /// SHA-256 of [`point`](Self::point).
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.point()).into()
    }

    /// The name under which this key is among `test_keys`.
    pub fn name_among(&self, test_keys: &[([u8; 32], &'static str)]) -> Option<&'static str> {
        let fingerprint = self.fingerprint();
        test_keys
            .iter()
            .find(|(known, _)| *known == fingerprint)
            .map(|(_, name)| *name)
    }

    /// Whether `signature` (r and s) over `message` is this key's, by `algorithm`. False if the algorithm
    /// is not the one of the key's curve.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use p256::ecdsa::signature::Verifier as _;
        if algorithm != self.curve().algorithm() {
            return false;
        }
        match &self.0 {
            Verifier::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Verifier::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Verifier::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}

/// A file that holds no usable trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AnchorError(String);

fn unusable<T>(why: impl Into<String>) -> Result<T, AnchorError> {
    Err(AnchorError(why.into()))
}

/// The keys in a trust anchor file: PEM (one or more `PUBLIC KEY` blocks), a JWK, or a JWK set.
///
/// # Errors
/// Anything in it is not a public key on a known curve; it holds a private key; it holds none.
pub fn read_anchors(file: &[u8]) -> Result<Vec<PublicKey>, AnchorError> {
    let Ok(text) = std::str::from_utf8(file) else {
        return unusable("neither PEM nor JSON: not text");
    };
    let keys = if text.contains("-----BEGIN ") {
        from_pem(text)?
    } else {
        let json: serde_json::Value = serde_json::from_str(text)
            .or_else(|e| unusable(format!("neither PEM nor JSON: {e}")))?;
        match json.get("keys") {
            Some(serde_json::Value::Array(keys)) => {
                keys.iter().map(from_jwk).collect::<Result<_, _>>()?
            }
            Some(_) => return unusable("\"keys\" is not an array"),
            None => vec![from_jwk(&json)?],
        }
    };
    if keys.is_empty() {
        return unusable("it holds no key");
    }
    Ok(keys)
}

fn from_pem(text: &str) -> Result<Vec<PublicKey>, AnchorError> {
    use p256::pkcs8::DecodePublicKey as _;
    const BEGIN: &str = "-----BEGIN ";
    let mut keys = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let label = block.split("-----").next().unwrap_or_default();
        if label.contains("PRIVATE KEY") {
            return unusable("it holds a private key; a trust anchor is the public key alone");
        }
        if label != "PUBLIC KEY" {
            return unusable(format!(
                "it holds a {label}; a trust anchor is a PUBLIC KEY"
            ));
        }
        const END: &str = "-----END PUBLIC KEY-----";
        let Some(end) = block.find(END) else {
            return unusable("a PEM block has no end");
        };
        let pem = format!("{BEGIN}{}\n", &block[..end + END.len()]);
        let key = p256::ecdsa::VerifyingKey::from_public_key_pem(&pem)
            .map(Verifier::P256)
            .or_else(|_| p384::ecdsa::VerifyingKey::from_public_key_pem(&pem).map(Verifier::P384))
            .or_else(|_| p521::ecdsa::VerifyingKey::from_public_key_pem(&pem).map(Verifier::P521));
        match key {
            Ok(key) => keys.push(PublicKey(key)),
            Err(_) => return unusable("a PUBLIC KEY is not one on P-256, P-384 or P-521"),
        }
    }
    Ok(keys)
}

fn from_jwk(jwk: &serde_json::Value) -> Result<PublicKey, AnchorError> {
    let text = |name: &str| jwk.get(name).and_then(serde_json::Value::as_str);
    if jwk.get("d").is_some() {
        return unusable("the JWK holds a private key; a trust anchor is the public key alone");
    }
    if text("kty") != Some("EC") {
        return unusable("the JWK's \"kty\" is not \"EC\"");
    }
    let Some(curve) = Curve::ALL
        .into_iter()
        .find(|curve| text("crv") == Some(&curve.to_string()))
    else {
        return unusable("the JWK's \"crv\" is none of P-256, P-384, P-521");
    };
    if let Some(alg) = jwk.get("alg")
        && alg.as_str() != Some(&curve.algorithm().to_string())
    {
        return unusable(format!("the JWK's \"alg\" does not fit {curve}"));
    }
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = text(name).and_then(|text| Base64UrlUnpadded::decode_vec(text).ok());
        match coordinate {
            Some(bytes) if bytes.len() == curve.coordinate_size() => point.extend(bytes),
            _ => {
                return unusable(format!(
                    "the JWK's \"{name}\" is not {} bytes in base64url",
                    curve.coordinate_size()
                ));
            }
        }
    }
    PublicKey::from_point(curve, &point).map_or_else(
        || unusable(format!("the JWK is not a point on {curve}")),
        Ok,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public halves, as published with TF-A's sample tokens.
    const CPAK_JWK: &str = r#"{"kty": "EC", "crv": "P-384",
        "x": "IShnxS4rlQiwpCCpBWDzlNLfqiG911FP8akBr-fh94uxHU5m-Kijivp2r2oxxN6M",
        "y": "hM4tr8mWQli1P61xh3T0ViDREbF26DGOEYfbAjWjGNN7pZf-6A4OTHYqEryz6m7U"}"#;
    const RAK_X: &str = "76f988091be585ed41801aecfab858548c63057e16b0e676120bbd0d2f9c29e056c5d41a0130eb9c21517899dc23146b";
    const RAK_Y: &str = "28e1b062bd3ea4b315fd219f1cbb528cb6e74ca49be16773734f61a1ca61031b2bbf3d918f2f94ffc4228e50919544ae";

    #[test]
    fn sample_keys_are_known() {
        let cpak = read_anchors(CPAK_JWK.as_bytes()).expect("a JWK");
        assert_eq!(cpak[0].name_among(TEST_KEYS), Some("sample CPAK of TF-A"));
        let raw = crate::hex::decode(&format!("04{RAK_X}{RAK_Y}")).expect("hex");
        let cose =
            crate::hex::decode(&format!("a401022002215830{RAK_X}225830{RAK_Y}")).expect("hex");
        let compressed = crate::hex::decode(&format!("a401022002215830{RAK_X}22f4")).expect("hex");
        for key in [
            PublicKey::from_raw(&raw, 0),
            PublicKey::from_cose_key(&cose, 0),
            PublicKey::from_cose_key(&compressed, 0),
        ] {
            let key = key.expect("the sample RAK");
            assert_eq!(key.name_among(TEST_KEYS), Some("sample RAK of TF-A"));
            assert_eq!(key.point(), raw);
        }
    }

    #[test]
    fn cose_keys_are_checked() {
        let x = format!("215830{RAK_X}");
        let y = format!("225830{RAK_Y}");
        for (hex, offset) in [
            (format!("a301022002{x}"), 0),                                 // no y
            (format!("a3200221{}225830{RAK_Y}", &x[2..]), 0),              // no kty
            (format!("a40101200{}{x}{y}", 2), 2),                          // kty OKP
            (format!("a401022001{x}{y}"), 6),                              // x too long for P-256
            (format!("a401022008{x}{y}"), 4),                              // unknown curve
            (format!("a401022002{x}225830{RAK_X}"), 0),                    // not on the curve
            (format!("a401022002215830{RAK_X}22582f{}", &RAK_Y[2..]), 57), // y too short
            (format!("a5010203262002{x}{y}"), 4),                          // alg ES256
            (format!("a501020481012002{x}{y}"), 4),                        // key_ops: sign only
            (format!("a50102012002{x}{y}"), 3),                            // kty twice
        ] {
            let input = crate::hex::decode(&hex).expect("hex");
            let error = PublicKey::from_cose_key(&input, 0).expect_err(&hex);
            assert_eq!(error.offset, offset, "{hex}: {error}");
        }
        let full = format!("a601020338220481022002{x}{y}");
        assert!(PublicKey::from_cose_key(&crate::hex::decode(&full).expect("hex"), 0).is_ok());
    }

    #[test]
    fn raw_points_are_checked() {
        for hex in [
            String::new(),
            format!("02{RAK_X}"),
            format!("04{RAK_X}{RAK_X}"),
            format!("05{RAK_X}{RAK_Y}"),
            format!("04{RAK_X}{RAK_Y}00"),
            "00".into(),
            "00".repeat(97),
        ] {
            assert!(
                PublicKey::from_raw(&crate::hex::decode(&hex).expect("hex"), 0).is_err(),
                "{hex}"
            );
        }
    }

    #[test]
    fn unusable_anchors_say_why() {
        for (text, why) in [
            ("", "neither PEM nor JSON"),
            ("{}", "kty"),
            (r#"{"keys": []}"#, "no key"),
            (r#"{"keys": 1}"#, "not an array"),
            (r#"{"kty": "RSA"}"#, "kty"),
            (r#"{"kty": "EC", "crv": "secp256k1"}"#, "crv"),
            (
                r#"{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}"#,
                "48 bytes",
            ),
            (r#"{"kty": "EC", "crv": "P-384", "alg": "ES256"}"#, "alg"),
            (r#"{"kty": "EC", "crv": "P-384", "d": "AA"}"#, "private key"),
            ("-----BEGIN PUBLIC KEY-----\nAA", "no end"),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                "not one on",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
                "private key",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "CERTIFICATE",
            ),
        ] {
            let error = read_anchors(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(read_anchors(&[0xff]).is_err());
        let set = format!(r#"{{"keys": [{CPAK_JWK}, {CPAK_JWK}]}}"#);
        assert_eq!(read_anchors(set.as_bytes()).map(|keys| keys.len()), Ok(2));
    }
}
