// SPDX-License-Identifier: BSD-3-Clause
//! Which dialect the monitor serves, and when that changes.

use rmm_abi::el3::Version;
use rmm_abi::rmi::{fid as v1, v2::fid};
use rmm_core::fake::v2::Host2;
use rmm_core::fake::{Config, Host, Status};

const V1_0: u64 = 0x1_0000;
const V2_0: u64 = 0x2_0000;

/// The monitor's answer to a command that only RMI 1.0 has.
fn delegates(host: &Host) -> bool {
    let page = host.page();
    match host.granule_delegate(page) {
        Status::Success => {
            host.undelegate(page);
            true
        }
        status => {
            assert_eq!(status, Status::NotSupported);
            false
        }
    }
}

/// The monitor's answer to a command that only RMI 2.0 has.
fn has_state(host: &Host) -> bool {
    let status = host.call(fid::RMI_RMM_STATE_GET, &[]).status;
    assert!(matches!(status, Status::Success | Status::NotSupported));
    status == Status::Success
}

fn undecided() -> Host {
    Host::with(Config::v2())
}

// Conformance: 2.0 dialects version, version_below, version_between, version_above
#[test]
fn version_cases() {
    let host = undecided();
    for _ in 0..2 {
        for (req, status, lower) in [
            (V1_0, Status::Success, V1_0),
            (V2_0, Status::Success, V2_0),
            (0x1_0001, Status::Input, V1_0),
            (0x1_FFFF, Status::Input, V1_0),
            (0x2_0001, Status::Input, V2_0),
            (u64::MAX, Status::Input, V2_0),
            (0xFFFF, Status::Input, V2_0),
            (0, Status::Input, V2_0),
        ] {
            assert_eq!(host.version(req), (status, lower, V2_0), "{req:#x}");
        }
    }
}

// Conformance: 2.0 dialects el3
#[test]
fn no_2_0_below_interface_2_0() {
    for version in [Version::new(0, 4), Version::new(0, 8), Version::new(0, 9)] {
        let host = Host::with(Config {
            interface: version,
            ..Config::default()
        });
        assert_eq!(host.version(V2_0), (Status::Input, V1_0, V1_0));
        assert_eq!(host.version(V1_0), (Status::Success, V1_0, V1_0));
        assert!(delegates(&host) && !has_state(&host));
        for function in [fid::RMI_RMM_CONFIG_SET, fid::RMI_RMM_ACTIVATE] {
            let reply = host.call(function, &[]);
            assert_eq!(reply.status, Status::NotSupported);
        }
    }
}

// Conformance: 2.0 dialects choice
#[test]
fn a_successful_version_chooses() {
    let host = undecided();
    assert_eq!(host.version(V2_0).0, Status::Success);
    assert!(has_state(&host) && !delegates(&host));
    assert_eq!(host.version(V1_0).0, Status::Success);
    assert!(!has_state(&host) && delegates(&host));
    assert_eq!(host.version(V2_0).0, Status::Success);
    assert!(has_state(&host) && !delegates(&host));
}

// Conformance: 2.0 dialects no_choice
#[test]
fn a_failed_version_changes_nothing() {
    let host = undecided();
    assert_eq!(host.version(V2_0).0, Status::Success);
    for req in [0, 0x1_0001, 0x3_0000] {
        assert_eq!(host.version(req).0, Status::Input);
    }
    assert!(has_state(&host));
    let host = undecided();
    assert_eq!(host.version(0x3_0000).0, Status::Input);
    assert!(delegates(&host), "still undecided, so this decides");
    assert!(!has_state(&host));
}

// Conformance: 2.0 dialects first_command
#[test]
fn the_first_command_decides() {
    let host = undecided();
    assert!(!has_state(&host), "undecided");
    assert_eq!(host.call(v1::RMI_FEATURES, &[0]).status, Status::Success);
    assert!(!has_state(&host), "undecided");
    assert!(delegates(&host));
    assert!(!has_state(&host));
    assert_eq!(
        host.call(fid::RMI_RMM_ACTIVATE, &[]).status,
        Status::NotSupported
    );

    for function in [fid::RMI_RMM_CONFIG_SET, fid::RMI_RMM_ACTIVATE] {
        let host = undecided();
        let page = host.page();
        assert_eq!(host.call(function, &[page]).status, Status::Success);
        assert!(has_state(&host) && !delegates(&host));
    }
}

