// SPDX-License-Identifier: BSD-3-Clause
//! States, transitions, counts and errors.

use super::*;
use crate::fake::{Pas, PasRefused};
use crate::{
    Data, GranuleError, GranuleState, MAX_BANKS, MAX_SET, NextState, Pa, RecAux, Rtt, TableError,
    Word,
};

#[test]
fn banks_are_checked() {
    let need = GranuleTable::words_needed;
    let bank = |base, size| Bank { base, size };
    assert_eq!(need(&[]), Ok(0));
    assert_eq!(need(&BANKS), Ok(0x60));
    assert_eq!(need(&[bank(0x1000, 0)]), Err(TableError::BadBank));
    assert_eq!(need(&[bank(0x1800, 0x1000)]), Err(TableError::BadBank));
    assert_eq!(need(&[bank(0x1000, 0x1800)]), Err(TableError::BadBank));
    assert_eq!(
        need(&[bank(u64::MAX - 0xfff, 0x1000)]),
        Err(TableError::BadBank)
    );
    assert_eq!(
        need(&[bank(0x2000, 0x1000), bank(0x1000, 0x1000)]),
        Err(TableError::BadOrder)
    );
    assert_eq!(
        need(&[bank(0x1000, 0x2000), bank(0x2000, 0x1000)]),
        Err(TableError::BadOrder)
    );
    assert_eq!(need(&[bank(0x1000, 0x1000), bank(0x2000, 0x1000)]), Ok(2));
    let many: Vec<Bank> = (0..=MAX_BANKS as u64)
        .map(|n| bank(n * 0x1000, 0x1000))
        .collect();
    assert_eq!(need(&many), Err(TableError::TooManyBanks));
    assert_eq!(need(&many[1..]), Ok(MAX_BANKS));
    static WORDS: [Word; 2] = [const { Word::new(0) }; 2];
    // SAFETY: the only tables of this memory, which nobody accesses.
    let new = |banks| unsafe { GranuleTable::new(banks, &WORDS, &[]) };
    assert!(new(&many[..2]).is_ok());
    assert_eq!(new(&many[..3]).err(), Some(TableError::TooFewWords));
}

#[test]
fn addresses_are_checked() {
    let m = machine();
    let lock = |pa| m.table.lock::<Undelegated>(pa).map(drop);
    assert_eq!(lock(BASE), Ok(()));
    assert_eq!(lock(BASE + 0x3_f000), Ok(()));
    assert_eq!(lock(HIGH), Ok(()));
    assert_eq!(lock(HIGH + 0x1_f000), Ok(()));
    assert_eq!(lock(BASE + 1), Err(GranuleError::Unaligned));
    assert_eq!(lock(BASE - 0x1000), Err(GranuleError::NotDelegable));
    assert_eq!(lock(BASE + 0x4_0000), Err(GranuleError::NotDelegable));
    assert_eq!(lock(HIGH + 0x2_0000), Err(GranuleError::NotDelegable));
    assert_eq!(lock(0), Err(GranuleError::NotDelegable));
    assert_eq!(lock(!0xfff), Err(GranuleError::NotDelegable));
    assert_eq!(lock(BASE | 1 << 52), Err(GranuleError::NotDelegable));
    assert_eq!(m.table.state(BASE + 8), Err(GranuleError::Unaligned));
}

#[test]
fn reserved_granules_are_not_delegable() {
    let m = machine();
    m.table.reserve(page(2) + 0x800, 0x1000);
    for (n, expected) in [(1, Ok(())), (2, Err(())), (3, Err(())), (4, Ok(()))] {
        let not =
            |result: Result<(), _>| result.map_err(|e| assert_eq!(e, GranuleError::NotDelegable));
        assert_eq!(
            not(m.table.lock::<Undelegated>(page(n)).map(drop)),
            expected
        );
        assert_eq!(not(m.table.ns_granule(page(n)).map(drop)), expected);
        assert_eq!(not(m.table.state(page(n)).map(drop)), expected);
    }
    m.table.reserve(HIGH - 0x1000, 0x2000);
    assert_eq!(m.table.state(HIGH), Err(GranuleError::NotDelegable));
    assert_eq!(m.table.state(HIGH + 0x1000), Ok(GranuleState::Undelegated));
    m.table.reserve(0, u64::MAX);
    assert_eq!(m.table.state(page(0)), Err(GranuleError::NotDelegable));
}

