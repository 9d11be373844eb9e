// SPDX-License-Identifier: BSD-3-Clause
//! The state of a machine between commands.

use super::board::{Board, digest};
use super::host::Host;
use super::reply::command_name;
use super::word::GranuleWord;
use rmm_granule::fake::Pas;
use rmm_granule::{GranuleState, Pa};

/// A snapshot looks only at VMIDs below this; tests use no others where they compare snapshots.
const VMIDS: u16 = 512;

/// The state of a machine: each granule's word, PAS and content, and the VMIDs in use.
#[derive(PartialEq, Eq)]
pub struct Snapshot {
    words: Vec<GranuleWord>,
    pages: Vec<(u64, Option<Pas>, u64)>,
    vmids: Vec<u16>,
}

impl Snapshot {
    /// The state now. No command is being served.
    pub(super) fn of(board: &Board) -> Self {
        let pages = board.pages().into_iter().map(|pa| {
            let content = board.memory.peek(Pa(pa));
            (pa, board.memory.pas(Pa(pa)), digest(&content))
        });
        let vmids = &board.monitor.vmids;
        Self {
            words: board.words().map(|(_, word)| word).collect(),
            pages: pages.collect(),
            vmids: (0..VMIDS)
                .filter(|&vmid| vmids.reserve(vmid).is_none())
                .collect(),
        }
    }

    /// Asserts that `function`, which has failed, has changed nothing.
    pub(super) fn assert_unchanged(&self, board: &Board, function: u64) {
        let command = command_name(function);
        let now = Self::of(board);
        let same = now.words == self.words;
        for ((pa, now), before) in board.words().zip(&self.words).skip_while(|_| same) {
            assert!(
                now == *before,
                "{command} failed but changed {pa:#x} from {before:?} to {now:?}"
            );
        }
        for (now, before) in now.pages.iter().zip(&self.pages) {
            assert!(
                now == before,
                "{command} failed but changed the content or the PAS of {:#x}",
                before.0
            );
        }
        assert_eq!(
            now.vmids, self.vmids,
            "{command} failed but changed the VMIDs in use"
        );
    }
}

impl Host {
    /// The state of the machine now. No command is being served.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.board())
    }
}

impl Board {
    /// Asserts that no granule is locked and that every REC is READY.
    ///
    /// # Panics
    /// If a granule is locked or a REC is RUNNING.
    pub fn assert_unlocked(&self) {
        for (pa, word) in self.words() {
            let is_running = word.state() == GranuleState::Rec && word.count() != 0;
            let is_busy = word.is_locked() || is_running;
            assert!(!is_busy, "{pa:#x} is still locked or RUNNING: {word:?}");
        }
    }
}
