// SPDX-License-Identifier: BSD-3-Clause
//! What holds after every step: the machine is in the state that the model is in.

use super::drive::World;
use super::state::{Kind, Model, Realm};
use super::steps;
use super::tables::Entry;
use rmm_abi::rmi::fid;
use rmm_core::fake::{Board, EntryReport, Host, Reply, Status};
use rmm_core::realm::Realm as Descriptor;
use rmm_granule::Pa;
use rmm_granule::fake::{Pas, Stage2Regs};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use zerocopy::FromBytes;

const ALL: Range<u64> = 0..u64::MAX;
const POOL: Range<u64> = steps::POOL..steps::POOL_END;

/// Looks at a machine between steps.
#[derive(Default)]
pub struct Watch {
    /// How often it has looked.
    looks: usize,
    /// Descriptors and model entries of each RTT when they were last looked at.
    seen: HashMap<u64, Vec<(u64, Entry)>>,
}

impl Watch {
    /// Asserts that machine and model agree.
    pub fn look(&mut self, world: &World, host: &Host) {
        host.board().assert_unlocked();
        let model = world.lock();
        words(&model, host.board());
        // Those of a block's many Granules now and then.
        self.looks += 1;
        let pages = if self.looks.is_multiple_of(16) {
            ALL
        } else {
            POOL
        };
        contents(&model, host.board(), pages);
        for (rd, realm) in &model.realms {
            measurements(*rd, realm, host.board());
            self.tables(*rd, realm, host);
            translations(&model, *rd, realm, host.board());
        }
        self.seen.retain(|pa, _| model.kind(*pa) == Some(Kind::Rtt));
    }

    /// Every entry that has changed, in memory or in the model, is what the model says: by
    /// RTT_READ_ENTRY, and as the descriptor that hardware reads.
    fn tables(&mut self, rd: u64, realm: &Realm, host: &Host) {
        let tables = &realm.tables;
        for ((level, base), rtt) in &tables.rtts {
            let content = host.board().memory.peek(Pa(rtt.pa));
            let raw = content.as_chunks::<8>().0;
            let raw = raw.iter().map(|bytes| u64::from_le_bytes(*bytes));
            let now: Vec<(u64, Entry)> = raw.zip(rtt.entries.iter().copied()).collect();
            let seen = self.seen.entry(rtt.pa).or_default();
            if *seen == now {
                continue;
            }
            for (index, entry) in now.iter().enumerate() {
                let ipa = base + index as u64 * super::tables::size(*level);
                if seen.get(index) == Some(entry) || ipa >= tables.end() {
                    continue;
                }
                let (raw, entry) = *entry;
                let descriptor = tables.descriptor(*level, entry);
                let is_valid = raw & 1 != 0;
                assert_eq!(
                    is_valid.then_some(raw),
                    descriptor,
                    "{entry:x?} at {ipa:#x}"
                );
                let args = [rd, ipa, level.cast_unsigned()];
                let reply = host.call(fid::RMI_RTT_READ_ENTRY, &args);
                let report = tables.report(&tables.walk(ipa, *level));
                assert_eq!(report_of(&reply), report, "entry at {ipa:#x}");
            }
            *seen = now;
        }
    }
}

fn report_of(reply: &Reply) -> EntryReport {
    assert_eq!(reply.status, Status::Success);
    EntryReport {
        level: reply.x[1].cast_signed(),
        state: reply.x[2],
        desc: reply.x[3],
        ripas: reply.x[4],
    }
}

