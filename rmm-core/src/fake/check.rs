// SPDX-License-Identifier: BSD-3-Clause
//! What must hold of a machine between commands.

use super::board::Board;
use super::realm::empty;
use super::{EntryReport, Host, Status};
use crate::realm::Realm;
use crate::rec::RecHead;
use rmm_granule::fake::Pas;
use rmm_granule::{GRANULE_SIZE, Pa};
use rmm_rtt::{Stage2, entry_size};
use std::collections::BTreeMap;
use zerocopy::FromBytes;

/// Lock bit of a Granule's word.
const LOCK: u16 = 1 << 15;
/// Its count bits.
const COUNT: u16 = 0xFFF;

/// State bits of a Granule's word.
fn state(word: u16) -> u16 {
    word >> 12 & 7
}

const DELEGATED: u16 = 1;
const RD: u16 = 2;
const REC: u16 = 3;
const REC_AUX: u16 = 4;
const RTT: u16 = 5;
const DATA: u16 = 6;

/// VMIDs that are looked at: tests use no others.
const VMIDS: u16 = 512;

/// The state of a machine: every Granule's word, PAS and content, and the VMIDs in use.
pub struct Snapshot {
    words: Vec<u16>,
    pages: Vec<(u64, Option<Pas>, u64)>,
    vmids: Vec<u16>,
}

impl Snapshot {
    /// The state now. No command is being served.
    #[must_use]
    pub fn of(board: &Board) -> Self {
        let pages = board.pages().into_iter().map(|pa| {
            let content = board.memory.peek(Pa(pa));
            (pa, board.memory.pas(Pa(pa)), digest(&content))
        });
        let vmids = &board.monitor.vmids;
        Self {
            words: board.words_alone().collect(),
            pages: pages.collect(),
            vmids: (0..VMIDS)
                .filter(|&vmid| vmids.reserve(vmid).is_none())
                .collect(),
        }
    }

    /// Asserts that `function`, which has failed, has changed nothing.
    ///
    /// # Panics
    /// If it has.
    pub fn assert_unchanged(&self, board: &Board, function: u64) {
        let now = Self::of(board);
        let same = now.words == self.words;
        for ((pa, now), before) in board.words().zip(&self.words).skip_while(|_| same) {
            assert!(
                now == *before,
                "{function:#x} failed and changed {pa:#x}: word {before:#x} to {now:#x}"
            );
        }
        for (now, before) in now.pages.iter().zip(&self.pages) {
            assert!(
                now == before,
                "{function:#x} failed and changed the content of {:#x} or its PAS",
                before.0
            );
        }
        assert_eq!(
            now.vmids, self.vmids,
            "{function:#x} failed and changed VMIDs"
        );
    }
}

/// Tells contents apart.
pub(super) fn digest(content: &[u8; GRANULE_SIZE]) -> u64 {
    let (words, _) = content.as_chunks::<8>();
    words.iter().fold(0xCBF2_9CE4_8422_2325, |hash, word| {
        (hash ^ u64::from_le_bytes(*word))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29)
    })
}

impl Board {
    /// Asserts that no Granule is locked and that every REC is READY.
    ///
    /// # Panics
    /// If one is not.
    pub fn assert_unlocked(&self) {
        let busy = |word: u16| word & LOCK != 0 || state(word) == REC && word & COUNT != 0;
        if !self.words_alone().any(busy) {
            return;
        }
        for (pa, word) in self.words() {
            assert!(!busy(word), "{pa:#x} is still locked or RUNNING: {word:#x}");
        }
    }
}

/// How many Granules have which role, as [`audit`] found.
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

/// Looks through all Realms as the Host sees them, no other command being served, and asserts that
/// every Granule has exactly the role that its state says: an RTT is in one table of one Realm, a
/// DATA Granule behind one entry, a REC_AUX Granule of one REC; that counts are right; that what is
/// DELEGATED is zero; and that a Granule is in Realm PAS exactly if it is not UNDELEGATED.
///
/// # Panics
/// If not.
pub fn audit(host: &Host) -> Counts {
    host.leniently(|| {
        let board = host.board();
        board.assert_unlocked();
        let mut roles = Roles {
            host,
            expected: BTreeMap::new(),
        };
        let mut counts = Counts::default();
        for (pa, word) in board.words() {
            match state(word) {
                RD => {
                    counts.rd += 1;
                    roles.realm(pa, word);
                }
                REC => {
                    counts.rec += 1;
                    roles.rec(pa);
                }
                RTT => counts.rtt += 1,
                DATA => counts.data += 1,
                _ => {}
            }
        }
        for (pa, word) in board.words() {
            match roles.expected.remove(&pa) {
                Some(expected) => assert_eq!(word, expected, "state and count of {pa:#x}"),
                None => assert!(
                    matches!(state(word), 0 | DELEGATED | RD | REC | 7),
                    "{pa:#x} with word {word:#x} is nobody's"
                ),
            }
            if matches!(state(word), 0 | 7) {
                assert_ne!(board.memory.pas(Pa(pa)), Some(Pas::Realm), "PAS of {pa:#x}");
            } else if let Some(pas) = board.memory.pas(Pa(pa)) {
                assert_eq!(pas, Pas::Realm, "PAS of {pa:#x}");
            }
            if word == DELEGATED << 12 && board.memory.pas(Pa(pa)).is_some() {
                let content = board.memory.peek(Pa(pa));
                assert!(content == [0; GRANULE_SIZE], "{pa:#x} is not wiped");
            }
        }
        assert!(
            roles.expected.is_empty(),
            "not in DRAM: {:x?}",
            roles.expected
        );
        counts
    })
}

