// SPDX-License-Identifier: BSD-3-Clause
//! PSCI of a Realm, and RMI_PSCI_COMPLETE.

use super::Test;
use super::exit::running;
use super::samples::{Kind, Samples};
use crate::check::{Check, ensure, ensure_eq};
use crate::dialect;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, check_exit, enter, exit_record};
use crate::rmi;
use alloc::format;
use rmm_abi::psci::{
    self, AFFINITY_OFF, AFFINITY_ON, ALREADY_ON, DENIED, INVALID_ADDRESS, INVALID_PARAMETERS,
    NOT_SUPPORTED, SUCCESS, fid,
};
use rmm_abi::rmi::{RMI_ERROR_REALM, RecExitReason, status};
use tests_fvp::protocol::{MODE_COMMANDS, Op, Reply, SysReg};

pub const TESTS: &[Test] = &[
    ("psci.version", version),
    ("psci.not_supported", not_supported),
    ("psci.cpu_on", cpu_on),
    ("psci.cpu_on_wrong", cpu_on_wrong),
    ("psci.cpu_on_denied", cpu_on_denied),
    ("psci.cpu_off_and_on", cpu_off_and_on),
    ("psci.affinity_info", affinity_info),
    ("psci.cpu_suspend", cpu_suspend),
    ("psci.system_off", system_off),
    ("psci.complete_wrong", complete_wrong),
    ("psci.complete_target", complete_target),
];

/// A Realm with two RECs, the first of which waits for commands.
fn two_recs() -> Check<Realm> {
    let realm = Realm::running(&Config::default(), 2, MODE_COMMANDS)?;
    realm.boot()?;
    Ok(realm)
}

/// A call that does not exit, with its result in X0 and zero in X1 to X3.
fn result(rec: &Rec, arguments: &[u64]) -> Check<u64> {
    let values = rec.call(arguments)?;
    ensure!(values[1..4] == [0; 3], "after {arguments:x?}: {values:x?}");
    Ok(values[0])
}

/// A call that exits: checks the whole exit record.
fn exits(rec: &Rec, arguments: &[u64]) -> Check {
    let exit = rec.exit_of(Op::Smc, arguments)?;
    let mut wanted = exit_record(RecExitReason::Psci);
    wanted.gprs[..arguments.len()].copy_from_slice(arguments);
    check_exit(&exit, &wanted)
}

/// X0 of the call once the REC continues.
fn resumed(rec: &Rec) -> Check<u64> {
    let reply = rec.finish_with(&enter())?;
    ensure_eq!(reply.esr, 0, "exception");
    ensure!(
        reply.values[1..4] == [0; 3],
        "after a PSCI exit: {:x?}",
        reply.values
    );
    // X7 to X17 are the REC's own.
    ensure_eq!(
        reply.values[9] & !0x7F,
        0,
        "registers changed by a PSCI exit"
    );
    Ok(reply.values[0])
}

// Conformance: PSCI_VERSION version
// Conformance: PSCI_FEATURES supported, unsupported
fn version() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    ensure_eq!(
        result(rec, &[fid::PSCI_VERSION])?,
        psci::VERSION_1_1,
        "PSCI_VERSION"
    );
    for function in [
        fid::PSCI_VERSION,
        fid::PSCI_CPU_SUSPEND,
        fid::PSCI_CPU_OFF,
        fid::PSCI_CPU_ON,
        fid::PSCI_AFFINITY_INFO,
        fid::PSCI_SYSTEM_OFF,
        fid::PSCI_SYSTEM_RESET,
        fid::PSCI_FEATURES,
    ] {
        let answer = result(rec, &[fid::PSCI_FEATURES, function])?;
        ensure_eq!(answer, SUCCESS, "PSCI_FEATURES {function:#x}");
    }
    for function in [
        0x8400_0001,
        0x8400_0005,
        0xC400_000C,
        0x8400_0014,
        0xC400_0190,
        0,
    ] {
        let answer = result(rec, &[fid::PSCI_FEATURES, function])?;
        ensure_eq!(answer, NOT_SUPPORTED, "PSCI_FEATURES {function:#x}");
    }
    realm.finish()
}

