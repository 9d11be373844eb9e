// SPDX-License-Identifier: BSD-3-Clause
//! Orders of conditions that no other test meets: what is wrong with the record of an entry comes
//! before what is wrong with the REC.

use rmm_abi::psci;
use rmm_core::fake::{Host, Status, Zoo};

// Conformance: RMI_REC_ENTER run<rec_state
#[test]
fn a_bad_record_precedes_a_running_rec() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    let bad: Vec<u64> = zoo.bad_ns(&[]).into_iter().map(|bad| bad.pa).collect();
    let realm = host.realm().active(1);
    let rec = realm.rec_pa(0);
    realm.script(0, move |cpu| async move {
        for run in bad {
            let status = cpu.meanwhile(|host| host.rec_enter(rec, run));
            assert_eq!(status, Status::Input, "{run:#x}");
        }
    });
    let _exit = realm.enter(0);
}

// Conformance: RMI_REC_ENTER run<rec_psci
#[test]
fn a_bad_record_precedes_a_pending_psci_request() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    let realm = host.realm().active(2);
    realm.script(0, |cpu| async move {
        let _gprs = cpu.smc(&[psci::fid::PSCI_AFFINITY_INFO, 1, 0]).await;
    });
    realm.may_be_unfinished();
    let _exit = realm.enter(0);
    let rec = realm.rec_pa(0);
    for bad in zoo.bad_ns(&[]) {
        assert_eq!(host.rec_enter(rec, bad.pa), Status::Input, "{bad:x?}");
    }
    assert_eq!(realm.try_enter(0, |_| ()).0, Status::Rec);
}