/// Destroys every REC and Realm that there is and takes back every Granule, whoever made them; no
/// other command is being served.
///
/// # Panics
/// If the monitor does not give something back as it must.
pub fn sweep(host: &Host) {
    host.leniently(|| {
        let board = host.board();
        let all = |wanted: u16| -> Vec<u64> {
            let words = board.words().filter(|(_, word)| state(*word) == wanted);
            words.map(|(pa, _)| pa).collect()
        };
        for rec in all(REC) {
            assert_eq!(host.rec_destroy(rec), Status::Success);
        }
        for rd in all(RD) {
            let content = board.memory.peek(Pa(rd));
            let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
            let Stage2 {
                ipa_width,
                start_level,
                ..
            } = realm.stage2;
            empty(host, rd, ipa_width, start_level.into(), &|| host.granule());
            assert_eq!(host.realm_destroy(rd), Status::Success);
        }
        for pa in all(DELEGATED) {
            host.undelegate(pa);
            board.memory.assert_no_stale(Pa(pa));
        }
    });
}

/// What the words of Granules must be, as found from the objects that refer to them.
struct Roles<'h> {
    host: &'h Host,
    expected: BTreeMap<u64, u16>,
}

impl Roles<'_> {
    fn note(&mut self, pa: u64, state: u16, count: u16) {
        let old = self.expected.insert(pa, state << 12 | count);
        assert!(old.is_none(), "{pa:#x} is in two places");
    }

    fn realm(&mut self, rd: u64, word: u16) {
        let content = self.host.board().memory.peek(Pa(rd));
        let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
        let stage2 = realm.stage2;
        let recs = self.host.board().words().filter(|&(pa, word)| {
            state(word) == REC && self.head(pa).is_some_and(|head| head.rd().0 == rd)
        });
        assert_eq!(
            usize::from(word & COUNT),
            recs.count(),
            "RECs of the Realm at {rd:#x}"
        );
        let table_size = entry_size(stage2.start_level) * 512;
        for n in 0..u64::from(stage2.num_start) {
            let pa = stage2.base.0 + n * GRANULE_SIZE as u64;
            self.table(
                rd,
                pa,
                n * table_size,
                stage2.start_level.into(),
                stage2.ipa_width,
            );
        }
    }

    fn table(&mut self, rd: u64, pa: u64, base: u64, level: i64, ipa_width: u8) {
        let size = entry_size(i8::try_from(level).expect("a level"));
        let mut live = 0;
        for n in 0..512 {
            let ipa = base + n * size;
            if ipa >> ipa_width != 0 {
                break;
            }
            let (status, entry) = self.host.rtt_read_entry(rd, ipa, level);
            assert_eq!(status, Status::Success);
            assert_eq!(entry.level, level);
            let address = address(&entry);
            let protected = ipa >> (ipa_width - 1) == 0;
            match entry.state {
                2 => {
                    live += 1;
                    self.table(rd, address, ipa, level + 1, ipa_width);
                }
                1 if protected => {
                    live += 1;
                    for page in (0..size).step_by(GRANULE_SIZE) {
                        self.note(address + page, DATA, 0);
                    }
                }
                _ => {}
            }
        }
        self.note(pa, RTT, live);
    }

    fn head(&self, rec: u64) -> Option<RecHead> {
        let content = self.host.board().memory.peek(Pa(rec));
        RecHead::read_from_prefix(&content)
            .ok()
            .map(|(head, _)| head)
    }

    fn rec(&mut self, pa: u64) {
        let head = self.head(pa).expect("a REC");
        for &aux in head.aux() {
            self.note(aux, REC_AUX, 0);
        }
    }
}

/// The address in `desc`, whose bits 9:8 are those above 49.
fn address(entry: &EntryReport) -> u64 {
    entry.desc & 0x3_FFFF_FFFF_F000 | (entry.desc >> 8 & 3) << 50
}
