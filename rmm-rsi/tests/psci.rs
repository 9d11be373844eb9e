// SPDX-License-Identifier: BSD-3-Clause
//! PSCI, SMCCC_VERSION and calls that nobody serves.

mod common;

use common::{PAR_TOP, Realm, assert_fails, assert_returns, call, registers, returned};
use rmm_abi::psci::fid::*;
use rmm_abi::psci::*;
use rmm_rsi::psci::{Completion, Refused, complete};
use rmm_rsi::{Exit, Outcome, PsciEffect};

const SMCCC_VERSION: u64 = 0x8000_0000;
const SVE_HINT: u64 = 1 << 16;

// Conformance: RSI calls smccc_version, sve_hint
#[test]
fn smccc_version_is_the_platforms() {
    let realm = &mut Realm::new();
    for version in [0x10002, 0x10003, 0x10004] {
        realm.smccc = version;
        assert_returns(realm, SMCCC_VERSION, &[], &[version]);
        assert_returns(realm, SMCCC_VERSION | SVE_HINT, &[], &[version]);
    }
}

// Conformance: PSCI_VERSION version
#[test]
fn version_is_1_1() {
    let realm = &mut Realm::new();
    assert_returns(realm, PSCI_VERSION, &[], &[0x10001]);
    assert_returns(realm, PSCI_VERSION | SVE_HINT, &[], &[0x10001]);
}

/// The functions that a Realm has.
const SUPPORTED: [u64; 8] = [
    0x8400_0000,
    0xC400_0001,
    0x8400_0002,
    0xC400_0003,
    0xC400_0004,
    0x8400_0008,
    0x8400_0009,
    0x8400_000A,
];

// Conformance: PSCI_FEATURES supported, unsupported
#[test]
fn features_tells_the_functions() {
    let realm = &mut Realm::new();
    for n in 0..=0x20 {
        for fid in [0x8400_0000 + n, 0xC400_0000 + n] {
            let result = if SUPPORTED.contains(&fid) {
                SUCCESS
            } else {
                NOT_SUPPORTED
            };
            assert_returns(realm, PSCI_FEATURES, &[fid], &[result]);
            // The upper half of the argument should be zero, and makes no difference.
            assert_returns(realm, PSCI_FEATURES, &[fid | 0xF_0000_0000], &[result]);
        }
    }
    assert_returns(realm, PSCI_FEATURES, &[SMCCC_VERSION], &[SUCCESS]);
    for fid in [0x8000_0001, 0xC400_0190, 0xC400_0150, u64::MAX] {
        assert_returns(realm, PSCI_FEATURES, &[fid], &[NOT_SUPPORTED]);
    }
}

// Conformance: Other PSCI functions not_supported
// Conformance: Exceptions and accesses that do not exit other_smc
#[test]
fn nobody_serves() {
    let realm = Realm::new();
    let offered = |fid| SUPPORTED.contains(&fid);
    // PSCI functions that are not offered, among them the SMC32 forms of those that are.
    for n in 0..=0x1F {
        for fid in [0x8400_0000 + n, 0xC400_0000 + n] {
            if !offered(fid) {
                assert_fails(&realm, fid, &[1, 2, 3], u64::MAX);
            }
        }
    }
    // RMI, unallocated RSI, RMM-EL3.
    for n in (0x150..=0x18F).chain(0x19A..=0x1CF) {
        assert_fails(&realm, 0xC400_0000 + n, &[1, 2, 3], u64::MAX);
    }
    // SMC32 forms of RSI, ARCH_FEATURES, TRNG, vendor services, yielding calls, nonsense.
    for fid in [
        0x8400_0190,
        0x8400_0199,
        0x8000_0001,
        0x8000_0002,
        0x8400_0050,
        0xC500_0020,
        0x8600_0000,
        0x4400_0190,
        0x0400_0000,
        0,
        0xC402_0190,
        0xFFFF_FFFF,
        u64::MAX,
    ] {
        assert_fails(&realm, fid, &[1, 2, 3], u64::MAX);
    }
}

