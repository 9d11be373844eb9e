// SPDX-License-Identifier: BSD-3-Clause
//! RMI_VERSION, RMI_FEATURES, what is no command, and what holds of all commands.

use super::MIB;
use rmm_abi::rmi::{FeatureRegister0, fid};
use rmm_core::fake::{Config, Host, Status, features};
use rmm_core::machine::CpuFeatures;
use zerocopy::IntoBytes;

const V1_0: u64 = 0x1_0000;

// Conformance: RMI_VERSION supported, unsupported
#[test]
fn version_cases() {
    let host = Host::new();
    assert_eq!(host.version(V1_0), (Status::Success, V1_0, V1_0), "case a");
    for (req, case) in [
        (0x1_0001, "b: a later minor"),
        (0x2_0000, "b: a later major"),
        (0x0_FFFF, "c: all supported are greater"),
        (0, "c"),
        (1 << 31 | V1_0, "reserved bits"),
        (u64::MAX, "reserved bits"),
    ] {
        assert_eq!(host.version(req), (Status::Input, V1_0, V1_0), "{case}");
    }
}

// Conformance: RMI_FEATURES other_registers
#[test]
fn features_index() {
    let host = Host::new();
    for index in [1, 2, 0x100, u64::MAX] {
        assert_eq!(host.features(index), (Status::Success, 0));
    }
}

fn register_0(features: CpuFeatures) -> FeatureRegister0 {
    let config = Config {
        features,
        ..Config::default()
    };
    let (status, value) = Host::with(config).features(0);
    assert_eq!(status, Status::Success);
    assert_eq!(value >> 42, 0, "bits 63:42");
    FeatureRegister0::from_bits(value)
}

// Conformance: RMI_FEATURES register_0
#[test]
fn features_register_0() {
    let register = register_0(features());
    assert_eq!(register.s2sz(), 48);
    assert!(!register.lpa2() && !register.sve_en() && !register.pmu_en());
    assert_eq!((register.num_bps(), register.num_wps()), (5, 3));
    assert!(register.hash_sha_256() && register.hash_sha_512());
    assert_eq!(register.gicv3_num_lrs(), 3);
    assert!(register.max_recs_order() > 0);
}

// Conformance: RMI_FEATURES register_0
#[test]
fn features_register_0_of_a_large_machine() {
    let register = register_0(CpuFeatures {
        pa_bits: 52,
        lpa2: true,
        sve_vl: Some(3),
        pmu_counters: Some(6),
        ..features()
    });
    assert_eq!((register.s2sz(), register.lpa2()), (52, true));
    assert_eq!((register.sve_en(), register.sve_vl()), (true, 3));
    assert_eq!((register.pmu_en(), register.pmu_num_ctrs()), (true, 6));

    let without_lpa2 = register_0(CpuFeatures {
        pa_bits: 52,
        ..features()
    });
    assert_eq!(without_lpa2.s2sz(), 48);
    let small = register_0(CpuFeatures {
        pa_bits: 40,
        ..features()
    });
    assert_eq!(small.s2sz(), 40);
}

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
    let reply = host.call_that_may_run(0xC401_0165, &[1]);
    assert_eq!((reply.status, reply.x[1]), (Status::Success, 0));
    let reply = host.call_that_may_run(0xC401_0151, &[host.page()]);
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
