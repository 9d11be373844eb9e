// SPDX-License-Identifier: BSD-3-Clause
//! The order of the failure conditions of RMI_REC_ENTER: an address that does not designate a
//! record or a REC comes before whatever is wrong with the record, the REC or its Realm.

use super::{assert_reason, with_page};
use rmm_abi::psci::fid::{PSCI_AFFINITY_INFO, PSCI_CPU_OFF};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason, RecRun};
use rmm_core::fake::{BadGranule, Host, Status, Zoo};
use zerocopy::{FromZeros, IntoBytes};

/// A record that asks for nothing.
fn plain() -> RecRun {
    RecRun::new_zeroed()
}

/// Asserts that entry to `rec` with `record` fails with `status`, and with INPUT as long as one of
/// the addresses is bad: where it can be, the page around a bad address holds the same record.
fn addresses_first(host: &Host, record: &RecRun, rec: u64, status: Status) {
    let zoo = Zoo::new(host);
    let run = host.page_with(record.as_bytes());
    let bad = zoo.bad_ns(record.as_bytes());
    bad_addresses(host, &bad, rec, run);
    assert_eq!(host.rec_enter(rec, run), status, "without bad addresses");
}

fn bad_addresses(host: &Host, records: &[BadGranule], rec: u64, run: u64) {
    for bad in records.iter().chain(&Zoo::unaligned(run)) {
        assert_eq!(host.rec_enter(rec, bad.pa), Status::Input, "run {bad:x?}");
    }
    for bad in Zoo::unaligned(rec) {
        assert_eq!(host.rec_enter(bad.pa, run), Status::Input, "rec {bad:x?}");
    }
}

// Conformance: RMI_REC_ENTER run<realm_new, rec_align<realm_new
#[test]
fn before_realm_new() {
    let host = Host::new();
    let realm = host.realm().create();
    let rec = realm.rec_pa(realm.rec(true));
    addresses_first(&host, &plain(), rec, Status::Realm(0));
}

// Conformance: RMI_REC_ENTER run<system_off, rec_align<system_off
#[test]
fn before_system_off() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.turn_off();
    addresses_first(&host, &plain(), realm.rec_pa(0), Status::Realm(1));
}

// Conformance: RMI_REC_ENTER run<rec_state, rec_align<rec_state
#[test]
fn before_rec_state() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    let (bad, run) = (zoo.bad_ns(&[]), host.page());
    let realm = host.realm().active(1);
    let rec = realm.rec_pa(0);
    realm.script(0, move |cpu| async move {
        cpu.meanwhile(|host| {
            bad_addresses(host, &bad, rec, run);
            assert_eq!(host.rec_enter(rec, run), Status::Rec, "RUNNING");
        });
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_ENTER run<rec_runnable, rec_align<rec_runnable
#[test]
fn before_rec_runnable() {
    let host = Host::new();
    let realm = host.realm().active(2);
    addresses_first(&host, &plain(), realm.rec_pa(1), Status::Rec);
    realm.script(0, |cpu| async move {
        let _never = cpu.smc(&[PSCI_CPU_OFF]).await;
    });
    realm.may_be_unfinished();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    addresses_first(&host, &plain(), realm.rec_pa(0), Status::Rec);
}

// Conformance: RMI_REC_ENTER run<rec_psci, rec_align<rec_psci
#[test]
fn before_rec_psci() {
    let host = Host::new();
    let realm = host.realm().active(2);
    realm.script(0, |cpu| async move {
        let _gprs = cpu.smc(&[PSCI_AFFINITY_INFO, 1, 0]).await;
    });
    realm.may_be_unfinished();
    assert_reason(&realm.enter(0), RecExitReason::Psci);
    addresses_first(&host, &plain(), realm.rec_pa(0), Status::Rec);
}

// Conformance: RMI_REC_ENTER run<rec_gicv3, rec_align<rec_gicv3
#[test]
fn before_rec_gicv3() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let mut record = plain();
    record.enter.gicv3_hcr = 1;
    addresses_first(&host, &record, realm.rec_pa(0), Status::Rec);
}

// Conformance: RMI_REC_ENTER run<rec_mmio, rec_align<rec_mmio
#[test]
fn before_rec_mmio() {
    let host = Host::new();
    let realm = with_page(&host);
    let mut record = plain();
    record.enter.flags = RecEnterFlags::EMUL_MMIO.bits();
    addresses_first(&host, &record, realm.rec_pa(0), Status::Rec);
}
