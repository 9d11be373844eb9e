// SPDX-License-Identifier: BSD-3-Clause
//! CBOR (RFC 8949) of untrusted origin as a tree whose every item knows its byte offset.
//!
//! `minicbor` decodes the single items: it lends slices of the input, knows its position and does not
//! allocate by a declared length. This room adds what a token from a stranger needs: bounds on depth and
//! on the entries of a container, refusal of duplicate map keys, and offsets that stay those of the whole
//! token when CBOR is nested in byte strings. Encodings that are longer than needed, and indefinite
//! lengths, are read like any other.

use std::borrow::Cow;
use std::fmt;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error as DecodeError};

/// How deep arrays, maps and tags may nest.
pub const MAX_DEPTH: usize = 16;

/// How many entries one array or map may have.
pub const MAX_ENTRIES: usize = 1024;

/// Input that is not the CBOR it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {what}")]
pub struct Error {
    /// Offset in bytes from the beginning of the token. Inside a byte string that was sent in chunks it is
    /// the offset of that string plus the position in its joined content.
    pub offset: usize,
    /// What is wrong there.
    pub what: String,
}

impl Error {
    /// An error at `offset`.
    pub fn new(offset: usize, what: impl Into<String>) -> Self {
        Self {
            offset,
            what: what.into(),
        }
    }
}

/// One data item. Two values are equal if their content is, wherever they stand.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    /// Offset of its first byte.
    pub offset: usize,
    /// What it is.
    pub item: Item<'a>,
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.item == other.item
    }
}

/// The kinds of data items.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// Major type 0.
    Unsigned(u64),
    /// Major type 1; the number is -1 - n.
    Negative(u64),
    /// Major type 2.
    Bytes(ByteString<'a>),
    /// Major type 3.
    Text(Cow<'a, str>),
    /// Major type 4.
    Array(Vec<Value<'a>>),
    /// Major type 5. No two keys are equal.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// Major type 6: tag number and the tagged item.
    Tag(u64, Box<Value<'a>>),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// Any other simple value.
    Simple(u8),
    /// A floating-point number.
    Float(f64),
}

/// A byte string.
#[derive(Clone, Debug)]
pub struct ByteString<'a> {
    /// The content; chunks are joined.
    pub content: Cow<'a, [u8]>,
    /// Offset of the first byte of the content, or of the string if it was sent in chunks.
    pub offset: usize,
}

impl PartialEq for ByteString<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl<'a> Value<'a> {
    /// Reads `input`, which is one item and no more. `base` is the offset of its first byte in the token.
    ///
    /// # Errors
    /// Malformed or truncated CBOR, bytes after the item, a duplicate map key, or more depth or entries
    /// than [`MAX_DEPTH`] and [`MAX_ENTRIES`].
    pub fn parse(input: &'a [u8], base: usize) -> Result<Self, Error> {
        let mut reader = Reader {
            decoder: Decoder::new(input),
            base,
        };
        let value = reader.value(MAX_DEPTH)?;
        let end = reader.decoder.position();
        if end != input.len() {
            return Err(Error::new(
                base + end,
                format!("{} bytes after the end of the item", input.len() - end),
            ));
        }
        Ok(value)
    }

    /// What kind of item this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.item {
            Item::Unsigned(_) => "an unsigned integer",
            Item::Negative(_) => "a negative integer",
            Item::Bytes(_) => "a byte string",
            Item::Text(_) => "a text string",
            Item::Array(_) => "an array",
            Item::Map(_) => "a map",
            Item::Tag(..) => "a tagged item",
            Item::Bool(_) => "a boolean",
            Item::Null => "null",
            Item::Undefined => "undefined",
            Item::Simple(_) => "a simple value",
            Item::Float(_) => "a floating-point number",
        }
    }

    /// The integer, if it is one that fits 64 signed bits.
    pub fn integer(&self) -> Option<i64> {
        match self.item {
            Item::Unsigned(n) => i64::try_from(n).ok(),
            Item::Negative(n) => i64::try_from(n).ok().map(|n| -1 - n),
            _ => None,
        }
    }
}

