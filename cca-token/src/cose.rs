// SPDX-License-Identifier: BSD-3-Clause
//! COSE_Sign1 (RFC 9052, section 4.2) and the signature algorithms of RFC 9053, section 2.1.

use std::fmt;

use crate::cbor::{Error, Item, Value};
use crate::claims::{Claim, Claims, bytes};

/// The tag of COSE_Sign1.
pub const SIGN1_TAG: u64 = 18;

const ALG: Claim = Claim(1, "alg");
const CRIT: Claim = Claim(2, "crit");
const KID: Claim = Claim(4, "kid");

/// An ECDSA algorithm, each with the curve that goes with its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// P-256 and SHA-256.
    Es256,
    /// P-384 and SHA-384.
    Es384,
    /// P-521 and SHA-512.
    Es512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Es384, Self::Es512];

    /// Its number in the registry of COSE algorithms.
    pub fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::Es384 => -35,
            Self::Es512 => -36,
        }
    }

    /// Size in bytes of a signature.
    pub fn signature_size(self) -> usize {
        match self {
            Self::Es256 => 64,
            Self::Es384 => 96,
            Self::Es512 => 132,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
        })
    }
}

/// A signed message, taken apart but not verified.
#[derive(Clone, Debug)]
pub struct Sign1 {
    /// What the signer says it used. Protected by the signature.
    pub algorithm: Algorithm,
    /// Key identifier from either header, if there is one.
    pub key_id: Option<Vec<u8>>,
    /// The claims.
    pub payload: Vec<u8>,
    /// Offset of the payload in the token.
    pub payload_offset: usize,
    /// r and s, each of the size of the curve.
    pub signature: Vec<u8>,
    protected: Vec<u8>,
}

impl Sign1 {
    /// Reads `input`, whose first byte has the offset `base` in the token. `what` names it in errors.
    ///
    /// # Errors
    /// Malformed CBOR; not tag 18 around four items of the right types; no known algorithm in the protected
    /// header; an extension that a verifier must understand (`crit`); a signature of the wrong size.
    pub fn parse(input: &[u8], base: usize, what: &str) -> Result<Self, Error> {
        let value = Value::parse(input, base)?;
        let refuse = |offset, problem: &str| Err(Error::new(offset, format!("{what}: {problem}")));
        let Item::Tag(SIGN1_TAG, inner) = &value.item else {
            return refuse(value.offset, "not a COSE_Sign1 with tag 18");
        };
        let Item::Array(items) = &inner.item else {
            return refuse(inner.offset, "COSE_Sign1 is not an array");
        };
        let [protected, unprotected, payload, signature] = items.as_slice() else {
            return refuse(inner.offset, "COSE_Sign1 has not four items");
        };
        let (Item::Bytes(protected), Item::Bytes(payload), Item::Bytes(signature)) =
            (&protected.item, &payload.item, &signature.item)
        else {
            return refuse(
                inner.offset,
                "protected header, payload and signature must be byte strings",
            );
        };

        if protected.content.is_empty() {
            return refuse(
                protected.offset,
                "the protected header is empty, so no algorithm is named",
            );
        }
        let header = Value::parse(&protected.content, protected.offset)?;
        let header = Claims::of(&header, "the protected header")?;
        let open = Claims::of(unprotected, "the unprotected header")?;
        for (claim, place) in [(ALG, "the algorithm"), (CRIT, "crit")] {
            if open.get(claim).is_some() {
                return refuse(
                    unprotected.offset,
                    &format!("{place} is in the unprotected header"),
                );
            }
        }
        if let Some(crit) = header.get(CRIT) {
            return refuse(
                crit.offset,
                "a critical header extension, and none is known",
            );
        }
        let named = header.require(ALG)?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|a| named.integer() == Some(a.number()))
            .ok_or_else(|| {
                Error::new(
                    named.offset,
                    format!("{what}: algorithm {named} is none of ES256, ES384, ES512"),
                )
            })?;
        if signature.content.len() != algorithm.signature_size() {
            return refuse(
                signature.offset,
                &format!(
                    "the signature has {} bytes, {algorithm} has {}",
                    signature.content.len(),
                    algorithm.signature_size()
                ),
            );
        }
        let key_id = match (header.get(KID), open.get(KID)) {
            (Some(_), Some(twice)) => return refuse(twice.offset, "kid is in both headers"),
            (Some(value), None) | (None, Some(value)) => {
                Some(bytes(KID, value, &[])?.content.to_vec())
            }
            (None, None) => None,
        };
        Ok(Self {
            algorithm,
            key_id,
            payload: payload.content.to_vec(),
            payload_offset: payload.offset,
            signature: signature.content.to_vec(),
            protected: protected.content.to_vec(),
        })
    }

    /// The bytes that were signed: Sig_structure of RFC 9052, section 4.4, without external data.
    pub fn signed_bytes(&self) -> Vec<u8> {
        const CONTEXT: &[u8] = b"Signature1";
        let mut out = vec![0x84, 0x6a];
        out.extend_from_slice(CONTEXT);
        push_byte_string(&mut out, &self.protected);
        push_byte_string(&mut out, &[]);
        push_byte_string(&mut out, &self.payload);
        out
    }
}