/// Asserts a PSCI exit with these registers shown to the Host.
#[track_caller]
fn assert_exits(fid: u64, args: &[u64], shown: &[u64], pending: bool, effect: PsciEffect) {
    let mut realm = Realm::new();
    let after = call(&mut realm, fid, args);
    assert_eq!(after.outcome, Outcome::Exit(Exit::Psci { pending, effect }));
    let mut exit = [0; 31];
    exit[..shown.len()].copy_from_slice(shown);
    assert_eq!(after.exit, Some(exit));
    let regs = match pending {
        true => registers(fid, args),
        false => returned(fid, args, &[SUCCESS]),
    };
    assert_eq!(after.regs, regs);
    assert!(realm == Realm::new());
}

// Conformance: PSCI_CPU_SUSPEND exit
// Conformance: PSCI_CPU_OFF exit
// Conformance: PSCI_SYSTEM_OFF exit
// Conformance: PSCI_SYSTEM_RESET exit
#[test]
fn notifications() {
    let high = 0xFFFF_FFFF_0000_0000;
    let none = PsciEffect::None;
    let args = [1, 0x8000_0000_1234, 0x9ABC_DEF0_1234_5678];
    let shown = [PSCI_CPU_SUSPEND, args[0], args[1], args[2]];
    assert_exits(PSCI_CPU_SUSPEND, &args, &shown, false, none);
    assert_exits(
        PSCI_CPU_SUSPEND,
        &[high | 1, args[1], args[2]],
        &shown,
        false,
        none,
    );
    // X1 to X3 are no arguments of these: the Host does not see them.
    assert_exits(
        PSCI_CPU_OFF,
        &[],
        &[PSCI_CPU_OFF],
        false,
        PsciEffect::CpuOff,
    );
    assert_exits(
        PSCI_SYSTEM_OFF,
        &[],
        &[PSCI_SYSTEM_OFF],
        false,
        PsciEffect::SystemOff,
    );
    assert_exits(
        PSCI_SYSTEM_RESET,
        &[],
        &[PSCI_SYSTEM_RESET],
        false,
        PsciEffect::SystemOff,
    );
}

#[test]
fn host_sees_the_plain_function_identifier() {
    let hinted = PSCI_CPU_OFF | SVE_HINT;
    assert_exits(hinted, &[], &[PSCI_CPU_OFF], false, PsciEffect::CpuOff);
    let hinted = PSCI_CPU_ON | SVE_HINT | 1 << 40;
    assert_exits(
        hinted,
        &[2, 0x1000, 7],
        &[PSCI_CPU_ON, 2, 0x1000, 7],
        true,
        PsciEffect::None,
    );
}

// Conformance: PSCI_CPU_ON exit
#[test]
fn cpu_on_asks_the_host() {
    let none = PsciEffect::None;
    let on = |args: [u64; 3], shown: [u64; 3]| {
        let shown = [PSCI_CPU_ON, shown[0], shown[1], shown[2]];
        assert_exits(PSCI_CPU_ON, &args, &shown, true, none);
    };
    on([2, 0x1000, 7], [2, 0x1000, 7]);
    on([0, PAR_TOP - 4, 0], [0, PAR_TOP - 4, 0]);
    // The 17th REC.
    on([0x100, 0, 0], [0x100, 0, 0]);
    // Bits that are not affinity are not looked at, nor shown; the same for a wide context.
    on([0x8000_0002, 0x1001, 0xFFFF_FFFF_0000_0007], [2, 0x1001, 7]);
}

// Conformance: PSCI_CPU_ON entry, mpidr, self
#[test]
fn cpu_on_refuses() {
    let realm = Realm::new();
    let fails = |args: [u64; 3], result| assert_fails(&realm, PSCI_CPU_ON, &args, result);
    for entry_point in [PAR_TOP, PAR_TOP + 4, 1 << 40, u64::MAX] {
        fails([2, entry_point, 0], INVALID_ADDRESS);
    }
    // 20 RECs: 0x103 is the last.
    assert_exits(
        PSCI_CPU_ON,
        &[0x103, 0, 0],
        &[PSCI_CPU_ON, 0x103],
        true,
        PsciEffect::None,
    );
    for target in [0x104, 0x200, 0x1_0000, 0x1_0000_0000, 0xFF_00FF_FF0F] {
        fails([target, 0x1000, 0], INVALID_PARAMETERS);
    }
    // The calling REC itself has index 1.
    fails([1, 0x1000, 0], ALREADY_ON);
    fails([0x8000_0001, 0x1000, 0], ALREADY_ON);
}

