// SPDX-License-Identifier: BSD-3-Clause
//! RSI_VERSION, RSI_FEATURES, the measurement commands, RSI_REALM_CONFIG, RSI_IPA_STATE_SET and
//! RSI_IPA_STATE_GET.

mod common;

use common::{PAGE, PAR_TOP, Realm, assert_fails, assert_returns, call, registers, returned};
use rmm_abi::rmi::{HashAlgorithm, Ripas};
use rmm_abi::rsi::fid::*;
use rmm_abi::rsi::*;
use rmm_rsi::{Abort, AccessError, Exit, Outcome, RipasChange, complete_ripas_change};

const SVE_HINT: u64 = 1 << 16;

// Conformance: RSI_VERSION supported, unsupported
#[test]
fn version_supports_1_0_alone() {
    let realm = &mut Realm::new();
    let revision = 0x1_0000;
    assert_returns(
        realm,
        RSI_VERSION,
        &[revision],
        &[RSI_SUCCESS, revision, revision],
    );
    for request in [0, 1, 0xFFFF, 0x1_0001, 0x1_FFFF, 0x2_0000, 0x7FFF_FFFF] {
        let results = [RSI_ERROR_INPUT, revision, revision];
        assert_returns(realm, RSI_VERSION, &[request], &results);
    }
    // Reserved bits of the request should be zero, and make no difference.
    let stray = 0xFFFF_FFFF_8001_0000;
    assert_returns(
        realm,
        RSI_VERSION,
        &[stray],
        &[RSI_SUCCESS, revision, revision],
    );
}

#[test]
fn version_supports_1_1_in_a_realm_of_rmi_2_0() {
    let realm = &mut Realm::new();
    realm.rsi_1_1 = true;
    let (old, new) = (0x1_0000, 0x1_0001);
    for revision in [old, new] {
        let results = [RSI_SUCCESS, revision, new];
        assert_returns(realm, RSI_VERSION, &[revision], &results);
    }
    for request in [0, 1, 0xFFFF, 0x1_0002, 0x1_FFFF, 0x2_0000, 0x7FFF_FFFF] {
        let results = [RSI_ERROR_INPUT, new, new];
        assert_returns(realm, RSI_VERSION, &[request], &results);
    }
}

// Conformance: RSI_FEATURES zero
// Conformance: RSI calls unused_outputs
#[test]
fn features_are_zero() {
    for index in [0, 1, u64::MAX] {
        assert_returns(&mut Realm::new(), RSI_FEATURES, &[index], &[RSI_SUCCESS, 0]);
    }
}

// Conformance: RSI calls sve_hint
#[test]
fn function_is_w0_without_the_sve_hint() {
    let realm = &mut Realm::new();
    for fid in [
        RSI_FEATURES | SVE_HINT,
        RSI_FEATURES | 0xFFFF_FFFF_0000_0000,
    ] {
        assert_returns(realm, fid, &[0], &[RSI_SUCCESS, 0]);
    }
}

// Conformance: RSI_MEASUREMENT_READ value
#[test]
fn measurement_read_gives_memory_order() {
    let realm = &mut Realm::new();
    for index in 0..=4u8 {
        let value = realm.measurements[usize::from(index)];
        let mut results = vec![RSI_SUCCESS];
        results.extend(
            value
                .chunks(8)
                .map(|word| u64::from_le_bytes(word.try_into().unwrap())),
        );
        assert_returns(realm, RSI_MEASUREMENT_READ, &[index.into()], &results);
    }
}

// Conformance: RSI_MEASUREMENT_READ index
#[test]
fn measurement_read_refuses_an_index_above_4() {
    for index in [5, 6, 1 << 32, u64::MAX] {
        assert_fails(
            &Realm::new(),
            RSI_MEASUREMENT_READ,
            &[index],
            RSI_ERROR_INPUT,
        );
    }
}

/// Index, size, and the eight words of bytes 1 to 64.
fn extend_args(index: u64, size: u64) -> [u64; 10] {
    let word = |n: u64| 0x0807_0605_0403_0201 + 0x0808_0808_0808_0808 * n;
    core::array::from_fn(|n| match n {
        0 => index,
        1 => size,
        n => word(n as u64 - 2),
    })
}