/// Appends `bytes` as a CBOR byte string with the shortest head.
fn push_byte_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_be_bytes();
    let first = length.iter().take_while(|b| **b == 0).count();
    match (length[7], 8 - first) {
        (short, 0 | 1) if short < 24 => out.push(0x40 | short),
        (_, 0 | 1) => out.extend_from_slice(&[0x58, length[7]]),
        (_, 2) => out.extend_from_slice(&[0x59, length[6], length[7]]),
        (_, 3 | 4) => {
            out.push(0x5a);
            out.extend_from_slice(&length[4..]);
        }
        _ => {
            out.push(0x5b);
            out.extend_from_slice(&length);
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_byte_strings() {
        for (length, head) in [
            (0, "40"),
            (1, "41"),
            (23, "57"),
            (24, "5818"),
            (255, "58ff"),
            (256, "590100"),
            (65535, "59ffff"),
            (65536, "5a00010000"),
        ] {
            let mut out = Vec::new();
            push_byte_string(&mut out, &vec![7; length]);
            assert_eq!(crate::hex::encode(&out[..out.len() - length]), head);
        }
    }

    fn complaint(hex: &str) -> String {
        let input = crate::hex::decode(hex).expect("a test's own hex");
        Sign1::parse(&input, 0, "it").expect_err(hex).to_string()
    }

    #[test]
    fn shape_is_checked() {
        let signature = format!("5860{}", "11".repeat(96));
        let parsed = Sign1::parse(
            &crate::hex::decode(&format!("d28444a1013822a041a0{signature}")).expect("hex"),
            0,
            "it",
        )
        .expect("a well-formed message");
        assert_eq!(parsed.algorithm, Algorithm::Es384);
        assert_eq!(
            crate::hex::encode(&parsed.signed_bytes()),
            "846a5369676e61747572653144a10138224041a0"
        );
        for (hex, text) in [
            ("8444a1013822a041a040", "tag 18"),
            ("d1a0", "tag 18"),
            ("d2a0", "not an array"),
            ("d28344a1013822a041a0", "four items"),
            ("d28540a041a04000", "four items"),
            ("d284a1013822a041a040", "byte strings"),
            ("d28444a1013822a0f640", "byte strings"),
            ("d28440a041a040", "no algorithm"),
            ("d28441a0a041a040", "claim 1 (alg) is missing"),
            ("d28443a10101a041a040", "algorithm 1 is none"),
            ("d28444a1013822a041a040", "0 bytes, ES384 has 96"),
            ("d28444a10138228041a040", "unprotected header is an array"),
            ("d28444a1013822a101382241a040", "in the unprotected header"),
            ("d28444a1013822a1028041a040", "in the unprotected header"),
            ("d28447a2013822028101a041a040", "critical"),
            ("d28441ffa041a040", "break"),
        ] {
            let complaint = complaint(hex);
            assert!(complaint.contains(text), "{hex}: {complaint}");
        }
    }
}
