// SPDX-License-Identifier: BSD-3-Clause
//! Locks, and states that come with their content.

use super::*;
use rmm_granule::{Data, GranuleError, Rtt};

#[test]
fn exclude() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.make::<Rd>(0));
        let add = |m: &Machine| {
            let _rd = m.table.lock::<Rd>(page(0)).expect("an RD");
            m.add(0, 1);
        };
        cpus!(m => add(&m), add(&m));
        assert_eq!(m.body(0), 3);
    });
}

/// A lock that does not wait excludes like one that does.
#[test]
fn tried_without_waiting() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.make::<Rd>(0));
        cpus!(m =>
            {
                let _rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                m.add(0, 1);
            },
            if let Some(rd) = m.table.try_lock::<Rd>(page(0)) {
                let _rd = rd.expect("an RD");
                m.add(0, 1);
            },
        );
        assert!(m.body(0) >= 2);
    });
}

/// Of three CPUs the last one sees what the first two did.
#[test]
fn hand_on_from_cpu_to_cpu() {
    bounded(|| {
        let m = Machine::new();
        drop(m.make::<Rd>(0));
        let add = |m: &Machine| {
            let _rd = m.table.lock::<Rd>(page(0)).expect("an RD");
            m.add(0, 1);
        };
        cpus!(m => add(&m), add(&m), add(&m));
        assert_eq!(m.body(0), 4);
    });
}

/// Whoever locks a Granule in a state finds the content of that state.
#[test]
fn a_state_comes_with_its_content() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.delegated(0));
        cpus!(m =>
            {
                let granule = m.table.lock::<Delegated>(page(0)).expect("DELEGATED");
                let content = granule.new_content::<_, Rd>(&*m);
                m.add(0, 5);
                drop(content.commit());
            },
            match m.table.lock::<Rd>(page(0)) {
                Ok(_rd) => assert_eq!(m.body(0), 5),
                Err(error) => assert_eq!(error, GranuleError::WrongState),
            },
        );
    });
}

/// A DELEGATED Granule that can be locked is all zero, whatever it was used for before.
#[test]
fn delegated_is_wiped() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.make::<Data>(0));
        cpus!(m =>
            {
                let data = m.table.lock::<Data>(page(0)).expect("DATA");
                // SAFETY: the checker panics if another CPU accesses the content.
                drop(unsafe { data.wipe_unused_into_delegated(&*m) });
            },
            if let Ok(_delegated) = m.table.lock::<Delegated>(page(0)) {
                assert_eq!((m.head(0), m.body(0)), (0, 0));
            },
        );
    });
}

/// The same if new content was written and not committed.
#[test]
fn delegated_is_wiped_where_nothing_is_committed() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.delegated(0));
        cpus!(m =>
            {
                let granule = m.table.lock::<Delegated>(page(0)).expect("DELEGATED");
                let content = granule.new_content::<_, Rd>(&*m);
                m.add(0, 5);
                drop(content);
            },
            {
                let _delegated = m.table.lock::<Delegated>(page(0)).expect("DELEGATED");
                assert_eq!((m.head(0), m.body(0)), (0, 0));
            },
        );
    });
}

/// One of two CPUs gets a DELEGATED Granule.
#[test]
fn a_granule_enters_one_state() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.delegated(0));
        let take = |m: &Machine| match m.table.lock::<Delegated>(page(0)) {
            Ok(granule) => {
                m.add(0, 1);
                drop(granule.transition::<Rtt>());
            }
            Err(error) => assert_eq!(error, GranuleError::WrongState),
        };
        cpus!(m => take(&m), take(&m));
        assert_eq!(m.body(0), 1);
    });
}

/// A lock under a wrong claim, between two under the right one, does not separate these two.
#[test]
fn a_wrong_claim_stands_between_nobody() {
    bounded(|| {
        let m = Machine::new();
        drop(m.make::<Rd>(0));
        let add = |m: &Machine| {
            let _rd = m.table.lock::<Rd>(page(0)).expect("an RD");
            m.add(0, 1);
        };
        cpus!(m =>
            add(&m),
            assert!(m.table.lock::<Delegated>(page(0)).is_err()),
            add(&m),
        );
        assert_eq!(m.body(0), 3);
    });
}

