// SPDX-License-Identifier: BSD-3-Clause
//! Checks that each granule has exactly the one role that its state says.

use super::constants::PAGE;
use super::host::Host;
use super::reply::Status;
use super::teardown::size_at;
use super::word::GranuleWord;
use crate::realm::{Realm, RealmState};
use crate::rec::RecHead;
use rmm_granule::fake::Pas;
use rmm_granule::{GRANULE_SIZE, GranuleState, Pa};
use std::collections::BTreeMap;
use zerocopy::FromBytes;

/// Number of granules in some states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RD.
    pub rd: usize,
    /// REC.
    pub rec: usize,
    /// RTT.
    pub rtt: usize,
    /// DATA.
    pub data: usize,
}

/// Visits all Realms by RMI commands and asserts that
/// * an RTT is in one table of one Realm, a DATA granule behind one entry, a REC_AUX granule in one
///   REC;
/// * reference counts are right;
/// * DELEGATED granules are all zero;
/// * a granule is in Realm PAS exactly if it is neither UNDELEGATED nor never delegable.
///
/// No other command is being served. Returns how many granules it found.
///
/// # Panics
/// If one of these is false.
pub fn audit(host: &Host) -> Counts {
    host.leniently(|| {
        let board = host.board();
        board.assert_unlocked();
        let mut roles = Roles {
            host,
            expected: BTreeMap::new(),
        };
        for rd in board.granules_in(GranuleState::Rd) {
            roles.add_realm(rd);
        }
        for rec in board.granules_in(GranuleState::Rec) {
            roles.add_rec(rec);
        }
        for (pa, word) in board.words() {
            roles.check(pa, word);
        }
        assert!(
            roles.expected.is_empty(),
            "not in the granule table: {:x?}",
            roles.expected
        );
        let count = |state| board.granules_in(state).count();
        Counts {
            rd: count(GranuleState::Rd),
            rec: count(GranuleState::Rec),
            rtt: count(GranuleState::Rtt),
            data: count(GranuleState::Data),
        }
    })
}

/// Words of granules as they follow from the objects that refer to the granules.
struct Roles<'h> {
    host: &'h Host,
    expected: BTreeMap<u64, GranuleWord>,
}

impl Roles<'_> {
    fn add(&mut self, pa: u64, state: GranuleState, count: usize) {
        let count = u16::try_from(count).expect("a count");
        let old = self.expected.insert(pa, GranuleWord::new(state, count));
        assert!(old.is_none(), "{pa:#x} has two roles");
    }

    /// Adds an RD and the tables and memory of its Realm.
    fn add_realm(&mut self, rd: u64) {
        let board = self.host.board();
        let content = board.memory.peek(Pa(rd));
        let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
        let recs = board.granules_in(GranuleState::Rec);
        let recs = recs.filter(|&pa| self.head(pa).rd().0 == rd).count();
        self.add(rd, GranuleState::Rd, recs);
        let is_active = realm.state() == RealmState::Active;
        let word = self.expected.get_mut(&rd).expect("it has just been added");
        *word = word.with_active(is_active);

        let stage2 = realm.stage2;
        let level = stage2.start_level.into();
        for n in 0..u64::from(stage2.num_start) {
            let pa = stage2.base.0 + n * PAGE;
            self.add_table(rd, pa, n * 512 * size_at(level), level, stage2.ipa_width);
        }
    }

    /// Adds the table of `level` at `pa`, which translates from the IPA `base` on, and all below
    /// it.
    fn add_table(&mut self, rd: u64, pa: u64, base: u64, level: i64, ipa_width: u8) {
        let mut live = 0;
        for n in 0..512 {
            let ipa = base + n * size_at(level);
            if ipa >> ipa_width != 0 {
                break;
            }
            let (status, entry) = self.host.rtt_read_entry(rd, ipa, level);
            assert_eq!((status, entry.level), (Status::Success, level));
            let is_protected = ipa >> (ipa_width - 1) == 0;
            match entry.state {
                2 => {
                    live += 1;
                    self.add_table(rd, entry.address(), ipa, level + 1, ipa_width);
                }
                1 if is_protected => {
                    live += 1;
                    for offset in (0..size_at(level)).step_by(GRANULE_SIZE) {
                        self.add(entry.address() + offset, GranuleState::Data, 0);
                    }
                }
                _ => {}
            }
        }
        self.add(pa, GranuleState::Rtt, live);
    }

    /// Adds a REC, which is READY, and its auxiliary granules.
    fn add_rec(&mut self, pa: u64) {
        self.add(pa, GranuleState::Rec, 0);
        for &aux in self.head(pa).aux() {
            self.add(aux, GranuleState::RecAux, 0);
        }
    }

    fn head(&self, rec: u64) -> RecHead {
        let content = self.host.board().memory.peek(Pa(rec));
        RecHead::read_from_prefix(&content).expect("a REC").0
    }

    /// Asserts that the granule has the word, the PAS and the content of its role.
    fn check(&mut self, pa: u64, word: GranuleWord) {
        use GranuleState::{Delegated, NeverDelegable, Undelegated};
        let state = word.state();
        match self.expected.remove(&pa) {
            Some(expected) => assert_eq!(word, expected, "{pa:#x}"),
            None => assert!(
                matches!(state, Undelegated | Delegated | NeverDelegable)
                    && word == GranuleWord::new(state, 0),
                "nothing refers to {pa:#x}, which is {word:?}"
            ),
        }
        let memory = &self.host.board().memory;
        let pas = memory.pas(Pa(pa));
        if matches!(state, Undelegated | NeverDelegable) {
            assert_ne!(pas, Some(Pas::Realm), "PAS of {pa:#x}");
        } else if let Some(pas) = pas {
            assert_eq!(pas, Pas::Realm, "PAS of {pa:#x}");
        }
        if state == Delegated && pas.is_some() {
            let content = memory.peek(Pa(pa));
            assert!(content == [0; GRANULE_SIZE], "{pa:#x} is not wiped");
        }
    }
}
