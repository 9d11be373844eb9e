// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's own access to the memory of a Realm.

use crate::GRANULE_SIZE;
use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::Data;
use crate::window::Open;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use zerocopy::FromBytes;

/// The bytes `offset` to `offset + length` of a Granule: bytes, words and bytes again. The Realm may
/// access them at any time, so everybody's accesses are atomic.
///
/// # Safety
/// The bytes lie within the Granule.
#[inline(always)]
unsafe fn parts<'a, M: Memory>(
    open: &'a Open<'_, M>,
    offset: usize,
    length: usize,
) -> (&'a [AtomicU8], &'a [AtomicU64], &'a [AtomicU8]) {
    // SAFETY: they lie within the window, which is open for as long as it is borrowed.
    let bytes = unsafe {
        let at = open.bytes().add(offset);
        core::slice::from_raw_parts(at.cast::<AtomicU8>().as_ptr(), length)
    };
    // SAFETY: any eight bytes are a word.
    unsafe { bytes.align_to() }
}

/// Whether the bytes `offset` to `offset + length` lie within a Granule.
fn is_within(offset: usize, length: usize) -> bool {
    length <= GRANULE_SIZE && offset <= GRANULE_SIZE - length
}

impl Locked<'_, Data> {
    /// Copies bytes from `offset` on to `dst`. The Realm may be writing them: each aligned 8 bytes
    /// are copied at once, the whole is not.
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule.
    pub fn read<M: Memory>(&self, mem: &M, offset: usize, dst: &mut [u8]) {
        assert!(is_within(offset, dst.len()), "out of Granule");
        let open = self.open(mem);
        // SAFETY: as asserted.
        let from = unsafe { parts(&open, offset, dst.len()) };
        let (head, rest) = dst.split_at_mut(from.0.len());
        let (words, tail) = rest.split_at_mut(size_of_val(from.1));
        copy_out(head, from.0, load_byte);
        // Where a word may be unaligned the compiler goes by bytes; it hardly ever is.
        match <[u64]>::mut_from_bytes(words) {
            Ok(words) => copy_out(words, from.1, load_word),
            Err(_) => copy_out(words.as_chunks_mut().0, from.1, |word| {
                load_word(word).to_ne_bytes()
            }),
        }
        copy_out(tail, from.2, load_byte);
    }

    /// Copies `src` to the Granule from `offset` on; see [`Locked::read`].
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule.
    pub fn write<M: Memory>(&self, mem: &M, offset: usize, src: &[u8]) {
        assert!(is_within(offset, src.len()), "out of Granule");
        let open = self.open(mem);
        // SAFETY: as asserted.
        let to = unsafe { parts(&open, offset, src.len()) };
        let (head, rest) = src.split_at(to.0.len());
        let (words, tail) = rest.split_at(size_of_val(to.1));
        copy_in(to.0, head, store_byte);
        match <[u64]>::ref_from_bytes(words) {
            Ok(words) => copy_in(to.1, words, store_word),
            Err(_) => copy_in(to.1, words.as_chunks().0, |to, from| {
                store_word(to, &u64::from_ne_bytes(*from));
            }),
        }
        copy_in(to.2, tail, store_byte);
    }
}

#[inline(always)]
fn copy_out<A, T>(to: &mut [T], from: &[A], load: impl Fn(&A) -> T) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = load(from);
    }
}

#[inline(always)]
fn copy_in<A, T>(to: &[A], from: &[T], store: impl Fn(&A, &T)) {
    for (to, from) in to.iter().zip(from) {
        store(to, from);
    }
}

fn load_byte(from: &AtomicU8) -> u8 {
    from.load(Ordering::Relaxed)
}

fn load_word(from: &AtomicU64) -> u64 {
    from.load(Ordering::Relaxed)
}

fn store_byte(to: &AtomicU8, from: &u8) {
    to.store(*from, Ordering::Relaxed);
}

fn store_word(to: &AtomicU64, from: &u64) {
    to.store(*from, Ordering::Relaxed);
}
