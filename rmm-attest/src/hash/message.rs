// SPDX-License-Identifier: BSD-3-Clause
//! Messages: cut into blocks and padded (FIPS 180-4, 5.1 and 5.2).

use super::{Compress, Hasher, KnownBlock};

/// A part of a message.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes of zero.
    Zeroes(usize),
}

impl Part<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Zeroes(count) => *count,
        }
    }
}

/// An algorithm with blocks of `BLOCK` bytes and digests of `DIGEST` bytes.
pub trait Algorithm<const BLOCK: usize, const DIGEST: usize> {
    /// The state between two blocks.
    type State;
    /// The state before the first block.
    const INITIAL: Self::State;

    /// Updates the state with further blocks.
    fn blocks(compress: &dyn Compress, state: &mut Self::State, blocks: &[[u8; BLOCK]]);

    /// Updates the state with one block, `times` times.
    fn known(compress: &dyn Compress, state: &mut Self::State, block: KnownBlock, times: usize);

    /// The digest, once the state is the last one.
    fn digest(state: &Self::State) -> [u8; DIGEST];
}

/// SHA-256.
pub struct Sha256;
/// SHA-512.
pub struct Sha512;

macro_rules! algorithm {
    (
        $name:ident, $word:ty, $block:literal, $digest:literal,
        $blocks:ident, $known:ident, $initial:expr
    ) => {
        impl Algorithm<$block, $digest> for $name {
            type State = [$word; 8];
            const INITIAL: Self::State = $initial;

            #[inline]
            fn blocks(compress: &dyn Compress, state: &mut Self::State, blocks: &[[u8; $block]]) {
                compress.$blocks(state, blocks);
            }

            #[inline]
            fn known(
                compress: &dyn Compress,
                state: &mut Self::State,
                block: KnownBlock,
                times: usize,
            ) {
                compress.$known(state, block, times);
            }

            #[inline]
            fn digest(state: &Self::State) -> [u8; $digest] {
                let mut digest = [0; $digest];
                let (words, _) = digest.as_chunks_mut::<{ size_of::<$word>() }>();
                for (bytes, word) in words.iter_mut().zip(state) {
                    *bytes = word.to_be_bytes();
                }
                digest
            }
        }
    };
}

algorithm!(Sha256, u32, 64, 32, sha256, sha256_known, {
    let mut words = [0; 8];
    let mut n = 0;
    while n < words.len() {
        words[n] = (INITIAL[n] >> 32) as u32;
        n += 1;
    }
    words
});
algorithm!(Sha512, u64, 128, 64, sha512, sha512_known, INITIAL);

/// The first 64 bits of the fractional parts of the square roots of the first eight primes (5.3.5).
/// SHA-256 has the first 32 of them (5.3.3).
const INITIAL: [u64; 8] = [
    0x6A09_E667_F3BC_C908,
    0xBB67_AE85_84CA_A73B,
    0x3C6E_F372_FE94_F82B,
    0xA54F_F53A_5F1D_36F1,
    0x510E_527F_ADE6_82D1,
    0x9B05_688C_2B3E_6C1F,
    0x1F83_D9AB_FB41_BD6B,
    0x5BE0_CD19_137E_2179,
];

/// The first 64 bits of the fractional parts of the square roots of the ninth to the sixteenth prime
/// (5.3.4): SHA-384 is SHA-512 with this initial state, and without the last 16 bytes of the digest.
const INITIAL_384: [u64; 8] = [
    0xCBBB_9D5D_C105_9ED8,
    0x629A_292A_367C_D507,
    0x9159_015A_3070_DD17,
    0x152F_ECD8_F70E_5939,
    0x6733_2667_FFC0_0B31,
    0x8EB4_4A87_6858_1511,
    0xDB0C_2E0D_64F9_8FA7,
    0x47B5_481D_BEFA_4FA4,
];

/// The digest of the concatenated parts by SHA-384.
pub fn digest_384(hasher: &Hasher<'_>, parts: &[Part<'_>]) -> [u8; 48] {
    let digest = digest_from(hasher, Sha512, INITIAL_384, parts);
    let (long, _) = digest.as_chunks();
    long[0]
}

