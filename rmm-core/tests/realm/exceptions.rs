// SPDX-License-Identifier: BSD-3-Clause
//! Exceptions that a Realm takes itself, and instructions that the monitor emulates.

use super::set_vectors;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{After, Host, RealmCpu, Taken, assert_reason, assert_record, esr};

/// Asserts that the Realm took an Undefined Instruction exception for the instruction at `pc`.
fn assert_undefined(taken: Taken, pc: u64) {
    assert_eq!(taken.esr, esr::IL, "unknown reason");
    assert_eq!((taken.elr, taken.vector), (pc, 0x200));
    assert_eq!(taken.spsr, 0x3C5);
}

/// Asserts that MRS and MSR of this register are undefined.
async fn assert_register_undefined(cpu: &RealmCpu, register: [u64; 5]) {
    let pc = cpu.context(|context| context.pc);
    let far = cpu.el1(|el1| el1.far);
    for taken in [cpu.mrs(register).await.err(), {
        cpu.context(|context| context.pc = pc);
        cpu.msr(register, 1).await.err()
    }] {
        let taken = taken.unwrap_or_else(|| panic!("{register:?} is not undefined"));
        assert_undefined(taken, pc);
        assert_eq!(taken.far, far, "FAR_EL1 must not change");
    }
}

// Conformance: Exceptions and accesses that do not exit implementation_defined, hidden
#[test]
fn registers_that_do_not_exist_for_a_realm() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        for register in [
            // IMPLEMENTATION DEFINED.
            [3, 0, 11, 0, 0],
            [3, 0, 15, 0, 0],
            [3, 3, 15, 1, 2],
            // PMCR_EL0, AMCR_EL0, TRCPRGCTLR, PMSCR_EL1, TRBLIMITR_EL1, BRBCR_EL1.
            [3, 3, 9, 12, 0],
            [3, 3, 13, 2, 0],
            [2, 1, 0, 1, 0],
            [3, 0, 9, 9, 0],
            [3, 0, 9, 11, 0],
            [2, 1, 9, 0, 0],
            // MPAM1_EL1, LORC_EL1, ZCR_EL1, SMCR_EL1.
            [3, 0, 10, 5, 0],
            [3, 0, 10, 4, 3],
            [3, 0, 1, 2, 0],
            [3, 0, 1, 2, 6],
        ] {
            assert_register_undefined(&cpu, register).await;
        }
        // SMIDR_EL1, GMID_EL1: a read that traps has a syndrome at EL1; a write is undefined.
        for (op1, op2) in [(1, 6), (1, 4)] {
            let register = [3, op1, 0, 0, op2];
            let taken = cpu.mrs(register).await.expect_err("hidden");
            let syndrome = esr::SYSREG | esr::IL | 3 << 20 | op2 << 17 | op1 << 14;
            assert_eq!((taken.esr, taken.vector), (syndrome | 2 << 5 | 1, 0x200));
            let taken = cpu.msr(register, 0).await.expect_err("no write");
            assert_eq!((taken.esr, taken.vector), (esr::IL, 0x200));
        }
        // ID registers are read-only.
        cpu.mrs([3, 0, 0, 4, 0]).await.expect("ID_AA64PFR0_EL1");
        assert!(cpu.msr([3, 0, 0, 4, 0], 0).await.is_err());
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: Exceptions and accesses that do not exit id_registers, hidden
#[test]
fn id_registers() {
    let host = Host::new();
    let realm = host.realm().params(|p| (p.num_bps, p.num_wps) = (4, 2));
    let realm = realm.active(1);
    realm.script(0, |cpu| async move {
        let field = |value: u64, shift: u32| value >> shift & 0xF;
        let pfr0 = cpu.mrs([3, 0, 0, 4, 0]).await.expect("ID register");
        assert_eq!(field(pfr0, 0), 1, "EL0: AArch64 only");
        assert_eq!(field(pfr0, 4), 1, "EL1: AArch64 only");
        for (what, shift) in [("SVE", 32), ("MPAM", 40), ("AMU", 44), ("RME", 52)] {
            assert_eq!(field(pfr0, shift), 0, "{what}");
        }
        let dfr0 = cpu.mrs([3, 0, 0, 5, 0]).await.expect("ID register");
        assert_eq!((field(dfr0, 12), field(dfr0, 20)), (4, 2), "BRPs, WRPs");
        for (what, shift) in [("PMUVer", 8), ("PMSVer", 32), ("TraceBuffer", 44)] {
            assert_eq!(field(dfr0, shift), 0, "{what}");
        }
        for crm in 1..8 {
            for op2 in 0..8 {
                let _value = cpu.mrs([3, 0, 0, crm, op2]).await.expect("ID register");
            }
        }
        let aarch32 = cpu.mrs([3, 0, 0, 1, 0]).await;
        assert_eq!(aarch32, Ok(0), "ID_PFR0_EL1");
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// The Host of a Realm of 1.0 can set no trap of these; if the CPU takes one, it is not the Host's.
#[test]
fn gic_registers_that_trap_without_cause_are_undefined() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        // ICC_PMR, ICC_BPR0, ICC_RPR, ICC_BPR1, ICC_SRE.
        for (crn, crm, op2) in [(4, 6, 0), (12, 8, 3), (12, 11, 3), (12, 12, 3), (12, 12, 5)] {
            assert_register_undefined(&cpu, [3, 0, crn, crm, op2]).await;
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: Exceptions and accesses that do not exit hvc
#[test]
fn hvc_is_undefined() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        let pc = cpu.context(|context| context.pc);
        let After::Taken(taken) = cpu.hvc().await else {
            panic!("HVC is not undefined");
        };
        assert_undefined(taken, pc);
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn unknown_exceptions_are_undefined() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        // SVE, ERET, PAC, SME, LS64, BTI, MOPS, a breakpoint.
        for ec in [0x19, 0x1A, 0x09, 0x1D, 0x0A, 0x0D, 0x27, 0x30, 0x3C, 0] {
            let pc = cpu.context(|context| context.pc);
            match cpu.sync(ec << 26 | esr::IL | 0x1234, 0xFA2, 0).await {
                After::Taken(taken) => assert_undefined(taken, pc),
                after => panic!("{ec:#x}: {after:?}"),
            }
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// A Realm has no AArch32: nothing that traps from there is lent, emulated or shown to the Host.
#[test]
fn traps_from_aarch32_are_undefined() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        // WFx, FP, HVC of AArch64, MRS of ID_AA64PFR0_EL1.
        let mrs = 0x18 << 26 | 3 << 20 | 4 << 1 | 1;
        for syndrome in [0x01 << 26, 0x07 << 26, 0x16 << 26, mrs] {
            cpu.context(|context| context.pstate = 0x10);
            let After::Taken(taken) = cpu.sync(syndrome | esr::IL, 0, 0).await else {
                panic!("{syndrome:#x} is not undefined");
            };
            let seen = (taken.esr, taken.vector, taken.spsr);
            assert_eq!(seen, (esr::IL, 0x600, 0x10));
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: Bugs others fixed pstate_after_injection
#[test]
fn exceptions_are_taken_at_the_right_vector() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_vectors(&cpu);
        for (pstate, vector) in [
            (0x3C4, 0x000),
            (0x3C5, 0x200),
            (0xF000_0000, 0x400),
            (0x6000_0010, 0x600),
        ] {
            cpu.context(|context| context.pstate = pstate);
            let After::Taken(taken) = cpu.hvc().await else {
                panic!("HVC is not undefined");
            };
            assert_eq!((taken.vector, taken.spsr), (vector, pstate));
            assert_eq!(
                taken.pstate & 0xFF_FFFF & !(1 << 22),
                0x3C5,
                "EL1h, DAIF masked"
            );
            assert_eq!(taken.pstate >> 28, pstate >> 28, "NZCV must not change");
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn an_emulated_instruction_ends_a_step_and_a_branch_target_check() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        let (btype, ss) = (3 << 10, 1 << 21);
        cpu.context(|context| context.pstate |= btype | ss);
        let _value = cpu.mrs([3, 0, 0, 4, 0]).await.expect("ID register");
        assert_eq!(cpu.context(|context| context.pstate), 0x3C5);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}
