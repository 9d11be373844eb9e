// SPDX-License-Identifier: BSD-3-Clause
//! What holds for all RMI calls.

use super::version::V1_0;
use rmm_abi::rmi::fid;
use rmm_core::fake::{GIB, Host, MIB, PAGE, Random, Samples, Status, audit, sweep};
use zerocopy::IntoBytes;

// Conformance: RMI calls unknown
#[test]
fn unknown_functions() {
    let host = Host::new();
    let in_range = [0xC400_0156, 0xC400_0160, 0xC400_0163, 0xC400_016A];
    let elsewhere = [0xC400_014F, 0x8400_0150, 0xC400_0190, 0, u64::MAX];
    for function in in_range.into_iter().chain(elsewhere) {
        assert_eq!(host.call(function, &[]).status, Status::NotSupported);
    }
}

// Conformance: RMI calls sve_hint
#[test]
fn sve_hint_is_ignored() {
    let host = Host::new();
    let reply = host.call_unchecked(fid::RMI_FEATURES | 1 << 16, &[1]);
    assert_eq!((reply.status, reply.x[1]), (Status::Success, 0));
    let delegate = fid::RMI_GRANULE_DELEGATE | 1 << 16;
    let reply = host.call_unchecked(delegate, &[host.page()]);
    assert_eq!(reply.status, Status::Success);
}

// Conformance: RMI calls unused_inputs
#[test]
fn unused_inputs_are_ignored() {
    for unused in [0, 1, u64::MAX] {
        let host = Host::new();
        let call = |function, inputs: &[u64]| {
            let mut args = [unused; 7];
            args[..inputs.len()].copy_from_slice(inputs);
            let status = host.call(function, &args).status;
            assert_eq!(status, Status::Success, "{function:#x}, {unused:#x}");
        };
        let page = host.page();
        call(fid::RMI_VERSION, &[V1_0]);
        call(fid::RMI_FEATURES, &[0]);
        call(fid::RMI_GRANULE_DELEGATE, &[page]);
        call(fid::RMI_GRANULE_UNDELEGATE, &[page]);

        let realm = host.realm().prepared();
        let (rd, params) = (host.granule(), host.page_with(realm.as_bytes()));
        call(fid::RMI_REALM_CREATE, &[rd, params]);
        call(fid::RMI_REALM_DESTROY, &[rd]);

        let realm = host.realm().create();
        let (rd, ipa) = (realm.rd, realm.unprotected());
        let (rec, run) = (realm.granule(), host.page());
        let params = host.page_with(realm.rec_params(0, true).as_bytes());
        call(fid::RMI_REC_AUX_COUNT, &[rd]);
        call(fid::RMI_REC_CREATE, &[rd, rec, params]);
        realm.tables(0, 2);
        call(fid::RMI_RTT_CREATE, &[rd, realm.granule(), 0, 3]);
        call(fid::RMI_RTT_INIT_RIPAS, &[rd, 0, 2 * MIB]);
        call(fid::RMI_RTT_FOLD, &[rd, 0, 3]);
        call(fid::RMI_RTT_CREATE, &[rd, realm.granule(), 0, 3]);
        call(fid::RMI_DATA_CREATE, &[rd, realm.granule(), 0, page, 0]);
        call(fid::RMI_DATA_DESTROY, &[rd, 0]);
        call(fid::RMI_DATA_CREATE_UNKNOWN, &[rd, realm.granule(), 0]);
        call(fid::RMI_DATA_DESTROY, &[rd, 0]);
        call(fid::RMI_RTT_DESTROY, &[rd, 0, 3]);
        realm.tables(ipa, 3);
        call(fid::RMI_RTT_MAP_UNPROTECTED, &[rd, ipa, 3, page | 6 << 2]);
        call(fid::RMI_RTT_READ_ENTRY, &[rd, ipa, 3]);
        call(fid::RMI_RTT_UNMAP_UNPROTECTED, &[rd, ipa, 3]);
        call(fid::RMI_REALM_ACTIVATE, &[rd]);
        call(fid::RMI_REC_ENTER, &[rec, run]);
        call(fid::RMI_REC_DESTROY, &[rec]);
    }
}

const CALLS: usize = if cfg!(miri) { 200 } else { 40_000 };

/// Whatever a Host passes, the monitor answers.
#[test]
fn any_arguments() {
    let host = Host::new();
    let samples = Samples::new(&host);
    let realm = &samples.realm;
    realm.share(realm.unprotected(), host.page());
    let rec = realm.rec_of(0);
    let granules = [
        samples.undelegated,
        samples.delegated,
        samples.data,
        samples.rtt,
        realm.rd,
        realm.params.rtt_base,
        rec.rec,
        rec.aux[0],
        rec.run,
        0x8800_0000,
    ];
    let sizes = [0, 1, 8, PAGE - 1, PAGE, 2 * MIB, GIB, 512 * GIB];
    let edges: [u64; 7] = [
        1 << 31,
        1 << 39,
        1 << 40,
        1 << 47,
        1 << 48,
        1 << 52,
        1 << 63,
    ];
    let random = &mut Random(1);
    let mut argument = || match random.below(8) {
        0..=2 => random.of(&granules),
        3 => random.of(&sizes),
        4 => random.of(&edges).wrapping_sub(random.of(&sizes)),
        5 => random.of(&sizes).wrapping_neg(),
        6 => random.bits() % 5,
        _ => random.bits(),
    };
    let calls: Vec<_> = (0..CALLS)
        .map(|n| {
            (
                0xC400_0150 + (n as u64 % 0x1A),
                [(); 5].map(|()| argument()),
            )
        })
        .collect();
    let mut successes = 0;
    host.leniently(|| {
        for (function, args) in calls {
            let reply = host.call_unchecked(function, &args);
            successes += usize::from(reply.status == Status::Success);
            let is_undelegate = function == fid::RMI_GRANULE_UNDELEGATE;
            if is_undelegate && reply.status == Status::Success {
                // So that granules do not run out.
                let _delegated = host.granule_delegate(args[0]);
            }
        }
    });
    assert!(successes > 0);
    let _counts = audit(&host);
    sweep(&host);
    realm.mark_destroyed();
}
