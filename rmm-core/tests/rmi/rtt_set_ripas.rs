// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RTT_SET_RIPAS.

use super::rtt_init_ripas::{assert_unassigned, done, failed};
use rmm_abi::rmi::RecExitReason;
use rmm_abi::{psci, rsi};
use rmm_core::fake::{
    DESTROYED, EMPTY, EntryReport, GIB, Host, MIB, PAGE, RAM, Samples, Status, TestRealm,
    assert_reason, esr,
};
use rmm_granule::GranuleState;

/// RMI_RTT_SET_RIPAS with REC 0.
fn set(realm: &TestRealm<'_>, base: u64, top: u64) -> (Status, u64) {
    realm
        .host
        .rtt_set_ripas(realm.rd, realm.rec_pa(0), base, top)
}

/// Lets REC 0 request a RIPAS change, which is an exit.
fn request(realm: &TestRealm<'_>, base: u64, top: u64, ripas: u64, flags: u64) {
    realm.script(0, move |cpu| async move {
        let fid = rsi::fid::RSI_IPA_STATE_SET;
        let gprs = cpu.smc(&[fid, base, top, ripas, flags]).await;
        assert_eq!(gprs[0], rsi::RSI_SUCCESS);
        cpu.irq().await;
    });
    realm.allow_unfinished_scripts();
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::RipasChange);
    assert_eq!((exit.ripas_base, exit.ripas_top), (base, top));
    assert_eq!(u64::from(exit.ripas_value), ripas);
}

// Conformance: RMI_RTT_SET_RIPAS size_valid, top_gran_align
#[test]
fn size_valid_and_top_gran_align() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 3);
    request(&realm, 0, 8 * PAGE, RAM, 0);
    for top in [0, 1, PAGE - 1, PAGE + 8] {
        assert_eq!(set(&realm, 0, top), failed(Status::Input), "{top:#x}");
    }
}

// Conformance: RMI_RTT_SET_RIPAS rd_align, rd_bound, rd_state
// Conformance: RMI_RTT_SET_RIPAS rec_align, rec_bound, rec_gran_state
#[test]
fn rd_and_rec_align_bound_state() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let realm = &samples.realm;
    realm.activate();
    request(realm, PAGE, 2 * PAGE, RAM, 0);
    let by = |rd, rec| host.rtt_set_ripas(rd, rec, PAGE, 2 * PAGE);
    for bad in samples.bad(GranuleState::Rd) {
        let (rd, rec) = (bad.pa, realm.rec_pa(0));
        assert_eq!(by(rd, rec), failed(Status::Input), "{bad:x?}");
    }
    for bad in samples.bad(GranuleState::Rec) {
        let (rd, rec) = (realm.rd, bad.pa);
        assert_eq!(by(rd, rec), failed(Status::Input), "{bad:x?}");
    }
    assert_eq!(set(realm, PAGE, 2 * PAGE), done(2 * PAGE));
}

// Conformance: RMI_RTT_SET_RIPAS rec_state
#[test]
fn rec_state() {
    let host = Host::new();
    let realm = host.realm().active(1);
    let (rd, rec) = (realm.rd, realm.rec_pa(0));
    realm.script(0, move |cpu| async move {
        let status = cpu.meanwhile(|host| host.rtt_set_ripas(rd, rec, 0, PAGE));
        assert_eq!(status, (Status::Rec, 0), "RUNNING");
    });
    let _exit = realm.enter(0);
    assert_eq!(set(&realm, 0, PAGE), failed(Status::Input), "READY");
}

// Conformance: RMI_RTT_SET_RIPAS rec_owner, rec_owner<top_bound
#[test]
fn rec_owner() {
    let host = Host::new();
    let (realm, other) = (host.realm().active(1), host.realm().active(1));
    realm.tables(0, 3);
    request(&realm, 0, PAGE, RAM, 0);
    let by = |rd, rec| host.rtt_set_ripas(rd, rec, 0, PAGE);
    let foreign = by(other.rd, realm.rec_pa(0));
    assert_eq!(foreign, failed(Status::Rec));
    // rec_owner < top_bound: the other REC has no request.
    let foreign = by(realm.rd, other.rec_pa(0));
    assert_eq!(foreign, failed(Status::Rec));
    assert_eq!(set(&realm, 0, PAGE), done(PAGE));
}