/// Pairs are locked in ascending order, so that two CPUs do not wait for each other.
#[test]
fn pairs_in_opposite_order() {
    loom::model(|| {
        let m = Machine::new();
        drop((m.make::<Rd>(0), m.delegated(1)));
        cpus!(m =>
            {
                let pair = m.table.lock_pair::<Rd, Delegated>(page(0), page(1));
                let _pair = pair.expect("RD and DELEGATED");
                m.add(0, 1);
                m.add(1, 1);
            },
            {
                let pair = m.table.lock_pair::<Delegated, Rd>(page(1), page(0));
                let _pair = pair.expect("DELEGATED and RD");
                m.add(1, 1);
                m.add(0, 1);
            },
        );
        assert_eq!((m.body(0), m.body(1)), (3, 2));
    });
}

/// The same for sets.
#[test]
fn sets_in_opposite_order() {
    loom::model(|| {
        let m = Machine::new();
        drop((m.make::<Rd>(0), m.delegated(1), m.delegated(2)));
        cpus!(m =>
            {
                let set = m.table.lock_many::<Rd>(page(0), &[page(2), page(1)]);
                let (rd, mut set) = set.expect("RD and DELEGATED");
                m.add(2, 1);
                let last = set.next().expect("the one named first");
                assert_eq!(last.pa(), Pa(page(2)));
                m.add(1, 1);
                drop((rd, set, last));
            },
            {
                let set = m.table.lock_many::<Delegated>(page(1), &[page(2)]);
                let _set = set.expect("DELEGATED");
                m.add(1, 1);
                m.add(2, 1);
            },
        );
        assert_eq!((m.body(1), m.body(2)), (2, 2));
    });
}

/// A CPU that unlocks a Granule and locks it again at once comes after the one that waits.
#[test]
fn who_waits_comes_first() {
    bounded(|| {
        let m = Machine::new();
        drop(m.make::<Rd>(0));
        cpus!(m =>
            {
                let rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                let is_wanted = m.table.is_wanted(page(0));
                drop(rd);
                let rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                if is_wanted {
                    assert_eq!(m.body(0), 2, "the other CPU was first");
                }
                drop(rd);
            },
            {
                let _rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                m.add(0, 1);
            },
        );
        assert!(!m.table.is_wanted(page(0)));
        assert_eq!(m.body(0), 2);
    });
}

/// Three CPUs: each gets the Granule, and nothing stays in the queue.
#[test]
fn three_wait() {
    bounded(|| {
        let m = Machine::new();
        drop(m.make::<Rd>(0));
        let take = |m: &Machine| {
            let _rd = m.table.lock::<Rd>(page(0)).expect("an RD");
            m.add(0, 1);
        };
        cpus!(m => take(&m), take(&m), take(&m));
        assert!(!m.table.is_wanted(page(0)));
        assert_eq!(m.body(0), 4);
    });
}

/// A set that cannot be locked as a whole is unlocked.
#[test]
fn sets_that_fail() {
    loom::model(|| {
        let m = Machine::new();
        drop((m.delegated(0), m.delegated(1), m.make::<Rd>(2)));
        cpus!(m =>
            {
                let set = m.table.lock_many::<Delegated>(page(1), &[page(0), page(2)]);
                assert_eq!(set.err(), Some(GranuleError::WrongState));
            },
            {
                let set = m.table.lock_many::<Rd>(page(2), &[page(1), page(0)]);
                let _set = set.expect("RD and DELEGATED");
                m.add(0, 1);
                m.add(1, 1);
            },
        );
        assert_eq!((m.body(0), m.body(1)), (1, 1));
    });
}

/// A walk that locks a child before it unlocks the parent never meets a table that was destroyed.
#[test]
fn a_walk_meets_no_wiped_table() {
    loom::model(|| {
        let m = Machine::new();
        let root = m.make::<Rtt>(0);
        root.add_refs(1);
        drop((root, m.make::<Rtt>(1)));
        cpus!(m =>
            {
                let root = m.table.lock::<Rtt>(page(0)).expect("the root");
                if m.body(0) == 1 {
                    let _child = m.table.lock::<Rtt>(page(1)).expect("its child");
                    drop(root);
                    assert_eq!(m.body(1), 1);
                }
            },
            {
                let root = m.table.lock::<Rtt>(page(0)).expect("the root");
                let child = m.table.lock::<Rtt>(page(1)).expect("its child");
                m.add(0, 1);
                root.remove_refs(1);
                assert_eq!(root.refs(), 0);
                // SAFETY: the checker panics if another CPU accesses the content.
                drop(unsafe { child.wipe_unused_into_delegated(&*m) });
            },
        );
    });
}