// Conformance: RSI_MEASUREMENT_EXTEND value
#[test]
fn measurement_extend_takes_the_low_bytes() {
    for index in 1..=4u8 {
        for size in [0, 1, 7, 8, 9, 32, 63, 64u8] {
            let realm = &mut Realm::new();
            let args = extend_args(index.into(), size.into());
            assert_returns(realm, RSI_MEASUREMENT_EXTEND, &args, &[RSI_SUCCESS]);
            assert_eq!(realm.extensions, [(index.into(), (1..=size).collect())]);
        }
    }
}

// Conformance: RSI_MEASUREMENT_EXTEND index, size
#[test]
fn measurement_extend_refuses() {
    let realm = Realm::new();
    for (index, size) in [
        (0, 32),
        (5, 32),
        (u64::MAX, 32),
        (1, 65),
        (1, u64::MAX),
        (0, 65),
    ] {
        let args = extend_args(index, size);
        assert_fails(&realm, RSI_MEASUREMENT_EXTEND, &args, RSI_ERROR_INPUT);
    }
}

// Conformance: RSI_REALM_CONFIG content
#[test]
fn realm_config_fills_the_page() {
    for (algorithm, code) in [(HashAlgorithm::Sha256, 0), (HashAlgorithm::Sha512, 1)] {
        let realm = &mut Realm::new();
        realm.algorithm = algorithm;
        assert_returns(realm, RSI_REALM_CONFIG, &[0x8000], &[RSI_SUCCESS]);
        let mut expected = [0; 4096];
        expected[0] = 40;
        expected[8] = code;
        expected[0x200..0x240].fill(0xAB);
        assert_eq!(*realm.page(0x8000), expected);
    }
}

// Conformance: RSI_REALM_CONFIG ipa_align, ipa_bound
#[test]
fn realm_config_refuses() {
    let realm = Realm::new();
    for ipa in [
        0x8001,
        0x8800,
        PAR_TOP,
        PAR_TOP | 0x8000,
        1 << 40,
        1 << 63,
        u64::MAX,
    ] {
        assert_fails(&realm, RSI_REALM_CONFIG, &[ipa], RSI_ERROR_INPUT);
    }
}

// Conformance: RSI_REALM_CONFIG empty, not_mapped
#[test]
fn memory_that_is_not_there() {
    let mut realm = Realm::new();
    realm
        .pages
        .insert(0x8000, Err(AccessError::Empty { level: 3 }));
    assert_fails(&realm, RSI_REALM_CONFIG, &[0x8000], RSI_ERROR_INPUT);

    for level in -1..=3 {
        realm
            .pages
            .insert(0x8000, Err(AccessError::NotMapped { level }));
        let before = realm.clone();
        let after = call(&mut realm, RSI_REALM_CONFIG, &[0x8000]);
        assert_eq!(after.outcome, Outcome::Abort(Abort { ipa: 0x8000, level }));
        assert_eq!(
            after.regs,
            registers(RSI_REALM_CONFIG, &[0x8000]),
            "the SMC runs again"
        );
        assert_eq!(after.exit, None);
        assert!(realm == before);
    }
}

#[test]
fn protected_half_follows_the_ipa_width() {
    for width in [32, 40, 48, 52] {
        let realm = &mut Realm::new();
        realm.width = width;
        let top = 1 << (width - 1);
        let get =
            |realm: &mut Realm, base, end| call(realm, RSI_IPA_STATE_GET, &[base, end]).regs[0];
        assert_eq!(get(realm, top - PAGE, top), RSI_SUCCESS);
        assert_eq!(get(realm, top, top + PAGE), RSI_ERROR_INPUT);
        assert_eq!(get(realm, 0, top), RSI_SUCCESS);
        assert_eq!(get(realm, 0, top + PAGE), RSI_ERROR_INPUT);
    }
}

/// Ranges that neither RIPAS command takes.
const BAD_RANGES: [(u64, u64); 14] = [
    (0x1001, 0x3000),
    (0x1800, 0x3000),
    (0x1000, 0x3001),
    (0x1000, 0x3800),
    (0x1000, 0x1000),
    (0, 0),
    (0x3000, 0x1000),
    (0x1000, 0),
    (PAR_TOP - PAGE, PAR_TOP + PAGE),
    (PAR_TOP, PAR_TOP + PAGE),
    (0, 1 << 40),
    (1 << 63, (1 << 63) + PAGE),
    (0, 0u64.wrapping_sub(PAGE)),
    (0u64.wrapping_sub(PAGE), 0),
];

