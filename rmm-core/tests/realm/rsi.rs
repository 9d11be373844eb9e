// SPDX-License-Identifier: BSD-3-Clause
//! RSI calls that stay in the monitor, as a Realm sees them. `rmm-rsi` tests each failure
//! condition.

use rmm_abi::rmi::{HashAlgorithm, RecExitReason};
use rmm_abi::rsi::fid::*;
use rmm_abi::rsi::*;
use rmm_abi::smccc;
use rmm_core::fake::{
    DESTROYED, EMPTY, GIB, Host, MIB, PAGE, RAM, Status, assert_reason, assert_record, esr,
    features, lpa2_features,
};
use zerocopy::FromBytes;

// Conformance: RSI_VERSION supported, unsupported
// Conformance: RSI_FEATURES zero
// Conformance: RSI calls unused_outputs
#[test]
fn version_and_features() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        let v1 = RSI_VERSION_1_0;
        let version = cpu.call(&[RSI_VERSION, v1], 3).await;
        assert_eq!(version, [RSI_SUCCESS, v1, v1, 0]);
        let version = cpu.call(&[RSI_VERSION, 0x2_0000], 3).await;
        assert_eq!(version, [RSI_ERROR_INPUT, v1, v1, 0]);
        for index in [0, 1, u64::MAX] {
            let value = cpu.call(&[RSI_FEATURES, index], 2).await;
            assert_eq!(value, [RSI_SUCCESS, 0, 0, 0]);
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: Exceptions and accesses that do not exit other_smc
#[test]
fn other_functions() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        // RMI, other SMCCC services, 32-bit forms, functions after RSI 1.0.
        for function in [
            0xC400_0150,
            0xC400_0151,
            0xC400_015C,
            0xC400_01B0,
            0x8000_0001,
            0x8400_0050,
            0xC600_0000,
            0x8400_0190,
            0xC400_019A,
            0,
        ] {
            let results = cpu.call(&[function, 0x8000_0000], 1).await;
            assert_eq!(results, [smccc::NOT_SUPPORTED, 0, 0, 0], "{function:#x}");
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RSI calls smccc_version
#[test]
fn smccc_version() {
    let version = |pfr0: u64, pfr1: u64, expected: u64| {
        let mut features = features();
        features.id.pfr0 |= pfr0;
        features.id.pfr1 |= pfr1;
        let host = Host::with_features(features);
        let realm = host.realm().with_page(1);
        realm.script(0, move |cpu| async move {
            let found = cpu.call(&[smccc::SMCCC_VERSION], 1).await;
            assert_eq!(found[0], expected);
        });
        assert_reason(&realm.enter(0), RecExitReason::Irq);
    };
    version(0, 0, 0x1_0002);
    version(1 << 32, 0, 0x1_0003);
    version(1 << 32, 1 << 24, 0x1_0004);
}

// Conformance: RSI_REALM_CONFIG ipa_align, ipa_bound, empty, content
// Conformance: RMI_REALM_CREATE config
// Conformance: RSI calls unused_outputs
#[test]
fn realm_config() {
    let host = Host::new();
    for (algorithm, width) in [(HashAlgorithm::Sha256, 40), (HashAlgorithm::Sha512, 33)] {
        let realm = host.realm().hash(algorithm).params(|p| p.rpv = [0xAB; 64]);
        let start = if width == 40 { 0 } else { 1 };
        let realm = realm.ipa(width, start, 1).create();
        let _rec = realm.rec(true);
        realm.data(0, &[0x5A; 4096]);
        realm.activate();
        let end = realm.unprotected();
        realm.script(0, move |cpu| async move {
            for bad in [1, 0x100, PAGE, end, !0xFFF] {
                let results = cpu.call(&[RSI_REALM_CONFIG, bad], 1).await;
                assert_eq!(results, [RSI_ERROR_INPUT, 0, 0, 0]);
            }
            let results = cpu.call(&[RSI_REALM_CONFIG, 0], 1).await;
            assert_eq!(results, [RSI_SUCCESS, 0, 0, 0]);
            let bytes = cpu.read_bytes(0, 4096).await.expect("RAM");
            let config = RealmConfig::read_from_bytes(&bytes).expect("a page");
            assert_eq!(config.ipa_width, u64::from(width));
            assert_eq!(config.hash_algo, algorithm as u8);
            assert_eq!(config.rpv, [0xAB; 64]);
            let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
            assert!(zero(&config._reserved0) && zero(&config._reserved1));
        });
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    }
}

// Conformance: RSI_REALM_CONFIG not_mapped
// Conformance: RSI calls retry
#[test]
fn realm_config_not_mapped() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 2);
    realm.ram(2 * MIB, 4 * MIB);
    realm.activate();
    realm.script(0, |cpu| async move {
        let results = cpu.call(&[RSI_REALM_CONFIG, 2 * MIB + PAGE], 1).await;
        assert_eq!(results[0], RSI_SUCCESS);
        assert_eq!(cpu.read(2 * MIB + PAGE).await, Ok(40));
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(2);
        exit.hpfar = (2 * MIB + PAGE) >> 8;
    });
    realm.data_unknown(2 * MIB + PAGE);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RSI_MEASUREMENT_READ index
// Conformance: RSI_MEASUREMENT_EXTEND index, size
// Conformance: RMI_REALM_CREATE measurements
#[test]
fn measurements() {
    let host = Host::new();
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        let realm = host.realm().hash(algorithm).active(1);
        realm.script(0, move |cpu| async move {
            let rim = cpu.call(&[RSI_MEASUREMENT_READ, 0], 9).await;
            assert_eq!(rim[0], RSI_SUCCESS);
            assert_ne!(rim[1..5], [0; 4]);
            let is_512 = algorithm == HashAlgorithm::Sha512;
            assert_eq!(rim[5..] != [0; 4], is_512);
            for index in 1..5 {
                let rem = cpu.call(&[RSI_MEASUREMENT_READ, index], 9).await;
                assert_eq!(rem, [0; 9], "REM of a new Realm");
            }
            for bad in [5, u64::MAX] {
                let results = cpu.call(&[RSI_MEASUREMENT_READ, bad], 1).await;
                assert_eq!(results[0], RSI_ERROR_INPUT);
            }
            let extend = |index, size| [RSI_MEASUREMENT_EXTEND, index, size, 1, 2, 3];
            for (index, size) in [(0, 8), (5, 8), (1, 65)] {
                let results = cpu.call(&extend(index, size), 1).await;
                assert_eq!(results[0], RSI_ERROR_INPUT);
            }
            let mut seen = vec![[0; 9].to_vec()];
            for _ in 0..2 {
                let results = cpu.call(&extend(3, 24), 1).await;
                assert_eq!(results, [RSI_SUCCESS, 0, 0, 0]);
                let rem = cpu.call(&[RSI_MEASUREMENT_READ, 3], 9).await;
                assert!(!seen.contains(&rem), "each step changes the REM");
                seen.push(rem);
            }
            let other = cpu.call(&[RSI_MEASUREMENT_READ, 2], 9).await;
            assert_eq!(other, [0; 9]);
        });
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    }
}