/// Diagnostic notation (RFC 8949, section 8), for people.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            Item::Unsigned(n) => write!(f, "{n}"),
            Item::Negative(n) => write!(f, "{}", -1 - i128::from(*n)),
            Item::Bytes(bytes) => write!(f, "h'{}'", crate::hex::encode(&bytes.content)),
            Item::Text(text) => write!(f, "{text:?}"),
            Item::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Item::Map(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Item::Tag(number, item) => write!(f, "{number}({item})"),
            Item::Bool(b) => write!(f, "{b}"),
            Item::Null => f.write_str("null"),
            Item::Undefined => f.write_str("undefined"),
            Item::Simple(n) => write!(f, "simple({n})"),
            Item::Float(x) => write!(f, "{x:?}"),
        }
    }
}

struct Reader<'a> {
    decoder: Decoder<'a>,
    base: usize,
}

impl<'a> Reader<'a> {
    fn here(&self) -> usize {
        self.base + self.decoder.position()
    }

    /// Gives a decoder's error the offset `at`, or that of the end of the input if the input ended early.
    fn refuse(&self, error: &DecodeError, at: usize) -> Error {
        if error.is_end_of_input() {
            let end = self.base + self.decoder.input().len();
            Error::new(end, format!("the input ends inside the item at byte {at}"))
        } else {
            Error::new(at, "malformed CBOR")
        }
    }

    /// Reads one item that may nest `depth` further levels.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        let offset = self.here();
        let kind = self.decoder.datatype();
        let item = match kind.map_err(|e| self.refuse(&e, offset))? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                self.take(offset, |d| d.u64().map(Item::Unsigned))?
            }
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                let number = i128::from(self.take(offset, |d| d.int())?);
                Item::Negative(
                    u64::try_from(-1 - number).map_err(|_| Error::new(offset, "malformed CBOR"))?,
                )
            }
            Type::Bytes => {
                let content = self.take(offset, |d| d.bytes())?;
                Item::Bytes(ByteString {
                    offset: self.here() - content.len(),
                    content: Cow::Borrowed(content),
                })
            }
            Type::BytesIndef => {
                let joined = self.take(offset, |d| {
                    d.bytes_iter()?
                        .collect::<Result<Vec<_>, _>>()
                        .map(|c| c.concat())
                })?;
                Item::Bytes(ByteString {
                    offset,
                    content: Cow::Owned(joined),
                })
            }
            Type::String => Item::Text(Cow::Borrowed(self.take(offset, |d| d.str())?)),
            Type::StringIndef => {
                let joined = self.take(offset, |d| {
                    d.str_iter()?
                        .collect::<Result<Vec<_>, _>>()
                        .map(|c| c.concat())
                })?;
                Item::Text(Cow::Owned(joined))
            }
            Type::Array | Type::ArrayIndef => Item::Array(self.array(offset, depth)?),
            Type::Map | Type::MapIndef => Item::Map(self.map(offset, depth)?),
            Type::Tag => {
                let number = self.take(offset, |d| d.tag())?.as_u64();
                let inner = deeper(depth, offset)?;
                Item::Tag(number, Box::new(self.value(inner)?))
            }
            Type::Bool => self.take(offset, |d| d.bool().map(Item::Bool))?,
            Type::Null => self.take(offset, |d| d.null().map(|()| Item::Null))?,
            Type::Undefined => self.take(offset, |d| d.undefined().map(|()| Item::Undefined))?,
            Type::F16 => self.take(offset, |d| d.f16().map(|x| Item::Float(f64::from(x))))?,
            Type::F32 => self.take(offset, |d| d.f32().map(|x| Item::Float(f64::from(x))))?,
            Type::F64 => self.take(offset, |d| d.f64().map(Item::Float))?,
            Type::Simple => {
                let two_bytes = self.decoder.input().get(self.decoder.position()) == Some(&0xf8);
                let number = self.take(offset, |d| d.simple())?;
                // RFC 8949, section 3.3: in two bytes, values below 32 are not well-formed.
                if two_bytes && number < 32 {
                    return Err(Error::new(
                        offset,
                        "malformed CBOR: a simple value below 32 in two bytes",
                    ));
                }
                Item::Simple(number)
            }
            Type::Break => return Err(Error::new(offset, "a break code outside an open item")),
            Type::Unknown(byte) => {
                return Err(Error::new(
                    offset,
                    format!("malformed CBOR: first byte {byte:#04x}"),
                ));
            }
        };
        Ok(Value { offset, item })
    }

    fn take<T>(
        &mut self,
        offset: usize,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, Error> {
        read(&mut self.decoder).map_err(|e| self.refuse(&e, offset))
    }

    fn array(&mut self, offset: usize, depth: usize) -> Result<Vec<Value<'a>>, Error> {
        let declared = self.take(offset, |d| d.array())?;
        let depth = deeper(depth, offset)?;
        let mut items = Vec::new();
        while self.another(declared, items.len(), offset)? {
            items.push(self.value(depth)?);
        }
        Ok(items)
    }

    fn map(&mut self, offset: usize, depth: usize) -> Result<Vec<(Value<'a>, Value<'a>)>, Error> {
        let declared = self.take(offset, |d| d.map())?;
        let depth = deeper(depth, offset)?;
        let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        while self.another(declared, entries.len(), offset)? {
            let key = self.value(depth)?;
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(Error::new(
                    key.offset,
                    format!("the map has the key {key} twice"),
                ));
            }
            entries.push((key, self.value(depth)?));
        }
        Ok(entries)
    }

    /// Whether a container that has `read` entries so far has another. Takes the break code of an
    /// indefinite one.
    fn another(
        &mut self,
        declared: Option<u64>,
        read: usize,
        offset: usize,
    ) -> Result<bool, Error> {
        let more = match declared {
            Some(count) if count > MAX_ENTRIES as u64 => return Err(too_many(offset)),
            Some(count) => (read as u64) < count,
            None => {
                let next = self
                    .decoder
                    .datatype()
                    .map_err(|e| self.refuse(&e, offset))?;
                if next == Type::Break {
                    self.decoder.set_position(self.decoder.position() + 1);
                    return Ok(false);
                }
                true
            }
        };
        if more && read >= MAX_ENTRIES {
            return Err(too_many(offset));
        }
        Ok(more)
    }
}

