// SPDX-License-Identifier: BSD-3-Clause
//! Granules that the Host delegates, and what it finds in them when they are Non-secure again.

use crate::arch::{self, try_read};
use crate::check::{Check, ensure, ensure_eq, fail};
use crate::{board, dialect};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicUsize, Ordering};
use rmm_abi::GRANULE_SIZE;
use spin::Mutex;

/// Bytes of a granule.
pub const GRANULE: u64 = GRANULE_SIZE as u64;
/// Granules in the pool.
const COUNT: usize = ((board::POOL.end - board::POOL.start) / GRANULE) as usize;

/// Which granules are in use.
static TAKEN: Mutex<[bool; COUNT]> = Mutex::new([false; COUNT]);
/// No granule below this one is free: where a search begins.
static FREE_FROM: AtomicUsize = AtomicUsize::new(0);

fn index(address: u64) -> usize {
    ((address - board::POOL.start) / GRANULE) as usize
}

/// Allocates `count` granules in a row, the first aligned to `align` bytes, and fills them with the
/// Host's mark.
///
/// # Errors
///
/// If the pool has none left.
pub fn take(count: u64, align: u64) -> Check<u64> {
    let mut taken = TAKEN.lock();
    let first = FREE_FROM.load(Ordering::Relaxed);
    let mut base = (board::POOL.start + first as u64 * GRANULE).next_multiple_of(align);
    while base + count * GRANULE <= board::POOL.end {
        let range = index(base)..index(base) + count as usize;
        if let Some(slots) = taken.get_mut(range)
            && !slots.contains(&true)
        {
            slots.fill(true);
            if index(base) == first || (count == 1 && align <= GRANULE) {
                FREE_FROM.store(index(base) + count as usize, Ordering::Relaxed);
            }
            fill(base, count, MARK);
            return Ok(base);
        }
        base += align.max(GRANULE);
    }
    fail!("the granule pool is empty")
}

/// What the Host leaves in a granule before it delegates it.
const MARK: u64 = 0x4057_4057_4057_4057;

/// Allocates one granule.
///
/// # Errors
///
/// If the pool has none left.
pub fn take_one() -> Check<u64> {
    take(1, GRANULE)
}

/// Frees granules, which must be Non-secure.
pub fn give(address: u64, count: u64) {
    let mut taken = TAKEN.lock();
    if let Some(slots) = taken.get_mut(index(address)..index(address) + count as usize) {
        slots.fill(false);
        FREE_FROM.fetch_min(index(address), Ordering::Relaxed);
    }
}

/// How many granules are in use.
pub fn in_use() -> usize {
    TAKEN.lock().iter().filter(|taken| **taken).count()
}

/// Fills granules of the pool with a word.
pub fn fill(address: u64, count: u64, word: u64) {
    for n in 0..count * GRANULE / 8 {
        write(address + 8 * n, word);
    }
}

/// Reads a word of the pool that is Non-secure.
pub fn read(address: u64) -> u64 {
    assert!(board::POOL.contains(&address));
    // SAFETY: memory of the pool; a fault is reported as the Host's crash.
    unsafe { with_exposed_provenance_mut::<u64>(address as usize).read_volatile() }
}

/// Writes a word of the pool that is Non-secure.
pub fn write(address: u64, word: u64) {
    assert!(board::POOL.contains(&address));
    // SAFETY: memory of the pool, to which no reference exists; a fault is the Host's crash.
    unsafe { with_exposed_provenance_mut::<u64>(address as usize).write_volatile(word) }
}

/// Copies a structure or an image into the pool.
pub fn write_bytes(address: u64, bytes: &[u8]) {
    for (n, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        write(address + 8 * n as u64, u64::from_le_bytes(word));
    }
}

/// Allocates a granule and delegates it.
///
/// # Errors
///
/// If there is none, or the monitor refuses.
pub fn take_delegated() -> Check<u64> {
    take_delegated_row(1, GRANULE)
}

/// Allocates granules in a row and delegates them.
///
/// # Errors
///
/// If there are none, or the monitor refuses.
pub fn take_delegated_row(count: u64, align: u64) -> Check<u64> {
    let base = take(count, align)?;
    dialect::spoken().delegate(base, count)?;
    Ok(base)
}

/// Undelegates a granule, checks that it is Non-secure and zero, and frees it.
///
/// # Errors
///
/// If the monitor refuses, or the granule is not zero.
pub fn give_delegated(address: u64) -> Check {
    give_delegated_row(address, 1)
}

/// As [`give_delegated`], for granules in a row.
///
/// # Errors
///
/// As for [`give_delegated`].
pub fn give_delegated_row(address: u64, count: u64) -> Check {
    dialect::spoken().undelegate(address, count)?;
    (0..count).try_for_each(|n| {
        check_zero(address + n * GRANULE)?;
        give(address + n * GRANULE, 1);
        Ok(())
    })
}

/// Checks that the Host can read a granule, and finds only zeroes.
///
/// # Errors
///
/// If a word faults or is not zero.
pub fn check_zero(address: u64) -> Check {
    for word in (address..address + GRANULE).step_by(8) {
        match try_read(word) {
            Ok(0) => {}
            Ok(value) => fail!("returned granule has {value:#x} at {word:#x}"),
            Err(esr) => fail!("returned granule cannot be read at {word:#x}: esr {esr:#x}"),
        }
    }
    Ok(())
}

/// Checks that the Host can neither read nor write a granule of Realm PAS.
///
/// # Errors
///
/// If it can, or takes another fault than a granule protection fault.
pub fn check_protected(address: u64) -> Check {
    match try_read(address) {
        Ok(value) => fail!("delegated granule {address:#x} can be read: {value:#x}"),
        Err(esr) => ensure!(arch::is_gpf(esr), "read of {address:#x}: esr {esr:#x}"),
    }
    // SAFETY: the pool's memory, to which no reference exists.
    match unsafe { arch::try_write(address, MARK) } {
        Ok(()) => fail!("delegated granule {address:#x} can be written"),
        Err(esr) => ensure!(arch::is_gpf(esr), "write of {address:#x}: esr {esr:#x}"),
    }
    Ok(())
}

/// Checks that a Non-secure granule still holds the Host's mark.
///
/// # Errors
///
/// If it does not.
pub fn check_untouched(address: u64) -> Check {
    for word in (address..address + GRANULE).step_by(8) {
        match try_read(word) {
            Ok(value) => ensure_eq!(value, MARK, "granule {address:#x} was changed"),
            Err(esr) => fail!("granule {address:#x} cannot be read: esr {esr:#x}"),
        }
    }
    Ok(())
}