// Conformance: RMI_RTT_SET_RIPAS base_bound, out_top
#[test]
fn base_bound() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 3);
    request(&realm, PAGE, 8 * PAGE, RAM, 0);
    for base in [0, 2 * PAGE, PAGE + 8, 7 * PAGE] {
        assert_eq!(set(&realm, base, 8 * PAGE), failed(Status::Input));
    }
    assert_eq!(set(&realm, PAGE, 3 * PAGE), done(3 * PAGE));
    assert_eq!(set(&realm, PAGE, 8 * PAGE), failed(Status::Input), "done");
    assert_eq!(set(&realm, 3 * PAGE, 8 * PAGE), done(8 * PAGE));
}

// Conformance: RMI_RTT_SET_RIPAS top_bound
#[test]
fn top_bound() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 3);
    request(&realm, 0, 8 * PAGE, RAM, 0);
    for top in [9 * PAGE, GIB, u64::MAX - (PAGE - 1)] {
        assert_eq!(set(&realm, 0, top), failed(Status::Input));
    }
    assert_eq!(set(&realm, 0, 8 * PAGE), done(8 * PAGE));
    assert_eq!(set(&realm, 8 * PAGE, 9 * PAGE), failed(Status::Input));
}

// Conformance: RMI_RTT_SET_RIPAS no_request
// Conformance: RMI_REC_CREATE nothing_pending
#[test]
fn no_request() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 3);
    assert_eq!(set(&realm, 0, PAGE), failed(Status::Input), "never entered");
    let _exit = realm.enter(0);
    assert_eq!(set(&realm, 0, PAGE), failed(Status::Input), "IRQ");
    assert_unassigned(&realm, 0, EMPTY);
}

// Conformance: RMI_RTT_SET_RIPAS no_request
#[test]
fn no_request_after_another_exit() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 3);
    request(&realm, 0, 8 * PAGE, RAM, 0);
    let _exit = realm.enter(0);
    assert_eq!(set(&realm, 0, PAGE), failed(Status::Input));
    assert_unassigned(&realm, 0, EMPTY);
}

// Conformance: RMI_RTT_SET_RIPAS base_align
#[test]
fn base_align() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 2);
    request(&realm, PAGE, 4 * MIB, RAM, 0);
    assert_eq!(set(&realm, PAGE, 4 * MIB), failed(Status::Rtt(2)));
    realm.tables(0, 3);
    assert_eq!(set(&realm, PAGE, 4 * MIB), done(2 * MIB));
    assert_eq!(set(&realm, 2 * MIB, 4 * MIB), done(4 * MIB));
}

// Conformance: RMI_RTT_SET_RIPAS has_it_already
#[test]
fn has_it_already() {
    // Then base_align is no failure.
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 2);
    realm.ram(0, 2 * MIB);
    realm.activate();
    request(&realm, PAGE, 4 * MIB, RAM, 0);
    assert_eq!(set(&realm, PAGE, 4 * MIB), done(2 * MIB));
    // Nor is no_progress a failure then.
    request(&realm, 0, PAGE, RAM, 0);
    assert_eq!(set(&realm, 0, PAGE), done(PAGE));
}

// Conformance: RMI_RTT_SET_RIPAS no_progress
#[test]
fn no_progress() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 2);
    request(&realm, 0, 4 * MIB, RAM, 0);
    assert_eq!(set(&realm, 0, MIB), failed(Status::Rtt(2)));
    assert_eq!(set(&realm, 0, 4 * MIB), done(4 * MIB));
}

