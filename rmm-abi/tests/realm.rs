// SPDX-License-Identifier: BSD-3-Clause
//! RSI, PSCI and SMCCC numbers and layouts against the specification's tables.

use rmm_abi::{psci, rsi, smccc};
use zerocopy::{FromZeros, IntoBytes};

#[test]
fn rsi_numbers() {
    use rsi::fid::*;
    let fids = [
        RSI_VERSION,
        RSI_FEATURES,
        RSI_MEASUREMENT_READ,
        RSI_MEASUREMENT_EXTEND,
        RSI_ATTESTATION_TOKEN_INIT,
        RSI_ATTESTATION_TOKEN_CONTINUE,
        RSI_REALM_CONFIG,
        RSI_IPA_STATE_SET,
        RSI_IPA_STATE_GET,
        RSI_HOST_CALL,
    ];
    for (fid, expected) in fids.into_iter().zip(0xC400_0190u64..=0xC400_0199) {
        assert_eq!(fid, expected);
    }
    assert_eq!(
        [
            rsi::RSI_SUCCESS,
            rsi::RSI_ERROR_INPUT,
            rsi::RSI_ERROR_STATE,
            rsi::RSI_INCOMPLETE,
            rsi::RSI_ERROR_UNKNOWN
        ],
        [0, 1, 2, 3, 4]
    );
    assert_eq!((rsi::RSI_ACCEPT, rsi::RSI_REJECT), (0, 1));
    assert_eq!(rsi::RSI_VERSION_1_0, 0x10000);
    assert_eq!(rsi::RsiRipas::try_from(3), Ok(rsi::RsiRipas::Dev));
    assert_eq!(rsi::RsiRipas::try_from(4), Err(4));
    assert_eq!(rsi::RsiRipas::Destroyed as u8, 2);
}

#[test]
fn host_call_layout() {
    let mut call = rsi::HostCall::new_zeroed();
    call.imm = 0x1234;
    call.gprs[0] = 0x55;
    call.gprs[30] = 0xAA00_0000_0000_0000;
    let bytes = call.as_bytes();
    assert_eq!(bytes.len(), 256);
    assert_eq!(bytes[..9], [0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x55]);
    assert_eq!(bytes[0xFF], 0xAA);
}

#[test]
fn realm_config_layout() {
    let mut config = rsi::RealmConfig::new_zeroed();
    config.ipa_width = 40;
    config.hash_algo = 1;
    config.rpv = [7; 64];
    let bytes = config.as_bytes();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(bytes[..10], [40, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(bytes[0x1FF..0x202], [0, 7, 7]);
    assert_eq!(bytes[0x23F..0x241], [7, 0]);
}

#[test]
fn psci_numbers() {
    use psci::fid::*;
    assert_eq!(PSCI_VERSION, 0x8400_0000);
    assert_eq!(PSCI_CPU_SUSPEND, 0xC400_0001);
    assert_eq!(PSCI_CPU_OFF, 0x8400_0002);
    assert_eq!(PSCI_CPU_ON, 0xC400_0003);
    assert_eq!(PSCI_AFFINITY_INFO, 0xC400_0004);
    assert_eq!(PSCI_SYSTEM_OFF, 0x8400_0008);
    assert_eq!(PSCI_SYSTEM_RESET, 0x8400_0009);
    assert_eq!(PSCI_FEATURES, 0x8400_000A);
    assert_eq!(psci::VERSION_1_1, 0x10001);
    let errors = [
        psci::NOT_SUPPORTED,
        psci::INVALID_PARAMETERS,
        psci::DENIED,
        psci::ALREADY_ON,
        psci::ON_PENDING,
        psci::INTERNAL_FAILURE,
        psci::NOT_PRESENT,
        psci::DISABLED,
        psci::INVALID_ADDRESS,
    ];
    for (n, code) in errors.into_iter().enumerate() {
        assert_eq!(code, u64::MAX - n as u64, "-{}", n + 1);
    }
    assert_eq!(
        (psci::SUCCESS, psci::AFFINITY_ON, psci::AFFINITY_OFF),
        (0, 0, 1)
    );
}

#[test]
fn smccc_hint() {
    assert_eq!(smccc::SMCCC_VERSION, 0x8000_0000);
    assert_eq!(smccc::without_sve_hint(0xC401_0190), 0xC400_0190);
    assert_eq!(smccc::without_sve_hint(0x8401_0000), 0x8400_0000);
    assert_eq!(smccc::without_sve_hint(0x8400_0000), 0x8400_0000);
    assert_eq!(smccc::NOT_SUPPORTED.cast_signed(), -1);
}
