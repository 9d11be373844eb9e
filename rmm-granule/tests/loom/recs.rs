// SPDX-License-Identifier: BSD-3-Clause
//! RECs, which are used without their lock while RUNNING.

use super::*;

/// Enters the REC in Granule number `n` if it is not RUNNING. Returns whether it did.
fn enter(m: &Machine, n: usize) -> bool {
    let Ok(rec) = m.table.lock::<Rec>(page(n)) else {
        return false;
    };
    let Ok(rec) = rec.pin() else {
        return false;
    };
    assert_eq!(m.head(n), 1);
    m.add(n, 1);
    drop(rec);
    true
}

#[test]
fn run_on_one_cpu() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.make::<Rec>(0));
        let try_to_run = |m: &Machine| {
            enter(m, 0);
        };
        cpus!(m => try_to_run(&m), try_to_run(&m));
        let rec = m.table.lock::<Rec>(page(0)).expect("a REC");
        assert!(!rec.is_running());
        assert!((2..=3).contains(&m.body(0)));
    });
}

/// A REC that is pinned as soon as it is created is unlocked by the pin alone. Whoever locks it then
/// finds its head written.
#[test]
fn entered_at_creation() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.delegated(0));
        cpus!(m =>
            {
                let granule = m.table.lock::<Delegated>(page(0)).expect("DELEGATED");
                let content = granule.new_content::<_, Rec>(&*m);
                m.set_head(0, 1);
                let mut rec = content.commit().pin().expect("READY");
                rec.map_with_aux(&*m);
                m.add(0, 1);
            },
            if let Ok(rec) = m.table.lock::<Rec>(page(0)) {
                let head = rec.head(&*m);
                assert_eq!(m.head(0), 1);
                drop(head);
            },
        );
    });
}

/// RMI_REC_DESTROY finds the REC RUNNING, or no other CPU at its content any more.
#[test]
fn destroyed_when_ready() {
    loom::model(|| {
        let m = Machine::new();
        drop(m.make::<Rec>(0));
        cpus!(m =>
            {
                enter(&m, 0);
            },
            {
                let rec = m.table.lock::<Rec>(page(0)).expect("a REC");
                assert_eq!(m.head(0), 1);
                if !rec.is_running() {
                    drop(rec.wipe_into_delegated(&*m));
                    return;
                }
                drop(rec);
                assert!(m.table.lock::<Rec>(page(0)).is_ok());
            },
        );
    });
}

/// RMI_PSCI_COMPLETE reads the head of a target that may be RUNNING, and changes its body only if it
/// is not.
#[test]
fn looked_at_while_running() {
    loom::model(|| {
        let m = Machine::new();
        drop((m.make::<Rec>(0), m.make::<Rec>(1)));
        cpus!(m =>
            {
                enter(&m, 0);
            },
            {
                let pair = m.table.lock_pair::<Rec, Rec>(page(1), page(0));
                let (mut calling, mut target) = pair.expect("two RECs");
                let ready = calling.map(&*m).expect("READY");
                m.add(1, 1);
                assert_eq!(m.head(0), 1);
                let window = target.map(&*m);
                if window.is_some() {
                    m.add(0, 16);
                }
                drop((ready, window));
            },
        );
        assert!([2, 18].contains(&m.body(0)));
    });
}

/// The same with a third CPU that destroys the target.
#[test]
fn looked_at_while_running_and_destroyed() {
    bounded(|| {
        let m = Machine::new();
        drop((m.make::<Rec>(0), m.make::<Rec>(1)));
        cpus!(m =>
            {
                enter(&m, 0);
            },
            if let Ok(rec) = m.table.lock::<Rec>(page(0))
                && !rec.is_running()
            {
                drop(rec.wipe_into_delegated(&*m));
            },
            if let Ok((_calling, mut target)) = m.table.lock_pair::<Rec, Rec>(page(1), page(0)) {
                m.add(1, 1);
                assert_eq!(m.head(0), 1);
                if target.map(&*m).is_some() {
                    m.add(0, 16);
                }
            },
        );
    });
}