// Conformance: RMI_RTT_SET_RIPAS no_progress_destroyed
#[test]
fn no_progress_at_destroyed() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.data(PAGE, &[]);
    assert_eq!(host.data_destroy(realm.rd, PAGE).0, Status::Success);
    realm.activate();
    request(&realm, PAGE, 4 * PAGE, RAM, 0);
    assert_eq!(set(&realm, PAGE, 4 * PAGE), failed(Status::Rtt(3)));
    request(&realm, 0, 4 * PAGE, RAM, 0);
    assert_eq!(
        set(&realm, 0, 4 * PAGE),
        done(PAGE),
        "up to the page that is DESTROYED"
    );
    assert_eq!(set(&realm, PAGE, 4 * PAGE), failed(Status::Rtt(3)));
    let permit = rsi::RIPAS_CHANGE_DESTROYED;
    request(&realm, 0, 4 * PAGE, RAM, permit);
    assert_eq!(set(&realm, 0, 4 * PAGE), done(4 * PAGE));
}

// Conformance: RMI_RTT_SET_RIPAS rd<base_align, rd<no_progress, rec<rec_state, rec<rec_owner
// Conformance: RMI_RTT_SET_RIPAS base_bound<base_align, top_gran_align<no_progress
#[test]
fn order() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let realm = &samples.realm;
    realm.activate();
    request(realm, PAGE, 3 * PAGE, RAM, 0);
    let by = |rd, rec, base, top| host.rtt_set_ripas(rd, rec, base, top);
    let (rd, rec) = (realm.rd, realm.rec_pa(0));
    // rd_bound, rd_state < base_align, no_progress.
    assert_eq!(by(samples.rtt, rec, PAGE, 2 * PAGE), failed(Status::Input));
    // rec_bound, rec_gran_state < rec_state, rec_owner.
    assert_eq!(by(rd, samples.rtt, PAGE, 2 * PAGE), failed(Status::Input));
    // base_bound < base_align.
    assert_eq!(by(rd, rec, PAGE + 8, 2 * PAGE), failed(Status::Input));
    // top_gran_align < no_progress.
    assert_eq!(by(rd, rec, PAGE, PAGE + 8), failed(Status::Input));
    // REC as RD, and RD as REC.
    assert_eq!(by(rd, rd, PAGE, 2 * PAGE), failed(Status::Input));
    assert_eq!(by(rec, rec, PAGE, 2 * PAGE), failed(Status::Input));
}

/// An ACTIVE Realm with six pages from IPA 0 on: three UNASSIGNED, three ASSIGNED, each with RIPAS
/// EMPTY, RAM, DESTROYED. Returns the DATA granules as well.
fn six_pages(host: &Host) -> (TestRealm<'_>, Vec<u64>) {
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    for page in [2, 5] {
        realm.data(page * PAGE, &[]);
        let (status, _, _) = host.data_destroy(realm.rd, page * PAGE);
        assert_eq!(status, Status::Success);
    }
    for page in [1, 4] {
        realm.ram(page * PAGE, (page + 1) * PAGE);
    }
    let data = (3..6).map(|page| realm.data_unknown(page * PAGE)).collect();
    realm.activate();
    (realm, data)
}

// Conformance: RMI_RTT_SET_RIPAS to_ram, to_empty, from_destroyed
#[test]
fn success_to_each_value() {
    let host = Host::new();
    for ripas in [RAM, EMPTY] {
        let (realm, data) = six_pages(&host);
        request(&realm, 0, 6 * PAGE, ripas, rsi::RIPAS_CHANGE_DESTROYED);
        assert_eq!(set(&realm, 0, 6 * PAGE), done(6 * PAGE));
        for page in 0..3 {
            assert_unassigned(&realm, page * PAGE, ripas);
        }
        for (page, data) in (3..).zip(data) {
            let report = EntryReport::assigned(3, data, ripas);
            assert_eq!(realm.entry(page * PAGE, 3), report);
        }
    }
}

// Conformance: RMI_RTT_SET_RIPAS stops
#[test]
fn success_stops_at_destroyed() {
    let host = Host::new();
    for ripas in [RAM, EMPTY] {
        let (realm, _) = six_pages(&host);
        request(&realm, 0, 6 * PAGE, ripas, 0);
        assert_eq!(set(&realm, 0, 6 * PAGE), done(2 * PAGE));
        assert_unassigned(&realm, PAGE, ripas);
        assert_unassigned(&realm, 2 * PAGE, DESTROYED);
    }
}

