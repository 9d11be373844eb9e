// SPDX-License-Identifier: BSD-3-Clause
//! Access to Realm translation tables, which the table walkers of CPUs read at any time.

use crate::lock::Locked;
use crate::memory::Memory;
use crate::state::{RTT_ENTRIES, Rtt};
use crate::window::RawWindow;
use core::ops::Deref;
use core::sync::atomic::AtomicU64;

impl<'t> Locked<'t, Rtt> {
    /// Opens the table and keeps guard and window in one value.
    #[inline]
    pub fn open_table<'m, M: Memory>(self, mem: &'m M) -> OpenRtt<'t, 'm, M> {
        OpenRtt {
            raw: RawWindow::new(mem, self.pa()),
            granule: self,
        }
    }
}

/// A locked RTT with its window: dereferences to the entries. Table walkers see each store as soon
/// as it is made. The drop closes the window, then unlocks the RTT.
pub struct OpenRtt<'t, 'm, M: Memory> {
    // The order of the fields is the order of their drops.
    raw: RawWindow<'m, M>,
    granule: Locked<'t, Rtt>,
}

impl<'t, M: Memory> OpenRtt<'t, '_, M> {
    /// The locked RTT, for its address and its count.
    #[inline]
    pub fn granule(&self) -> &Locked<'t, Rtt> {
        &self.granule
    }

    /// The entries as plain values, for scans of many of them.
    #[inline]
    pub fn entries(&mut self) -> &[u64; RTT_ENTRIES] {
        // SAFETY: the window is open. Table walkers only read entries, because hardware management
        // of flags is off; only the holder of the lock writes them, which is this value, and it is
        // borrowed mutably.
        unsafe { self.raw.at::<[u64; RTT_ENTRIES], 0>().as_ref() }
    }

    /// Closes the window; the RTT stays locked.
    #[inline]
    pub fn close(self) -> Locked<'t, Rtt> {
        self.granule
    }
}

impl<M: Memory> Deref for OpenRtt<'_, '_, M> {
    type Target = [AtomicU64; RTT_ENTRIES];

    #[inline]
    fn deref(&self) -> &[AtomicU64; RTT_ENTRIES] {
        // SAFETY: the window is open, and all accesses to a table in use are atomic.
        unsafe { self.raw.at::<[AtomicU64; RTT_ENTRIES], 0>().as_ref() }
    }
}
