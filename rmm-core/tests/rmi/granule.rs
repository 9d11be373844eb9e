// SPDX-License-Identifier: BSD-3-Clause
//! RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE.

use rmm_abi::el3;
use rmm_core::fake::{Host, PAGE, Status, Zoo};
use rmm_granule::fake::Pas;
use rmm_granule::{GranuleState, Pa};

const UNDELEGATED: GranuleState = GranuleState::Undelegated;
const DELEGATED: GranuleState = GranuleState::Delegated;

fn state(host: &Host, pa: u64) -> GranuleState {
    host.board().monitor.granules.state(pa).expect("delegable")
}

// Conformance: RMI_GRANULE_DELEGATE state, wiped
#[test]
fn delegate_success() {
    let host = Host::new();
    let page = host.page_with(&[0x5A; 4096]);
    assert_eq!(host.granule_delegate(page), Status::Success);
    assert_eq!(state(&host, page), DELEGATED);
    assert_eq!(host.board().memory.pas(Pa(page)), Some(Pas::Realm));
    assert!(host.board().memory.peek(Pa(page)) == [0; 4096], "wiped");
    let call = (el3::fid::RMM_GTSI_DELEGATE, [page, 0, 0, 0]);
    assert_eq!(host.board().el3.take_calls(), [call]);
}

// Conformance: RMI_GRANULE_DELEGATE gran_align
#[test]
fn delegate_gran_align() {
    let host = Host::new();
    for bad in Zoo::unaligned(host.page()) {
        assert_eq!(host.granule_delegate(bad.pa), Status::Input, "{bad:?}");
    }
}

// Conformance: RMI_GRANULE_DELEGATE gran_bound
#[test]
fn delegate_gran_bound() {
    let host = Host::new();
    for bad in Zoo::new(&host).out_of_bound() {
        assert_eq!(host.granule_delegate(bad.pa), Status::Input, "{bad:?}");
    }
    let calls = host.board().el3.take_calls();
    assert!(calls.iter().all(|(_, args)| args[0] >= 0x8010_0000));
}

// Conformance: RMI_GRANULE_DELEGATE gran_state
#[test]
fn delegate_gran_state() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    for bad in zoo.states_but(UNDELEGATED) {
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
        assert_eq!(state(&host, page), UNDELEGATED);
        host.move_to(page, Pas::NonSecure);
        assert_eq!(host.granule_delegate(page), Status::Success);
    }
}

// Conformance: RMI_GRANULE_DELEGATE gran_gpt
#[test]
fn delegate_refused_by_el3() {
    let host = Host::new();
    let page = host.page_with(b"still the Host's");
    for status in [el3::error::BAD_ADDR, el3::error::BAD_PAS, el3::error::UNK] {
        host.board().el3.set_hook(move |_, _| Some(status));
        assert_eq!(host.granule_delegate(page), Status::Input);
    }
    host.board().el3.clear_hook();
    assert_eq!(host.read(page, 16), b"still the Host's");
    assert_eq!(host.granule_delegate(page), Status::Success);
}

// Conformance: RMI_GRANULE_DELEGATE gran_bound
#[test]
fn delegate_where_there_is_no_ram() {
    let host = Host::new();
    let hole = 0x8800_0000;
    assert_eq!(host.granule_delegate(hole), Status::Input);
    assert!(!host.board().el3.is_realm_hole(hole), "nothing is changed");
}

// Conformance: RMI_GRANULE_UNDELEGATE state
#[test]
fn undelegate_success() {
    let host = Host::new();
    let page = host.granule();
    let _calls = host.board().el3.take_calls();
    assert_eq!(host.granule_undelegate(page), Status::Success);
    assert_eq!(state(&host, page), UNDELEGATED);
    assert_eq!(host.board().memory.pas(Pa(page)), Some(Pas::NonSecure));
    let call = (el3::fid::RMM_GTSI_UNDELEGATE, [page, 0, 0, 0]);
    assert_eq!(host.board().el3.take_calls(), [call]);
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_align
#[test]
fn undelegate_gran_align() {
    let host = Host::new();
    for bad in Zoo::unaligned(host.granule()) {
        assert_eq!(host.granule_undelegate(bad.pa), Status::Input, "{bad:?}");
    }
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_bound
#[test]
fn undelegate_gran_bound() {
    let host = Host::new();
    for bad in Zoo::new(&host).out_of_bound() {
        assert_eq!(host.granule_undelegate(bad.pa), Status::Input, "{bad:?}");
    }
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_state
#[test]
fn undelegate_gran_state() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    for bad in zoo.states_but(DELEGATED) {
        assert_eq!(host.granule_undelegate(bad.pa), Status::Input, "{bad:?}");
    }
}

#[test]
#[should_panic(expected = "EL3 does not take a Granule back")]
fn undelegate_refused_by_el3_is_the_end() {
    let host = Host::new();
    let page = host.granule();
    let hook = |_, _| Some(el3::error::BAD_PAS);
    host.board().el3.set_hook(hook);
    let _status = host.granule_undelegate(page);
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_content
// Conformance: Bugs others fixed undelegate_wipe
#[test]
fn content_does_not_come_back() {
    let host = Host::new();
    let realm = host.realm().create();
    let data = realm.data(0, &[0xC3; 4096]);
    assert_eq!(host.data_destroy(realm.rd, 0).0, Status::Success);
    host.undelegate(data);
    assert_eq!(host.read(data, 4096), [0; 4096]);
}

#[test]
fn each_of_two_neighbours_has_a_state() {
    let host = Host::new();
    let first = host.pages(2, PAGE);
    host.delegate(first + PAGE);
    assert_eq!(state(&host, first), UNDELEGATED);
    host.delegate(first);
    host.undelegate(first + PAGE);
    assert_eq!(state(&host, first), DELEGATED);
}
