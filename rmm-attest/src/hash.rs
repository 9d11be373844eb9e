// SPDX-License-Identifier: BSD-3-Clause
//! The hash algorithms of Realm measurements: SHA-256, SHA-384 and SHA-512 (FIPS 180-4).
//!
//! A machine provides the compression functions ([`Compress`]) and prepares itself for them
//! ([`Hash`]); messages are cut into blocks and padded here.

mod message;

pub(crate) use message::{Part, Sha256, Sha512, digest, digest_384};
use sha2::block_api::{compress256, compress512};

/// The compression functions.
pub trait Compress {
    /// Updates the state of SHA-256 with further blocks.
    fn sha256(&self, state: &mut [u32; 8], blocks: &[[u8; 64]]);

    /// Updates the state of SHA-512 with further blocks.
    fn sha512(&self, state: &mut [u64; 8], blocks: &[[u8; 128]]);

    /// As [`Compress::sha256`], for one block `times` times. Its message schedule can be prepared.
    fn sha256_known(&self, state: &mut [u32; 8], block: KnownBlock, times: usize) {
        for _ in 0..times {
            self.sha256(state, &[block.sha256()]);
        }
    }

    /// As [`Compress::sha256_known`], for SHA-512.
    fn sha512_known(&self, state: &mut [u64; 8], block: KnownBlock, times: usize) {
        for _ in 0..times {
            self.sha512(state, &[block.sha512()]);
        }
    }
}

/// Blocks that many messages have in common: most of the content of measured pages and descriptors
/// is zero, and most of them have one of two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBlock {
    /// All bytes are zero.
    Zero,
    /// What pads a message of 256 bytes, the size of a descriptor.
    EndOfDescriptor,
    /// What pads a message of 4096 bytes, the size of a Granule.
    EndOfGranule,
}

impl KnownBlock {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Zero, Self::EndOfDescriptor, Self::EndOfGranule];

    /// The block of SHA-256.
    #[must_use]
    pub const fn sha256(self) -> [u8; 64] {
        self.bytes()
    }

    /// The block of SHA-512.
    #[must_use]
    pub const fn sha512(self) -> [u8; 128] {
        self.bytes()
    }

    /// The block that pads a message of `length` bytes, whose last block is full.
    const fn end_of(length: usize) -> Option<Self> {
        match length {
            0x100 => Some(Self::EndOfDescriptor),
            0x1000 => Some(Self::EndOfGranule),
            _ => None,
        }
    }

    /// A block of `N` bytes; `N` is 64 or 128.
    const fn bytes<const N: usize>(self) -> [u8; N] {
        let mut block = [0; N];
        // In bits; big-endian at the end of the block. Both sizes have two bytes.
        let length: u16 = match self {
            Self::Zero => return block,
            Self::EndOfDescriptor => 0x100 * 8,
            Self::EndOfGranule => 0x1000 * 8,
        };
        block[0] = 0x80;
        [block[N - 2], block[N - 1]] = length.to_be_bytes();
        block
    }
}

/// A machine that can hash.
pub trait Hash {
    /// Calls `work` with what hashes on this machine.
    ///
    /// What the machine does to prepare itself may cost as much as a block or two. So one `work` does
    /// all the hashing of a command.
    fn hashing<R>(&self, work: impl FnOnce(&Hasher<'_>) -> R) -> R {
        work(&Hasher::new(&SoftHash))
    }
}

/// A machine that is prepared for hashing.
#[derive(Clone, Copy)]
pub struct Hasher<'a> {
    compress: &'a dyn Compress,
}

impl<'a> Hasher<'a> {
    /// Hashes with these functions.
    #[must_use]
    pub const fn new(compress: &'a dyn Compress) -> Self {
        Self { compress }
    }
}

impl Hash for Hasher<'_> {
    fn hashing<R>(&self, work: impl FnOnce(&Hasher<'_>) -> R) -> R {
        work(self)
    }
}

/// Hashing in portable code.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftHash;

impl Hash for SoftHash {}

impl Compress for SoftHash {
    fn sha256(&self, state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        compress256(state, blocks);
    }

    fn sha512(&self, state: &mut [u64; 8], blocks: &[[u8; 128]]) {
        compress512(state, blocks);
    }
}
