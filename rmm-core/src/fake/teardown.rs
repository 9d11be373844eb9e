// SPDX-License-Identifier: BSD-3-Clause
//! Destroying Realms, whatever they consist of.

use super::host::Host;
use super::reply::Status;
use crate::realm::Realm;
use rmm_granule::{GranuleState, Pa};
use rmm_rtt::{Stage2, entry_size};
use zerocopy::FromBytes;

/// Destroys all memory and all tables of the Realm at `rd`. `spare` allocates a DELEGATED granule
/// for a table, where a block has to be unfolded.
pub(super) fn empty(host: &Host, rd: u64, s2sz: u8, start_level: i64, spare: &dyn Fn() -> u64) {
    let tree = Tree {
        host,
        rd,
        unprotected: 1 << (s2sz - 1),
        spare,
    };
    for ipa in (0..1 << s2sz).step_by(to_usize(size_at(start_level))) {
        tree.empty_entry(ipa, start_level);
    }
}

fn to_usize(size: u64) -> usize {
    usize::try_from(size).expect("64 bits")
}

/// The tables of a Realm.
struct Tree<'a> {
    host: &'a Host,
    rd: u64,
    /// First Unprotected IPA.
    unprotected: u64,
    spare: &'a dyn Fn() -> u64,
}

impl Tree<'_> {
    /// Makes the entry of `level` at `ipa` UNASSIGNED. Whether it already was.
    fn empty_entry(&self, ipa: u64, level: i64) -> bool {
        let (host, rd) = (self.host, self.rd);
        let (status, entry) = host.rtt_read_entry(rd, ipa, level);
        assert_eq!(status, Status::Success);
        let protected = ipa < self.unprotected;
        match entry.state {
            1 if protected && level == 3 => {
                assert_eq!(host.data_destroy(rd, ipa).0, Status::Success);
            }
            1 if !protected => {
                let (status, _) = host.rtt_unmap_unprotected(rd, ipa, level);
                assert_eq!(status, Status::Success);
            }
            0 => return true,
            state => {
                let child = level + 1;
                if state == 1 {
                    let status = host.rtt_create(rd, (self.spare)(), ipa, child);
                    assert_eq!(status, Status::Success);
                }
                self.empty_table(ipa, child);
                assert_eq!(host.rtt_destroy(rd, ipa, child).0, Status::Success);
            }
        }
        false
    }

    /// Makes all entries UNASSIGNED of the table of `level` that translates from `ipa` on.
    fn empty_table(&self, ipa: u64, level: i64) {
        let (status, parent) = self.host.rtt_read_entry(self.rd, ipa, level - 1);
        assert_eq!((status, parent.state), (Status::Success, 2));
        let table = self.host.board().memory.peek(Pa(parent.address()));
        // An entry with an address differs in its bits from all that are UNASSIGNED.
        let mut unassigned = None;
        for (ipa, bits) in (ipa..)
            .step_by(to_usize(size_at(level)))
            .zip(table.as_chunks::<8>().0)
        {
            if unassigned != Some(bits) && self.empty_entry(ipa, level) {
                unassigned = Some(bits);
            }
        }
    }
}

/// Destroys every REC and every Realm and undelegates every granule, no matter what created them.
/// No other command is being served.
///
/// # Panics
/// If the monitor refuses, or a granule comes back with content.
pub fn sweep(host: &Host) {
    host.leniently(|| {
        let board = host.board();
        let all = |state| board.granules_in(state).collect::<Vec<u64>>();
        for rec in all(GranuleState::Rec) {
            assert_eq!(host.rec_destroy(rec), Status::Success);
        }
        for rd in all(GranuleState::Rd) {
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
        for pa in all(GranuleState::Delegated) {
            host.undelegate(pa);
            board.memory.assert_no_stale(Pa(pa));
        }
    });
}

/// Bytes that one entry of this level translates.
pub(super) fn size_at(level: i64) -> u64 {
    entry_size(i8::try_from(level).expect("a level"))
}