// Conformance: RSI_IPA_STATE_SET ripas_valid, base_align, top_align, size_valid, rgn_bound
#[test]
fn ipa_state_set_refuses() {
    let realm = Realm::new();
    for (base, top) in BAD_RANGES {
        assert_fails(
            &realm,
            RSI_IPA_STATE_SET,
            &[base, top, 1, 0],
            RSI_ERROR_INPUT,
        );
    }
    for ripas in [2, 3, 4, 0xFF] {
        assert_fails(
            &realm,
            RSI_IPA_STATE_SET,
            &[0x1000, 0x2000, ripas, 0],
            RSI_ERROR_INPUT,
        );
    }
}

// Conformance: RSI_IPA_STATE_SET exit
#[test]
fn ipa_state_set_asks_the_host() {
    let cases = [
        (0x1000, 0x3000, 0, 0, Ripas::Empty, false),
        (0x1000, 0x3000, 1, 1, Ripas::Ram, true),
        (0, PAR_TOP, 1, 0, Ripas::Ram, false),
        (PAR_TOP - PAGE, PAR_TOP, 0, 1, Ripas::Empty, true),
        // Reserved bits make no difference.
        (0x1000, 0x3000, 0xFFFF_FF01, 0xFFFF_FFFE, Ripas::Ram, false),
    ];
    for (base, top, value, flags, ripas, change_destroyed) in cases {
        let mut realm = Realm::new();
        let args = [base, top, value, flags];
        let after = call(&mut realm, RSI_IPA_STATE_SET, &args);
        let exit = Exit::RipasChange {
            base,
            top,
            ripas,
            change_destroyed,
        };
        assert_eq!(after.outcome, Outcome::Exit(exit));
        assert_eq!(after.regs, registers(RSI_IPA_STATE_SET, &args));
        assert_eq!(after.exit, None);
        assert!(realm == Realm::new());
    }
}

// Conformance: RSI_IPA_STATE_SET complete, incomplete, rejected, empty_not_rejected
#[test]
fn ripas_change_completion() {
    let args = [0x1000, 0x3000, 1, 1];
    let complete = |addr, ripas, rejected| {
        let mut regs = registers(RSI_IPA_STATE_SET, &args);
        let change = RipasChange {
            addr,
            top: 0x3000,
            ripas,
        };
        complete_ripas_change(&mut regs, &change, rejected);
        let results = [RSI_SUCCESS, addr, regs[2]];
        assert_eq!(regs, returned(RSI_IPA_STATE_SET, &args, &results));
        regs[2]
    };
    for addr in [0x1000, 0x2000, 0x3000] {
        assert_eq!(complete(addr, Ripas::Ram, false), RSI_ACCEPT);
        assert_eq!(complete(addr, Ripas::Empty, false), RSI_ACCEPT);
        // A change to EMPTY cannot be rejected.
        assert_eq!(complete(addr, Ripas::Empty, true), RSI_ACCEPT);
    }
    assert_eq!(complete(0x1000, Ripas::Ram, true), RSI_REJECT);
    assert_eq!(complete(0x2000, Ripas::Ram, true), RSI_REJECT);
    // Nor can one that is complete.
    assert_eq!(complete(0x3000, Ripas::Ram, true), RSI_ACCEPT);
}

// Conformance: RSI_IPA_STATE_GET base_align, base_bound, top_align, top_bound, size_valid
#[test]
fn ipa_state_get_refuses() {
    for (base, top) in BAD_RANGES {
        assert_fails(
            &Realm::new(),
            RSI_IPA_STATE_GET,
            &[base, top],
            RSI_ERROR_INPUT,
        );
    }
}

// Conformance: RSI_IPA_STATE_GET ripas, out_top
#[test]
fn ipa_state_get_stays_in_the_range() {
    let realm = &mut Realm::new();
    for (ripas, code) in [(Ripas::Empty, 0), (Ripas::Ram, 1), (Ripas::Destroyed, 2)] {
        realm.ripas = ripas;
        for (end, out_top) in [(0x2000, 0x2000), (0x5000, 0x5000), (0x20_0000, 0x5000)] {
            realm.ripas_end = end;
            let results = [RSI_SUCCESS, out_top, code];
            assert_returns(realm, RSI_IPA_STATE_GET, &[0x1000, 0x5000], &results);
        }
    }
}