// Conformance: Other PSCI functions not_supported
fn not_supported() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let numbers = (1..0x1F).filter(|n| ![2, 8, 9, 0xA].contains(n));
    for function in numbers.map(|n| 0x8400_0000 + n) {
        let answer = rec.call(&[function, 1])?[0];
        ensure_eq!(answer, NOT_SUPPORTED, "{function:#x}");
    }
    for function in (0..0x1F)
        .filter(|n| ![1, 3, 4].contains(n))
        .map(|n| 0xC400_0000 + n)
    {
        let answer = rec.call(&[function, 1])?[0];
        ensure_eq!(answer, NOT_SUPPORTED, "{function:#x}");
    }
    realm.finish()
}

/// What a REC finds when it starts: its context, zeroes, interrupts masked, no MMU, EL1.
pub fn check_start(reply: &Reply, context: u64) -> Check {
    ensure_eq!(reply.values[0], context, "X0");
    ensure_eq!(reply.values[1], 0, "the other registers");
    ensure_eq!(reply.values[2], 0x3C0, "DAIF");
    ensure_eq!(reply.values[3] & 0x1005, 0, "SCTLR_EL1.{{M, C, I}}");
    ensure_eq!(reply.values[4], 1 << 2, "CurrentEL");
    Ok(())
}