// Conformance: RMI_RTT_SET_RIPAS stops_table, stops_end, out_top
#[test]
fn success_stops_at_a_table_and_at_the_end() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(4 * MIB, 3);
    request(&realm, 0, 2 * GIB, RAM, 0);
    assert_eq!(set(&realm, 0, 2 * GIB), done(4 * MIB));
    assert_eq!(set(&realm, 4 * MIB, 2 * GIB), done(6 * MIB));
    assert_eq!(set(&realm, 6 * MIB, 2 * GIB), done(GIB));
    assert_eq!(set(&realm, GIB, 2 * GIB), done(2 * GIB));
    assert_unassigned(&realm, 2 * GIB - PAGE, RAM);
    assert_unassigned(&realm, 2 * GIB, EMPTY);
}

// Conformance: RMI_RTT_SET_RIPAS out_top
#[test]
fn success_in_whole_entries() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.tables(0, 2);
    request(&realm, 0, 5 * MIB, RAM, 0);
    assert_eq!(set(&realm, 0, 5 * MIB), done(4 * MIB));
    assert_eq!(set(&realm, 4 * MIB, 5 * MIB), failed(Status::Rtt(2)));
}

// Conformance: RMI_RTT_SET_RIPAS tlb
#[test]
fn to_empty_keeps_the_content_and_invalidates() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.data(0, &[7; 8]);
    realm.block(2 * MIB);
    realm.activate();
    realm.script(0, |cpu| async move {
        let set = |ripas| [rsi::fid::RSI_IPA_STATE_SET, 0, PAGE, ripas, 0];
        let kept = 0x0707_0707_0707_0707;
        assert_eq!(cpu.read(0).await, Ok(kept));
        assert_eq!(cpu.smc(&set(EMPTY)).await[1], PAGE);
        let taken = cpu.read(0).await.expect_err("EMPTY");
        assert_eq!(taken.esr & 0x3F, esr::EXTERNAL);
        assert_eq!(cpu.smc(&set(RAM)).await[1], PAGE);
        assert_eq!(cpu.read(0).await, Ok(kept));
    });
    let _exit = realm.enter(0);
    assert_eq!(set(&realm, 0, PAGE), done(PAGE));
    let _exit = realm.enter(0);
    assert_eq!(set(&realm, 0, PAGE), done(PAGE));
    let _exit = realm.enter(0);
}

// Conformance: RMI_RTT_SET_RIPAS tlb
#[test]
fn on_a_block() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    let base = realm.block(2 * MIB);
    realm.activate();
    request(&realm, 2 * MIB, 4 * MIB, RAM, 0);
    assert_eq!(set(&realm, 2 * MIB, 4 * MIB), done(4 * MIB));
    let report = EntryReport::assigned(2, base, RAM);
    assert_eq!(realm.entry(2 * MIB, 3), report);
    realm.script(0, |cpu| async move {
        for page in [0, 1, 511] {
            let ipa = 2 * MIB + page * PAGE;
            cpu.write(ipa, page).await.expect("RAM");
            assert_eq!(cpu.read(ipa).await, Ok(page));
        }
        let set = rsi::fid::RSI_IPA_STATE_SET;
        let gprs = cpu.smc(&[set, 2 * MIB, 4 * MIB, EMPTY, 0]).await;
        assert_eq!(gprs[1], 4 * MIB);
        for page in [0, 1, 511] {
            let read = cpu.read(2 * MIB + page * PAGE).await;
            assert!(read.is_err(), "page {page}");
        }
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::RipasChange);
    assert_eq!(set(&realm, 2 * MIB, 4 * MIB), done(4 * MIB));
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::Irq);
}

#[test]
fn in_system_off() {
    let host = Host::new();
    let realm = host.realm().create();
    let (_first, second) = (realm.rec(true), realm.rec(true));
    realm.tables(0, 3);
    realm.activate();
    request(&realm, 0, PAGE, RAM, 0);
    realm.script(second, |cpu| async move {
        let _never = cpu.smc(&[psci::fid::PSCI_SYSTEM_OFF]).await;
    });
    let _exit = realm.enter(second);
    assert_eq!(set(&realm, 0, PAGE), done(PAGE), "in any Realm state");
}
