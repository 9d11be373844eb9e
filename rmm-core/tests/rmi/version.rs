// SPDX-License-Identifier: BSD-3-Clause
//! RMI_VERSION and RMI_FEATURES.

use rmm_abi::rmi::FeatureRegister0;
use rmm_core::fake::{Host, Status, features, full_features, lpa2_features};
use rmm_core::machine::CpuFeatures;

pub const V1_0: u64 = 0x1_0000;

// Conformance: RMI_VERSION supported, unsupported
#[test]
fn version_cases() {
    let host = Host::new();
    assert_eq!(host.version(V1_0), (Status::Success, V1_0, V1_0), "case a");
    for (req, case) in [
        (0x1_0001, "case b: a later minor"),
        (0x2_0000, "case b: a later major"),
        (0x0_FFFF, "case c: all that are supported are later"),
        (0, "case c"),
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
    let (status, value) = Host::with_features(features).features(0);
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
fn features_register_0_of_a_cpu_with_everything() {
    let register = register_0(full_features());
    assert_eq!((register.s2sz(), register.lpa2()), (52, true));
    assert_eq!((register.sve_en(), register.sve_vl()), (true, 3));
    assert_eq!((register.pmu_en(), register.pmu_num_ctrs()), (true, 6));

    let without_lpa2 = register_0(CpuFeatures {
        lpa2: false,
        ..lpa2_features()
    });
    assert_eq!(without_lpa2.s2sz(), 48);
    let small = register_0(CpuFeatures {
        pa_bits: 40,
        ..features()
    });
    assert_eq!(small.s2sz(), 40);
}
