// SPDX-License-Identifier: BSD-3-Clause
//! A model of the stage 2 walker and TLB, written from the architecture and not from the monitor.
//!
//! The TLB keeps as much as an implementation may: each page of a block by itself, and every table
//! that a walk went through. It drops only what is invalidated, and walks again at once for each page
//! dropped, as speculation on another CPU may. Walks and invalidations exclude each other, because a
//! TLBI with its DSB waits for walks in flight.

use super::dram::{Dram, Pas};
use crate::addr::{Ipa, Pa};
use std::collections::BTreeMap;
use std::vec::Vec;

/// The fields of VTTBR_EL2 and VTCR_EL2 that a walk depends on.
#[derive(Clone, Copy, Debug)]
pub struct Stage2Regs {
    /// VMID.
    pub vmid: u16,
    /// Physical address of the first start-level table.
    pub base: Pa,
    /// Level of the start-level tables, -1 to 3.
    pub start_level: i8,
    /// IPA width in bits.
    pub ipa_width: u8,
    /// Descriptors in the 52-bit layout (VTCR_EL2.DS).
    pub lpa2: bool,
}

/// Outcome of a stage 2 translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Physical address of the byte at the input address.
    pub pa: Pa,
    /// The output is in Non-secure PAS.
    pub ns: bool,
    /// Level of the page or block.
    pub level: i8,
    /// The page or block descriptor.
    pub desc: u64,
}

/// Kind of a stage 2 fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The input address is wider than the IPA space.
    AddressSize,
    /// The walk met an invalid descriptor.
    Translation,
    /// The descriptor does not permit this kind of access.
    Permission,
    /// The output of a Non-secure mapping is not in Non-secure PAS.
    GranuleProtection,
}

/// A stage 2 fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Level at which it arose.
    pub level: i8,
    /// Its kind.
    pub kind: FaultKind,
}

/// One call of [`Memory::invalidate_stage2`](crate::Memory::invalidate_stage2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// VMID.
    pub vmid: u16,
    /// First byte.
    pub base: Ipa,
    /// Bytes.
    pub size: u64,
    /// Level of the entries that were live.
    pub level: i8,
}

#[derive(Default)]
pub(super) struct Tlb {
    /// Pages by VMID and page address: the translation of the page's first byte.
    pages: BTreeMap<(u16, u64), Translation>,
    /// The registers that each VMID was last used with.
    regs: BTreeMap<u16, Stage2Regs>,
    /// Tables by VMID, level of the entry that refers to them, and first address they translate.
    tables: BTreeMap<(u16, i8, u64), Pa>,
    pub(super) log: Vec<Invalidation>,
}

const PAGE: u64 = 4096;

/// Bytes that an entry of `level` translates.
fn entry_size(level: i8) -> u64 {
    PAGE << (9 * (3 - i32::from(level)))
}

/// Output address or next table of a descriptor.
fn output(desc: u64, lpa2: bool) -> u64 {
    let mask = if lpa2 {
        (1 << 50) - PAGE
    } else {
        (1 << 48) - PAGE
    };
    let high = if lpa2 { (desc >> 8 & 3) << 50 } else { 0 };
    desc & mask | high
}

impl Tlb {
    pub(super) fn translate(
        &mut self,
        dram: &Dram,
        regs: &Stage2Regs,
        ipa: u64,
    ) -> Result<Translation, Fault> {
        if ipa >> regs.ipa_width != 0 {
            return Err(Fault {
                level: 0,
                kind: FaultKind::AddressSize,
            });
        }
        let page = ipa & !(PAGE - 1);
        self.regs.insert(regs.vmid, *regs);
        let mut found = match self.pages.get(&(regs.vmid, page)) {
            Some(cached) => *cached,
            None => {
                let walked = self.walk(dram, regs, page)?;
                self.remember(regs.vmid, page, walked);
                walked
            }
        };
        match (found.ns, dram.pas(found.pa)) {
            (false, Some(Pas::Realm)) | (true, Some(Pas::NonSecure)) => {}
            (false, pas) => panic!("Realm at {ipa:#x} reaches {:?} in {pas:?}", found.pa),
            (true, _) => {
                let kind = FaultKind::GranuleProtection;
                return Err(Fault {
                    level: found.level,
                    kind,
                });
            }
        }
        found.pa.0 |= ipa % PAGE;
        Ok(found)
    }