fn deeper(depth: usize, offset: usize) -> Result<usize, Error> {
    depth
        .checked_sub(1)
        .ok_or_else(|| Error::new(offset, format!("nested deeper than {MAX_DEPTH} levels")))
}

fn too_many(offset: usize) -> Error {
    Error::new(offset, format!("more than {MAX_ENTRIES} entries"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(hex: &str) -> Result<String, Error> {
        let bytes = crate::hex::decode(hex).expect("a test's own hex");
        Value::parse(&bytes, 0).map(|v| v.to_string())
    }

    fn offset(hex: &str) -> usize {
        read(hex).expect_err(hex).offset
    }

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn examples_of_the_standard() {
        for (hex, shown) in [
            ("00", "0"),
            ("1903e8", "1000"),
            ("1bffffffffffffffff", "18446744073709551615"),
            ("3bffffffffffffffff", "-18446744073709551616"),
            ("20", "-1"),
            ("f90000", "0.0"),
            ("f93c00", "1.0"),
            ("fa47c35000", "100000.0"),
            ("fb3ff199999999999a", "1.1"),
            ("f97c00", "inf"),
            ("f4", "false"),
            ("f6", "null"),
            ("f7", "undefined"),
            ("f0", "simple(16)"),
            ("f8ff", "simple(255)"),
            ("c11a514b67b0", "1(1363896240)"),
            ("4401020304", "h'01020304'"),
            ("6449455446", "\"IETF\""),
            ("8301820203820405", "[1, [2, 3], [4, 5]]"),
            ("a201020304", "{1: 2, 3: 4}"),
            ("5f42010243030405ff", "h'0102030405'"),
            ("7f657374726561646d696e67ff", "\"streaming\""),
            ("9f01820203820405ff", "[1, [2, 3], [4, 5]]"),
            ("bf61610161629f0203ffff", "{\"a\": 1, \"b\": [2, 3]}"),
        ] {
            assert_eq!(read(hex).as_deref(), Ok(shown), "{hex}");
        }
    }

    #[test]
    fn longer_than_needed_is_read() {
        assert_eq!(read("1b000000000000000a").as_deref(), Ok("10"));
        assert_eq!(read("3900ff").as_deref(), Ok("-256"));
        assert_eq!(read("5a0000000201ff").as_deref(), Ok("h'01ff'"));
        assert_eq!(read("b90001180aff").map_err(|e| e.offset), Err(5));
        assert_eq!(read("b90001180a01").as_deref(), Ok("{10: 1}"));
    }

    /// Not well-formed: examples of RFC 8949, appendix F, and a few more.
    #[test]
    fn malformed_input_is_refused() {
        for hex in [
            "",
            "18",
            "19",
            "1a",
            "1b",
            "1901",
            "1a0102",
            "38",
            "58",
            "78",
            "98",
            "9a01ff00",
            "b8",
            "d8",
            "f8",
            "f900",
            "fa0000",
            "fb000000",
            "41",
            "61",
            "5affffffff00",
            "5bffffffffffffffff010203",
            "7affffffff00",
            "81",
            "8181",
            "a1",
            "a20102",
            "a100",
            "c0",
            "5f4100",
            "7f6100",
            "9f",
            "9f0102",
            "bf",
            "bf01020102",
            "819f",
            "9f8000",
            "5f00ff",
            "5f21ff",
            "5f6100ff",
            "5f80ff",
            "5fa0ff",
            "5fc000ff",
            "5fe0ff",
            "7f4100ff",
            "5f5f4100ffff",
            "7f7f6100ffff",
            "ff",
            "81ff",
            "8200ff",
            "a1ff",
            "a1ff00",
            "a100ff",
            "a20000ff",
            "9f81ff",
            "9f829f819f9fffffffff",
            "bf00ff",
            "bf000000ff",
            "1c",
            "1d",
            "1e",
            "3c",
            "3d",
            "3e",
            "5c",
            "5d",
            "5e",
            "7c",
            "7d",
            "7e",
            "9c",
            "9d",
            "9e",
            "bc",
            "bd",
            "be",
            "dc",
            "dd",
            "de",
            "fc",
            "fd",
            "fe",
            "1f",
            "3f",
            "df",
            "f800",
            "f801",
            "f818",
            "f81f",
            "61ff",
            "7f61c361a9ff",
            "0000",
        ] {
            assert!(read(hex).is_err(), "{hex}: {:?}", read(hex));
        }
        assert_eq!(read("820100").as_deref(), Ok("[1, 0]"));
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(offset("0000"), 1);
        assert_eq!(offset("82011c"), 2);
        assert_eq!(offset("8201581000"), 5, "truncated: the end");
        assert_eq!(offset("a3010203040105"), 5, "the second key 1");
        assert_eq!(
            offset("a20a01180a02"),
            3,
            "the same key in another encoding"
        );
        let error = Value::parse(&[0x81, 0x1c], 100).expect_err("malformed");
        assert_eq!(error.offset, 101);
    }

    #[test]
    fn depth_and_entries_are_bounded() {
        let arrays = |n: usize| "81".repeat(n) + "00";
        assert!(read(&arrays(MAX_DEPTH)).is_ok());
        assert_eq!(offset(&arrays(MAX_DEPTH + 1)), MAX_DEPTH);
        for prefix in ["81", "9f", "a100", "bf00", "c1", "a1"] {
            assert!(read(&prefix.repeat(100_000)).is_err(), "{prefix}");
        }
        assert!(read(&format!("9f{}ff", "00".repeat(MAX_ENTRIES))).is_ok());
        assert_eq!(offset(&format!("9f{}ff", "00".repeat(MAX_ENTRIES + 1))), 0);
        for huge in [
            "9bffffffffffffffff",
            "bbffffffffffffffff",
            "9affffffff",
            "bb8000000000000000",
        ] {
            assert_eq!(offset(huge), 0, "{huge}");
        }
    }
}
