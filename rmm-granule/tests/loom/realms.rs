// SPDX-License-Identifier: BSD-3-Clause
//! The count of RECs in an RD, which falls without the lock of the RD.

use super::*;
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
