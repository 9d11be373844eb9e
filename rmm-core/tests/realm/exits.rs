// SPDX-License-Identifier: BSD-3-Clause
//! REC exits other than aborts, calls and timers: the whole record.

use super::{assert_reason, assert_record, flags, with_page};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_core::fake::{After, Host, RealmCpu, Taken};

const TRAP_WFI: RecEnterFlags = RecEnterFlags::TRAP_WFI;
const TRAP_WFE: RecEnterFlags = RecEnterFlags::TRAP_WFE;

const WFX: u64 = 0x01 << 26;
const SYSREG: u64 = 0x18 << 26;
const IL: u64 = 1 << 25;

// Conformance: REC exits irq, zero
// Conformance: RMI_REC_ENTER registers_kept
#[test]
fn irq() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.mark(0);
        let before = (cpu.gprs(), cpu.context(|context| context.pc));
        cpu.irq().await;
        assert_eq!((cpu.gprs(), cpu.context(|context| context.pc)), before);
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: REC exits fiq
#[test]
fn fiq() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.mark(0);
        cpu.fiq().await;
    });
    assert_record(&realm.enter(0), RecExitReason::Fiq, |_| ());
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: REC exits wfi, wfe, wfit, wfet
// Conformance: RMI_REC_ENTER trap_wfi, trap_wfe
#[test]
fn wfi_and_wfe_where_trapped() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.mark(0);
        let before = cpu.gprs();
        cpu.wfi(None).await;
        cpu.wfe(None).await;
        cpu.wfi(Some(5)).await;
        cpu.wfe(Some(30)).await;
        cpu.wfi(Some(31)).await;
        assert_eq!(cpu.gprs(), before);
    });
    let both = TRAP_WFI | TRAP_WFE;
    for (ti, timeout) in [(0, 0), (1, 0), (2, 0x5EC_0005), (3, 0x5EC_001E), (2, 0)] {
        let exit = realm.enter_with(0, flags(both));
        assert_record(&exit, RecExitReason::Sync, |exit| {
            exit.esr = WFX | ti;
            exit.gprs[0] = timeout;
        });
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_ENTER no_trap
#[test]
fn wfi_and_wfe_are_trapped_for_one_entry_each() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        for _ in 0..4 {
            cpu.wfi(None).await;
            cpu.wfe(None).await;
        }
    });
    for trapped in [
        RecEnterFlags::empty(),
        TRAP_WFI,
        TRAP_WFE,
        TRAP_WFI | TRAP_WFE,
    ] {
        for (flag, ti) in [(TRAP_WFI, 0), (TRAP_WFE, 1)] {
            let exit = realm.enter_with(0, flags(trapped));
            if trapped.contains(flag) {
                assert_record(&exit, RecExitReason::Sync, |exit| exit.esr = WFX | ti);
            } else {
                assert_record(&exit, RecExitReason::Irq, |_| ());
            }
        }
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// `op0, op1, CRn, CRm, op2`.
const ICC_DIR: [u64; 5] = [3, 0, 12, 11, 1];
const ICC_SGI1R: [u64; 5] = [3, 0, 12, 11, 5];
const ICC_ASGI1R: [u64; 5] = [3, 0, 12, 11, 6];
const ICC_SGI0R: [u64; 5] = [3, 0, 12, 11, 7];

// Conformance: REC exits gic_register
// Conformance: Bugs others fixed iss_rt
#[test]
fn gic_registers_for_the_host() {
    let host = Host::new();
    let realm = with_page(&host);
    let registers = [ICC_DIR, ICC_SGI1R, ICC_ASGI1R, ICC_SGI0R];
    realm.script(0, move |cpu| async move {
        cpu.mark(0);
        for register in registers {
            cpu.msr(register, 0x1234).await.expect("done by the Host");
        }
        assert_eq!(cpu.gprs()[3], 0x5EC_0003);
    });
    for [op0, op1, crn, crm, op2] in registers {
        let exit = realm.enter(0);
        assert_record(&exit, RecExitReason::Sync, |exit| {
            let register = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1;
            // All of the syndrome but Rt, which names a register.
            exit.esr = SYSREG | IL | register;
            exit.gprs[0] = 0x1234;
        });
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// Asserts that the Realm took an Undefined Instruction exception at the instruction.
fn assert_undefined(taken: Taken, pc: u64) {
    assert_eq!(taken.esr, IL, "unknown reason");
    assert_eq!((taken.elr, taken.vector), (pc, 0x200));
    assert_eq!(taken.spsr, 0x3C5);
}

async fn undefined(cpu: &RealmCpu, register: [u64; 5]) {
    let pc = cpu.context(|context| context.pc);
    let far = cpu.el1(|el1| el1.far);
    for taken in [cpu.mrs(register).await.err(), {
        cpu.context(|context| context.pc = pc);
        cpu.msr(register, 1).await.err()
    }] {
        let taken = taken.unwrap_or_else(|| panic!("{register:?} is there"));
        assert_undefined(taken, pc);
        assert_eq!(taken.far, far, "FAR_EL1 stays");
    }
}

// Conformance: Exceptions and accesses that do not exit implementation_defined, hidden
#[test]
fn registers_that_do_not_exist_for_a_realm() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.vbar = 0x8_0000);
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
            undefined(&cpu, register).await;
        }
        // SMIDR_EL1, GMID_EL1: reads have their own syndrome, writes have not.
        for (op1, op2) in [(1, 6), (1, 4)] {
            let register = [3, op1, 0, 0, op2];
            let taken = cpu.mrs(register).await.expect_err("hidden");
            let syndrome = SYSREG | IL | 3 << 20 | op2 << 17 | op1 << 14;
            assert_eq!((taken.esr, taken.vector), (syndrome | 2 << 5 | 1, 0x200));
            let taken = cpu.msr(register, 0).await.expect_err("no write");
            assert_eq!((taken.esr, taken.vector), (IL, 0x200));
        }
        // ID registers are for reading.
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
        assert_eq!(field(pfr0, 0), 1, "EL0: AArch64 alone");
        assert_eq!(field(pfr0, 4), 1, "EL1: AArch64 alone");
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

// Conformance: Exceptions and accesses that do not exit hvc
#[test]
fn hvc_is_undefined() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.vbar = 0x8_0000);
        let pc = cpu.context(|context| context.pc);
        let After::Taken(taken) = cpu.hvc().await else {
            panic!("HVC is no service");
        };
        assert_undefined(taken, pc);
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

