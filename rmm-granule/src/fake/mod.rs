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
pub(crate) mod order;
mod tlb;

pub use cpu::{FakeCpuMemory, MAX_WINDOWS};
pub use tlb::{Fault, FaultKind, Invalidation, Stage2Regs, Translation};

use crate::{Bank, GRANULE_SIZE, GranuleTable, NsFault, Pa, Word};
use std::boxed::Box;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::vec::Vec;
use tlb::Tlb;

/// Physical address space that a Granule is in, as its GPT entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// EL3 refuses to change the PAS of a Granule: it is not in the PAS to be left, or is no DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasRefused;

#[repr(C, align(4096))]
struct Page([AtomicU64; GRANULE_SIZE / 8]);

struct Granule {
    /// Held for reading by an access that depends on it: a change of the GPT waits for those.
    pas: RwLock<Pas>,
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
        let table: &'static _ = Box::leak(Box::new(table));
        // Where whoever looks for leaks finds that it is none.
        static TABLES: Mutex<Vec<&GranuleTable>> = Mutex::new(Vec::new());
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        tables.push(table);
        table
    }

    /// The PAS of the Granule at `pa`; `None` where there is no DRAM.
    pub fn pas(&self, pa: Pa) -> Option<Pas> {
        self.with(pa, Granule::pas)
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
        self.with(pa, |granule| *granule.pas_mut() = pas);
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
        self.with(pa, |granule| {
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
        self.with(pa, |granule| {
            let page = granule.in_pas(Pas::NonSecure)?;
            page.write(pa.granule_offset(), src);
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

    /// Reads Realm memory as a Realm at `regs` does; see [`FakeMemory::translate_cached`]. An
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

    /// Writes Realm memory as a Realm at `regs` does; see [`FakeMemory::realm_read`].
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

    /// Fetches an instruction from Realm memory as a Realm at `regs` does.
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
        let found = tlb.translate(self, regs, ipa)?;
        if !permission.is_given(found.desc) {
            return Err(Fault {
                level: found.level,
                kind: FaultKind::Permission,
            });
        }
        let offset = found.pa.granule_offset();
        assert!(offset + length <= GRANULE_SIZE, "not within one Granule");
        let pas = if found.ns { Pas::NonSecure } else { Pas::Realm };
        self.with(found.pa, |granule| {
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
            let page = granule
                .in_pas(Pas::Realm)
                .expect("granule protection fault on a table walk");
            page.0[index].load(Ordering::SeqCst)
        })
        .expect("table walk outside DRAM")
    }
}

/// What a Realm wants to do with its memory.
#[derive(Clone, Copy)]
enum Permission {
    Read,
    Write,
    Execute,
}

impl Permission {
    /// Whether a page or block descriptor gives it: S2AP and XN, without FEAT_XNX's EL0 forms.
    fn is_given(self, desc: u64) -> bool {
        match self {
            Self::Read => desc >> 6 & 1 == 1,
            Self::Write => desc >> 7 & 1 == 1,
            Self::Execute => desc >> 6 & 1 == 1 && desc >> 53 & 3 == 0,
        }
    }
}

impl Granule {
    fn new() -> Box<Self> {
        Box::new(Self {
            pas: RwLock::new(Pas::NonSecure),
            page: Page([const { AtomicU64::new(0) }; GRANULE_SIZE / 8]),
        })
    }

    fn pas(&self) -> Pas {
        *self.pas.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pas_mut(&self) -> RwLockWriteGuard<'_, Pas> {
        self.pas.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page for an access through this PAS; the Granule stays in it until the drop.
    fn in_pas(&self, pas: Pas) -> Result<Accessible<'_>, NsFault> {
        let found = self.pas.read().unwrap_or_else(PoisonError::into_inner);
        if *found != pas {
            return Err(NsFault);
        }
        Ok(Accessible {
            page: &self.page,
            _pas: found,
        })
    }
}

/// A page while its Granule cannot change its PAS.
struct Accessible<'a> {
    page: &'a Page,
    _pas: RwLockReadGuard<'a, Pas>,
}

impl Deref for Accessible<'_> {
    type Target = Page;

    fn deref(&self) -> &Page {
        self.page
    }
}

impl Page {
    fn read(&self, offset: usize, dst: &mut [u8]) {
        if offset == 0 && dst.len() == GRANULE_SIZE {
            let (words, _) = dst.as_chunks_mut::<8>();
            for (to, from) in words.iter_mut().zip(&self.0) {
                *to = from.load(Ordering::Relaxed).to_ne_bytes();
            }
            return;
        }
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
