// SPDX-License-Identifier: BSD-3-Clause
//! The CCA token: platform token and Realm token in one envelope.

use crate::cbor::{ByteString, Error, Item, Value};
use crate::claims::{Claim, Claims, bytes};
use crate::cose::Sign1;
use crate::platform::PlatformClaims;
use crate::realm::RealmClaims;

/// Largest token that is looked at, in bytes. RMM 1.0 tokens have about 2 to 4 KiB.
pub const MAX_TOKEN: usize = 64 * 1024;

const COLLECTION_TAG: u64 = 399;
const CMW_TAG: u64 = 907;
const PLATFORM: Claim = Claim(44234, "platform token");
const REALM: Claim = Claim(44241, "Realm token");

/// CoAP content format of an EAT in a CWT.
const EAT_CWT_FORMAT: i64 = 263;
const EAT_CWT_TYPE: &str = "application/eat+cwt";

/// How the two tokens are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Tag 399, byte strings: RMM 1.0.
    Tag399,
    /// Tag 907, conceptual message wrappers: RMM 1.1 and later.
    Tag907,
}

/// A CCA token, well-formed but not verified.
#[derive(Clone, Debug)]
pub struct Token {
    /// How it was wrapped.
    pub envelope: Envelope,
    /// The platform token's signature and headers.
    pub platform: Sign1,
    /// The platform token's claims.
    pub platform_claims: PlatformClaims,
    /// The Realm token's signature and headers.
    pub realm: Sign1,
    /// The Realm token's claims.
    pub realm_claims: RealmClaims,
}

impl Token {
    /// Takes `input` apart.
    ///
    /// # Errors
    /// Larger than [`MAX_TOKEN`]; malformed CBOR; another envelope; headers or claims that are missing, twice,
    /// or of the wrong type or size. The error has the offset in bytes.
    pub fn parse(input: &[u8]) -> Result<Self, Error> {
        if input.len() > MAX_TOKEN {
            return Err(Error::new(
                MAX_TOKEN,
                format!("the token has {} bytes, more than {MAX_TOKEN}", input.len()),
            ));
        }
        let value = Value::parse(input, 0)?;
        let (envelope, inner) = match &value.item {
            Item::Tag(COLLECTION_TAG, inner) => (Envelope::Tag399, inner),
            Item::Tag(CMW_TAG, inner) => (Envelope::Tag907, inner),
            Item::Tag(number, _) => {
                return Err(Error::new(
                    0,
                    format!("tag {number} is no CCA token (399 or 907)"),
                ));
            }
            _ => {
                return Err(Error::new(
                    0,
                    format!("{} is no CCA token (tag 399 or 907)", value.kind()),
                ));
            }
        };
        let claims = Claims::of(inner, "the CCA token")?;
        if envelope == Envelope::Tag399
            && let Some((key, _)) = claims.unknown(&[PLATFORM, REALM]).first()
        {
            return Err(Error::new(
                inner.offset,
                format!("the CCA token has an unknown entry {key}"),
            ));
        }
        let platform = entry(envelope, PLATFORM, claims.require(PLATFORM)?)?;
        let realm = entry(envelope, REALM, claims.require(REALM)?)?;
        let platform = Sign1::parse(&platform.content, platform.offset, "platform token")?;
        let realm = Sign1::parse(&realm.content, realm.offset, "Realm token")?;
        Ok(Self {
            envelope,
            platform_claims: PlatformClaims::parse(&platform.payload, platform.payload_offset)?,
            realm_claims: RealmClaims::parse(&realm.payload, realm.payload_offset)?,
            platform,
            realm,
        })
    }
}

/// The byte string of one of the two entries.
fn entry<'v, 'a>(
    envelope: Envelope,
    claim: Claim,
    value: &'v Value<'a>,
) -> Result<&'v ByteString<'a>, Error> {
    let wrapped = match (envelope, &value.item) {
        (Envelope::Tag399, _) => value,
        (Envelope::Tag907, Item::Array(items)) => {
            // Type, value and, optionally, an indicator of what the message is for.
            let ([kind, wrapped] | [kind, wrapped, _]) = items.as_slice() else {
                return Err(Error::new(
                    value.offset,
                    format!("entry {} ({}) has not two or three items", claim.0, claim.1),
                ));
            };
            let known = kind.integer() == Some(EAT_CWT_FORMAT)
                || matches!(&kind.item, Item::Text(name) if name == EAT_CWT_TYPE);
            if !known {
                return Err(Error::new(
                    kind.offset,
                    format!(
                        "entry {} ({}) has the unknown type {kind}",
                        claim.0, claim.1
                    ),
                ));
            }
            wrapped
        }
        (Envelope::Tag907, _) => {
            return Err(Error::new(
                value.offset,
                format!(
                    "entry {} ({}) is {}, not an array",
                    claim.0,
                    claim.1,
                    value.kind()
                ),
            ));
        }
    };
    bytes(claim, wrapped, &[])
}
