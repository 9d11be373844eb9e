// SPDX-License-Identifier: BSD-3-Clause
//! Physical memory, Granule protection and a TLB for tests on the build machine.
//!
//! One [`FakeMemory`] is shared by all threads; each thread that stands for a CPU has its own
//! [`FakeCpuMemory`], which is the [`Memory`] that the monitor's code uses. What would be a fault
//! in the monitor on the machine is a panic here: a window onto a Granule outside Realm PAS, a
//! window never closed, a translation that outlives the mapping it came from.
//!
//! [`Memory`]: crate::Memory

mod cpu;
mod tlb;

pub use cpu::{FakeCpuMemory, MAX_WINDOWS};
pub use tlb::{Fault, FaultKind, Invalidation, Stage2Regs, Translation};

use crate::{Bank, GRANULE_SIZE, GranuleTable, NsFault, Pa, Word};
use std::boxed::Box;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::vec::Vec;
use tlb::Tlb;

/// Physical address space that a Granule is in, as its GPT entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pas {
    /// Non-secure.
    NonSecure,
    /// Realm.
    Realm,
    /// Secure.
    Secure,
    /// Root.
    Root,
}

impl Pas {
    fn of(value: u8) -> Self {
        match value {
            0 => Self::NonSecure,
            1 => Self::Realm,
            2 => Self::Secure,
            _ => Self::Root,
        }
    }
}

/// EL3 refuses to change the PAS of a Granule: it is not in the PAS to be left, or is no DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasRefused;

#[repr(C, align(4096))]
struct Page([AtomicU64; GRANULE_SIZE / 8]);

struct Granule {
    pas: AtomicU8,
    page: Page,
}

/// The physical memory of a fake machine, with its GPT and the TLB that all CPUs share.
pub struct FakeMemory {
    dram: Vec<Bank>,
    granules: RwLock<HashMap<u64, Box<Granule>>>,
    tlb: Mutex<Tlb>,
}

impl FakeMemory {
    /// DRAM at `banks`, all zero and in Non-secure PAS; nothing answers anywhere else.
    pub fn new(banks: &[Bank]) -> Arc<Self> {
        Arc::new(Self {
            dram: banks.to_vec(),
            granules: RwLock::default(),
            tlb: Mutex::default(),
        })
    }

    /// The memory as one more CPU sees it.
    pub fn cpu(self: &Arc<Self>) -> FakeCpuMemory {
        FakeCpuMemory::new(self.clone())
    }

