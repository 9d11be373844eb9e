// SPDX-License-Identifier: BSD-3-Clause
//! What holds after every step: the machine has the state of the model.

use super::calls;
use super::state::{Model, Realm, RealmState};
use super::stepper::SharedModel;
use super::tables::Entry;
use rmm_abi::rmi::fid;
use rmm_core::fake::{Board, EntryReport, GranuleWord, Host, Status};
use rmm_core::realm::Realm as Descriptor;
use rmm_granule::GranuleState;
use rmm_granule::Pa;
use rmm_granule::fake::{Pas, Stage2Regs};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use zerocopy::FromBytes;

const ALL: Range<u64> = 0..u64::MAX;
const POOL: Range<u64> = calls::POOL..calls::POOL_END;

/// Compares machine and model between steps.
#[derive(Default)]
pub struct Watch {
    /// Number of comparisons.
    comparisons: usize,
    /// Descriptors and entries of each RTT at the last comparison.
    seen: HashMap<u64, Vec<(u64, Entry)>>,
}

impl Watch {
    /// Asserts that machine and model agree.
    pub fn compare(&mut self, shared: &SharedModel, host: &Host) {
        host.board().assert_unlocked();
        let model = shared.lock();
        words(&model, host.board());
        // The many granules of a block only every 16th time.
        self.comparisons += 1;
        let pages = if self.comparisons.is_multiple_of(16) {
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
        self.seen
            .retain(|pa, _| model.granule_state(*pa) == Some(GranuleState::Rtt));
    }

    /// Each entry that has changed, in memory or in the model, is that of the model: the outputs of
    /// RMI_RTT_READ_ENTRY, and the descriptor that hardware reads.
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
                assert_eq!(reply.status, Status::Success);
                assert_eq!(EntryReport::of(&reply), report, "entry at {ipa:#x}");
            }
            *seen = now;
        }
    }
}

/// No granule is locked, and each has the state and the count of its one role.
fn words(model: &Model, board: &Board) {
    let mut expected = BTreeMap::new();
    for (rd, realm) in &model.realms {
        let is_active = realm.state == RealmState::Active;
        let word = GranuleWord::new(GranuleState::Rd, realm.recs.len() as u16);
        expected.insert(*rd, word.with_active(is_active));
    }
    let mut role = |pa: u64, state: GranuleState, count: usize| {
        let old = expected.insert(pa, GranuleWord::new(state, count as u16));
        assert!(old.is_none(), "{pa:#x} has two roles");
    };
    for realm in model.realms.values() {
        for ((level, base), rtt) in &realm.tables.rtts {
            let live = rtt.entries.iter().filter(|entry| entry.holds_rtt());
            role(rtt.pa, GranuleState::Rtt, live.count());
            for (n, entry) in rtt.entries.iter().enumerate() {
                let Entry::Assigned(_, pa) = entry else {
                    continue;
                };
                let ipa = base + n as u64 * super::tables::size(*level);
                assert!(realm.tables.is_protected(ipa));
                for offset in (0..super::tables::size(*level)).step_by(4096) {
                    role(pa + offset, GranuleState::Data, 0);
                }
            }
        }
    }
    for (pa, rec) in &model.recs {
        role(*pa, GranuleState::Rec, usize::from(rec.running));
        for aux in &rec.aux {
            role(*aux, GranuleState::RecAux, 0);
        }
    }
    for (pa, granule) in &model.granules {
        let expected = expected.remove(pa).unwrap_or_else(|| {
            let free = matches!(
                granule.state,
                GranuleState::Undelegated | GranuleState::Delegated
            );
            assert!(free, "{pa:#x} is {:?} but has no role", granule.state);
            GranuleWord::new(granule.state, 0)
        });
        let word = board.word(*pa);
        assert_eq!(word, Some(expected), "state and count of {pa:#x}");
        if granule.pas.is_some() {
            assert_eq!(board.memory.pas(Pa(*pa)), granule.pas, "PAS of {pa:#x}");
        }
    }
    assert!(
        expected.is_empty(),
        "not in the granule table: {expected:x?}"
    );
}

/// Host memory and DATA granules have the content that was written; DELEGATED granules are all
/// zero.
fn contents(model: &Model, board: &Board, pages: Range<u64>) {
    for (pa, granule) in model.granules.range(pages) {
        if granule.has_content() && granule.pas.is_some() {
            let content = board.memory.peek(Pa(*pa));
            let what = granule.state;
            assert!(
                content == *granule.content(),
                "content of {pa:#x}, {what:?}"
            );
        }
        if !matches!(granule.state, GranuleState::Data | GranuleState::Rtt)
            && granule.pas == Some(Pas::Realm)
        {
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

/// IPAs translate as in the model, through the TLB as well.
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
            // A mapping of memory that is not Non-secure ends in a granule protection fault.
            Err(_) => assert!(
                expected.is_none_or(|pa| !tables.is_protected(*ipa) && !is_host(pa)),
                "{ipa:#x} does not translate to {expected:x?}"
            ),
        }
    }
}
