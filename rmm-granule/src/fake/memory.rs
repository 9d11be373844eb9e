// SPDX-License-Identifier: BSD-3-Clause
//! The physical memory of a fake machine, as EL3, the Host, a Realm and tests see it.

use super::dram::{Dram, Page, Pas};
use super::tlb::{Fault, FaultKind, Invalidation, Stage2Regs, Tlb, Translation};
use crate::addr::{GRANULE_SIZE, Pa};
use crate::memory::NsFault;
use crate::queue::Waiter;
use crate::sync::Word;
use crate::table::{Bank, GranuleTable};
use std::any::Any;
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::vec::Vec;

/// EL3 refuses to change the PAS of a Granule: it is not in the PAS to be left, or is no DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasRefused;

/// What lives as long as the monitor does: never freed. It stays reachable, so that leak checkers do
/// not report it.
pub fn keep<T: ?Sized + Sync + 'static>(value: Box<T>) -> &'static T {
    static KEPT: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
    let value: &'static T = Box::leak(value);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.push(Box::new(value));
    value
}

/// The physical memory of a fake machine, with its GPT and the TLB that all CPUs share.
pub struct FakeMemory {
    dram: Dram,
    tlb: Mutex<Tlb>,
    table: OnceLock<&'static GranuleTable>,
}

/// Places of CPUs that wait for locks, for one table: more than tests have threads.
#[must_use]
pub fn places() -> &'static [Waiter] {
    let places: Vec<Waiter> = (0..64).map(|_| Waiter::default()).collect();
    keep(places.into_boxed_slice())
}

impl FakeMemory {
    /// DRAM at `banks`, all zero and in Non-secure PAS; nothing answers anywhere else.
    pub fn new(banks: &[Bank]) -> Arc<Self> {
        Arc::new(Self {
            dram: Dram::new(banks),
            tlb: Mutex::default(),
            table: OnceLock::new(),
        })
    }

