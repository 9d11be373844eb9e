// SPDX-License-Identifier: BSD-3-Clause
//! Accesses of the monitor to the memory of a Realm.
//!
//! The Realm may access the same bytes at any time, so the monitor never makes a reference to them:
//! it copies them with relaxed atomic accesses of 8 bytes and, at the ends, of 1 byte.

use crate::addr::GRANULE_SIZE;
use crate::bug;
use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::Data;
use crate::window::RawWindow;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use zerocopy::FromBytes;

/// `length` bytes of a Granule from `offset` on: single bytes up to the first aligned word, aligned
/// words, and the single bytes left.
///
/// # Safety
/// The bytes lie within the Granule.
#[inline]
unsafe fn parts<'a, M: Memory>(
    raw: &'a RawWindow<'_, M>,
    offset: usize,
    length: usize,
) -> (&'a [AtomicU8], &'a [AtomicU64], &'a [AtomicU8]) {
    // SAFETY: the bytes lie within the window, which stays open as long as it is borrowed. Atomics
    // may be shared with the Realm.
    let bytes = unsafe {
        let at = raw.bytes().add(offset);
        core::slice::from_raw_parts(at.cast::<AtomicU8>().as_ptr(), length)
    };
    // SAFETY: any eight bytes are a word.
    unsafe { bytes.align_to() }
}

/// Stops the monitor unless `length` bytes from `offset` on lie within a Granule.
fn check_within(offset: usize, length: usize) {
    if length > GRANULE_SIZE || offset > GRANULE_SIZE - length {
        bug!("a copy of Realm memory leaves its Granule");
    }
}

impl Locked<'_, Data> {
    /// Copies bytes from `offset` on to `dst`. If the Realm writes them meanwhile, each aligned 8
    /// bytes are consistent, the whole need not be.
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule. This is a bug of the caller.
    pub fn read<M: Memory>(&self, mem: &M, offset: usize, dst: &mut [u8]) {
        check_within(offset, dst.len());
        let raw = self.open(mem);
        // SAFETY: as just checked.
        let from = unsafe { parts(&raw, offset, dst.len()) };
        let (head, rest) = dst.split_at_mut(from.0.len());
        let (words, tail) = rest.split_at_mut(size_of_val(from.1));
        load_bytes(head, from.0);
        match <[u64]>::mut_from_bytes(words) {
            Ok(words) => load_words(words, from.1),
            // Rare. The compiler stores each word byte by byte.
            Err(_) => {
                for (to, from) in words.as_chunks_mut().0.iter_mut().zip(from.1) {
                    *to = from.load(Ordering::Relaxed).to_ne_bytes();
                }
            }
        }
        load_bytes(tail, from.2);
    }

    /// Copies `src` to the Granule, from `offset` on; consistent for the Realm as in [`Locked::read`].
    ///
    /// # Panics
    /// If the bytes do not lie within the Granule. This is a bug of the caller.
    pub fn write<M: Memory>(&self, mem: &M, offset: usize, src: &[u8]) {
        store(&self.open(mem), offset, src);
    }

    /// Writes the whole Granule: the parts, each from its offset on, and zero bytes. The Realm may see zero
    /// bytes before it sees the parts.
    ///
    /// # Panics
    /// As [`Locked::write`].
    pub fn write_whole<M: Memory>(&self, mem: &M, parts: &[(usize, &[u8])]) {
        let raw = self.open(mem);
        raw.wipe_shared();
        for (offset, src) in parts {
            store(&raw, *offset, src);
        }
    }
}

/// Copies `src` to a Granule of Realm memory, from `offset` on.
fn store<M: Memory>(raw: &RawWindow<'_, M>, offset: usize, src: &[u8]) {
    check_within(offset, src.len());
    // SAFETY: as just checked.
    let to = unsafe { parts(raw, offset, src.len()) };
    let (head, rest) = src.split_at(to.0.len());
    let (words, tail) = rest.split_at(size_of_val(to.1));
    store_bytes(to.0, head);
    match <[u64]>::ref_from_bytes(words) {
        Ok(words) => store_words(to.1, words),
        // Rare. The compiler loads each word byte by byte.
        Err(_) => {
            for (to, from) in to.1.iter().zip(words.as_chunks().0) {
                to.store(u64::from_ne_bytes(*from), Ordering::Relaxed);
            }
        }
    }
    store_bytes(to.2, tail);
}

/// Words copied together.
const STRIDE: usize = 8;

/// Copies words from Realm memory. Both have the same length.
#[inline]
fn load_words(to: &mut [u64], from: &[AtomicU64]) {
    let (groups, rest) = to.as_chunks_mut::<STRIDE>();
    let (from_groups, from_rest) = from.as_chunks::<STRIDE>();
    for (to, from) in groups.iter_mut().zip(from_groups) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.load(Ordering::Relaxed);
        }
    }
    for (to, from) in rest.iter_mut().zip(from_rest) {
        *to = from.load(Ordering::Relaxed);
    }
}

/// Copies words to Realm memory. Both have the same length.
#[inline]
fn store_words(to: &[AtomicU64], from: &[u64]) {
    let (groups, rest) = to.as_chunks::<STRIDE>();
    let (from_groups, from_rest) = from.as_chunks::<STRIDE>();
    for (to, from) in groups.iter().zip(from_groups) {
        for (to, from) in to.iter().zip(from) {
            to.store(*from, Ordering::Relaxed);
        }
    }
    for (to, from) in rest.iter().zip(from_rest) {
        to.store(*from, Ordering::Relaxed);
    }
}

/// Copies bytes from Realm memory. Both have the same length.
fn load_bytes(to: &mut [u8], from: &[AtomicU8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.load(Ordering::Relaxed);
    }
}

/// Copies bytes to Realm memory. Both have the same length.
fn store_bytes(to: &[AtomicU8], from: &[u8]) {
    for (to, from) in to.iter().zip(from) {
        to.store(*from, Ordering::Relaxed);
    }
}