// Conformance: PSCI_AFFINITY_INFO lowest_level, mpidr, self, exit
#[test]
fn affinity_info() {
    let none = PsciEffect::None;
    let info = PSCI_AFFINITY_INFO;
    assert_exits(info, &[2, 0], &[info, 2, 0], true, none);
    assert_exits(info, &[0x8000_0100, 1 << 32], &[info, 0x100, 0], true, none);

    let realm = Realm::new();
    for level in [1, 2, 3, 0xFFFF_FFFF] {
        assert_fails(&realm, info, &[2, level], INVALID_PARAMETERS);
        assert_fails(&realm, info, &[1, level], INVALID_PARAMETERS);
    }
    for target in [0x104, 0xFF_00FF_FF0F] {
        assert_fails(&realm, info, &[target, 0], INVALID_PARAMETERS);
    }
    assert_fails(&realm, info, &[1, 0], AFFINITY_ON);
}

#[test]
fn affinity_info_that_the_monitor_answers() {
    let mut realm = Realm::new();
    for (is_on, answer) in [(true, AFFINITY_ON), (false, AFFINITY_OFF)] {
        realm.answer = Some(is_on);
        assert_fails(&realm, PSCI_AFFINITY_INFO, &[2, 0], answer);
        // Of itself, and of nobody.
        assert_fails(&realm, PSCI_AFFINITY_INFO, &[1, 0], AFFINITY_ON);
        assert_fails(&realm, PSCI_AFFINITY_INFO, &[0x104, 0], INVALID_PARAMETERS);
    }
}

const EVERY_STATUS: [u64; 12] = [
    SUCCESS,
    1,
    2,
    NOT_SUPPORTED,
    INVALID_PARAMETERS,
    DENIED,
    ALREADY_ON,
    ON_PENDING,
    INTERNAL_FAILURE,
    NOT_PRESENT,
    DISABLED,
    INVALID_ADDRESS,
];

#[test]
fn completion() {
    let start = Completion::Start {
        pc: 0x1234,
        context_id: 0xFFFF_FFFF_0000_0007,
    };
    let same = Completion::Unchanged;
    // Function, target runnable, status of the Host: result for the Realm, effect on the target.
    let permitted = [
        (PSCI_CPU_ON, true, SUCCESS, ALREADY_ON, same),
        (PSCI_CPU_ON, false, SUCCESS, SUCCESS, start),
        (PSCI_CPU_ON, false, DENIED, DENIED, same),
        (PSCI_AFFINITY_INFO, true, SUCCESS, AFFINITY_ON, same),
        (PSCI_AFFINITY_INFO, false, SUCCESS, AFFINITY_OFF, same),
    ];
    let args = [0x100, 0x1234, 0xFFFF_FFFF_0000_0007];
    for fid in [PSCI_CPU_ON, PSCI_AFFINITY_INFO] {
        for runnable in [false, true] {
            for status in EVERY_STATUS {
                for fid in [fid, fid | SVE_HINT] {
                    let mut regs = registers(fid, &args);
                    let answer = complete(&mut regs, 16, runnable, status);
                    let case = (fid & !SVE_HINT, runnable, status);
                    match permitted.iter().find(|row| (row.0, row.1, row.2) == case) {
                        Some(row) => {
                            assert_eq!(answer, Ok(row.4));
                            assert_eq!(regs, returned(fid, &args, &[row.3]));
                        }
                        None => {
                            assert_eq!(answer, Err(Refused), "{case:x?}");
                            assert_eq!(regs, registers(fid, &args));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn completion_by_the_wrong_rec() {
    for index in [0, 15, 17, 0x100] {
        let mut regs = registers(PSCI_CPU_ON, &[0x100, 0x1234, 7]);
        assert_eq!(complete(&mut regs, index, false, SUCCESS), Err(Refused));
        assert_eq!(regs, registers(PSCI_CPU_ON, &[0x100, 0x1234, 7]));
    }
    // A request with stray bits can be completed all the same.
    let mut regs = registers(PSCI_CPU_ON, &[0x8000_0100, 0x1234, 7]);
    let start = Completion::Start {
        pc: 0x1234,
        context_id: 7,
    };
    assert_eq!(complete(&mut regs, 16, false, SUCCESS), Ok(start));
}
