// SPDX-License-Identifier: BSD-3-Clause
//! Locks out of order are found, and those in order are not.

use super::*;
use crate::order;
use crate::{Data, GranuleState, NextState, RecAux, Rtt, State};
use std::thread;

/// Granules in every state: RD 0, REC 1, DELEGATED 2 and 3, RTT 4 to 7, DATA 8 and 9, REC_AUX 10
/// and 11.
fn samples() -> Machine {
    fn make<S: NextState>(m: &Machine, granules: impl IntoIterator<Item = u64>) {
        for n in granules {
            drop(m.delegated(n).transition::<S>());
        }
    }
    let m = machine();
    make::<Rd>(&m, [0]);
    make::<Rec>(&m, [1]);
    drop((m.delegated(2), m.delegated(3)));
    make::<Rtt>(&m, 4..8);
    make::<Data>(&m, 8..10);
    make::<RecAux>(&m, 10..12);
    m
}

impl Machine {
    fn lock<S: State>(&self, n: u64) -> Locked<'static, S> {
        self.table
            .lock(page(n))
            .expect("a Granule in the state asked for")
    }
}

#[test]
fn commands_may_lock_as_they_do() {
    let m = samples();
    let cpu = m.cpu();
    // RTT_CREATE, DATA_CREATE: a walk with other Granules locked.
    let (rd, new) = m
        .table
        .lock_pair::<Rd, Delegated>(page(0), page(3))
        .unwrap();
    let root = m.lock::<Rtt>(4);
    drop(rd);
    let child = m.lock::<Rtt>(5);
    drop(root);
    let leaf = m.lock::<Rtt>(6);
    drop(child);
    let data = m.lock::<Data>(8);
    drop((data, leaf, new));
    // RTT_DESTROY. An RTT may become a child at another place.
    for depth in [1, 0] {
        let mut parent = m.lock::<Rtt>(4);
        if depth > 0 {
            parent = m.lock::<Rtt>(5);
        }
        drop(wipe(m.lock::<Rtt>(6), &cpu));
        drop(parent);
        drop(m.lock::<Delegated>(6).transition::<Rtt>());
    }
}

#[test]
fn a_realm_and_its_recs_may_end() {
    let m = samples();
    let cpu = m.cpu();
    // REC_DESTROY.
    let rec = m.lock::<Rec>(1);
    for n in 10..12 {
        drop(wipe(m.lock::<RecAux>(n), &cpu));
    }
    drop(rec);
    // REC_ENTER: a REC that is RUNNING is not locked.
    let pinned = m.lock::<Rec>(1).pin().unwrap();
    drop(m.lock::<Rd>(0));
    drop(pinned);
    // REALM_DESTROY, with two start-level RTTs.
    let rd = m.lock::<Rd>(0);
    let wiped = [4, 5].map(|n| wipe(m.lock::<Rtt>(n), &cpu));
    drop((wiped, rd));
    // Nothing is held.
    drop(m.lock::<Rd>(0));
}

#[test]
fn a_wrong_claim_leaves_nothing_behind() {
    let m = samples();
    let _held = m.lock::<Rec>(1);
    m.table.lock::<Rd>(page(3)).unwrap_err();
    m.table.lock_many::<Rd>(page(3), &[page(2)]).unwrap_err();
    drop(m.lock::<Delegated>(2));
}

#[test]
#[should_panic = "Rd at Pa(0x80000000) is waited for while one of a higher address is held: \
                  Rec at Pa(0x80001000)"]
fn named_granules_ascend() {
    let m = samples();
    let _rec = m.lock::<Rec>(1);
    drop(m.lock::<Rd>(0));
}

#[test]
#[should_panic = "Rec at Pa(0x80001000) is waited for which this CPU itself has locked"]
fn no_cpu_waits_for_itself() {
    let m = samples();
    let _rec = m.lock::<Rec>(1);
    drop(m.lock::<Rec>(1));
}

#[test]
#[should_panic = "Delegated at Pa(0x80008000) is waited for which this CPU itself has locked: Data"]
fn no_cpu_waits_for_itself_under_another_claim() {
    let m = samples();
    let _data = m.lock::<Data>(8);
    drop(m.table.lock::<Delegated>(page(8)));
}

