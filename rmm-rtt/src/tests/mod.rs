// SPDX-License-Identifier: BSD-3-Clause
//! Tests on the fake memory: a Realm with its tables, as its Host and as the hardware see it.
#![allow(
    clippy::precedence,
    reason = "bits and addresses are combined in reading order"
)]

mod access;
mod create;
mod destroy;
mod fold;
mod format;
mod publish;
mod range;
mod ripas;
mod threads;
mod tlb;
mod transitions;

use crate::*;
use rmm_abi::rmi::Ripas::{self, Destroyed as DESTROYED, Empty as EMPTY, Ram as RAM};
use rmm_abi::rmi::RttEntryState;
use rmm_granule::fake::{FakeCpuMemory, FakeMemory, Fault, FaultKind, Stage2Regs};
use rmm_granule::{
    Bank, Delegated, GranuleState, GranuleTable, Ipa, Locked, Pa, RTT_ENTRIES, Undelegated,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const PAGE: u64 = 4 * KIB;

/// Granules that tests use one after the other.
const POOL: Bank = Bank {
    base: 0x8000_0000,
    size: 8 * MIB,
};
/// Blocks of memory for the Realm, 2 MiB aligned.
const BLOCKS: Bank = Bank {
    base: 0x9000_0000,
    size: 8 * MIB,
};
/// Memory that only 52-bit descriptors reach.
const FAR: Bank = Bank {
    base: 7 << 49 | 3 << 46,
    size: 4 * MIB,
};

/// An ordinary Realm: 40 bits of IPA, start level 0.
const PLAIN: Stage2 = realm(40, 0, 1, 0);

const fn realm(ipa_width: u8, start_level: i8, num_start: u8, lpa2: u8) -> Stage2 {
    let base = Pa(POOL.base);
    Stage2 {
        base,
        start_level,
        num_start,
        ipa_width,
        lpa2,
        vmid: 5,
        reserved: [0; 2],
    }
}

/// A Realm as its Host and the hardware see it.
struct Realm {
    memory: Arc<FakeMemory>,
    cpu: FakeCpuMemory,
    granules: &'static GranuleTable,
    s2: Stage2,
    next: AtomicU64,
}

impl Realm {
    fn new(s2: Stage2) -> Self {
        assert!(s2.is_consistent());
        let memory = FakeMemory::new(&[POOL, BLOCKS, FAR]);
        let granules = memory.granule_table();
        let next = AtomicU64::new(POOL.base);
        let cpu = memory.cpu();
        let realm = Self {
            memory,
            cpu,
            granules,
            s2,
            next,
        };
        let tables: Vec<_> = (0..s2.num_start).map(|_| realm.granule()).collect();
        init_start_tables(&s2, tables.into_iter(), &realm.cpu);
        realm
    }

    fn plain() -> Self {
        Self::new(PLAIN)
    }

    /// Delegates the Granule at `pa`.
    fn granule_at(&self, pa: u64) -> Locked<'static, Delegated> {
        let granule = self.granules.lock::<Undelegated>(pa).unwrap();
        self.memory.delegate(Pa(pa)).unwrap();
        granule.wipe_into_delegated(&self.cpu)
    }

    /// A DELEGATED Granule that was not in use before.
    fn granule(&self) -> Locked<'static, Delegated> {
        self.granule_at(self.next.fetch_add(PAGE, Ordering::Relaxed))
    }

    fn start(&self, ipa: u64) -> StartRtt<'static> {
        start_rtt(&self.s2, self.granules, Ipa(ipa)).unwrap()
    }

    fn create(&self, ipa: u64, level: i8) -> Result<Pa, RttError> {
        let rtt = self.granule();
        let pa = rtt.pa();
        create(self.start(ipa), &self.cpu, level, rtt).map(|()| pa)
    }

    /// Creates all tables for `ipa` down to `level`.
    fn tables(&self, ipa: u64, level: i8) {
        for level in self.s2.start_level + 1..=level {
            let base = ipa & !(entry_size(level - 1) - 1);
            if self.read(base, level - 1).state != RttEntryState::Table {
                self.create(base, level).unwrap();
            }
        }
    }

    fn destroy(&self, ipa: u64, level: i8) -> Result<Destroyed, TopError> {
        destroy(self.start(ipa), &self.cpu, level)
    }

    fn fold(&self, ipa: u64, level: i8) -> Result<Pa, RttError> {
        fold(self.start(ipa), &self.cpu, level)
    }

    fn read(&self, ipa: u64, level: i8) -> EntryReport {
        read_entry(self.start(ipa), &self.cpu, level)
    }

    /// DATA_CREATE_UNKNOWN with a given Granule.
    fn map_at(&self, ipa: u64, pa: u64) -> Result<(), RttError> {
        let data = self.granule_at(pa);
        data_slot(self.start(ipa), &self.cpu)?.map(data.transition());
        Ok(())
    }

    /// DATA_CREATE_UNKNOWN.
    fn map(&self, ipa: u64) -> Result<Pa, RttError> {
        let data = self.granule();
        let pa = data.pa();
        data_slot(self.start(ipa), &self.cpu)?.map(data.transition());
        Ok(pa)
    }

    /// DATA_CREATE.
    fn map_ram(&self, ipa: u64) -> Result<Pa, RttError> {
        let data = self.granule();
        let pa = data.pa();
        data_slot(self.start(ipa), &self.cpu)?.map_ram(data.transition());
        Ok(pa)
    }

    /// DATA_DESTROY.
    fn unmap(&self, ipa: u64) -> Result<(Pa, u64), TopError> {
        let unmapped = unmap_data(self.start(ipa), &self.cpu)?;
        let (pa, top) = (unmapped.pa(), unmapped.top);
        drop(unmapped.wipe(&self.cpu));
        Ok((pa, top.0))
    }

    fn map_ns(&self, ipa: u64, level: i8, desc: u64) -> Result<(), RttError> {
        let desc = NsDesc::parse(&self.s2, level, desc).unwrap();
        map_unprotected(self.start(ipa), &self.cpu, level, desc)
    }

    fn unmap_ns(&self, ipa: u64, level: i8) -> Result<u64, TopError> {
        unmap_unprotected(self.start(ipa), &self.cpu, level).map(|top| top.0)
    }

    fn set(&self, base: u64, top: u64, ripas: Ripas, destroyed: bool) -> Result<u64, RttError> {
        let change = Change::Requested { destroyed };
        set_ripas(self.start(base), &self.cpu, Ipa(top), ripas, change).map(|top| top.0)
    }

    fn init(&self, base: u64, top: u64) -> Result<u64, RttError> {
        init_ripas(self.start(base), &self.cpu, Ipa(top), |_, _| ()).map(|top| top.0)
    }

    /// First IPA of the Unprotected half.
    fn shared(&self) -> u64 {
        self.s2.protected_end().0
    }

    /// What VTTBR_EL2 and VTCR_EL2 hold while the Realm runs.
    fn regs(&self) -> Stage2Regs {
        let Stage2 {
            base,
            start_level,
            ipa_width,
            vmid,
            ..
        } = self.s2;
        Stage2Regs {
            vmid,
            base,
            start_level,
            ipa_width,
            lpa2: self.s2.lpa2 == 1,
        }
    }

    /// The physical address that an access of the Realm to `ipa` reaches.
    fn touch(&self, ipa: u64) -> Result<Pa, Fault> {
        self.memory
            .translate_cached(&self.regs(), ipa)
            .map(|found| found.pa)
    }

    /// Brings the page or block of `ipa` from UNASSIGNED, EMPTY to UNASSIGNED with this RIPAS.
    fn make_unassigned(&self, ipa: u64, ripas: Ripas) {
        let level = self.read(ipa, 3).level;
        let top = ipa + entry_size(level);
        match ripas {
            EMPTY => {}
            RAM => assert_eq!(self.init(ipa, top), Ok(top)),
            DESTROYED if level == 3 => {
                self.map_ram(ipa).unwrap();
                self.unmap(ipa).unwrap();
            }
            DESTROYED => {
                self.create(ipa, level + 1).unwrap();
                self.destroy(ipa, level + 1).unwrap();
            }
        }
        assert_eq!(self.entry(ipa), (level, RttEntry::Unassigned { ripas }));
    }

    /// Brings the page of `ipa` from UNASSIGNED, EMPTY to ASSIGNED with this RIPAS.
    fn make_assigned(&self, ipa: u64, ripas: Ripas) -> Pa {
        self.make_unassigned(ipa, ripas);
        let pa = self.map(ipa).unwrap();
        assert_eq!(self.entry(ipa), (3, RttEntry::Assigned { pa, ripas }));
        pa
    }

    fn entry(&self, ipa: u64) -> (i8, RttEntry) {
        find_entry(self.start(ipa), &self.cpu)
    }

    /// Maps a whole level 3 table of consecutive Granules from `pa` on and folds it.
    fn block(&self, ipa: u64, pa: u64, ripas: Ripas) {
        self.tables(ipa, 2);
        self.make_unassigned(ipa, ripas);
        self.tables(ipa, 3);
        for page in (0..2 * MIB).step_by(4096) {
            self.map_at(ipa + page, pa + page).unwrap();
        }
        self.fold(ipa, 3).unwrap();
        let pa = Pa(pa);
        assert_eq!(self.entry(ipa), (2, RttEntry::Assigned { pa, ripas }));
    }

    /// Checks all tables: counts, states, and that no Granule is in two places.
    fn check(&self) {
        self.cpu.assert_quiet();
        let mut seen = BTreeSet::new();
        for n in 0..u64::from(self.s2.num_start) {
            let base = n * entry_size(self.s2.start_level) * RTT_ENTRIES as u64;
            self.check_table(
                Pa(self.s2.base.0 + n * PAGE),
                self.s2.start_level,
                base,
                &mut seen,
            );
        }
    }

    fn check_table(&self, pa: Pa, level: i8, base: u64, seen: &mut BTreeSet<Pa>) {
        assert!(seen.insert(pa), "{pa:?} in two places");
        let mut at = self.start(base).walk(&self.cpu, level);
        assert_eq!((at.level, at.table.granule().pa()), (level, pa));
        let entries = *at.table.entries();
        let refs = at.table.granule().refs();
        drop(at);
        let mut count = 0;
        for (n, desc) in entries.into_iter().enumerate() {
            let ipa = base + n as u64 * entry_size(level);
            match self.s2.decode(desc, level, self.s2.is_protected(Ipa(ipa))) {
                RttEntry::Table { pa } => {
                    count += 1;
                    self.check_table(pa, level + 1, ipa, seen);
                }
                RttEntry::Assigned { pa, .. } => {
                    count += 1;
                    for page in (0..entry_size(level)).step_by(4096) {
                        let pa = Pa(pa.0 + page);
                        assert!(seen.insert(pa), "{pa:?} in two places");
                        assert_eq!(self.granules.state(pa.0), Ok(GranuleState::Data));
                    }
                }
                RttEntry::Unassigned { .. }
                | RttEntry::UnassignedNs
                | RttEntry::AssignedNs { .. } => {}
            }
        }
        assert_eq!(refs, count, "count of level {level} table {pa:?}");
    }

    /// Whether the Granule at `pa` is DELEGATED, unlocked and all zero.
    fn is_clean(&self, pa: Pa) -> bool {
        drop(self.granules.lock::<Delegated>(pa.0).unwrap());
        self.memory.peek(pa) == [0; 4096]
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}

fn rtt(level: i8) -> RttError {
    RttError { level }
}

fn with_top(level: i8, top: u64) -> TopError {
    TopError {
        level,
        top: Ipa(top),
    }
}

fn no_translation(level: i8) -> Result<Pa, Fault> {
    Err(Fault {
        level,
        kind: FaultKind::Translation,
    })
}

/// MemAttr Normal Write-Back, S2AP read and write.
const NS_WB: u64 = 6 << 2 | 3 << 6;