#[test]
fn unknown_exceptions_are_undefined() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.vbar = 0x8_0000);
        // SVE, ERET, PAC, SME, LS64, BTI, MOPS, a breakpoint.
        for ec in [0x19, 0x1A, 0x09, 0x1D, 0x0A, 0x0D, 0x27, 0x30, 0x3C, 0] {
            let pc = cpu.context(|context| context.pc);
            match cpu.sync(ec << 26 | IL | 0x1234, 0xFA2, 0).await {
                After::Taken(taken) => assert_undefined(taken, pc),
                after => panic!("{ec:#x}: {after:?}"),
            }
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

// Conformance: Bugs others fixed pstate_after_injection
#[test]
fn exceptions_are_taken_at_the_right_vector() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.el1(|el1| el1.vbar = 0xFFFF_0000_0008_0000);
        for (pstate, vector) in [
            (0x3C4, 0x000),
            (0x3C5, 0x200),
            (0xF000_0000, 0x400),
            (0x6000_0010, 0x600),
        ] {
            cpu.context(|context| context.pstate = pstate);
            let After::Taken(taken) = cpu.hvc().await else {
                panic!("HVC is no service");
            };
            assert_eq!((taken.vector, taken.spsr), (vector, pstate));
            assert_eq!(taken.pstate & 0xFF_FFFF & !(1 << 22), 0x3C5, "EL1h, DAIF");
            assert_eq!(taken.pstate >> 28, pstate >> 28, "NZCV stay");
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// DFSC of an asynchronous SError, with AET.
fn serror(aet: u64) -> u64 {
    0x2F << 26 | IL | aet << 10 | 0x11
}

// Conformance: REC exits serror
// Conformance: Bugs others fixed syndrome_masks
#[test]
fn serror_exits() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        cpu.mark(0);
        for (aet, told) in [(1, true), (2, false), (3, true), (6, false)] {
            cpu.serror(serror(aet) | 1 << 9).await;
            let pending = cpu.take_serror();
            assert_eq!(pending.is_some(), told, "AET {aet}");
            if let Some(syndrome) = pending {
                assert_eq!(syndrome & 0x1FF_FFFF, aet << 10 | 1 << 9 | 0x11);
            }
        }
    });
    for aet in [1, 2, 3, 6] {
        assert_record(&realm.enter(0), RecExitReason::SError, |exit| {
            // EC, IDS, AET, EA, DFSC; not IL.
            exit.esr = 0x2F << 26 | aet << 10 | 1 << 9 | 0x11;
        });
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

fn dies_of(esr: u64) {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, move |cpu| async move { cpu.serror(esr).await });
    let _exit = realm.enter(0);
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_uncontainable() {
    dies_of(serror(0));
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_implementation_defined() {
    dies_of(serror(1) | 1 << 24);
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_that_only_looks_restartable() {
    dies_of(serror(2) | 1 << 24);
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_uncategorised() {
    dies_of(0x2F << 26 | IL);
}

#[test]
fn an_emulated_instruction_ends_a_step_and_a_branch_target_check() {
    let host = Host::new();
    let realm = with_page(&host);
    realm.script(0, |cpu| async move {
        let (btype, ss) = (3 << 10, 1 << 21);
        cpu.context(|context| context.pstate |= btype | ss);
        let _value = cpu.mrs([3, 0, 0, 4, 0]).await.expect("ID register");
        assert_eq!(cpu.context(|context| context.pstate), 0x3C5);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}
