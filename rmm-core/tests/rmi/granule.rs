// SPDX-License-Identifier: BSD-3-Clause
//! RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE.

use rmm_abi::el3;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{Host, PAGE, Samples, Status, assert_reason, audit};
use rmm_granule::fake::Pas;
use rmm_granule::{GranuleState, Pa};
use zerocopy::IntoBytes;

const UNDELEGATED: GranuleState = GranuleState::Undelegated;
const DELEGATED: GranuleState = GranuleState::Delegated;

// Conformance: RMI_GRANULE_DELEGATE state, wiped
#[test]
fn delegate_success() {
    let host = Host::new();
    let page = host.page_with(&[0x5A; 4096]);
    assert_eq!(host.granule_delegate(page), Status::Success);
    assert_eq!(host.state(page), DELEGATED);
    assert_eq!(host.board().memory.pas(Pa(page)), Some(Pas::Realm));
    assert!(host.board().memory.peek(Pa(page)) == [0; 4096], "wiped");
    let call = (el3::fid::RMM_GTSI_DELEGATE, [page, 0, 0, 0]);
    assert_eq!(host.board().el3.take_calls(), [call]);
}

// Conformance: RMI_GRANULE_DELEGATE gran_align
#[test]
fn delegate_gran_align() {
    let host = Host::new();
    for bad in Samples::unaligned(host.page()) {
        assert_eq!(host.granule_delegate(bad.pa), Status::Input, "{bad:?}");
    }
}

// Conformance: RMI_GRANULE_DELEGATE gran_bound
#[test]
fn delegate_gran_bound() {
    let host = Host::new();
    for bad in Samples::new(&host).out_of_bound() {
        assert_eq!(host.granule_delegate(bad.pa), Status::Input, "{bad:?}");
    }
    let calls = host.board().el3.take_calls();
    assert!(calls.iter().all(|(_, args)| args[0] >= 0x8010_0000));
}

// Conformance: RMI_GRANULE_DELEGATE gran_state
#[test]
fn delegate_gran_state() {
    let host = Host::new();
    let samples = Samples::new(&host);
    for bad in samples.states_but(UNDELEGATED) {
        assert_eq!(host.granule_delegate(bad.pa), Status::Input, "{bad:?}");
    }
}

// Conformance: RMI_GRANULE_DELEGATE gran_gpt
#[test]
fn delegate_gran_gpt() {
    let host = Host::new();
    for pas in [Pas::Secure, Pas::Root, Pas::Realm] {
        let page = host.page();
        host.move_to(page, pas);
        assert_eq!(host.granule_delegate(page), Status::Input, "{pas:?}");
        assert_eq!(host.state(page), UNDELEGATED);
        host.move_to(page, Pas::NonSecure);
        assert_eq!(host.granule_delegate(page), Status::Success);
    }
}

// Conformance: RMI_GRANULE_DELEGATE gran_gpt
#[test]
fn delegate_refused_by_el3() {
    let host = Host::new();
    let page = host.page_with(b"Host memory");
    for status in [el3::error::BAD_ADDR, el3::error::BAD_PAS, el3::error::UNK] {
        host.board().el3.set_hook(move |_, _| Some(status));
        assert_eq!(host.granule_delegate(page), Status::Input);
    }
    host.board().el3.clear_hook();
    assert_eq!(host.read(page, 11), b"Host memory");
    assert_eq!(host.granule_delegate(page), Status::Success);
}

// Conformance: RMI_GRANULE_DELEGATE gran_bound
#[test]
fn delegate_without_ram() {
    let host = Host::new();
    let hole = 0x8800_0000;
    assert_eq!(host.granule_delegate(hole), Status::Input);
    assert!(
        !host.board().el3.is_realm_hole(hole),
        "changed by a failed command"
    );
}

