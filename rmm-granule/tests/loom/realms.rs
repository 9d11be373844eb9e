// SPDX-License-Identifier: BSD-3-Clause
//! The count of RECs in an RD, which falls without the lock of the RD.

use super::*;
use loom::sync::atomic::{AtomicBool, Ordering};
use rmm_granule::GranuleState;

/// RMI_REALM_DESTROY that succeeds because the last REC is destroyed sees all that the other CPU did
/// for it.
#[test]
fn destroyed_without_recs() {
    loom::model(|| {
        let m = Machine::new();
        let rd = m.make::<Rd>(0);
        rd.add_refs(1);
        drop((rd, m.make::<Rec>(1)));
        cpus!(m =>
            {
                let rec = m.table.lock::<Rec>(page(1)).expect("a REC");
                m.head(0);
                let _delegated = rec.wipe_into_delegated(&*m);
                m.table.remove_rd_ref(Pa(page(0)));
            },
            {
                let rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                if rd.refs() == 0 {
                    drop(rd.wipe_into_delegated(&*m));
                }
            },
        );
        if m.table.state(page(0)) == Ok(GranuleState::Rd) {
            assert_eq!(m.table.lock::<Rd>(page(0)).expect("an RD").refs(), 0);
        }
    });
}

/// RMI_REC_ENTER reads without the lock of the RD whether the Realm is ACTIVE: it finds an RD as long as it
/// has the REC locked, and what another CPU has let it know.
#[test]
fn entered_when_active() {
    loom::model(|| {
        let m = Machine::new();
        let rd = m.make::<Rd>(0);
        rd.add_refs(1);
        drop((rd, m.make::<Rec>(1)));
        let (activated, ended) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (saw_activated, saw_ended) = (activated.clone(), ended.clone());
        cpus!(m =>
            {
                let mut rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                rd.set_active(true);
                drop(rd);
                activated.store(true, Ordering::Release);
                let mut rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                rd.set_active(false);
                drop(rd);
                ended.store(true, Ordering::Release);
            },
            {
                let after = saw_activated.load(Ordering::Acquire);
                let rec = m.table.lock::<Rec>(page(1)).expect("a REC");
                let is_active = m.table.is_active(Pa(page(0)));
                drop(rec);
                if after && !is_active {
                    assert!(!m.table.is_active(Pa(page(0))), "it has ended, and stays so");
                }
                if saw_ended.load(Ordering::Acquire) {
                    assert!(!m.table.is_active(Pa(page(0))));
                }
            },
        );
    });
}

/// The same while the REC and its Realm are destroyed, and the Granule becomes another RD.
#[test]
fn entered_or_destroyed() {
    loom::model(|| {
        let m = Machine::new();
        let mut rd = m.make::<Rd>(0);
        rd.add_refs(1);
        rd.set_active(true);
        drop((rd, m.make::<Rec>(1)));
        cpus!(m =>
            if let Ok(rec) = m.table.lock::<Rec>(page(1)) {
                assert!(m.table.is_active(Pa(page(0))), "the RD of a locked REC");
                drop(rec);
            },
            {
                let rec = m.table.lock::<Rec>(page(1)).expect("a REC");
                drop(rec.wipe_into_delegated(&*m));
                m.table.remove_rd_ref(Pa(page(0)));
                let rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                let next = rd.wipe_into_delegated(&*m).transition::<Rd>();
                drop(next);
                assert!(!m.table.is_active(Pa(page(0))));
            },
        );
    });
}

/// Locking, counting up and unlocking lose no count that falls at the same time.
#[test]
fn lose_no_count() {
    loom::model(|| {
        let m = Machine::new();
        let rd = m.make::<Rd>(0);
        rd.add_refs(3);
        drop(rd);
        cpus!(m =>
            m.table.remove_rd_ref(Pa(page(0))),
            m.table.remove_rd_ref(Pa(page(0))),
            {
                let rd = m.table.lock::<Rd>(page(0)).expect("an RD");
                rd.add_refs(1);
            },
        );
        assert_eq!(m.table.lock::<Rd>(page(0)).expect("an RD").refs(), 2);
    });
}
