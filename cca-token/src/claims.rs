// SPDX-License-Identifier: BSD-3-Clause
//! Claims by label: presence, type and size. Every complaint has the byte offset and the claim's name.

use crate::cbor::{ByteString, Error, Item, Value};

/// Sizes in bytes of SHA-256, SHA-384 and SHA-512.
pub const HASH_SIZES: &[usize] = &[32, 48, 64];

/// Label and name of a claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim(pub i64, pub &'static str);

impl Claim {
    fn refuse(self, offset: usize, what: &str) -> Error {
        Error::new(offset, format!("claim {} ({}) {what}", self.0, self.1))
    }

    fn wrong_type(self, value: &Value<'_>, expected: &str) -> Error {
        self.refuse(
            value.offset,
            &format!("is {}, not {expected}", value.kind()),
        )
    }
}

/// A map of claims.
pub struct Claims<'v, 'a> {
    offset: usize,
    entries: &'v [(Value<'a>, Value<'a>)],
}

impl<'v, 'a> Claims<'v, 'a> {
    /// The claims of `value`; `what` names it.
    ///
    /// # Errors
    /// If `value` is not a map.
    pub fn of(value: &'v Value<'a>, what: &str) -> Result<Self, Error> {
        match &value.item {
            Item::Map(entries) => Ok(Self {
                offset: value.offset,
                entries,
            }),
            _ => Err(Error::new(
                value.offset,
                format!("{what} is {}, not a map", value.kind()),
            )),
        }
    }

    /// The claim, if it is there.
    pub fn get(&self, claim: Claim) -> Option<&'v Value<'a>> {
        self.entries
            .iter()
            .find(|(key, _)| key.integer() == Some(claim.0))
            .map(|(_, value)| value)
    }

    /// The claim.
    ///
    /// # Errors
    /// If it is missing.
    pub fn require(&self, claim: Claim) -> Result<&'v Value<'a>, Error> {
        self.get(claim)
            .ok_or_else(|| claim.refuse(self.offset, "is missing"))
    }

    /// A byte string of one of `sizes` bytes, of any size if `sizes` is empty.
    ///
    /// # Errors
    /// Missing, of another type or of another size.
    pub fn bytes(&self, claim: Claim, sizes: &[usize]) -> Result<&'v ByteString<'a>, Error> {
        bytes(claim, self.require(claim)?, sizes)
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// Missing, of another type or of another size.
    pub fn array<const N: usize>(&self, claim: Claim) -> Result<[u8; N], Error> {
        let value = self.require(claim)?;
        let bytes = bytes(claim, value, &[N])?;
        <[u8; N]>::try_from(&*bytes.content)
            .map_err(|_| claim.refuse(value.offset, "has another size"))
    }

    /// A text string.
    ///
    /// # Errors
    /// Missing or of another type.
    pub fn text(&self, claim: Claim) -> Result<String, Error> {
        text(claim, self.require(claim)?)
    }

    /// A text string that may be absent.
    ///
    /// # Errors
    /// Of another type.
    pub fn optional_text(&self, claim: Claim) -> Result<Option<String>, Error> {
        self.get(claim).map(|value| text(claim, value)).transpose()
    }

    /// An unsigned integer of 16 bits.
    ///
    /// # Errors
    /// Missing, of another type or too large.
    pub fn unsigned16(&self, claim: Claim) -> Result<u16, Error> {
        let value = self.require(claim)?;
        match value.item {
            Item::Unsigned(n) => u16::try_from(n)
                .map_err(|_| claim.refuse(value.offset, &format!("is {n}, more than 16 bits"))),
            _ => Err(claim.wrong_type(value, "an unsigned integer")),
        }
    }

    /// An array.
    ///
    /// # Errors
    /// Missing or of another type.
    pub fn list(&self, claim: Claim) -> Result<&'v [Value<'a>], Error> {
        let value = self.require(claim)?;
        match &value.item {
            Item::Array(items) => Ok(items),
            _ => Err(claim.wrong_type(value, "an array")),
        }
    }

    /// Key and value, in diagnostic notation, of everything but the `known` claims.
    pub fn unknown(&self, known: &[Claim]) -> Vec<(String, String)> {
        self.entries
            .iter()
            .filter(|(key, _)| !known.iter().any(|claim| key.integer() == Some(claim.0)))
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }
}

/// `value` as a byte string of one of `sizes` bytes, of any size if `sizes` is empty.
///
/// # Errors
/// Of another type or of another size.
pub fn bytes<'v, 'a>(
    claim: Claim,
    value: &'v Value<'a>,
    sizes: &[usize],
) -> Result<&'v ByteString<'a>, Error> {
    let Item::Bytes(bytes) = &value.item else {
        return Err(claim.wrong_type(value, "a byte string"));
    };
    let length = bytes.content.len();
    if sizes.is_empty() || sizes.contains(&length) {
        return Ok(bytes);
    }
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    Err(claim.refuse(
        value.offset,
        &format!("has {length} bytes, not {}", sizes.join(", ")),
    ))
}

fn text(claim: Claim, value: &Value<'_>) -> Result<String, Error> {
    match &value.item {
        Item::Text(text) => Ok(text.clone().into_owned()),
        _ => Err(claim.wrong_type(value, "a text string")),
    }
}
