// SPDX-License-Identifier: BSD-3-Clause
//! The commands on RTTs whose pages are those of 1.0, with Realms of 2.0: RMI_RTT_CREATE, RMI_RTT_DESTROY,
//! RMI_RTT_FOLD, RMI_RTT_READ_ENTRY, RMI_RTT_SET_RIPAS; levels and IPAs of RMI_RTT_DATA_MAP_INIT.

use rmm_abi::rmi::RecExitReason;
use rmm_abi::rsi;
use rmm_core::fake::v2::{Host2, TestRealm2};
use rmm_core::fake::{DESTROYED, EMPTY, EntryReport, GIB, MIB, PAGE, RAM, Status};
use rmm_granule::GranuleState;
use rmm_granule::GranuleState::{Delegated, Rec, Rtt};

const BLOCK: u64 = 2 * MIB;
const SINGLE: u64 = 1;

// Conformance: 2.0 RMI_RTT_CREATE level_bound, ipa_align, ipa_bound
// Conformance: 2.0 RMI_RTT_DESTROY level_bound, ipa_align, ipa_bound
// Conformance: 2.0 RMI_RTT_FOLD level_bound, ipa_align, ipa_bound
// Conformance: 2.0 RMI_RTT_READ_ENTRY level_bound, ipa_align, ipa_bound
#[test]
fn levels_and_ipas() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 2);
    let (rd, end, spare) = (realm.rd, realm.end(), realm.granule());
    // The start level is 0, and 3 the last one.
    let bad = [
        (0, 0),
        (0, -1),
        (0, 4),
        (0, i64::MIN),
        (0, i64::MAX),
        (GIB + BLOCK / 2, 3),
        (BLOCK, 2),
        (8, 3),
        (end, 3),
        (1 << 63, 3),
        (!(BLOCK - 1), 3),
    ];
    for (ipa, level) in bad {
        let what = format!("{ipa:#x} {level}");
        assert_eq!(
            host.rtt_create(rd, spare, ipa, level),
            Status::Input,
            "{what}"
        );
        assert_eq!(
            host.rtt_destroy(rd, ipa, level),
            (Status::Input, 0, 0),
            "{what}"
        );
        assert_eq!(host.rtt_fold(rd, ipa, level), (Status::Input, 0), "{what}");
    }
    for (ipa, level) in [
        (0, -1),
        (0, 4),
        (8, 3),
        (PAGE, 2),
        (BLOCK, 1),
        (end, 3),
        (1 << 63, 0),
    ] {
        let (status, _) = host.rtt_read_entry(rd, ipa, level);
        assert_eq!(status, Status::Input, "{ipa:#x} {level}");
    }
    assert_eq!(host.rtt_create(rd, spare, 0, 3), Status::Success);
}

// Conformance: 2.0 RMI_RTT_CREATE rtt_walk, rtte_state
// Conformance: 2.0 RMI_RTT_DESTROY rtt_walk, rtte_state, rtt_live, parent
// Conformance: 2.0 RMI_RTT_FOLD rtt_walk, rtte_state, rtt_homo
#[test]
fn walks() {
    let host = Host2::new();
    let realm = host.realm().create();
    let (rd, spare, middle) = (realm.rd, realm.granule(), realm.unprotected());
    assert_eq!(host.rtt_create(rd, spare, 0, 3), Status::Rtt(0));
    let top = host.rtt_destroy(rd, 0, 3);
    assert_eq!(top, (Status::Rtt(0), 0, 1 << 48), "no entry is live");
    assert_eq!(host.rtt_fold(rd, 0, 3), (Status::Rtt(0), 0));
    realm.tables(0, 3);
    realm.tables(middle, 3);
    assert_eq!(host.rtt_create(rd, spare, 0, 3), Status::Rtt(2), "TABLE");
    assert_eq!(host.rtt_destroy(rd, BLOCK, 3), (Status::Rtt(2), 0, GIB));
    assert_eq!(host.rtt_fold(rd, BLOCK, 3), (Status::Rtt(2), 0));
    let _data = realm.data(PAGE, &[]);
    assert_eq!(host.rtt_destroy(rd, 0, 3), (Status::Rtt(3), 0, 0), "live");
    assert_eq!(host.rtt_fold(rd, 0, 3), (Status::Rtt(3), 0), "not alike");
    let reply = host.rtt_data_unmap(rd, PAGE..2 * PAGE, 0, 0);
    assert_eq!(reply.status, Status::Success);
    for (ipa, ripas) in [(0, DESTROYED), (middle, EMPTY)] {
        let rtt = realm.entry(ipa, 2).desc;
        assert_eq!(host.state(rtt), Rtt);
        assert_eq!(
            host.rtt_destroy(rd, ipa, 3),
            (Status::Success, rtt, ipa + GIB)
        );
        assert_eq!(host.state(rtt), Delegated);
        assert_eq!(realm.entry(ipa, 3), EntryReport::unassigned(2, ripas));
    }
}