    /// A granule table of this memory's DRAM. It is never freed, as on the machine.
    ///
    /// # Panics
    /// If the banks are not fit for a table.
    pub fn granule_table(&self) -> &'static GranuleTable {
        let length = GranuleTable::words_needed(&self.dram).expect("banks fit for a table");
        let words: Vec<Word> = (0..length).map(|_| Word::new(0)).collect();
        let table = GranuleTable::new(&self.dram, words.leak()).expect("banks fit for a table");
        Box::leak(Box::new(table))
    }

    /// The PAS of the Granule at `pa`; `None` where there is no DRAM.
    pub fn pas(&self, pa: Pa) -> Option<Pas> {
        self.with(pa, |granule| Pas::of(granule.pas.load(Ordering::SeqCst)))
    }

    /// Puts the Granule at `pa` in a PAS, whatever it was in: what Secure world and EL3 do.
    ///
    /// # Panics
    /// If there is no DRAM, or the Granule leaves Realm PAS while a Realm's translation reaches it.
    pub fn set_pas(&self, pa: Pa, pas: Pas) {
        let old = self.pas(pa).expect("DRAM");
        if old == Pas::Realm && pas != Pas::Realm {
            self.assert_no_stale(pa);
        }
        self.with(pa, |granule| granule.pas.store(pas as u8, Ordering::SeqCst));
    }

    /// EL3's part of RMI_GRANULE_DELEGATE: from Non-secure to Realm PAS.
    ///
    /// # Errors
    /// [`PasRefused`] if there is no Non-secure Granule at `pa`.
    pub fn delegate(&self, pa: Pa) -> Result<(), PasRefused> {
        self.change_pas(pa, Pas::NonSecure, Pas::Realm)
    }

    /// EL3's part of RMI_GRANULE_UNDELEGATE: from Realm to Non-secure PAS.
    ///
    /// # Errors
    /// [`PasRefused`] if there is no Realm PAS Granule at `pa`.
    ///
    /// # Panics
    /// If a Realm's translation still reaches the Granule.
    pub fn undelegate(&self, pa: Pa) -> Result<(), PasRefused> {
        if self.pas(pa) == Some(Pas::Realm) {
            self.assert_no_stale(pa);
        }
        self.change_pas(pa, Pas::Realm, Pas::NonSecure)
    }

    fn change_pas(&self, pa: Pa, from: Pas, to: Pas) -> Result<(), PasRefused> {
        self.with(pa, |granule| {
            let (from, to) = (from as u8, to as u8);
            granule
                .pas
                .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        })
        .filter(|changed| *changed)
        .map_or(Err(PasRefused), |_| Ok(()))
    }

    /// Copies bytes as Non-secure software does.
    ///
    /// # Errors
    /// [`NsFault`] if the Granule is not in Non-secure PAS.
    ///
    /// # Panics
    /// If the bytes do not lie within one Granule.
    pub fn read_ns(&self, pa: Pa, dst: &mut [u8]) -> Result<(), NsFault> {
        assert!(
            pa.granule_offset() + dst.len() <= GRANULE_SIZE,
            "not within one Granule"
        );
        self.with(pa, |granule| {
            granule.is(Pas::NonSecure)?;
            granule.page.read(pa.granule_offset(), dst);
            Ok(())
        })
        .unwrap_or(Err(NsFault))
    }

    /// Writes bytes as Non-secure software does.
    ///
    /// # Errors
    /// As [`FakeMemory::read_ns`].
    ///
    /// # Panics
    /// If the bytes do not lie within one Granule.
    pub fn write_ns(&self, pa: Pa, src: &[u8]) -> Result<(), NsFault> {
        assert!(
            pa.granule_offset() + src.len() <= GRANULE_SIZE,
            "not within one Granule"
        );
        self.with(pa, |granule| {
            granule.is(Pas::NonSecure)?;
            granule.page.write(pa.granule_offset(), src);
            Ok(())
        })
        .unwrap_or(Err(NsFault))
    }

    /// The content of a Granule whatever its PAS: for tests, to see that it was wiped. The caller
    /// knows that nobody is writing it.
    ///
    /// # Panics
    /// If there is no DRAM at `pa`.
    pub fn peek(&self, pa: Pa) -> [u8; GRANULE_SIZE] {
        let mut content = [0; GRANULE_SIZE];
        self.with(pa, |granule| granule.page.read(0, &mut content))
            .expect("DRAM");
        content
    }

    /// Writes a Granule whatever its PAS: for tests. The caller knows that nobody is using it.
    ///
    /// # Panics
    /// If there is no DRAM at `pa`, or the bytes do not lie within one Granule.
    pub fn poke(&self, pa: Pa, src: &[u8]) {
        assert!(
            pa.granule_offset() + src.len() <= GRANULE_SIZE,
            "not within one Granule"
        );
        self.with(pa, |granule| granule.page.write(pa.granule_offset(), src))
            .expect("DRAM");
    }

    /// Asserts that no TLB entry of any Realm reaches the Granule at `pa` through Realm PAS, be it
    /// as output or as table.
    ///
    /// # Panics
    /// If one does: its mapping was removed without invalidating it.
    pub fn assert_no_stale(&self, pa: Pa) {
        self.tlb().assert_no_stale(pa);
    }

    /// What was invalidated so far, oldest first.
    pub fn invalidations(&self) -> Vec<Invalidation> {
        self.tlb().log.clone()
    }

    /// A stage 2 translation as a CPU makes it that runs a Realm: from the TLB if it can, and
    /// remembered in the TLB.
    ///
    /// # Errors
    /// The stage 2 fault that the CPU takes.
    ///
    /// # Panics
    /// If tables or output are not in Realm PAS where they must be, or if translations of one
    /// address by entries of different size meet in the TLB (break-before-make was forgotten).
    pub fn translate_cached(&self, regs: &Stage2Regs, ipa: u64) -> Result<Translation, Fault> {
        self.tlb().translate(self, regs, ipa)
    }

    /// Reads Realm memory as a Realm at `regs` does; see [`FakeMemory::translate_cached`].
    ///
    /// # Errors
    /// The stage 2 fault that the CPU takes.
    ///
    /// # Panics
    /// As [`FakeMemory::translate_cached`], and if the bytes do not lie within one Granule.
    pub fn realm_read(&self, regs: &Stage2Regs, ipa: u64, dst: &mut [u8]) -> Result<(), Fault> {
        let at = self.translate_cached(regs, ipa)?.pa;
        assert!(
            at.granule_offset() + dst.len() <= GRANULE_SIZE,
            "not within one Granule"
        );
        self.with(at, |granule| granule.page.read(at.granule_offset(), dst))
            .expect("DRAM");
        Ok(())
    }

    /// Writes Realm memory as a Realm at `regs` does; see [`FakeMemory::translate_cached`].
    ///
    /// # Errors
    /// The stage 2 fault that the CPU takes.
    ///
    /// # Panics
    /// As [`FakeMemory::realm_read`].
    pub fn realm_write(&self, regs: &Stage2Regs, ipa: u64, src: &[u8]) -> Result<(), Fault> {
        let at = self.translate_cached(regs, ipa)?.pa;
        assert!(
            at.granule_offset() + src.len() <= GRANULE_SIZE,
            "not within one Granule"
        );
        self.with(at, |granule| granule.page.write(at.granule_offset(), src))
            .expect("DRAM");
        Ok(())
    }

    fn tlb(&self) -> MutexGuard<'_, Tlb> {
        self.tlb.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `f` with the Granule that holds `pa`; `None` where there is no DRAM.
    fn with<R>(&self, pa: Pa, f: impl FnOnce(&Granule) -> R) -> Option<R> {
        let base = pa.granule_base().0;
        if !self
            .dram
            .iter()
            .any(|bank| base.wrapping_sub(bank.base) < bank.size)
        {
            return None;
        }
        let granules = self.granules.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(granule) = granules.get(&base) {
            return Some(f(granule));
        }
        drop(granules);
        let mut granules = self
            .granules
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Some(f(granules.entry(base).or_insert_with(Granule::new)))
    }

    /// One table entry as the hardware walker reads it.
    fn table_entry(&self, table: Pa, index: usize) -> u64 {
        self.with(table, |granule| {
            granule
                .is(Pas::Realm)
                .expect("granule protection fault on a table walk");
            granule.page.0[index].load(Ordering::SeqCst)
        })
        .expect("table walk outside DRAM")
    }
}

