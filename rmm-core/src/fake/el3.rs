// SPDX-License-Identifier: BSD-3-Clause
//! EL3 of the fake machine.

use super::attestation::{self, El3Attestation, Service};
use super::sync::lock;
use crate::el3::SharedPage;
use rmm_abi::el3::{error, fid};
use rmm_granule::fake::{FakeMemory, Pas};
use rmm_granule::{Bank, GRANULE_SIZE, Pa};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

type Hook = Box<dyn FnMut(u64, [u64; 4]) -> Option<i64> + Send>;

/// EL3, which owns the GPT. If the machine has attestation, EL3 also has a Realm attestation key
/// and a platform token.
pub struct El3 {
    /// Ranges in the GPT that have no RAM.
    holes: Vec<Bank>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Granules in `holes` that are in Realm PAS.
    realm_holes: BTreeSet<u64>,
    hook: Option<Hook>,
    attestation: Option<Service>,
    calls: Vec<(u64, [u64; 4])>,
}

impl El3 {
    pub(super) fn new(holes: &[Bank], attestation: Option<El3Attestation>) -> Self {
        let state = State {
            attestation: Some(Service::new(attestation)),
            ..State::default()
        };
        Self {
            holes: holes.to_vec(),
            state: Mutex::new(state),
        }
    }

    /// Whether EL3 has anything for attestation.
    pub(super) fn attests(&self) -> bool {
        let state = self.state();
        state.attestation.as_ref().is_some_and(Service::attests)
    }

    /// The page that EL3 shares with the monitor.
    pub(super) fn shared_page(&self) -> SharedPage {
        let state = self.state();
        let service = state.attestation.as_ref().expect("made with it");
        SharedPage::new(Pa(attestation::PAGE), service.page())
    }

    /// Content of the page that EL3 shares with the monitor.
    ///
    /// # Panics
    /// Never: EL3 always has the page.
    #[must_use]
    pub fn shared_page_content(&self) -> [u8; GRANULE_SIZE] {
        let state = self.state();
        state.attestation.as_ref().expect("made with it").content()
    }

    /// Calls `hook` first for each call, with the function identifier and the arguments. If it
    /// returns a status, EL3 returns this status and does nothing.
    pub fn set_hook(&self, hook: impl FnMut(u64, [u64; 4]) -> Option<i64> + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    /// Removes the hook.
    pub fn clear_hook(&self) {
        self.state().hook = None;
    }

    /// All calls since this function was called last, oldest first.
    pub fn take_calls(&self) -> Vec<(u64, [u64; 4])> {
        std::mem::take(&mut self.state().calls)
    }

    /// Whether a granule in a range without RAM is in Realm PAS.
    pub fn is_realm_hole(&self, pa: u64) -> bool {
        self.state().realm_holes.contains(&pa)
    }

    pub(super) fn call(&self, memory: &FakeMemory, function: u64, args: [u64; 4]) -> [u64; 4] {
        let mut state = self.state();
        state.calls.push((function, args));
        let hooked = state.hook.as_mut().and_then(|hook| hook(function, args));
        if let Some(status) = hooked {
            return returned(status, args);
        }
        let service = state.attestation.as_mut();
        if let Some(answer) = service.and_then(|service| service.call(function, args)) {
            return answer;
        }
        let [pa, ..] = args;
        let status = match function {
            fid::RMM_GTSI_DELEGATE | fid::RMM_GTSI_UNDELEGATE => {
                self.change_pas(&mut state, memory, function, pa)
            }
            _ => error::UNK,
        };
        returned(status, args)
    }

    fn change_pas(&self, state: &mut State, memory: &FakeMemory, function: u64, pa: u64) -> i64 {
        let delegates = function == fid::RMM_GTSI_DELEGATE;
        let granule = Pa(pa);
        let is_hole = self
            .holes
            .iter()
            .any(|hole| pa.wrapping_sub(hole.base) < hole.size);
        if !granule.is_aligned_to(GRANULE_SIZE as u64) {
            return error::BAD_ADDR;
        }
        let changed = if is_hole {
            if delegates {
                state.realm_holes.insert(pa)
            } else {
                state.realm_holes.remove(&pa)
            }
        } else if memory.pas(granule).is_none() {
            return error::BAD_ADDR;
        } else if delegates {
            memory.delegate(granule).is_ok()
        } else {
            // The Host can read whatever content leaves Realm PAS.
            let wiped = memory.pas(granule) != Some(Pas::Realm)
                || memory.peek(granule) == [0; GRANULE_SIZE];
            assert!(wiped, "{pa:#x} leaves Realm PAS with content");
            memory.undelegate(granule).is_ok()
        };
        if changed { error::OK } else { error::BAD_PAS }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// X0 to X3 of a call that changes X0 alone.
fn returned(status: i64, [x1, x2, x3, _]: [u64; 4]) -> [u64; 4] {
    [status.cast_unsigned(), x1, x2, x3]
}