// Conformance: RMI_GRANULE_UNDELEGATE state
#[test]
fn undelegate_success() {
    let host = Host::new();
    let page = host.granule();
    let _calls = host.board().el3.take_calls();
    assert_eq!(host.granule_undelegate(page), Status::Success);
    assert_eq!(host.state(page), UNDELEGATED);
    assert_eq!(host.board().memory.pas(Pa(page)), Some(Pas::NonSecure));
    let call = (el3::fid::RMM_GTSI_UNDELEGATE, [page, 0, 0, 0]);
    assert_eq!(host.board().el3.take_calls(), [call]);
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_align
#[test]
fn undelegate_gran_align() {
    let host = Host::new();
    for bad in Samples::unaligned(host.granule()) {
        assert_eq!(host.granule_undelegate(bad.pa), Status::Input, "{bad:?}");
    }
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_bound
#[test]
fn undelegate_gran_bound() {
    let host = Host::new();
    for bad in Samples::new(&host).out_of_bound() {
        assert_eq!(host.granule_undelegate(bad.pa), Status::Input, "{bad:?}");
    }
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_state
#[test]
fn undelegate_gran_state() {
    let host = Host::new();
    let samples = Samples::new(&host);
    for bad in samples.states_but(DELEGATED) {
        assert_eq!(host.granule_undelegate(bad.pa), Status::Input, "{bad:?}");
    }
}

#[test]
#[should_panic(expected = "EL3 does not take a Granule back")]
fn undelegate_refused_by_el3_stops_the_monitor() {
    let host = Host::new();
    let page = host.granule();
    let hook = |_, _| Some(el3::error::BAD_PAS);
    host.board().el3.set_hook(hook);
    let _status = host.granule_undelegate(page);
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_content
// Conformance: Bugs others fixed undelegate_wipe
#[test]
fn content_of_data_does_not_come_back() {
    let host = Host::new();
    let realm = host.realm().create();
    let data = realm.data(0, &[0xC3; 4096]);
    assert_eq!(host.data_destroy(realm.rd, 0).0, Status::Success);
    host.undelegate(data);
    assert_eq!(host.read(data, 4096), [0; 4096]);
}

const SECRET: u64 = 0x5EC2_E75E_C2E7_5EC2;

// Conformance: RMI_GRANULE_UNDELEGATE gran_content
// Conformance: Invariants wiped
#[test]
fn granules_of_each_state_come_back_wiped() {
    let host = Host::new();
    let realm = host.realm().create();
    let rec = realm.rec_of(realm.rec(true));
    let data = realm.data(0, [SECRET; 512].as_bytes());
    let rtt = realm.entry(0, 2).desc;
    realm.activate();
    realm.script(0, |cpu| async move {
        cpu.context(|context| context.gprs.fill(SECRET));
        cpu.simd(|simd| simd.q.fill([SECRET; 2]))
            .await
            .expect("SIMD");
        cpu.el1(|el1| el1.tpidr_el1 = SECRET);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
    assert_eq!(host.data_destroy(realm.rd, 0).0, Status::Success);
    assert_eq!(host.rtt_destroy(realm.rd, 0, 3).1, rtt);
    assert_eq!(host.rec_destroy(rec.rec), Status::Success);
    let (rd, base) = (realm.rd, realm.params.rtt_base);
    for pa in rec.aux.into_iter().chain([data, rtt, rec.rec]) {
        // Asserts that it is all zero.
        host.undelegate(pa);
        host.delegate(pa);
    }
    realm.destroy();
    for pa in [rd, base] {
        assert_eq!(host.read(pa, 4096), [0; 4096]);
    }
}

// Conformance: RMI_DATA_CREATE_UNKNOWN state
#[test]
fn one_granule_in_each_state_in_turn() {
    let host = Host::new();
    let realm = host.realm().active(0);
    let granule = host.page();
    let params = host.realm().prepared();
    for _ in 0..2 {
        host.delegate(granule);
        // RTT.
        assert_eq!(host.rtt_create(realm.rd, granule, 0, 1), Status::Success);
        assert_eq!(host.granule_undelegate(granule), Status::Input);
        assert_eq!(host.rtt_destroy(realm.rd, 0, 1).1, granule);
        // DATA.
        realm.tables(0, 3);
        assert_eq!(
            host.data_create_unknown(realm.rd, granule, 0),
            Status::Success
        );
        assert_eq!(host.granule_undelegate(granule), Status::Input);
        assert_eq!(host.data_destroy(realm.rd, 0).1, granule);
        for (ipa, level) in [(0, 3), (0, 2), (0, 1)] {
            assert_eq!(host.rtt_destroy(realm.rd, ipa, level).0, Status::Success);
        }
        // RD.
        let params_ptr = host.page_with(params.as_bytes());
        assert_eq!(host.realm_create(granule, params_ptr), Status::Success);
        assert_eq!(host.granule_undelegate(granule), Status::Input);
        assert_eq!(host.realm_destroy(granule), Status::Success);
        // REC and REC_AUX.
        let other = host.realm().create();
        for n in [0, 1] {
            let (index, mut rec) = (n, granule);
            let mut params = other.rec_params(index, true);
            if n == 1 {
                rec = std::mem::replace(&mut params.aux[0], granule);
            }
            let params_ptr = host.page_with(params.as_bytes());
            assert_eq!(host.rec_create(other.rd, rec, params_ptr), Status::Success);
            assert_eq!(host.granule_undelegate(granule), Status::Input);
            assert_eq!(host.rec_destroy(rec), Status::Success);
        }
        host.undelegate(granule);
    }
    let _counts = audit(&host);
}

#[test]
fn neighbours_have_different_states() {
    let host = Host::new();
    let first = host.pages(2, PAGE);
    host.delegate(first + PAGE);
    assert_eq!(host.state(first), UNDELEGATED);
    host.delegate(first);
    host.undelegate(first + PAGE);
    assert_eq!(host.state(first), DELEGATED);
}