/// No Granule is locked, and each has the state and the count that follow from its one role.
fn words(model: &Model, board: &Board) {
    let mut expected: BTreeMap<u64, u16> = BTreeMap::new();
    let mut role = |pa: u64, kind: Kind, count: usize| {
        let old = expected.insert(pa, kind.bits() << 12 | count as u16);
        assert!(old.is_none(), "{pa:#x} has two roles");
    };
    for (rd, realm) in &model.realms {
        role(*rd, Kind::Rd, realm.recs.len());
        for ((level, base), rtt) in &realm.tables.rtts {
            let live = rtt.entries.iter().filter(|entry| entry.holds_rtt());
            role(rtt.pa, Kind::Rtt, live.count());
            for (n, entry) in rtt.entries.iter().enumerate() {
                let Entry::Assigned(_, pa) = entry else {
                    continue;
                };
                let ipa = base + n as u64 * super::tables::size(*level);
                assert!(realm.tables.is_protected(ipa));
                for offset in (0..super::tables::size(*level)).step_by(4096) {
                    role(pa + offset, Kind::Data, 0);
                }
            }
        }
    }
    for (pa, rec) in &model.recs {
        role(*pa, Kind::Rec, usize::from(rec.running));
        for aux in &rec.aux {
            role(*aux, Kind::RecAux, 0);
        }
    }
    for (pa, granule) in &model.granules {
        let expected = expected.remove(pa).unwrap_or_else(|| {
            let free = matches!(granule.kind, Kind::Undelegated | Kind::Delegated);
            assert!(free, "{pa:#x} is {:?} and nobody's", granule.kind);
            granule.kind.bits() << 12
        });
        let word = board.word(*pa);
        assert_eq!(word, Some(expected), "state and count of {pa:#x}");
        if granule.pas.is_some() {
            assert_eq!(board.memory.pas(Pa(*pa)), granule.pas, "PAS of {pa:#x}");
        }
    }
    assert!(expected.is_empty(), "no such Granule: {expected:x?}");
}

/// Host memory and DATA hold what was written to them, what is DELEGATED nothing.
fn contents(model: &Model, board: &Board, pages: Range<u64>) {
    for (pa, granule) in model.granules.range(pages) {
        if granule.has_content() && granule.pas.is_some() {
            let content = board.memory.peek(Pa(*pa));
            let what = granule.kind;
            assert!(
                content == *granule.content(),
                "content of {pa:#x}, {what:?}"
            );
        }
        if !matches!(granule.kind, Kind::Data | Kind::Rtt) && granule.pas == Some(Pas::Realm) {
            board.memory.assert_no_stale(Pa(*pa));
        }
    }
}

fn measurements(rd: u64, realm: &Realm, board: &Board) {
    let content = board.memory.peek(Pa(rd));
    let (descriptor, _) = Descriptor::read_from_prefix(&content).expect("an RD");
    assert!(
        descriptor.measurements == realm.measurements,
        "measurements of the Realm at {rd:#x}"
    );
}

/// IPAs of interest translate as the model has it, whatever a TLB may remember.
fn translations(model: &Model, rd: u64, realm: &Realm, board: &Board) {
    let tables = &realm.tables;
    let regs = Stage2Regs {
        vmid: realm.vmid,
        base: Pa(tables.rtts[&(tables.start_level, 0)].pa),
        start_level: i8::try_from(tables.start_level).expect("a level"),
        ipa_width: tables.s2sz,
        lpa2: tables.lpa2,
    };
    for ipa in &realm.probes {
        if *ipa >= tables.end() {
            continue;
        }
        let expected = model.translation(rd, *ipa);
        let is_host = |pa: u64| {
            let granule = model.granules.get(&pa);
            granule.and_then(|granule| granule.pas) == Some(Pas::NonSecure)
        };
        match board.memory.translate_cached(&regs, *ipa) {
            Ok(found) => {
                assert_eq!(Some(found.pa.0), expected, "translation of {ipa:#x}");
                assert_eq!(found.ns, !tables.is_protected(*ipa));
            }
            // A mapping of what is no memory of the Host's ends in a granule protection fault.
            Err(_) => assert!(
                expected.is_none_or(|pa| !tables.is_protected(*ipa) && !is_host(pa)),
                "{ipa:#x} does not translate to {expected:x?}"
            ),
        }
    }
}