#[test]
#[should_panic = "Delegated at Pa(0x8000c000) is waited for while one of a later line is held: Rtt"]
fn named_granules_come_before_tables() {
    let m = samples();
    let _root = m.lock::<Rtt>(4);
    drop(m.table.lock::<Delegated>(page(12)));
}

#[test]
#[should_panic = "Rtt at Pa(0x80004000) is waited for while one of a later line is held: Data"]
fn tables_come_before_data() {
    let m = samples();
    let _data = m.lock::<Data>(8);
    drop(m.lock::<Rtt>(4));
}

#[test]
#[should_panic = "Data at Pa(0x80008000) is waited for while one of a later line is held: RecAux"]
fn data_comes_before_auxiliary_granules() {
    let m = samples();
    let _aux = m.lock::<RecAux>(10);
    drop(m.lock::<Data>(8));
}

#[test]
#[should_panic = "Data at Pa(0x80009000) is waited for while another one is held: Data at"]
fn data_is_locked_one_at_a_time() {
    let m = samples();
    let _data = m.lock::<Data>(8);
    drop(m.lock::<Data>(9));
}

#[test]
#[should_panic = "RecAux at Pa(0x8000b000) is waited for while another one is held: RecAux at"]
fn auxiliary_granules_are_locked_one_at_a_time() {
    let m = samples();
    let _aux = m.lock::<RecAux>(10);
    drop(m.lock::<RecAux>(11));
}

#[test]
#[should_panic = "RecAux at Pa(0x8000b000) is waited for while another one is held: RecAux at"]
fn a_line_is_kept_through_a_change_of_state() {
    let m = samples();
    let _wiped = wipe(m.lock::<RecAux>(10), &m.cpu());
    drop(m.lock::<RecAux>(11));
}

#[test]
#[should_panic = "Rtt at Pa(0x80004000) is waited for below Pa(0x80005000), but it is at the root"]
fn parents_come_before_children() {
    let m = samples();
    let root = m.lock::<Rtt>(4);
    let _child = m.lock::<Rtt>(5);
    drop(root);
    drop(m.lock::<Rtt>(4));
}

#[test]
#[should_panic = "Rtt at Pa(0x80005000) is waited for at the root, but it is below Pa(0x80004000)"]
fn a_child_is_reached_through_its_parent() {
    let m = samples();
    let root = m.lock::<Rtt>(4);
    drop(m.lock::<Rtt>(5));
    drop(root);
    drop(m.lock::<Rtt>(5));
}

#[test]
#[should_panic = "Rtt at Pa(0x80006000) is waited for while both a parent and its child are held"]
fn a_parent_is_released_before_the_next_child() {
    let m = samples();
    let _root = m.lock::<Rtt>(4);
    let _child = m.lock::<Rtt>(5);
    drop(m.lock::<Rtt>(6));
}

#[test]
#[should_panic = "Rtt at Pa(0x80004000) is waited for while one of a higher address is held: Rtt"]
fn start_level_tables_ascend() {
    let m = samples();
    let _wiped = wipe(m.lock::<Rtt>(5), &m.cpu());
    drop(m.lock::<Rtt>(4));
}

/// As if [`GranuleTable::lock`] waited for a Granule before it unlocks one in a wrong state.
#[test]
#[should_panic = "waited for while one locked under a wrong claim is held: Rd at Pa(0x80002000)"]
fn nothing_is_waited_for_under_a_wrong_claim() {
    let m = samples();
    let (word, pa) = m.table.find(page(2)).unwrap();
    order::locked(word, pa, GranuleState::Rd, GranuleState::Delegated);
    drop(m.lock::<Delegated>(3));
}

#[test]
#[should_panic = "unlocked by a CPU that has not locked it"]
fn a_guard_stays_on_its_cpu() {
    let m = samples();
    let rd = m.lock::<Rd>(0);
    let moved = thread::scope(|scope| scope.spawn(|| drop(rd)).join());
    std::panic::resume_unwind(moved.unwrap_err());
}

#[test]
fn cpus_have_a_record_each() {
    let m = samples();
    let _rec = m.lock::<Rec>(1);
    thread::scope(|scope| {
        scope.spawn(|| drop(m.lock::<Rd>(0)));
    });
}