// Conformance: 2.0 RMI_RTT_CREATE unfold
// Conformance: 2.0 RMI_RTT_FOLD fold
// Conformance: 2.0 RMI_RTT_READ_ENTRY outputs
#[test]
fn blocks_are_unfolded_and_folded() {
    let host = Host2::new();
    let realm = host.realm().create();
    let (rd, middle) = (realm.rd, realm.unprotected());
    host.leniently(|| {
        let pa = realm.granules(512, BLOCK);
        for ipa in [0, middle] {
            realm.tables(ipa, 2);
        }
        assert_eq!(host.rtt_init_ripas(rd, 0, BLOCK).0, Status::Success);
        let reply = host.rtt_data_map(rd, 0..BLOCK, SINGLE, pa | 1 | 1 << 2);
        assert_eq!(reply, (Status::Success, BLOCK));
        let shared = SINGLE | 6 << 16 | 3 << 19;
        let reply = host.rtt_unprot_map(rd, middle..middle + BLOCK, shared, 1 | 1 << 2);
        assert_eq!(reply, (Status::Success, middle + BLOCK));
        let attributes = 6 << 2 | 3 << 6;
        let whole = [
            (0, EntryReport::assigned(2, pa, RAM)),
            (middle, EntryReport::assigned(2, attributes, EMPTY)),
            (BLOCK, EntryReport::unassigned(2, EMPTY)),
        ];
        for (ipa, block) in whole {
            assert_eq!(realm.entry(ipa, 3), block);
            let rtt = realm.granule();
            assert_eq!(host.rtt_create(rd, rtt, ipa, 3), Status::Success);
            let last = if ipa == BLOCK {
                EntryReport::unassigned(3, EMPTY)
            } else {
                EntryReport::assigned(3, block.desc + 511 * PAGE, block.ripas)
            };
            assert_eq!(realm.entry(ipa + 511 * PAGE, 3), last);
            assert_eq!(host.rtt_fold(rd, ipa, 3), (Status::Success, rtt));
            assert_eq!(realm.entry(ipa, 3), block);
            assert_eq!(host.state(rtt), Delegated);
        }
    });
}

// Conformance: 2.0 RMI_RTT_DATA_MAP_INIT ipa_align, ipa_bound
#[test]
fn initial_data_is_at_a_protected_page() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let (data, src) = (realm.granule(), host.page());
    for ipa in [8, PAGE / 2, realm.unprotected(), realm.end(), 1 << 63] {
        let status = host.rtt_data_map_init(realm.rd, data, ipa, src, 0);
        assert_eq!(status, Status::Input, "{ipa:#x}");
    }
    let status = host.rtt_data_map_init(realm.rd, data, 0, src, 0);
    assert_eq!(status, Status::Success);
}

/// Lets REC 0 request a RIPAS change of `[base, top)`, which is an exit.
fn request(realm: &TestRealm2<'_>, base: u64, top: u64, ripas: u64, flags: u64) {
    realm.script(0, move |cpu| async move {
        let fid = rsi::fid::RSI_IPA_STATE_SET;
        let gprs = cpu.smc(&[fid, base, top, ripas, flags]).await;
        assert_eq!(gprs[0], rsi::RSI_SUCCESS);
    });
    let exit = realm.enter(0);
    assert_eq!(exit.exit_reason, RecExitReason::RipasChange as u8);
}

// Conformance: 2.0 RMI_RTT_SET_RIPAS rd, rec, rec_owner, size_valid, base_bound, top_bound, top_gran_align
#[test]
fn inputs_of_a_ripas_change() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(2);
    let other = host.realm().create().with_recs(1);
    let (rd, rec) = (realm.rd, realm.rec_pa(0));
    realm.tables(0, 3);
    request(&realm, PAGE, 4 * PAGE, RAM, 0);
    let set = |rd, rec, base, top| host.rtt_set_ripas(rd, rec, base, top);
    let failed = |status| (status, 0);
    for bad in [rd + 8, rec, realm.params.rtt_base, host.page(), 0x0900_0000] {
        assert_eq!(
            set(bad, rec, PAGE, 2 * PAGE),
            failed(Status::Input),
            "{bad:#x}"
        );
    }
    for bad in [rec + 8, rd, realm.params.rtt_base, host.page(), 0x0900_0000] {
        assert_eq!(
            set(rd, bad, PAGE, 2 * PAGE),
            failed(Status::Input),
            "{bad:#x}"
        );
    }
    assert_eq!(set(other.rd, rec, PAGE, 2 * PAGE), failed(Status::Rec));
    assert_eq!(
        set(rd, other.rec_pa(0), PAGE, 2 * PAGE),
        failed(Status::Rec)
    );
    for (base, top) in [
        (PAGE, PAGE),
        (PAGE, 0),
        (0, 2 * PAGE),
        (2 * PAGE, 3 * PAGE),
        (PAGE, 5 * PAGE),
        (PAGE, PAGE + 8),
    ] {
        assert_eq!(
            set(rd, rec, base, top),
            failed(Status::Input),
            "{base:#x} {top:#x}"
        );
    }
    // Nothing is requested of the other REC.
    assert_eq!(
        set(rd, realm.rec_pa(1), PAGE, 2 * PAGE),
        failed(Status::Input)
    );
    assert_eq!(set(rd, rec, PAGE, 4 * PAGE), (Status::Success, 4 * PAGE));
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);
}