/// The second REC starts where the first one says.
// Conformance: PSCI_CPU_ON exit
// Conformance: RMI_PSCI_COMPLETE cpu_on, cpu_on_already, caller, status
// Conformance: RMI_REC_ENTER rec_psci, psci_answer
// Conformance: RMI_REC_CREATE mpidr
// Conformance: REC exits psci
fn cpu_on() -> Check {
    let realm = two_recs()?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    let entry = first.value_of(Op::EntryPoint, &[])?;
    second
        .try_enter(&enter())
        .rec("second REC before PSCI_CPU_ON")?;
    // The REC gets 64 bits of the context; the Host may see 32 of them.
    let context = 0x1234_5678_9ABC;
    let exit = first.exit_of(Op::Smc, &[fid::PSCI_CPU_ON, 1, entry, context])?;
    let mut wanted = exit_record(RecExitReason::Psci);
    wanted.gprs[..3].copy_from_slice(&[fid::PSCI_CPU_ON, 1, entry]);
    wanted.gprs[3] = context & (exit.gprs[3] | 0xFFFF_FFFF);
    check_exit(&exit, &wanted)?;
    first
        .try_enter(&enter())
        .rec("caller before RMI_PSCI_COMPLETE")?;
    second
        .try_enter(&enter())
        .rec("target before RMI_PSCI_COMPLETE")?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).input("second RMI_PSCI_COMPLETE")?;
    ensure_eq!(resumed(first)?, SUCCESS, "PSCI_CPU_ON");
    check_start(&second.boot()?, context)?;
    ensure_eq!(
        second.value_of(Op::Mrs, &[SysReg::Mpidr as u64])?,
        1 << 31 | 1,
        "MPIDR_EL1"
    );
    // Both know their own registers.
    ensure_eq!(
        first.value_of(Op::Mrs, &[SysReg::Mpidr as u64])?,
        1 << 31,
        "MPIDR_EL1"
    );
    // It is on: the Host cannot deny that.
    exits(first, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    rmi::psci_complete(first.pa, second.pa, DENIED).input("DENIED of a REC that is on")?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    ensure_eq!(resumed(first)?, ALREADY_ON, "second PSCI_CPU_ON");
    // The other way round.
    exits(second, &[fid::PSCI_CPU_ON, 0, entry, 0])?;
    rmi::psci_complete(second.pa, first.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    ensure_eq!(resumed(second)?, ALREADY_ON, "PSCI_CPU_ON of the first");
    realm.finish()
}

// Conformance: PSCI_CPU_ON entry, mpidr, self
fn cpu_on_wrong() -> Check {
    let realm = two_recs()?;
    let rec = &realm.recs[0];
    let entry = rec.value_of(Op::EntryPoint, &[])?;
    let half = realm.config.unprotected();
    for address in [half, half + 0x1000, 2 * half, 1 << 52, 1 << 63, !0xFFF] {
        let answer = result(rec, &[fid::PSCI_CPU_ON, 1, address, 0])?;
        ensure_eq!(answer, INVALID_ADDRESS, "entry point {address:#x}");
    }
    for mpidr in [2, 0xF, 0x100, 0x1_0000, 1 << 32] {
        let answer = result(rec, &[fid::PSCI_CPU_ON, mpidr, entry, 0])?;
        ensure_eq!(answer, INVALID_PARAMETERS, "MPIDR {mpidr:#x}");
    }
    ensure_eq!(
        result(rec, &[fid::PSCI_CPU_ON, 0, entry, 0])?,
        ALREADY_ON,
        "itself"
    );
    realm.finish()
}

// Conformance: RMI_PSCI_COMPLETE cpu_on_denied
fn cpu_on_denied() -> Check {
    let realm = two_recs()?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    let entry = first.value_of(Op::EntryPoint, &[])?;
    exits(first, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    rmi::psci_complete(first.pa, second.pa, DENIED).ok("RMI_PSCI_COMPLETE")?;
    ensure_eq!(resumed(first)?, DENIED, "PSCI_CPU_ON");
    second.try_enter(&enter()).rec("second REC is off")?;
    realm.finish()
}

/// A REC that switches itself off starts anew, with nothing of its former life.
// Conformance: PSCI_CPU_OFF exit
// Conformance: RMI_PSCI_COMPLETE cpu_on
fn cpu_off_and_on() -> Check {
    let realm = two_recs()?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    let entry = first.value_of(Op::EntryPoint, &[])?;
    for _ in 0..2 {
        exits(first, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
        rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
        ensure_eq!(resumed(first)?, SUCCESS, "PSCI_CPU_ON");
        check_start(&second.boot()?, 0)?;
        second.value_of(Op::SysSet, &[1])?;
        exits(second, &[fid::PSCI_CPU_OFF])?;
        second.try_enter(&enter()).rec("REC after PSCI_CPU_OFF")?;
    }
    realm.finish()
}

// Conformance: PSCI_AFFINITY_INFO lowest_level, mpidr, self, exit
// Conformance: RMI_PSCI_COMPLETE affinity_on, affinity_off
// Conformance: RMI_REC_ENTER rec_psci
fn affinity_info() -> Check {
    let realm = two_recs()?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    let entry = first.value_of(Op::EntryPoint, &[])?;
    let info = fid::PSCI_AFFINITY_INFO;
    let ask = |wanted: u64| {
        exits(first, &[info, 1, 0])?;
        first
            .try_enter(&enter())
            .rec("caller before RMI_PSCI_COMPLETE")?;
        rmi::psci_complete(first.pa, second.pa, DENIED).input("DENIED")?;
        rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
        ensure_eq!(resumed(first)?, wanted, "PSCI_AFFINITY_INFO");
        Check::Ok(())
    };
    ask(AFFINITY_OFF)?;
    exits(first, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("RMI_PSCI_COMPLETE")?;
    resumed(first)?;
    // On, although it has not been entered yet.
    ask(AFFINITY_ON)?;
    ensure_eq!(result(first, &[info, 0, 0])?, AFFINITY_ON, "itself");
    ensure_eq!(result(first, &[info, 1, 1])?, INVALID_PARAMETERS, "level 1");
    ensure_eq!(
        result(first, &[info, 2, 0])?,
        INVALID_PARAMETERS,
        "no such REC"
    );
    realm.finish()
}

/// The Host sees the request, and decides when the REC continues.
// Conformance: PSCI_CPU_SUSPEND exit
// Conformance: REC exits psci
fn cpu_suspend() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    exits(rec, &[fid::PSCI_CPU_SUSPEND, 0x1_0000, 0x4000_0000, 7])?;
    ensure_eq!(resumed(rec)?, SUCCESS, "PSCI_CPU_SUSPEND");
    realm.finish()
}

// Conformance: PSCI_SYSTEM_OFF exit
// Conformance: PSCI_SYSTEM_RESET exit
// Conformance: RMI_REC_ENTER system_off
// Conformance: RMI_REALM_DESTROY any_state
// Conformance: RMI_REC_DESTROY any_state
// Conformance: RMI_DATA_DESTROY any_state
fn system_off() -> Check {
    for function in [fid::PSCI_SYSTEM_OFF, fid::PSCI_SYSTEM_RESET] {
        let realm = two_recs()?;
        exits(&realm.recs[0], &[function])?;
        for rec in &realm.recs {
            // 2.0 has no index there.
            let off = status(RMI_ERROR_REALM, u64::from(!dialect::is_v2()));
            rec.try_enter(&enter())
                .is(off, "REC of a Realm that is off")?;
        }
        realm.finish()?;
    }
    Ok(())
}

// Conformance: RMI_PSCI_COMPLETE alias, calling_align, calling_bound, calling_state, target_align
// Conformance: RMI_PSCI_COMPLETE target_bound, target_state
// Conformance: RMI_PSCI_COMPLETE pending, owner, status
// Conformance: Bugs others fixed alias
fn complete_wrong() -> Check {
    let mut samples = Samples::new()?;
    let realm = two_recs()?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    let entry = first.value_of(Op::EntryPoint, &[])?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).input("no request")?;
    exits(first, &[fid::PSCI_CPU_ON, 1, entry, 0])?;
    for (kind, address) in samples.except(&[Kind::Rec]) {
        let what = format!("calling {kind:?} {address:#x}");
        rmi::psci_complete(address, second.pa, SUCCESS).input(&what)?;
        let what = format!("target {kind:?} {address:#x}");
        rmi::psci_complete(first.pa, address, SUCCESS).input(&what)?;
    }
    rmi::psci_complete(first.pa, first.pa, SUCCESS).input("calling is target")?;
    rmi::psci_complete(second.pa, first.pa, SUCCESS).input("exchanged")?;
    for offset in [1, 8, 0xFFF] {
        rmi::psci_complete(first.pa + offset, second.pa, SUCCESS)
            .input("inside the calling REC")?;
        rmi::psci_complete(first.pa, second.pa + offset, SUCCESS).input("inside the target REC")?;
    }
    // Of the index that the request names.
    let foreign = samples.realm.add_rec(false, &[])?;
    let foreign = samples.realm.recs[foreign].pa;
    rmi::psci_complete(first.pa, foreign, SUCCESS).input("REC of another Realm")?;
    for code in [
        1,
        2,
        ALREADY_ON,
        NOT_SUPPORTED,
        INVALID_PARAMETERS,
        0xFFFF_FFFD,
        1 << 32,
    ] {
        rmi::psci_complete(first.pa, second.pa, code).input(&format!("status {code:#x}"))?;
    }
    second.try_enter(&enter()).rec("second REC is still off")?;
    rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("after all those")?;
    ensure_eq!(resumed(first)?, SUCCESS, "PSCI_CPU_ON");
    realm.finish()?;
    samples.finish()
}

/// Another REC of the same Realm than the one that the request names.
// Conformance: RMI_PSCI_COMPLETE target
fn complete_target() -> Check {
    let realm = Realm::running(&Config::default(), 3, MODE_COMMANDS)?;
    let first = realm.boot()?;
    let [_, second, third] = &realm.recs[..] else {
        crate::check::fail!("not three RECs")
    };
    let entry = first.value_of(Op::EntryPoint, &[])?;
    for (request, result) in [
        ([fid::PSCI_CPU_ON, 1, entry, 0], SUCCESS),
        ([fid::PSCI_AFFINITY_INFO, 1, 0, 0], AFFINITY_ON),
    ] {
        first.exit_of(Op::Smc, &request)?;
        rmi::psci_complete(first.pa, third.pa, SUCCESS).input("REC 2 instead of REC 1")?;
        rmi::psci_complete(first.pa, second.pa, SUCCESS).ok("REC 1")?;
        ensure_eq!(resumed(first)?, result, "{request:x?}");
    }
    third.try_enter(&enter()).rec("REC 2 is off")?;
    realm.finish()
}
