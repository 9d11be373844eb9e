// SPDX-License-Identifier: BSD-3-Clause
//! Several CPUs at once.

use crate::racing::{CPUS, ROUNDS, in_rounds};
use rmm_abi::psci;
use rmm_abi::rmi::{RealmParams, RecExitReason, fid as v1, index_to_mpidr, v2::fid};
use rmm_core::fake::v2::{Host2, realm_params, rec_params};
use rmm_core::fake::{Config, Host, PAGE, Status, audit};
use rmm_core::mode::Mode;
use rmm_granule::GranuleState::{Data, Delegated};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use zerocopy::{FromZeros, IntoBytes};

const V1_0: u64 = 0x1_0000;
const V2_0: u64 = 0x2_0000;

/// Retries while the monitor is BUSY, as a Host does.
fn call(host: &Host, function: u64, args: &[u64]) -> (Status, [u64; 8]) {
    loop {
        let reply = host.call(function, args);
        if reply.status != Status::Busy {
            return (reply.status, reply.x);
        }
        thread::yield_now();
    }
}

// Conformance: 2.0 RMI_RTT_DATA_MAP race
#[test]
fn one_page_mapped_by_several_cpus() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let (rd, pa) = (realm.rd, realm.granules(2, PAGE));
    let oaddr = pa | 2 << 2;
    in_rounds(
        &host,
        |host, _| {
            let args = [rd, 0, 2 * PAGE, 1, oaddr];
            let (status, x) = call(host, fid::RMI_RTT_DATA_MAP, &args);
            // Another CPU may be between the two pages: then this one stops there.
            assert_eq!(status, Status::Success);
            assert!([PAGE, 2 * PAGE].contains(&x[1]));
        },
        |host| {
            let (status, x) = call(host, fid::RMI_RTT_DATA_MAP, &[rd, 0, 2 * PAGE, 1, oaddr]);
            assert_eq!((status, x[1]), (Status::Success, 2 * PAGE));
            assert_eq!([pa, pa + PAGE].map(|pa| host.state(pa)), [Data, Data]);
            let (status, x) = call(host, fid::RMI_RTT_DATA_UNMAP, &[rd, 0, 2 * PAGE, 1, 0]);
            assert_eq!((status, x[1], x[2]), (Status::Success, 2 * PAGE, oaddr));
            assert_eq!(
                [pa, pa + PAGE].map(|pa| host.state(pa)),
                [Delegated, Delegated]
            );
        },
    );
}

// Conformance: 2.0 RMI_RTT_DATA_MAP race
#[test]
fn one_granule_mapped_at_several_addresses() {
    let host = Host2::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let (rd, pa) = (realm.rd, realm.granule());
    let winners = AtomicUsize::new(0);
    in_rounds(
        &host,
        |host, cpu| {
            let base = cpu as u64 * PAGE;
            let args = [rd, base, base + PAGE, 1, pa | 1 << 2];
            match call(host, fid::RMI_RTT_DATA_MAP, &args).0 {
                Status::Success => drop(winners.fetch_add(1, Ordering::SeqCst)),
                status => assert_eq!(status, Status::Input),
            }
        },
        |host| {
            assert_eq!(winners.swap(0, Ordering::SeqCst), 1);
            let mut next = 0;
            while next < CPUS as u64 * PAGE {
                let args = [rd, next, CPUS as u64 * PAGE, 0, 0];
                next = call(host, fid::RMI_RTT_DATA_UNMAP, &args).1[1];
            }
        },
    );
}

// Conformance: 2.0 RMI_REALM_TERMINATE race
#[test]
fn a_rec_is_entered_or_its_realm_terminated() {
    let host = Host2::new();
    for _ in 0..ROUNDS / 4 {
        let realm = host.leniently(|| host.realm().create().with_recs(1));
        let (rd, rec) = (realm.rd, realm.rec_pa(0));
        let run = host.page();
        let board = host.board();
        host.leniently(|| {
            let start = Barrier::new(2);
            let (entered, terminated) = thread::scope(|scope| {
                let start = &start;
                let enter = scope.spawn(move || {
                    let host = Host::of_board(board, 1);
                    start.wait();
                    host.rec_enter(rec, run)
                });
                start.wait();
                let terminated = host.realm_terminate(rd);
                (enter.join().expect("no panic"), terminated)
            });
            // In turn both may succeed. Neither fails for another reason than the other.
            assert!(matches!(entered, Status::Success | Status::Realm(0)));
            assert!(matches!(terminated, Status::Success | Status::Realm(0)));
            assert!(entered == Status::Success || terminated == Status::Success);
        });
    }
}