// Conformance: RSI_IPA_STATE_GET base_align, base_bound, top_align, top_bound, size_valid, ripas
// Conformance: RSI_IPA_STATE_GET out_top
#[test]
fn ipa_state_get() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.tables(0, 3);
    realm.ram(PAGE, 3 * PAGE);
    realm.data_unknown(2 * PAGE);
    realm.data(3 * PAGE, &[]);
    assert_eq!(host.data_destroy(realm.rd, 3 * PAGE).0, Status::Success);
    realm.block(4 * MIB);
    realm.activate();
    let end = realm.unprotected();
    realm.script(0, move |cpu| async move {
        for (base, top) in [(1, PAGE), (0, 1), (PAGE, PAGE), (0, end + PAGE), (end, end)] {
            let results = cpu.call(&[RSI_IPA_STATE_GET, base, top], 1).await;
            assert_eq!(results[0], RSI_ERROR_INPUT, "{base:#x} {top:#x}");
        }
        for (base, top, ripas) in [
            (0, PAGE, EMPTY),
            (PAGE, 3 * PAGE, RAM),
            (3 * PAGE, 4 * PAGE, DESTROYED),
            (4 * PAGE, 2 * MIB, EMPTY),
        ] {
            let results = cpu.call(&[RSI_IPA_STATE_GET, base, end], 3).await;
            assert_eq!(results, [RSI_SUCCESS, top, ripas, 0]);
            let results = cpu.call(&[RSI_IPA_STATE_GET, base, base + PAGE], 3).await;
            assert_eq!(results, [RSI_SUCCESS, base + PAGE, ripas, 0]);
        }
        // From inside a larger entry to the end of the Protected half, in any number of steps.
        let mut base = 2 * MIB + PAGE;
        while base < end {
            let results = cpu.call(&[RSI_IPA_STATE_GET, base, end], 3).await;
            assert_eq!((results[0], results[2]), (RSI_SUCCESS, EMPTY));
            assert!(base < results[1] && results[1] <= end);
            base = results[1];
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: RMI_REC_CREATE nothing_pending
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE size_overflow
#[test]
fn attestation_token_without_a_token() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let end = realm.unprotected();
    realm.script(0, move |cpu| async move {
        let proceed = |ipa, offset, size| [RSI_ATTESTATION_TOKEN_CONTINUE, ipa, offset, size];
        let results = cpu.call(&proceed(0, 0, PAGE), 2).await;
        assert_eq!(results[..2], [RSI_ERROR_STATE, 0], "not begun");
        let begun = cpu.call(&[RSI_ATTESTATION_TOKEN_INIT], 2).await;
        assert_eq!(begun[0], RSI_SUCCESS);
        assert!(begun[1] > 0);
        for (ipa, offset, size) in [
            (1, 0, 1),
            (0, PAGE, 0),
            (0, 1, PAGE),
            (0, 8, u64::MAX),
            (end, 0, 1),
        ] {
            let results = cpu.call(&proceed(ipa, offset, size), 2).await;
            assert_eq!(results[..2], [RSI_ERROR_INPUT, 0]);
        }
        let results = cpu.call(&proceed(0, 0, 0), 2).await;
        assert_eq!(results[..2], [RSI_INCOMPLETE, 0]);
        let results = cpu.call(&proceed(0, 0, PAGE), 2).await;
        assert_eq!(
            results[..2],
            [RSI_ERROR_UNKNOWN, 0],
            "the monitor cannot make tokens"
        );
        let results = cpu.call(&proceed(0, 0, PAGE), 2).await;
        assert_eq!(
            results[..2],
            [RSI_ERROR_STATE, 0],
            "the failure has ended the request"
        );
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn ipas_of_52_bits() {
    let host = Host::with_features(lpa2_features());
    let realm = host.realm().params(|p| p.flags = 1).ipa(52, -1, 1).create();
    let _rec = realm.rec(true);
    let ipa = realm.unprotected() - PAGE;
    realm.data(ipa, &[]);
    realm.activate();
    realm.script(0, move |cpu| async move {
        let results = cpu.call(&[RSI_REALM_CONFIG, ipa], 1).await;
        assert_eq!(results[0], RSI_SUCCESS);
        assert_eq!(cpu.read(ipa).await, Ok(52));
        let results = cpu.call(&[RSI_HOST_CALL, ipa], 1).await;
        assert_eq!(results[0], RSI_SUCCESS);
    });
    let exit = realm.enter(0);
    assert_reason(&exit, RecExitReason::HostCall);
    assert_eq!(host.data_destroy(realm.rd, ipa).0, Status::Success);
    for (level, size) in [(3, 2 * MIB), (2, GIB), (1, 512 * GIB), (0, 1 << 48)] {
        let (status, ..) = host.rtt_destroy(realm.rd, ipa & !(size - 1), level);
        assert_eq!(status, Status::Success, "level {level}");
    }
    // The walk ends at level -1 now, which has another kind of fault status.
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(-1);
        exit.hpfar = ipa >> 8;
    });
    realm.allow_unfinished_scripts();
}