/// From DELEGATED to state `S` and, by `wipe`, back.
fn round_trip<S: NextState>(
    m: &Machine,
    expected: GranuleState,
    wipe: fn(Locked<'static, S>, &FakeCpuMemory) -> Locked<'static, Delegated>,
) {
    let cpu = m.cpu();
    let granule = m
        .table
        .lock::<Delegated>(page(0))
        .unwrap()
        .transition::<S>();
    drop(granule);
    assert_eq!(S::STATE, expected);
    assert_eq!(m.table.state(page(0)), Ok(expected));
    assert_eq!(
        m.table.lock::<Delegated>(page(0)).err(),
        Some(GranuleError::WrongState)
    );
    assert_eq!(
        m.table.ns_granule(page(0)).err(),
        Some(GranuleError::WrongState)
    );
    m.memory.poke(Pa(page(0)), &[0xa5; 4096]);
    drop(wipe(m.table.lock::<S>(page(0)).unwrap(), &cpu));
    assert_eq!(m.table.state(page(0)), Ok(GranuleState::Delegated));
    assert_eq!(m.memory.peek(Pa(page(0))), [0; 4096]);
}

#[test]
fn every_state_is_left_by_wiping() {
    let m = machine();
    drop(m.delegated(0));
    round_trip::<Rd>(&m, GranuleState::Rd, Locked::wipe_into_delegated);
    round_trip::<Rec>(&m, GranuleState::Rec, Locked::wipe_into_delegated);
    round_trip::<RecAux>(&m, GranuleState::RecAux, wipe);
    round_trip::<Rtt>(&m, GranuleState::Rtt, wipe);
    round_trip::<Data>(&m, GranuleState::Data, wipe);
    let granule = m.table.lock::<Delegated>(page(0)).unwrap();
    m.memory.undelegate(granule.pa()).unwrap();
    drop(granule.transition::<Undelegated>());
    assert_eq!(m.table.state(page(0)), Ok(GranuleState::Undelegated));
    assert_eq!(m.memory.pas(Pa(page(0))), Some(Pas::NonSecure));
    assert_eq!(m.memory.undelegate(Pa(page(0))), Err(PasRefused));
}

#[test]
fn delegation_wipes_what_the_host_left() {
    let m = machine();
    m.memory.write_ns(Pa(page(1) + 5), b"left behind").unwrap();
    drop(m.delegated(1));
    assert_eq!(m.memory.peek(Pa(page(1))), [0; 4096]);
}

#[test]
fn a_wrong_state_leaves_the_granule_unlocked() {
    let m = machine();
    assert_eq!(
        m.table.lock::<Rd>(page(0)).err(),
        Some(GranuleError::WrongState)
    );
    drop(m.table.lock::<Undelegated>(page(0)).unwrap());
}

#[test]
fn counts_survive_unlocking() {
    let m = machine();
    let rd = m.delegated(0).transition::<Rd>();
    rd.add_refs(5);
    rd.remove_refs(1);
    rd.add_refs(1);
    assert_eq!(rd.refs(), 5);
    drop(rd);
    m.table.remove_rd_ref(Pa(page(0)));
    let rd = m.table.lock::<Rd>(page(0)).unwrap();
    assert_eq!(rd.refs(), 4);
    m.table.remove_rd_ref(Pa(page(0)));
    assert_eq!(rd.refs(), 3);
    drop(rd);
    assert_eq!(m.table.lock::<Rd>(page(0)).unwrap().refs(), 3);
}

#[test]
#[should_panic(expected = "REC of no Realm")]
fn a_count_cannot_fall_below_zero() {
    let m = machine();
    drop(m.delegated(0).transition::<Rd>());
    m.table.remove_rd_ref(Pa(page(0)));
}

#[test]
#[should_panic(expected = "state change of a Granule in use")]
fn a_counted_granule_keeps_its_state() {
    let m = machine();
    let rtt = m.delegated(0).transition::<Rtt>();
    rtt.add_refs(1);
    drop(wipe(rtt, &m.cpu()));
}

#[test]
#[should_panic(expected = "reference count overflow")]
fn a_count_cannot_overflow() {
    let m = machine();
    let rtt = m.delegated(0).transition::<Rtt>();
    rtt.add_refs(0x3ff);
    rtt.add_refs(1);
}

#[test]
fn an_rd_shows_without_its_lock_whether_the_realm_is_active() {
    let m = machine();
    assert!(!m.table.is_active(Pa(page(0))));
    let mut rd = m.delegated(0).transition::<Rd>();
    assert!(!m.table.is_active(Pa(page(0))));
    rd.set_active(true);
    rd.add_refs(0x3ff);
    assert!(m.table.is_active(Pa(page(0))));
    rd.remove_refs(0x3ff);
    drop(rd);
    assert!(m.table.is_active(Pa(page(0))));
    assert_eq!(m.table.state(page(0)), Ok(GranuleState::Rd));
    assert!(!m.table.is_active(Pa(page(1))));
    let mut rd = m.table.lock::<Rd>(page(0)).unwrap();
    assert_eq!(rd.refs(), 0);
    rd.set_active(false);
    assert!(!m.table.is_active(Pa(page(0))));
    rd.set_active(true);
    // The next RD in this Granule is not ACTIVE.
    let delegated = rd.wipe_into_delegated(&m.cpu());
    assert!(!m.table.is_active(Pa(page(0))));
    drop(delegated.transition::<Rd>());
    assert!(!m.table.is_active(Pa(page(0))));
}

#[test]
fn pairs_come_in_either_order() {
    let m = machine();
    drop((m.delegated(1).transition::<Rd>(), m.delegated(2)));
    let both = m
        .table
        .lock_pair::<Rd, Delegated>(page(1), page(2))
        .unwrap();
    assert_eq!((both.0.pa(), both.1.pa()), (Pa(page(1)), Pa(page(2))));
    drop(both);
    drop(
        m.table
            .lock_pair::<Delegated, Rd>(page(2), page(1))
            .unwrap(),
    );
    let alias = m.table.lock_pair::<Rd, Rd>(page(1), page(1));
    assert_eq!(alias.err(), Some(GranuleError::Alias));
    let wrong = m.table.lock_pair::<Rd, Delegated>(page(1), page(3));
    assert_eq!(wrong.err(), Some(GranuleError::WrongState));
    let wrong = m.table.lock_pair::<Delegated, Rd>(page(3), page(1));
    assert_eq!(wrong.err(), Some(GranuleError::WrongState));
    drop(m.table.lock::<Rd>(page(1)).unwrap());
}

#[test]
fn many_are_all_or_nothing_in_the_callers_order() {
    let m = machine();
    for n in 0..20 {
        drop(m.delegated(n));
    }
    drop(
        m.table
            .lock::<Delegated>(page(9))
            .unwrap()
            .transition::<Rd>(),
    );
    let named: Vec<u64> = [3, 19, 0, 12, 8, 10].map(page).to_vec();
    let (rd, set) = m.table.lock_many::<Rd>(page(9), &named).unwrap();
    assert_eq!(rd.pa(), Pa(page(9)));
    let locked: Vec<_> = set.collect();
    assert!(
        locked
            .iter()
            .map(|granule| granule.pa().0)
            .eq(named.iter().copied())
    );
    drop((rd, locked));

    let fails = |first, rest: &[u64]| m.table.lock_many::<Rd>(first, rest).err();
    assert_eq!(
        fails(page(9), &[page(3), page(4), page(3)]),
        Some(GranuleError::Alias)
    );
    assert_eq!(
        fails(page(9), &[page(3), page(9)]),
        Some(GranuleError::Alias)
    );
    assert_eq!(
        fails(page(9), &[page(3), page(25)]),
        Some(GranuleError::WrongState)
    );
    assert_eq!(
        fails(page(9), &[page(3), page(4) + 8]),
        Some(GranuleError::Unaligned)
    );
    assert_eq!(fails(page(8), &[page(3)]), Some(GranuleError::WrongState));
    assert_eq!(
        fails(page(9), &[0; MAX_SET + 1]),
        Some(GranuleError::TooMany)
    );
    // Nothing is still locked. The first one may be the lowest, the highest or the only one.
    let most: Vec<u64> = (0..9).chain(10..18).map(page).collect();
    assert_eq!(
        m.table.lock_many::<Rd>(page(9), &most).unwrap().1.count(),
        MAX_SET
    );
    assert_eq!(m.table.lock_many::<Rd>(page(9), &[]).unwrap().1.count(), 0);
    assert_eq!(
        m.table
            .lock_many::<Rd>(page(9), &most[9..])
            .unwrap()
            .1
            .count(),
        8
    );
    assert_eq!(
        m.table
            .lock_many::<Rd>(page(9), &most[..9])
            .unwrap()
            .1
            .count(),
        9
    );
}