// Conformance: 2.0 dialects race
#[test]
fn the_dialect_changes_only_without_delegated_granules() {
    let host = Host::with(Config::v2());
    let page = [host.page(), host.page()];
    let params = {
        let params = rec_params(0, true);
        host.page_with(params.as_bytes())
    };
    in_rounds(
        &host,
        |host, cpu| match cpu {
            0 => drop(host.version(V1_0)),
            1 => drop(host.version(V2_0)),
            // Delegates and undelegates in whichever dialect there is.
            cpu => {
                let pa = page[cpu - 2];
                let by_1_0 = host.granule_delegate(pa);
                let _ = call(host, fid::RMI_RMM_ACTIVATE, &[]);
                let by_2_0 = call(host, fid::RMI_GRANULE_RANGE_DELEGATE, &[pa, pa + PAGE]).0;
                if by_1_0 == Status::Success && by_2_0 != Status::Success {
                    // The dialect was 1.0 when this began, and no other began a Realm meanwhile.
                    assert_eq!(host.realm_create(pa, params), Status::Input);
                }
            }
        },
        |host| {
            // Whatever the dialect is: the granules come back by it, and then it can be chosen.
            for pa in page {
                let _ = host.granule_undelegate(pa);
                let _ = call(host, fid::RMI_RMM_ACTIVATE, &[]);
                let _ = call(host, fid::RMI_GRANULE_RANGE_UNDELEGATE, &[pa, pa + PAGE]);
                assert_eq!(host.state(pa), rmm_granule::GranuleState::Undelegated);
            }
            assert_eq!(host.version(V1_0).0, Status::Success);
            assert_eq!(host.granule_delegate(page[0]), Status::Success, "1.0");
            assert_eq!(host.granule_undelegate(page[0]), Status::Success);
        },
    );
    let _counts = audit(&host);
}

// Conformance: 2.0 dialects late_call
#[test]
fn a_call_of_2_0_that_waited_until_the_dialect_was_1_0() {
    let host = Host::with(Config::v2());
    assert_eq!(host.version(V1_0).0, Status::Success);
    let realm = host.realm().create();
    let rec = realm.rec(true);
    realm.tables(0, 3);
    let (rd, running) = (realm.rd, realm.rec_of(rec));
    let params = host.page_with(rec_params(1, true).as_bytes());
    let late = |function, args: &[u64]| host.call_begun_in(Mode::V2Active, function, args);
    let new = realm.granule();
    let mut params_of_2_0 = realm_params();
    params_of_2_0.rtt_base = realm.granule();
    let params_of_2_0 = host.page_with(params_of_2_0.as_bytes());
    assert_eq!(
        late(fid::RMI_REALM_CREATE, &[new, params_of_2_0]),
        Status::Global
    );
    assert_eq!(late(fid::RMI_REC_CREATE, &[rd, new, params]), Status::Input);
    assert_eq!(late(fid::RMI_RTT_INIT_RIPAS, &[rd, 0, PAGE]), Status::Input);
    assert_eq!(late(fid::RMI_REALM_TERMINATE, &[rd]), Status::Input);
    let other = realm.rec(true);
    realm.activate();
    assert_eq!(
        late(fid::RMI_REC_ENTER, &[running.rec, running.run]),
        Status::Input
    );
    // A target that only a Realm of 2.0 finds by its index counts as destroyed nowhere else.
    realm.script(rec, move |cpu| async move {
        let args = [
            psci::fid::PSCI_CPU_ON,
            index_to_mpidr(other as u64),
            PAGE,
            0,
        ];
        cpu.call_returns(&args, psci::ALREADY_ON).await;
    });
    assert_eq!(realm.enter(rec).exit_reason, RecExitReason::Psci as u8);
    let denied = [running.rec, psci::DENIED];
    assert_eq!(late(fid::RMI_PSCI_COMPLETE, &denied), Status::Input);
    let target = realm.rec_pa(other);
    assert_eq!(host.psci_complete(running.rec, target, 0), Status::Success);
    assert_eq!(realm.enter(rec).exit_reason, RecExitReason::Irq as u8);
}

// Conformance: 2.0 dialects late_call
#[test]
fn a_call_of_1_0_that_waited_until_the_dialect_was_2_0() {
    let host = Host2::new();
    let realm = host.realm().create().with_recs(1);
    let (rec, run) = (realm.rec_pa(0), host.page());
    let late = |function, args: &[u64]| host.call_begun_in(Mode::V1, function, args);
    assert_eq!(late(v1::RMI_REC_ENTER, &[rec, run]), Status::Input);

    let realm = host.realm().create();
    realm.tables(0, 3);
    let mut params_of_1_0 = RealmParams::new_zeroed();
    (params_of_1_0.s2sz, params_of_1_0.vmid) = (40, host.board().new_vmid());
    (params_of_1_0.num_bps, params_of_1_0.num_wps) = (1, 1);
    (params_of_1_0.rtt_num_start, params_of_1_0.rtt_base) = (1, realm.granule());
    let params_of_1_0 = host.page_with(params_of_1_0.as_bytes());
    assert_eq!(
        late(v1::RMI_REALM_CREATE, &[realm.granule(), params_of_1_0]),
        Status::Input
    );
    let params = host.page_with(rec_params(0, true).as_bytes());
    let (new, rd) = (realm.granule(), realm.rd);
    assert_eq!(late(v1::RMI_REC_CREATE, &[rd, new, params]), Status::Input);
    assert_eq!(late(v1::RMI_RTT_INIT_RIPAS, &[rd, 0, PAGE]), Status::Input);
}
