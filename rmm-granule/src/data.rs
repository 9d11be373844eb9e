// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's own access to the memory of a Realm.

use crate::GRANULE_SIZE;
use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::Data;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes of the larger unit of copying.
const WORD: usize = size_of::<u64>();

/// How many of the `length` bytes from `offset` on come before the first whole word, and how many
/// are whole words.
fn split(offset: usize, length: usize) -> (usize, usize) {
    let head = offset.wrapping_neg() % WORD;
    let head = head.min(length);
    (head, (length - head) / WORD * WORD)
}

impl Locked<'_, Data> {
    /// Copies bytes from `offset` on to `dst`. The Realm may be writing them: each aligned 8 bytes
    /// are copied at once, the whole is not.
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule.
    pub fn read<M: Memory>(&self, mem: &M, offset: usize, dst: &mut [u8]) {
        assert!(
            dst.len() <= GRANULE_SIZE && offset <= GRANULE_SIZE - dst.len(),
            "out of Granule"
        );
        let open = self.open(mem);
        // SAFETY: within the window, as asserted.
        let mut from = unsafe { open.bytes().add(offset) };
        let (head, words) = split(offset, dst.len());
        let (head, rest) = dst.split_at_mut(head);
        let (words, tail) = rest.split_at_mut(words);
        from = read_bytes(from, head);
        for word in words.chunks_exact_mut(WORD) {
            // SAFETY: within the open window and aligned; accessed as atomics only, here and,
            // as far as the language is concerned, by the Realm.
            let value = unsafe { AtomicU64::from_ptr(from.cast().as_ptr()) };
            word.copy_from_slice(&value.load(Ordering::Relaxed).to_ne_bytes());
            // SAFETY: not beyond the end of the bytes asked for.
            from = unsafe { from.add(WORD) };
        }
        read_bytes(from, tail);
    }

    /// Copies `src` to the Granule from `offset` on; see [`Locked::read`].
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule.
    pub fn write<M: Memory>(&self, mem: &M, offset: usize, src: &[u8]) {
        assert!(
            src.len() <= GRANULE_SIZE && offset <= GRANULE_SIZE - src.len(),
            "out of Granule"
        );
        let open = self.open(mem);
        // SAFETY: within the window, as asserted.
        let mut to = unsafe { open.bytes().add(offset) };
        let (head, words) = split(offset, src.len());
        let (head, rest) = src.split_at(head);
        let (words, tail) = rest.split_at(words);
        to = write_bytes(to, head);
        for word in words.chunks_exact(WORD) {
            let mut value = [0; WORD];
            value.copy_from_slice(word);
            // SAFETY: as in `read`.
            let place = unsafe { AtomicU64::from_ptr(to.cast().as_ptr()) };
            place.store(u64::from_ne_bytes(value), Ordering::Relaxed);
            // SAFETY: not beyond the end of the bytes given.
            to = unsafe { to.add(WORD) };
        }
        write_bytes(to, tail);
    }
}

fn read_bytes(mut from: NonNull<u8>, dst: &mut [u8]) -> NonNull<u8> {
    for byte in dst {
        // SAFETY: the caller counts the bytes; see `read`.
        unsafe {
            *byte = AtomicU8::from_ptr(from.as_ptr()).load(Ordering::Relaxed);
            from = from.add(1);
        }
    }
    from
}

fn write_bytes(mut to: NonNull<u8>, src: &[u8]) -> NonNull<u8> {
    for byte in src {
        // SAFETY: the caller counts the bytes; see `write`.
        unsafe {
            AtomicU8::from_ptr(to.as_ptr()).store(*byte, Ordering::Relaxed);
            to = to.add(1);
        }
    }
    to
}
