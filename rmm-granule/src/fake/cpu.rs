// SPDX-License-Identifier: BSD-3-Clause
//! Memory as one CPU of a fake machine sees it.

use super::dram::Pas;
use super::memory::FakeMemory;
use super::tlb::Invalidation;
use crate::addr::{GRANULE_SIZE, Ipa, Pa};
use crate::memory::{Memory, NsFault};
use core::mem::MaybeUninit;
use core::ops::Range;
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::vec::Vec;

/// The address at `offset` in the Granule at `granule`.
fn at(granule: Pa, offset: usize) -> Pa {
    assert!(
        granule.granule_offset() == 0 && offset < GRANULE_SIZE,
        "not within one Granule"
    );
    Pa(granule.0 + offset as u64)
}

/// Most windows that a CPU has open at once.
const MAX_WINDOWS: usize = 8;

/// The [`Memory`] of one CPU of a fake machine.
///
/// The drop asserts that no window is left open.
pub struct FakeCpuMemory {
    memory: Arc<FakeMemory>,
    windows: RefCell<Vec<(NonNull<[u8; GRANULE_SIZE]>, Pa)>>,
}

impl FakeMemory {
    /// The memory as one more CPU sees it.
    pub fn cpu(self: &Arc<Self>) -> FakeCpuMemory {
        FakeCpuMemory {
            memory: self.clone(),
            windows: RefCell::default(),
        }
    }
}

impl FakeCpuMemory {
    /// The memory that all CPUs share.
    pub fn memory(&self) -> &Arc<FakeMemory> {
        &self.memory
    }

    /// The content of the Granule at `pa`, which is in Realm PAS.
    fn window(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        assert_eq!(pa.granule_offset(), 0, "unaligned window");
        self.memory
            .dram()
            .with(pa, |granule| {
                let page = granule
                    .in_pas(Pas::Realm)
                    .expect("granule protection fault in the monitor");
                // The page consists of atomics, so the pointer permits writes.
                NonNull::from(&*page).cast()
            })
            .expect("window where there is no DRAM")
    }

    /// Records that this window is open.
    fn open(&self, window: NonNull<[u8; GRANULE_SIZE]>, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        let mut windows = self.windows.borrow_mut();
        assert!(windows.len() < MAX_WINDOWS, "too many windows");
        windows.push((window, pa));
        window
    }

    /// Asserts that this CPU has no window open.
    ///
    /// # Panics
    /// If one is.
    pub fn assert_quiet(&self) {
        let windows = self.windows.borrow();
        assert!(windows.is_empty(), "windows left open: {windows:?}");
    }
}

impl Drop for FakeCpuMemory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_quiet();
        }
    }
}

// SAFETY: the pointer is to a page-aligned page, which lives as long as the memory does, and the
// memory lives as long as this value. One CPU opens each Granule at most once at a time by `map`,
// as asserted, so these windows do not overlap.
unsafe impl Memory for FakeCpuMemory {
    fn map(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        let window = self.window(pa);
        let windows = self.windows.borrow();
        assert!(
            windows.iter().all(|(open, _)| *open != window),
            "window onto {pa:?} open twice"
        );
        drop(windows);
        self.open(window, pa)
    }

    fn map_part(&self, pa: Pa) -> NonNull<[u8; GRANULE_SIZE]> {
        self.open(self.window(pa), pa)
    }

    unsafe fn unmap(&self, window: NonNull<[u8; GRANULE_SIZE]>) {
        let mut windows = self.windows.borrow_mut();
        let position = windows.iter().position(|(open, _)| *open == window);
        let (_, pa) = windows.swap_remove(position.expect("closes a window that is not open"));
        assert_eq!(
            self.memory.pas(pa),
            Some(Pas::Realm),
            "{pa:?} left Realm PAS while in use"
        );
    }

    fn read_ns<const N: usize>(
        &self,
        granule: Pa,
        parts: [(usize, &mut [MaybeUninit<u8>]); N],
    ) -> Result<(), NsFault> {
        for (offset, dst) in parts {
            let mut bytes = vec![0; dst.len()];
            self.memory.read_ns(at(granule, offset), &mut bytes)?;
            for (to, from) in dst.iter_mut().zip(bytes) {
                to.write(from);
            }
        }
        Ok(())
    }

    fn write_ns<const N: usize>(
        &self,
        granule: Pa,
        zero: Range<usize>,
        parts: [(usize, &[u8]); N],
    ) -> Result<(), NsFault> {
        assert!(
            zero.start.is_multiple_of(64) && zero.len().is_multiple_of(64),
            "{zero:?}"
        );
        if !zero.is_empty() {
            let bytes = vec![0; zero.len()];
            self.memory.write_ns(at(granule, zero.start), &bytes)?;
        }
        for (offset, src) in parts {
            self.memory.write_ns(at(granule, offset), src)?;
        }
        Ok(())
    }

    fn zero(&self, granule: &mut [u8; GRANULE_SIZE]) {
        let window = NonNull::from(&mut *granule);
        let windows = self.windows.borrow();
        if let Some((_, pa)) = windows.iter().find(|(open, _)| *open == window) {
            self.memory.assert_no_stale(*pa);
        }
        granule.fill(0);
    }

    fn publish_tables(&self) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    fn invalidate_stage2(&self, vmid: u16, base: Ipa, size: u64, level: i8) {
        self.memory.invalidate(Invalidation {
            vmid,
            base,
            size,
            level,
        });
    }
}
