// SPDX-License-Identifier: BSD-3-Clause
//! Writing CBOR (RFC 8949) to a buffer: definite lengths, shortest heads.

use ciborium_io::Write;
use ciborium_ll::{Encoder, Header};
use core::convert::Infallible;

/// Writes to a buffer. What does not fit is counted, but not written.
pub(crate) struct Cbor<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Cbor<'a> {
    /// A writer to the beginning of a buffer.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Size of what `write` writes, in bytes.
    pub fn measure(write: impl FnOnce(&mut Cbor<'_>)) -> usize {
        let mut cbor = Cbor::new(&mut []);
        write(&mut cbor);
        cbor.len
    }

    /// Number of bytes so far; more than the buffer has if not all of them fitted.
    pub fn len(&self) -> usize {
        self.len
    }

    /// An integer that is not negative, or the key of a claim.
    pub fn unsigned(&mut self, value: u64) {
        self.push(Header::Positive(value));
    }

    /// The head of a tagged item.
    pub fn tag(&mut self, tag: u64) {
        self.push(Header::Tag(tag));
    }

    /// The head of an array.
    pub fn array(&mut self, items: usize) {
        self.push(Header::Array(Some(items)));
    }

    /// The head of a map.
    pub fn map(&mut self, entries: usize) {
        self.push(Header::Map(Some(entries)));
    }

    /// The head of a byte string.
    pub fn bytes_head(&mut self, len: usize) {
        self.push(Header::Bytes(Some(len)));
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes_head(bytes.len());
        self.raw(bytes);
    }

    /// A text string.
    pub fn text(&mut self, text: &str) {
        self.push(Header::Text(Some(text.len())));
        self.raw(text.as_bytes());
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(to) = self.buffer.get_mut(self.len..end) {
            to.copy_from_slice(bytes);
        }
        self.len = end;
    }

    fn push(&mut self, header: Header) {
        let Ok(()) = Encoder::from(Sink(self)).push(header);
    }
}

/// Where the encoder writes to.
struct Sink<'a, 'b>(&'a mut Cbor<'b>);

impl Write for Sink<'_, '_> {
    type Error = Infallible;

    fn write_all(&mut self, data: &[u8]) -> Result<(), Infallible> {
        self.0.raw(data);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