// Conformance: 2.0 RMI_RTT_SET_RIPAS rec_state
#[test]
fn the_ripas_change_of_a_running_rec() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    let (rd, rec) = (realm.rd, realm.rec_pa(0));
    realm.script(0, move |cpu| async move {
        let reply = cpu.meanwhile(|host| host.rtt_set_ripas(rd, rec, 0, PAGE));
        assert_eq!(reply, (Status::Rec, 0));
    });
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);
    assert_eq!(host.state(rec), Rec);
}

// Conformance: 2.0 RMI_RTT_SET_RIPAS base_align, no_progress, ripas, ripas_addr
#[test]
fn a_ripas_change() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    let (rd, rec) = (realm.rd, realm.rec_pa(0));
    realm.tables(0, 3);
    let set = |base, top| host.rtt_set_ripas(rd, rec, base, top);
    let top = 3 * BLOCK / 2;
    request(&realm, BLOCK - 2 * PAGE, top, RAM, 0);
    assert_eq!(set(BLOCK - 2 * PAGE, top), (Status::Success, BLOCK));
    assert_eq!(realm.entry(BLOCK - PAGE, 3).ripas, RAM);
    assert_eq!(realm.entry(BLOCK - 3 * PAGE, 3).ripas, EMPTY);
    assert_eq!(set(BLOCK, top), (Status::Rtt(2), 0), "no_progress");
    realm.tables(BLOCK, 3);
    assert_eq!(set(BLOCK, top), (Status::Success, top));
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);

    let base = 2 * BLOCK + PAGE;
    request(&realm, base, 3 * BLOCK, RAM, 0);
    assert_eq!(set(base, 3 * BLOCK), (Status::Rtt(2), 0), "base_align");
    realm.tables(base, 3);
    assert_eq!(set(base, 3 * BLOCK), (Status::Success, 3 * BLOCK));
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);

    // Where the entry has the RIPAS already, it need not be whole.
    request(&realm, base, base + PAGE, EMPTY, 0);
    assert_eq!(set(base, base + PAGE), (Status::Success, base + PAGE));
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);
    request(&realm, 5 * BLOCK + PAGE, 5 * BLOCK + 2 * PAGE, EMPTY, 0);
    let top = 5 * BLOCK + 2 * PAGE;
    assert_eq!(set(5 * BLOCK + PAGE, top), (Status::Success, top));
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);
    assert_eq!(host.state(rd), GranuleState::Rd);
}

// Conformance: 2.0 RMI_RTT_SET_RIPAS destroyed
#[test]
fn a_ripas_change_of_destroyed_pages() {
    const CHANGE_DESTROYED: u64 = 1;
    let host = Host2::new();
    let realm = host.realm().create();
    let (rd, rec) = (realm.rd, realm.rec(true));
    let rec = realm.rec_pa(rec);
    for page in 0..3 {
        let _data = realm.data(page * PAGE, &[]);
    }
    realm.activate();
    let reply = host.rtt_data_unmap(rd, 0..3 * PAGE, 0, 0);
    assert_eq!(reply.status, Status::Success);
    let set = |base, top| host.rtt_set_ripas(rd, rec, base, top);
    assert_eq!(realm.entry(0, 3).ripas, DESTROYED);
    // It is no RAM that the Realm takes for its old one.
    request(&realm, 0, PAGE, EMPTY, 0);
    assert_eq!(set(0, PAGE), (Status::Success, PAGE));
    assert_eq!(realm.entry(0, 3).ripas, EMPTY);
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);
    request(&realm, 0, 2 * PAGE, RAM, 0);
    assert_eq!(set(0, 2 * PAGE), (Status::Success, PAGE));
    assert_eq!(set(PAGE, 2 * PAGE), (Status::Rtt(3), 0));
    assert_eq!(realm.entry(PAGE, 3).ripas, DESTROYED);
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);
    request(&realm, PAGE, 3 * PAGE, RAM, CHANGE_DESTROYED);
    assert_eq!(set(PAGE, 3 * PAGE), (Status::Success, 3 * PAGE));
    assert_eq!(realm.enter(0).exit_reason, RecExitReason::Irq as u8);
}
