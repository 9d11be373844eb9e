// SPDX-License-Identifier: BSD-3-Clause
//! RMI_RMM_CONFIG_SET, RMI_RMM_CONFIG_GET, RMI_RMM_ACTIVATE, RMI_RMM_DEACTIVATE, RMI_RMM_STATE_GET.

use rmm_abi::rmi::v2::{RmmConfig, fid};
use rmm_core::fake::v2::Host2;
use rmm_core::fake::{Config, Status};
use zerocopy::FromZeros;

const INIT: u64 = 0;
const ACTIVE: u64 = 2;

fn before_activation() -> Host2 {
    Host2::before_activation(Config::v2())
}

/// A configuration page whose unused bytes are garbage.
fn config(tracking: u8, granule: u8) -> RmmConfig {
    let mut config = RmmConfig::new_zeroed();
    config._reserved0 = [0xA5; 7];
    config._reserved1 = [0x5A; 0xFF7];
    config.tracking_region_size = tracking;
    config.rmi_granule_size = granule;
    config
}

// Conformance: 2.0 RMI_RMM_ACTIVATE state, state_active
// Conformance: 2.0 RMI_RMM_DEACTIVATE rmm_state, state
// Conformance: 2.0 RMI_RMM_STATE_GET state
#[test]
fn states() {
    let host = before_activation();
    assert_eq!(host.rmm_state_get(), (Status::Success, INIT));
    assert_eq!(host.rmm_deactivate(), Status::Global, "rmm_state");
    assert_eq!(host.rmm_activate(), Status::Success);
    assert_eq!(host.rmm_state_get(), (Status::Success, ACTIVE));
    assert_eq!(host.rmm_activate(), Status::Global, "rmm_state");
    assert_eq!(host.rmm_deactivate(), Status::Success);
    assert_eq!(host.rmm_state_get(), (Status::Success, INIT));
    assert_eq!(host.rmm_activate(), Status::Success);
}

// Conformance: 2.0 RMI_RMM_CONFIG_SET rmm_state, config, reserved
// Conformance: 2.0 RMI_RMM_CONFIG_GET config, any_state
#[test]
fn config_set_and_get() {
    let host = before_activation();
    let page = host.page();
    for tracking in [1, 0] {
        host.put(page, &config(tracking, 0));
        assert_eq!(host.rmm_config_set(page), Status::Success);
        let (status, read) = host.rmm_config_get(page);
        let mut expected = RmmConfig::new_zeroed();
        expected.tracking_region_size = tracking;
        assert_eq!((status, read), (Status::Success, Some(expected)));
    }
    host.put(page, &config(1, 0));
    assert_eq!(host.rmm_config_set(page), Status::Success);
    assert_eq!(host.rmm_activate(), Status::Success);
    assert_eq!(host.rmm_config_set(page), Status::Global, "rmm_state");
    assert_eq!(host.rmm_deactivate(), Status::Success);
    let kept = host.rmm_config_get(page).1.expect("a page");
    assert_eq!(kept.tracking_region_size, 1, "kept");
}

// Conformance: 2.0 RMI_RMM_CONFIG_SET granule_size_supp, tracking_size_supp
#[test]
fn config_set_values() {
    let host = before_activation();
    let page = host.page();
    for (tracking, granule) in [(2, 0), (0xFF, 0), (0, 1), (0, 2), (0, 3)] {
        host.put(page, &config(tracking, granule));
        assert_eq!(host.rmm_config_set(page), Status::Input);
    }
}

// Conformance: 2.0 RMI_RMM_CONFIG_SET config_align, config_pas
// Conformance: 2.0 RMI_RMM_CONFIG_GET config_align, config_pas
#[test]
fn config_pages() {
    let host = before_activation();
    let page = host.page();
    for bad in [
        page + 8,
        page + 1,
        0x0900_0000,
        0x8000_0000,
        u64::MAX - 0xFFF,
    ] {
        assert_eq!(host.rmm_config_set(bad), Status::Input, "{bad:#x}");
        assert_eq!(host.rmm_config_get(bad).0, Status::Input, "{bad:#x}");
    }
    for pas in [rmm_granule::fake::Pas::Secure, rmm_granule::fake::Pas::Root] {
        host.move_to(page, pas);
        assert_eq!(host.rmm_config_set(page), Status::Input);
        assert_eq!(host.rmm_config_get(page).0, Status::Input);
    }
    host.move_to(page, rmm_granule::fake::Pas::NonSecure);
}

// Conformance: 2.0 RMI calls unknown, sve_hint
#[test]
fn unknown_commands() {
    for host in [before_activation(), Host2::new()] {
        for function in [
            0xC400_0170, // ATTEST_PLAT_TOKEN_REFRESH
            0xC400_0176, // PDEV_CREATE
            0xC400_01E3, // GRANULE_TRACKING_SET
            0xC400_01F4, // GPT_L1_DESTROY
            0xC400_01FD, // RTT_AUX_PROT_MAP
            0xC400_0220,
            fid::RMI_VERSION | 1 << 32,
            fid::RMI_VERSION & !(1 << 30),
        ] {
            let reply = host.call(function, &[]);
            assert_eq!(reply.status, Status::NotSupported, "{function:#x}");
        }
        // With the hint of SMCCC that no SVE state is live.
        let hinted = fid::RMI_RMM_CONFIG_GET | 1 << 16;
        assert_eq!(host.call(hinted, &[host.page()]).status, Status::Success);
    }
}

// Conformance: 2.0 RMI calls rmm_state
#[test]
fn commands_that_need_the_rmm_active() {
    for function in 0xC400_0150..0xC400_0220 {
        let answer = |host: &Host2| host.call_unchecked(function, &[1; 5]).status;
        let needs_active = match function {
            fid::RMI_VERSION
            | fid::RMI_FEATURES
            | fid::RMI_RMM_CONFIG_SET
            | fid::RMI_RMM_CONFIG_GET
            | fid::RMI_RMM_STATE_GET
            | fid::RMI_RMM_ACTIVATE
            | fid::RMI_GRANULE_TRACKING_GET => false,
            _ => answer(&Host2::new()) != Status::NotSupported,
        };
        let is_refused = answer(&before_activation()) == Status::Global;
        assert_eq!(is_refused, needs_active, "{function:#x}");
    }
}

// Conformance: 2.0 RMI_FEATURES register_0, register_1
#[test]
fn feature_registers() {
    let host = Host2::with(Config {
        features: rmm_core::fake::full_features(),
        ..Config::v2()
    });
    let (_, register) = host.features(0);
    assert_eq!(
        register,
        52 | 1 << 8 | 5 << 14 | 3 << 20 | 1 << 26 | 6 << 27
    );
    let (_, register) = host.features(1);
    assert_eq!(register & 7, 1, "granules of 4 KiB alone");
    assert_eq!(register >> 3 & 7, 7, "SHA-256, SHA-384, SHA-512");
    assert_eq!(register >> 6 & 0xF, 9, "2^9 - 1 RECs");
    assert_eq!(register >> 10, 6 << 4, "L0GPTSZ 1 GiB, PPS 52 bits");
}