// Conformance: 2.0 dialects first_command
#[test]
fn each_command_of_1_0_decides() {
    for function in 0xC400_0150..0xC400_0220 {
        let host = undecided();
        let is_known = host.call_unchecked(function, &[1; 5]).status != Status::NotSupported;
        let by_version = matches!(function, v1::RMI_VERSION | v1::RMI_FEATURES);
        let by_2_0 = matches!(function, fid::RMI_RMM_CONFIG_SET | fid::RMI_RMM_ACTIVATE);
        // In mode 1.0, and only there, this is an unknown command.
        let reply = host.call(fid::RMI_RMM_ACTIVATE, &[]);
        let decided_for_1_0 = reply.status == Status::NotSupported;
        assert_eq!(
            decided_for_1_0,
            is_known && !by_version && !by_2_0,
            "{function:#x}"
        );
    }
}

// Conformance: 2.0 dialects absent_in_1_0
#[test]
fn commands_of_2_0_alone() {
    let host = undecided();
    assert_eq!(host.version(V1_0).0, Status::Success);
    let numbers = [
        0x16E, 0x1E1, 0x1EC, 0x1EE, 0x1F1, 0x1F2, 0x1F3, 0x1F5, 0x1F6,
    ];
    let more = [
        0x1FB, 0x1FC, 0x201, 0x202, 0x203, 0x208, 0x209, 0x20A, 0x20F, 0x211,
    ];
    for number in numbers.into_iter().chain(more) {
        let reply = host.call(0xC400_0000 + number, &[host.page()]);
        assert_eq!(reply.status, Status::NotSupported, "{number:#x}");
        let host = Host2::new();
        let reply = host.call_unchecked(0xC400_0000 + number, &[1; 5]);
        assert_ne!(reply.status, Status::NotSupported, "{number:#x}");
    }
}

// Conformance: 2.0 RMI_FEATURES register_0, other_registers
#[test]
fn features_of_the_mode() {
    let host = undecided();
    let of_1_0 = host.features(0).1;
    assert_ne!(of_1_0 >> 32, 0);
    assert_eq!(host.features(1).1, 0);
    assert_eq!(host.version(V2_0).0, Status::Success);
    assert_eq!(host.features(0).1, of_1_0 & 0xFFFF_FFFF & !(0x1F << 9));
    assert_ne!(host.features(1).1, 0);
    for index in [2, 3, 4, 5, u64::MAX] {
        assert_eq!(host.features(index), (Status::Success, 0));
    }
}

// Conformance: 2.0 dialects absent_in_2_0
#[test]
fn commands_of_1_0_alone() {
    let host = Host2::new();
    for number in [0x151, 0x152, 0x154, 0x155, 0x15F, 0x162, 0x167] {
        let reply = host.call(0xC400_0000 + number, &[host.page()]);
        assert_eq!(reply.status, Status::NotSupported, "{number:#x}");
    }
}

// Conformance: 2.0 dialects fixed
#[test]
fn the_mode_stays_while_a_granule_is_delegated() {
    let host = undecided();
    let granule = host.granule();
    assert_eq!(
        host.version(V2_0),
        (Status::Success, V2_0, V2_0),
        "without effect"
    );
    assert!(!has_state(&host));
    assert_eq!(host.granule_undelegate(granule), Status::Success);
    assert!(!has_state(&host));
    assert_eq!(host.version(V2_0).0, Status::Success);
    assert!(has_state(&host));
}

// Conformance: 2.0 dialects fixed
#[test]
fn granules_are_counted_whichever_cpu_moves_them() {
    let host = undecided();
    let other = Host::of_board(host.board(), 1);
    let pages = [host.page(), host.page()];
    for (by, page) in [(&host, pages[0]), (&other, pages[1])] {
        assert_eq!(by.granule_delegate(page), Status::Success);
    }
    for page in pages {
        assert_eq!(host.version(V2_0).0, Status::Success);
        assert!(!has_state(&host), "a granule is delegated");
        assert_eq!(other.granule_undelegate(page), Status::Success);
    }
    assert_eq!(host.version(V2_0).0, Status::Success);
    assert!(has_state(&host));
}

// Conformance: 2.0 dialects again, choice
#[test]
fn an_active_2_0_host_that_asks_again_stays_active() {
    let host = Host2::new();
    assert_eq!(host.version(V2_0).0, Status::Success);
    assert_eq!(host.rmm_state_get().1, 2);
    assert_eq!(host.version(V1_0).0, Status::Success);
    assert_eq!(host.version(V2_0).0, Status::Success);
    assert_eq!(host.rmm_state_get().1, 0, "INIT after another dialect");
}
