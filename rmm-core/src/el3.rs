// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor and EL3 exchange through the page that they share.

use crate::machine::CallEl3;
use core::sync::atomic::{AtomicU8, Ordering};
use rmm_abi::el3::error;
use rmm_granule::{GRANULE_SIZE, Pa, bug};

/// The page that the monitor shares with EL3. One call at a time uses it: whoever has this value.
///
/// EL3 writes to it while it serves a call, which is why its bytes are atomics. None of them holds a
/// secret longer than the call that brings it.
pub struct SharedPage {
    pa: Pa,
    bytes: &'static [AtomicU8; GRANULE_SIZE],
}

/// Result of a call to EL3 that uses the page: X1 and X2, or the status if it is a failure.
pub type CallResult = Result<[u64; 2], i64>;

impl SharedPage {
    /// The page at `pa`, mapped at `bytes`.
    #[must_use]
    pub const fn new(pa: Pa, bytes: &'static [AtomicU8; GRANULE_SIZE]) -> Self {
        Self { pa, bytes }
    }

    /// Physical address of the page.
    #[must_use]
    pub const fn pa(&self) -> u64 {
        self.pa.as_u64()
    }

    /// Writes `bytes` to the start of the page.
    pub fn write(&mut self, bytes: &[u8]) {
        if bytes.len() > GRANULE_SIZE {
            bug!("more bytes than a page has");
        }
        for (to, from) in self.bytes.iter().zip(bytes) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    /// Reads from the start of the page.
    pub fn read(&self, bytes: &mut [u8]) {
        if bytes.len() > GRANULE_SIZE {
            bug!("more bytes than a page has");
        }
        for (to, from) in bytes.iter_mut().zip(self.bytes) {
            *to = from.load(Ordering::Relaxed);
        }
    }

    /// Fills the page with zero bytes.
    pub fn wipe(&mut self) {
        for byte in self.bytes {
            byte.store(0, Ordering::Relaxed);
        }
    }

    /// Calls EL3 with X1 to X4.
    ///
    /// # Errors
    /// The status, if it is not E_RMM_OK.
    pub fn call(&mut self, machine: &impl CallEl3, fid: u64, args: [u64; 4]) -> CallResult {
        let [status, x1, x2, _] = machine.call_el3(fid, args);
        match status.cast_signed() {
            error::OK => Ok([x1, x2]),
            failure => Err(failure),
        }
    }
}