impl Granule {
    fn new() -> Box<Self> {
        Box::new(Self {
            pas: AtomicU8::new(Pas::NonSecure as u8),
            page: Page([const { AtomicU64::new(0) }; GRANULE_SIZE / 8]),
        })
    }

    fn is(&self, pas: Pas) -> Result<(), NsFault> {
        if self.pas.load(Ordering::SeqCst) == pas as u8 {
            Ok(())
        } else {
            Err(NsFault)
        }
    }
}

impl Page {
    fn read(&self, offset: usize, dst: &mut [u8]) {
        let mut at = offset;
        for part in split(offset, dst.len()) {
            let bytes = self.0[at / 8].load(Ordering::Relaxed).to_ne_bytes();
            dst[at - offset..][..part].copy_from_slice(&bytes[at % 8..][..part]);
            at += part;
        }
    }

    fn write(&self, offset: usize, src: &[u8]) {
        let mut at = offset;
        for part in split(offset, src.len()) {
            let new = &src[at - offset..][..part];
            let update = |old: u64| {
                let mut bytes = old.to_ne_bytes();
                bytes[at % 8..][..part].copy_from_slice(new);
                Some(u64::from_ne_bytes(bytes))
            };
            let order = Ordering::Relaxed;
            self.0[at / 8]
                .fetch_update(order, order, update)
                .expect("always some");
            at += part;
        }
    }
}

/// Lengths of the parts of `[offset, offset + length)` that lie in one 8-byte word each.
fn split(offset: usize, length: usize) -> impl Iterator<Item = usize> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        let part = (8 - at % 8).min(end - at);
        at += part;
        (part > 0).then_some(part)
    })
}
