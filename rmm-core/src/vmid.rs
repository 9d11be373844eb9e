// SPDX-License-Identifier: BSD-3-Clause
//! The VMIDs in use.

use core::sync::atomic::{AtomicU64, Ordering};

/// The VMIDs that Realms use, one bit each.
pub struct VmidSet {
    words: [AtomicU64; 1 << 10],
}

impl VmidSet {
    /// No VMID in use.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; 1 << 10],
        }
    }

    fn bit(&self, vmid: u16) -> Option<(&AtomicU64, u64)> {
        let word = self.words.get(usize::from(vmid >> 6))?;
        Some((word, 1 << (vmid & 63)))
    }

    /// Reserves `vmid` if it is free. The drop of [`Vmid`] releases it unless [`Vmid::keep`] is
    /// called first.
    pub fn reserve(&self, vmid: u16) -> Option<Vmid<'_>> {
        let (word, bit) = self.bit(vmid)?;
        let free = word.fetch_or(bit, Ordering::Acquire) & bit == 0;
        // Made only if the VMID is free: the drop would release somebody else's.
        free.then(|| Vmid { set: self, vmid })
    }

    /// Reserves a free VMID up to `last`, for a Host that does not name one. `None` if none is free.
    pub fn reserve_any(&self, last: u16) -> Option<Vmid<'_>> {
        let words = self.words.iter().zip((0..=last).step_by(64));
        words
            .filter_map(|(word, first)| {
                let lowest_free = word.load(Ordering::Relaxed).trailing_ones();
                u16::try_from(lowest_free)
                    .ok()
                    .filter(|bit| *bit < 64)?
                    .checked_add(first)
            })
            // Another CPU may be faster. It then makes a Realm, and this one tries the next word.
            .find_map(|vmid| self.reserve(vmid))
    }

    /// Releases `vmid`.
    pub fn release(&self, vmid: u16) {
        if let Some((word, bit)) = self.bit(vmid) {
            word.fetch_and(!bit, Ordering::Release);
        }
    }
}

impl Default for VmidSet {
    fn default() -> Self {
        Self::new()
    }
}

/// A VMID reserved for a Realm whose creation may still fail; the drop releases it.
pub struct Vmid<'a> {
    set: &'a VmidSet,
    vmid: u16,
}

impl Vmid<'_> {
    /// The VMID.
    #[must_use]
    pub const fn get(&self) -> u16 {
        self.vmid
    }

    /// Keeps the VMID until [`VmidSet::release`].
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Vmid<'_> {
    fn drop(&mut self) {
        self.set.release(self.vmid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vmid_is_taken_once() {
        static SET: VmidSet = VmidSet::new();
        for vmid in [0, 63, 64, 0xFFFF] {
            let taken = SET.reserve(vmid).expect("free");
            assert!(SET.reserve(vmid).is_none());
            assert!(SET.reserve(vmid).is_none(), "still");
            drop(taken);
            SET.reserve(vmid).expect("given back").keep();
            assert!(SET.reserve(vmid).is_none());
            SET.release(vmid);
            assert!(SET.reserve(vmid).is_some());
        }
    }
    #[test]
    fn any_free_vmid_up_to_the_last() {
        static SET: VmidSet = VmidSet::new();
        SET.reserve(1).expect("free").keep();
        for expected in (0..=255).filter(|vmid| *vmid != 1) {
            let vmid = SET.reserve_any(255).expect("free");
            assert_eq!(vmid.get(), expected);
            vmid.keep();
        }
        assert!(SET.reserve_any(255).is_none());
        assert_eq!(SET.reserve_any(256).expect("free").get(), 256);
        SET.release(77);
        assert_eq!(SET.reserve_any(0xFFFF).expect("free").get(), 77);
        for vmid in 256..=0xFFFF {
            SET.reserve(vmid).expect("free").keep();
        }
        SET.reserve(77).expect("free").keep();
        assert!(SET.reserve_any(0xFFFF).is_none());
    }
}