/// The digest of the concatenated parts.
pub fn digest<A, const BLOCK: usize, const DIGEST: usize>(
    hasher: &Hasher<'_>,
    algorithm: A,
    parts: &[Part<'_>],
) -> [u8; DIGEST]
where
    A: Algorithm<BLOCK, DIGEST>,
{
    digest_from(hasher, algorithm, A::INITIAL, parts)
}

/// As [`digest`], with another initial state.
fn digest_from<A, const BLOCK: usize, const DIGEST: usize>(
    hasher: &Hasher<'_>,
    _: A,
    mut state: A::State,
    parts: &[Part<'_>],
) -> [u8; DIGEST]
where
    A: Algorithm<BLOCK, DIGEST>,
{
    let compress = hasher.compress;
    let mut length = 0;
    // Nothing is copied as long as parts end where a block ends.
    for (n, part) in parts.iter().enumerate() {
        if !part.len().is_multiple_of(BLOCK) {
            let others = parts.split_at(n).1;
            finish::<A, BLOCK, DIGEST>(compress, &mut state, length, others);
            return A::digest(&state);
        }
        match part {
            Part::Bytes(bytes) => A::blocks(compress, &mut state, bytes.as_chunks().0),
            Part::Zeroes(count) => {
                A::known(compress, &mut state, KnownBlock::Zero, count / BLOCK);
            }
        }
        length += part.len();
    }
    match KnownBlock::end_of(length) {
        Some(block) => A::known(compress, &mut state, block, 1),
        None => finish::<A, BLOCK, DIGEST>(compress, &mut state, length, &[]),
    }
    A::digest(&state)
}

/// Appends parts to the full blocks of `length` bytes, and pads the message.
#[inline(never)]
fn finish<A, const BLOCK: usize, const DIGEST: usize>(
    compress: &dyn Compress,
    state: &mut A::State,
    length: usize,
    parts: &[Part<'_>],
) where
    A: Algorithm<BLOCK, DIGEST>,
{
    let mut message = Message::<A, BLOCK, DIGEST> {
        compress,
        state,
        length,
        rest: [0; BLOCK],
    };
    for part in parts {
        match part {
            Part::Bytes(bytes) => message.bytes(bytes),
            Part::Zeroes(count) => message.zeroes(*count),
        }
    }
    message.pad();
}

/// A message that grows at its end.
struct Message<'a, A: Algorithm<BLOCK, DIGEST>, const BLOCK: usize, const DIGEST: usize> {
    compress: &'a dyn Compress,
    state: &'a mut A::State,
    /// Bytes so far.
    length: usize,
    /// The bytes after the last full block, fewer than a block, at the beginning of this one.
    rest: [u8; BLOCK],
}

impl<A, const BLOCK: usize, const DIGEST: usize> Message<'_, A, BLOCK, DIGEST>
where
    A: Algorithm<BLOCK, DIGEST>,
{
    /// Bytes after the last full block.
    fn filled(&self) -> usize {
        self.length % BLOCK
    }

    /// The rest has become a block.
    fn full(&mut self) {
        A::blocks(self.compress, self.state, core::slice::from_ref(&self.rest));
    }

    /// Appends bytes.
    fn bytes(&mut self, mut bytes: &[u8]) {
        let filled = self.filled();
        self.length += bytes.len();
        if filled > 0 {
            let (_, free) = self.rest.split_at_mut(filled);
            let Some((first, others)) = bytes.split_at_checked(free.len()) else {
                free.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
                return;
            };
            free.copy_from_slice(first);
            self.full();
            bytes = others;
        }
        let (blocks, rest) = bytes.as_chunks();
        if !blocks.is_empty() {
            A::blocks(self.compress, self.state, blocks);
        }
        self.rest.split_at_mut(rest.len()).0.copy_from_slice(rest);
    }

    /// Appends bytes of zero.
    fn zeroes(&mut self, mut count: usize) {
        let filled = self.filled();
        self.length += count;
        if filled > 0 {
            let (_, free) = self.rest.split_at_mut(filled);
            let Some(others) = count.checked_sub(free.len()) else {
                free.split_at_mut(count).0.fill(0);
                return;
            };
            free.fill(0);
            self.full();
            count = others;
        }
        let (blocks, rest) = (count / BLOCK, count % BLOCK);
        if blocks > 0 {
            A::known(self.compress, self.state, KnownBlock::Zero, blocks);
        }
        self.rest.split_at_mut(rest).0.fill(0);
    }

    /// Appends the padding.
    fn pad(&mut self) {
        let filled = self.filled();
        if filled == 0
            && let Some(block) = KnownBlock::end_of(self.length)
        {
            A::known(self.compress, self.state, block, 1);
            return;
        }
        // The bit behind the message.
        if let Some((first, free)) = self.rest.split_at_mut(filled).1.split_first_mut() {
            *first = 0x80;
            free.fill(0);
        }
        // The length of the message takes an eighth of the last block.
        if filled >= BLOCK - BLOCK / 8 {
            self.full();
            self.rest.fill(0);
        }
        let bits = self.length as u64 * 8;
        if let Some(last) = self.rest.last_chunk_mut() {
            *last = bits.to_be_bytes();
        }
        self.full();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SoftHash;
    use proptest::prelude::*;
    use sha2::Digest;
    use std::string::String;

    /// Checks both algorithms, for a message in parts.
    fn check(parts: &[Part<'_>]) {
        let mut message = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => message.extend_from_slice(bytes),
                Part::Zeroes(count) => message.resize(message.len() + count, 0),
            }
        }
        let hasher = Hasher::new(&SoftHash);
        let expected: [u8; 32] = sha2::Sha256::digest(&message).into();
        assert_eq!(digest(&hasher, Sha256, parts), expected, "{parts:?}");
        let expected: [u8; 64] = sha2::Sha512::digest(&message).into();
        assert_eq!(digest(&hasher, Sha512, parts), expected, "{parts:?}");
        let expected: [u8; 48] = sha2::Sha384::digest(&message).into();
        assert_eq!(digest_384(&hasher, parts), expected, "{parts:?}");
    }

    /// Bytes that are not zero.
    fn some(length: usize) -> Vec<u8> {
        (1..=251).cycle().take(length).collect()
    }

    #[test]
    fn each_length() {
        for length in (0..=600).chain(4000..=4200) {
            let bytes = some(length);
            check(&[Part::Bytes(&bytes)]);
            check(&[Part::Zeroes(length)]);
            check(&[Part::Bytes(&bytes[..length / 2]), Part::Zeroes(length / 2)]);
        }
    }

    #[test]
    fn each_place_of_a_cut() {
        let bytes = some(300);
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            check(&[Part::Bytes(first), Part::Bytes(second)]);
            check(&[Part::Bytes(first), Part::Zeroes(300 - cut)]);
            check(&[Part::Zeroes(cut), Part::Bytes(second)]);
            check(&[
                Part::Bytes(first),
                Part::Zeroes(0),
                Part::Zeroes(cut),
                Part::Bytes(second),
            ]);
        }
    }

    /// The examples that NIST publishes for FIPS 180-4, in one part and in several.
    #[test]
    fn published_messages() {
        let million = vec![b'a'; 1_000_000];
        let vectors: [(&[u8], &str, &str); 5] = [
            (
                b"",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            ),
            (
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
                "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c335\
                 96fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec631238ca3445",
            ),
            (
                b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
                  hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
                "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
                 501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
            ),
            (
                &million,
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
                "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb\
                 de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
            ),
        ];
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let hasher = Hasher::new(&SoftHash);
        for (message, sha256, sha512) in vectors {
            let (first, rest) = message.split_at(message.len() / 3);
            let splits: [&[&[u8]]; 2] = [&[message], &[first, b"", rest]];
            for parts in splits {
                let parts: Vec<_> = parts.iter().copied().map(Part::Bytes).collect();
                assert_eq!(hex(&digest(&hasher, Sha256, &parts)), sha256);
                assert_eq!(hex(&digest(&hasher, Sha512, &parts)), sha512);
            }
        }
    }

    proptest! {
        #[test]
        fn any_parts(
            message in proptest::collection::vec((0..400_usize, any::<bool>()), 0..12),
            bytes in proptest::collection::vec(any::<u8>(), 400),
        ) {
            let parts: Vec<_> = message
                .into_iter()
                .map(|(length, is_zero)| {
                    if is_zero { Part::Zeroes(length) } else { Part::Bytes(&bytes[..length]) }
                })
                .collect();
            check(&parts);
        }
    }
}