    /// The granule table of this DRAM. It is never freed, as on the machine.
    ///
    /// # Panics
    /// If the banks are not fit for a table.
    pub fn granule_table(&self) -> &'static GranuleTable {
        self.table.get_or_init(|| {
            let banks = &self.dram.banks;
            let length = GranuleTable::words_needed(banks).expect("banks fit for a table");
            let words: Vec<Word> = (0..length).map(|_| Word::new(0)).collect();
            let words = keep(words.into_boxed_slice());
            // SAFETY: this memory makes one table.
            let table = unsafe { GranuleTable::new(banks, words, places()) };
            keep(Box::new(table.expect("banks fit for a table")))
        })
    }

    /// The PAS of the Granule at `pa`; `None` where there is no DRAM.
    pub fn pas(&self, pa: Pa) -> Option<Pas> {
        self.dram.pas(pa)
    }

    /// Moves the Granule at `pa` to a PAS, whatever PAS it was in, as Secure world and EL3 may.
    ///
    /// # Panics
    /// If there is no DRAM, or the Granule leaves Realm PAS while a translation of a Realm reaches
    /// it.
    pub fn set_pas(&self, pa: Pa, pas: Pas) {
        let old = self.pas(pa).expect("DRAM");
        if old == Pas::Realm && pas != Pas::Realm {
            self.assert_no_stale(pa);
        }
        self.dram.with(pa, |granule| *granule.pas_mut() = pas);
    }

    /// The part of EL3 in RMI_GRANULE_DELEGATE: from Non-secure to Realm PAS.
    ///
    /// # Errors
    /// [`PasRefused`] if there is no Non-secure Granule at `pa`.
    pub fn delegate(&self, pa: Pa) -> Result<(), PasRefused> {
        self.change_pas(pa, Pas::NonSecure, Pas::Realm)
    }

    /// The part of EL3 in RMI_GRANULE_UNDELEGATE: from Realm to Non-secure PAS.
    ///
    /// # Errors
    /// [`PasRefused`] if there is no Realm PAS Granule at `pa`.
    ///
    /// # Panics
    /// If a translation of a Realm still reaches the Granule.
    pub fn undelegate(&self, pa: Pa) -> Result<(), PasRefused> {
        if self.pas(pa) == Some(Pas::Realm) {
            self.assert_no_stale(pa);
        }
        self.change_pas(pa, Pas::Realm, Pas::NonSecure)
    }

    fn change_pas(&self, pa: Pa, from: Pas, to: Pas) -> Result<(), PasRefused> {
        self.dram
            .with(pa, |granule| {
                let mut pas = granule.pas_mut();
                let permitted = *pas == from;
                if permitted {
                    *pas = to;
                }
                permitted
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
        self.dram
            .with(pa, |granule| {
                let page = granule.in_pas(Pas::NonSecure)?;
                page.read(pa.granule_offset(), dst);
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
        self.dram
            .with(pa, |granule| {
                let page = granule.in_pas(Pas::NonSecure)?;
                page.write(pa.granule_offset(), src);
                Ok(())
            })
            .unwrap_or(Err(NsFault))
    }

    /// The content of a Granule, whatever its PAS: for tests, to see that it was wiped. Nobody writes
    /// it meanwhile.
    ///
    /// # Panics
    /// If there is no DRAM at `pa`.
    pub fn peek(&self, pa: Pa) -> [u8; GRANULE_SIZE] {
        let mut content = [0; GRANULE_SIZE];
        self.dram
            .with(pa, |granule| granule.page.read(0, &mut content))
            .expect("DRAM");
        content
    }

    /// Writes a Granule, whatever its PAS: for tests. Nobody accesses it meanwhile.
    ///
    /// # Panics
    /// If there is no DRAM at `pa`, or the bytes do not lie within one Granule.
    #[cfg(test)]
    pub(crate) fn poke(&self, pa: Pa, src: &[u8]) {
        assert!(
            pa.granule_offset() + src.len() <= GRANULE_SIZE,
            "not within one Granule"
        );
        self.dram
            .with(pa, |granule| granule.page.write(pa.granule_offset(), src))
            .expect("DRAM");
    }

    /// Asserts that no TLB entry of any Realm reaches the Granule at `pa` through Realm PAS, as
    /// output or as table.
    ///
    /// # Panics
    /// If one does: its mapping was removed and not invalidated.
    pub fn assert_no_stale(&self, pa: Pa) {
        self.tlb().assert_no_stale(pa);
    }

    /// The invalidations so far, oldest first.
    pub fn invalidations(&self) -> Vec<Invalidation> {
        self.tlb().log.clone()
    }

    /// A stage 2 translation by a CPU that runs a Realm: from the TLB if possible, else by a walk,
    /// whose result the TLB keeps.
    ///
    /// # Errors
    /// The stage 2 fault that the CPU takes.
    ///
    /// # Panics
    /// If tables or output are not in Realm PAS where they must be, or if the TLB holds translations
    /// of one address by entries of different size (break-before-make was forgotten).
    pub fn translate_cached(&self, regs: &Stage2Regs, ipa: u64) -> Result<Translation, Fault> {
        self.tlb().translate(&self.dram, regs, ipa)
    }

    /// Reads Realm memory as a Realm with `regs` does; see [`FakeMemory::translate_cached`]. An
    /// invalidation waits until the bytes are read.
    ///
    /// # Errors
    /// The stage 2 fault that the CPU takes.
    ///
    /// # Panics
    /// As [`FakeMemory::translate_cached`], and if the bytes do not lie within one Granule.
    pub fn realm_read(&self, regs: &Stage2Regs, ipa: u64, dst: &mut [u8]) -> Result<(), Fault> {
        self.realm_access(regs, ipa, dst.len(), Permission::Read, |page, offset| {
            page.read(offset, dst);
        })
    }

    /// Writes Realm memory as a Realm with `regs` does; see [`FakeMemory::realm_read`].
    ///
    /// # Errors
    /// The stage 2 fault that the CPU takes.
    ///
    /// # Panics
    /// As [`FakeMemory::realm_read`].
    pub fn realm_write(&self, regs: &Stage2Regs, ipa: u64, src: &[u8]) -> Result<(), Fault> {
        self.realm_access(regs, ipa, src.len(), Permission::Write, |page, offset| {
            page.write(offset, src);
        })
    }

    /// Fetches an instruction from Realm memory as a Realm with `regs` does.
    ///
    /// # Errors
    /// The stage 2 fault that the CPU takes.
    ///
    /// # Panics
    /// As [`FakeMemory::translate_cached`].
    pub fn realm_fetch(&self, regs: &Stage2Regs, ipa: u64) -> Result<(), Fault> {
        self.realm_access(regs, ipa, 4, Permission::Execute, |_, _| ())
    }

    fn realm_access(
        &self,
        regs: &Stage2Regs,
        ipa: u64,
        length: usize,
        permission: Permission,
        access: impl FnOnce(&Page, usize),
    ) -> Result<(), Fault> {
        let mut tlb = self.tlb();
        let found = tlb.translate(&self.dram, regs, ipa)?;
        if !permission.is_granted(found.desc) {
            return Err(Fault {
                level: found.level,
                kind: FaultKind::Permission,
            });
        }
        let offset = found.pa.granule_offset();
        assert!(offset + length <= GRANULE_SIZE, "not within one Granule");
        let pas = if found.ns { Pas::NonSecure } else { Pas::Realm };
        self.dram
            .with(found.pa, |granule| {
                granule.in_pas(pas).map(|page| access(&page, offset))
            })
            .unwrap_or(Err(NsFault))
            .map_err(|NsFault| Fault {
                level: found.level,
                kind: FaultKind::GranuleProtection,
            })
    }

    fn tlb(&self) -> MutexGuard<'_, Tlb> {
        self.tlb.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Invalidates TLB entries, as a CPU that runs the monitor does.
    pub(super) fn invalidate(&self, what: Invalidation) {
        self.tlb().invalidate(&self.dram, what);
    }

    /// The DRAM, for windows of the monitor.
    pub(super) fn dram(&self) -> &Dram {
        &self.dram
    }
}

/// The kinds of access that a descriptor may permit.
#[derive(Clone, Copy)]
enum Permission {
    Read,
    Write,
    Execute,
}

impl Permission {
    /// Whether a page or block descriptor grants it: S2AP, and XN without the EL0 forms of FEAT_XNX.
    fn is_granted(self, desc: u64) -> bool {
        match self {
            Self::Read => desc >> 6 & 1 == 1,
            Self::Write => desc >> 7 & 1 == 1,
            Self::Execute => desc >> 6 & 1 == 1 && desc >> 53 & 3 == 0,
        }
    }
}