    fn walk(&mut self, dram: &Dram, regs: &Stage2Regs, page: u64) -> Result<Translation, Fault> {
        let mut level = regs.start_level;
        let mut table = Pa(regs.base.0 + page / (entry_size(level) * 512) * PAGE);
        loop {
            let size = entry_size(level);
            let key = (regs.vmid, level, page & !(size - 1));
            if let Some(cached) = self.tables.get(&key) {
                table = *cached;
                level += 1;
                continue;
            }
            #[allow(clippy::cast_possible_truncation)]
            let desc = dram.table_entry(table, (page / size % 512) as usize);
            let out = output(desc, regs.lpa2);
            match desc & 3 {
                3 if level < 3 => {
                    table = Pa(out);
                    self.tables.insert(key, table);
                    level += 1;
                }
                3 => return Ok(Self::leaf(desc, level, out)),
                1 if (1..3).contains(&level) => {
                    assert_eq!(out % size, 0, "unaligned block {desc:#x}");
                    return Ok(Self::leaf(desc, level, out | (page % size)));
                }
                _ => {
                    return Err(Fault {
                        level,
                        kind: FaultKind::Translation,
                    });
                }
            }
        }
    }

    fn leaf(desc: u64, level: i8, pa: u64) -> Translation {
        assert_ne!(desc & 1 << 10, 0, "Access flag clear in {desc:#x}");
        Translation {
            pa: Pa(pa),
            ns: desc >> 55 & 1 == 1,
            level,
            desc,
        }
    }

    fn remember(&mut self, vmid: u16, page: u64, new: Translation) {
        let gib = page & !(entry_size(1) - 1);
        let near = (vmid, gib)..(vmid, gib + entry_size(1));
        for ((_, other), cached) in self.pages.range(near) {
            let block = |ipa: u64, level: i8| ipa & !(entry_size(level) - 1);
            let larger = new.level.min(cached.level);
            let conflict =
                cached.level != new.level && block(*other, larger) == block(page, larger);
            assert!(
                !conflict,
                "TLB conflict at {page:#x}: {cached:?} and {new:?}"
            );
        }
        self.pages.insert((vmid, page), new);
    }

    pub(super) fn invalidate(&mut self, dram: &Dram, what: Invalidation) {
        let Invalidation {
            vmid, base, size, ..
        } = what;
        assert_eq!(size % PAGE, 0, "invalidation of part of a page");
        let overlaps = |first: u64, length: u64| first < base.0 + size && base.0 < first + length;
        let mut forgotten = Vec::new();
        self.pages.retain(|key, _| {
            let stays = key.0 != vmid || !overlaps(key.1, PAGE);
            if !stays {
                forgotten.push(key.1);
            }
            stays
        });
        self.tables
            .retain(|key, _| key.0 != vmid || !overlaps(key.2, entry_size(key.1)));
        self.log.push(what);
        let Some(regs) = self.regs.get(&vmid).copied() else {
            return;
        };
        for page in forgotten {
            if let Ok(walked) = self.walk(dram, &regs, page) {
                self.remember(vmid, page, walked);
            }
        }
    }

    pub(super) fn assert_no_stale(&self, pa: Pa) {
        for (key, cached) in &self.pages {
            let stale = !cached.ns && cached.pa == pa;
            assert!(
                !stale,
                "stale translation of {:#x} under VMID {} to {pa:?}",
                key.1, key.0
            );
        }
        for (key, table) in &self.tables {
            let (vmid, level, ipa) = key;
            assert!(
                *table != pa,
                "stale level {level} table entry of {ipa:#x}, VMID {vmid}: {pa:?}"
            );
        }
    }
}
