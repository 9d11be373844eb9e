// SPDX-License-Identifier: BSD-3-Clause
//! The exit record: what the Host sees of each REC exit, in every byte (A4.3, B4.4.16).

use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_core::fake::{Host, assert_reason, assert_record, entry_flags, esr};

const TRAP_WFI: RecEnterFlags = RecEnterFlags::TRAP_WFI;
const TRAP_WFE: RecEnterFlags = RecEnterFlags::TRAP_WFE;

// Conformance: REC exits irq, zero
// Conformance: RMI_REC_ENTER registers_kept
#[test]
fn irq() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
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
    let realm = host.realm().with_page(1);
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
fn wfi_and_wfe_trapped() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
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
        let exit = realm.enter_with(0, entry_flags(both));
        assert_record(&exit, RecExitReason::Sync, |exit| {
            exit.esr = esr::WFX | ti;
            exit.gprs[0] = timeout;
        });
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REC_ENTER no_trap
#[test]
fn wfi_and_wfe_trapped_for_one_entry() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
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
            let exit = realm.enter_with(0, entry_flags(trapped));
            if trapped.contains(flag) {
                assert_record(&exit, RecExitReason::Sync, |exit| exit.esr = esr::WFX | ti);
            } else {
                assert_record(&exit, RecExitReason::Irq, |_| ());
            }
        }
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// op0, op1, CRn, CRm, op2.
const ICC_DIR: [u64; 5] = [3, 0, 12, 11, 1];
const ICC_SGI1R: [u64; 5] = [3, 0, 12, 11, 5];
const ICC_ASGI1R: [u64; 5] = [3, 0, 12, 11, 6];
const ICC_SGI0R: [u64; 5] = [3, 0, 12, 11, 7];

// Conformance: REC exits gic_register
// Conformance: Bugs others fixed iss_rt
#[test]
fn gic_registers_for_the_host() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    let registers = [ICC_DIR, ICC_SGI1R, ICC_ASGI1R, ICC_SGI0R];
    realm.script(0, move |cpu| async move {
        cpu.mark(0);
        for register in registers {
            cpu.msr(register, 0x1234)
                .await
                .expect("emulated by the Host");
        }
        assert_eq!(cpu.gprs()[3], 0x5EC_0003);
    });
    for [op0, op1, crn, crm, op2] in registers {
        let exit = realm.enter(0);
        assert_record(&exit, RecExitReason::Sync, |exit| {
            let register = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1;
            // The whole syndrome without Rt, the number of a register.
            exit.esr = esr::SYSREG | esr::IL | register;
            exit.gprs[0] = 0x1234;
        });
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// DFSC of an asynchronous SError.
const ASYNCHRONOUS: u64 = 0x11;

/// `ESR_EL2` of an SError with this AET.
fn serror(aet: u64) -> u64 {
    esr::SERROR | esr::IL | aet << 10 | ASYNCHRONOUS
}

// Conformance: REC exits serror
// Conformance: Bugs others fixed syndrome_masks
#[test]
fn serror_exits() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        cpu.mark(0);
        for (aet, injected) in [(1, true), (2, false), (3, true), (6, false)] {
            cpu.serror(serror(aet) | esr::EA).await;
            let pending = cpu.take_serror();
            assert_eq!(pending.is_some(), injected, "AET {aet}");
            if let Some(syndrome) = pending {
                assert_eq!(syndrome & 0x1FF_FFFF, aet << 10 | esr::EA | ASYNCHRONOUS);
            }
        }
    });
    for aet in [1, 2, 3, 6] {
        assert_record(&realm.enter(0), RecExitReason::SError, |exit| {
            // EC, IDS, AET, EA, DFSC; not esr::IL.
            exit.esr = esr::SERROR | aet << 10 | esr::EA | ASYNCHRONOUS;
        });
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

/// Lets a Realm take this SError, which stops the monitor.
fn stops_at_serror(esr: u64) {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, move |cpu| async move { cpu.serror(esr).await });
    let _exit = realm.enter(0);
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_uncontainable() {
    stops_at_serror(serror(0));
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_implementation_defined() {
    stops_at_serror(serror(1) | 1 << 24);
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_that_only_looks_restartable() {
    stops_at_serror(serror(2) | 1 << 24);
}

#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_uncategorised() {
    stops_at_serror(esr::SERROR | esr::IL);
}

// Conformance: REC exits irq_pending
#[test]
fn interrupt_pending_at_entry() {
    let host = Host::new();
    let realm = host.realm().active(1);
    realm.script(0, |cpu| async move {
        assert!(cpu.context(|context| context.pc) != 0);
    });
    host.set_irq(true);
    for _ in 0..2 {
        assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    }
    host.set_irq(false);
    host.set_fiq(true);
    assert_record(&realm.enter(0), RecExitReason::Fiq, |_| ());
    host.set_fiq(false);
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}
