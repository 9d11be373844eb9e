// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor checks of a platform token: that it is one, and complete. Its claims and its
//! signature are for the relying party.

use ciborium_io::Read;
use ciborium_ll::{Decoder, Header};

/// CBOR tag of a COSE_Sign1.
const COSE_SIGN1: u64 = 18;

/// Deepest nesting that is accepted. A platform token has 4 levels.
const MAX_DEPTH: usize = 8;

/// Whether these bytes are one COSE_Sign1 of well-formed CBOR (RFC 8949, RFC 9052) and nothing else.
#[must_use]
pub fn is_platform_token(bytes: &[u8]) -> bool {
    let mut items = Items {
        rest: Decoder::from(bytes),
    };
    let is_sign1 = items.header() == Some(Header::Tag(COSE_SIGN1))
        && items.header() == Some(Header::Array(Some(4)))
        && items.skip(4).is_some();
    is_sign1 && items.header().is_none() && items.rest.offset() == bytes.len()
}

struct Items<'a> {
    rest: Decoder<&'a [u8]>,
}

impl Items<'_> {
    fn header(&mut self) -> Option<Header> {
        self.rest.pull().ok()
    }

    /// Skips `count` items with all that they contain. `None` if they are not well-formed or nested
    /// too deeply. Takes at most a step a byte, since each item has a byte.
    fn skip(&mut self, count: usize) -> Option<()> {
        // Items left at each level of nesting.
        let mut left = [0; MAX_DEPTH];
        let mut depth = 0;
        *left.first_mut()? = count;
        loop {
            let here = left.get_mut(depth)?;
            if *here == 0 {
                match depth.checked_sub(1) {
                    Some(above) => depth = above,
                    None => return Some(()),
                }
                continue;
            }
            *here -= 1;
            let inside = match self.header()? {
                Header::Positive(_) | Header::Negative(_) | Header::Float(_) => 0,
                Header::Simple(_) => 0,
                Header::Bytes(Some(len)) | Header::Text(Some(len)) => {
                    self.skip_bytes(len)?;
                    0
                }
                Header::Array(Some(len)) => len,
                Header::Map(Some(len)) => len.checked_mul(2)?,
                Header::Tag(_) => 1,
                // Tokens have definite lengths.
                _ => return None,
            };
            if inside > 0 {
                depth += 1;
                *left.get_mut(depth)? = inside;
            }
        }
    }

    fn skip_bytes(&mut self, mut len: usize) -> Option<()> {
        let mut chunk = [0; 64];
        while len > 0 {
            let (part, _) = chunk.split_at_mut(len.min(64));
            self.rest.read_exact(part).ok()?;
            len -= part.len();
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A COSE_Sign1 whose payload is `payload`.
    fn sign1(unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut token = vec![0xD2, 0x84, 0x44, 0xA1, 0x01, 0x38, 0x22];
        token.extend(unprotected);
        token.extend([0x59, 0, u8::try_from(payload.len()).unwrap()]);
        token.extend(payload);
        token.extend([0x43, 1, 2, 3]);
        token
    }

    #[test]
    fn a_token_is_one() {
        assert!(is_platform_token(&sign1(&[0xA0], &[7; 100])));
        // Unprotected header with nested items.
        let nested = [
            0xA1, 0x18, 0x21, 0x82, 0x41, 9, 0x82, 0xF6, 0xFB, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert!(is_platform_token(&sign1(&nested, &[])));
    }

    #[test]
    fn a_cut_token_is_none() {
        let token = sign1(&[0xA0], &[7; 100]);
        for len in 0..token.len() {
            let (cut, _) = token.split_at(len);
            assert!(!is_platform_token(cut), "{len} bytes");
        }
    }

    #[test]
    fn what_follows_a_token_makes_it_none() {
        let mut token = sign1(&[0xA0], &[7; 100]);
        token.push(0);
        assert!(!is_platform_token(&token));
        token.truncate(token.len() - 1);
        token.push(0x82);
        assert!(!is_platform_token(&token));
    }

    #[test]
    fn other_items_are_none() {
        for bytes in [
            &[][..],
            &[0],
            &[0xD1, 0x84, 0, 0, 0, 0],
            &[0xD2, 0x83, 0, 0, 0],
            &[0xD2, 0x9F, 0, 0, 0, 0, 0xFF],
            // A length beyond all memory.
            &[
                0xD2, 0x84, 0x5B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
            ],
            &[
                0xD2, 0x84, 0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
            ],
        ] {
            assert!(!is_platform_token(bytes), "{bytes:x?}");
        }
        assert!(!is_platform_token(&[0xD2; 1000]));
        let mut deep = vec![0xD2, 0x84];
        deep.extend([0x81; 1000]);
        assert!(!is_platform_token(&deep));
    }
}
