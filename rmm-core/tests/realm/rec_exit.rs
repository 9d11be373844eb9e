// SPDX-License-Identifier: BSD-3-Clause
//! The exit record: what the Host sees of each REC exit, in every byte (A4.3, B4.4.16).
//!
//! First each exit reason with ordinary values, then with all ones in every register of the Realm
//! and in every bit of a syndrome that does not decide which exit it is.

use rmm_abi::psci::fid::{
    PSCI_AFFINITY_INFO, PSCI_CPU_OFF, PSCI_CPU_ON, PSCI_CPU_SUSPEND, PSCI_SYSTEM_OFF,
    PSCI_SYSTEM_RESET,
};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_abi::rsi::fid::{RSI_HOST_CALL, RSI_IPA_STATE_SET};
use rmm_core::fake::{
    Host, PAGE, RAM, RealmCpu, Status, Timer, assert_psci, assert_reason, assert_record,
    entry_flags, esr, lpa2_features,
};
use zerocopy::IntoBytes;

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

/// SErrors of which nothing is known, as a device raises them that the Host has mapped: IMPLEMENTATION
/// DEFINED, whatever the other bits look like, and uncategorised. They end the Realm and nothing else.
#[test]
fn serror_of_a_device() {
    for esr in [
        serror(0) | 1 << 24,
        serror(1) | 1 << 24,
        serror(2) | 1 << 24,
        esr::SERROR | esr::IL,
        esr::SERROR | esr::IL | 0x3F,
    ] {
        let host = Host::new();
        let realm = host.realm().with_page(2);
        let other = host.realm().with_page(1);
        realm.allow_unfinished_scripts();
        realm.script(0, move |cpu| async move {
            cpu.serror(esr).await;
            unreachable!("runs on");
        });
        assert_record(&realm.enter(0), RecExitReason::SError, |exit| {
            exit.esr = esr & 0xFD00_1E3F;
        });
        for rec in 0..2 {
            let (status, _) = realm.try_enter(rec, |_| ());
            assert_eq!(status, Status::Realm(1), "{esr:#x}");
        }
        // This CPU and the other Realm go on; the Host gets back its memory, wiped.
        assert_reason(&other.enter(0), RecExitReason::Irq);
        realm.destroy();
    }
}

/// The architecture says that such an error may have spread beyond the Realm.
#[test]
#[should_panic(expected = "uncontained SError")]
fn serror_uncontainable() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, move |cpu| async move { cpu.serror(serror(0)).await });
    let _exit = realm.enter(0);
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

/// Sets all ones in registers of the Realm: X0 to X30, `SP_EL0`, keys, EL1 and FP/SIMD registers.
async fn set_all_ones(cpu: &RealmCpu) {
    cpu.simd(|simd| simd.as_mut_bytes().fill(0xFF))
        .await
        .expect("FP/SIMD");
    cpu.el1(|el1| el1.as_mut_bytes().fill(0xFF));
    cpu.sp_el0_and_keys(|sp_el0, keys| (*sp_el0, *keys) = (u64::MAX, [u64::MAX; 10]));
    cpu.context(|context| context.gprs = [u64::MAX; 31]);
}

/// FIPA in `HPFAR_EL2`.
const FIPA: u64 = 0xFFF_FFFF_FFF0;

/// A synchronous exception, and the fields of the exit record that are not zero.
#[derive(Clone, Copy)]
struct SyncRow {
    what: &'static str,
    /// The value of those bits of `ESR_EL2` that `decisive` has. All other bits are one.
    esr: u64,
    /// Bits of `ESR_EL2` that decide which exit it is.
    decisive: u64,
    /// IPA in `HPFAR_EL2`, of which all bits outside FIPA are one.
    ipa: u64,
    /// Bits of `ESR_EL2` that the Host sees.
    visible: u64,
    /// `far`.
    far: u64,
    /// `hpfar`.
    hpfar: u64,
    /// `gprs[0]`.
    gpr: u64,
}

impl SyncRow {
    /// A row for which the Host sees only these bits of `ESR_EL2`.
    const fn new(what: &'static str, esr: u64, decisive: u64, visible: u64) -> Self {
        Self {
            what,
            esr,
            decisive,
            ipa: 0,
            visible,
            far: 0,
            hpfar: 0,
            gpr: 0,
        }
    }

    /// The Host also sees the page of the IPA.
    const fn at(self, ipa: u64) -> Self {
        Self {
            ipa,
            hpfar: ipa >> 8 & FIPA,
            ..self
        }
    }

    /// `ESR_EL2`.
    const fn syndrome(&self) -> u64 {
        self.esr | !self.decisive
    }
}

/// EC in `ESR_EL2`.
const EC: u64 = 0x3F << 26;
/// DFSC or IFSC in `ESR_EL2`.
const STATUS: u64 = 0x3F;
/// SET in `ESR_EL2`.
const SET: u64 = 3 << 11;
/// Rt, of a trapped system register, or RN, of WFIT and WFET.
const RT: u64 = 0x1F << 5;

/// Rows for a Realm of 52-bit IPAs with LPA2: `ram` is UNASSIGNED with RIPAS RAM, `device` is
/// UNASSIGNED_NS.
fn sync_rows(ram: u64, device: u64) -> Vec<SyncRow> {
    let mut rows = Vec::new();

    // WFI, WFE, WFIT with XZR, WFET with X7, WFET with a register that RV says is not known: EC and TI.
    // WFI and WFE have no register, whatever RV says.
    const RV: u64 = 1 << 2;
    for (ti, register, timeout) in [
        (0, 7, 0),
        (1, 7, 0),
        (RV, 7, 0),
        (1 | RV, 7, 0),
        (2 | RV, 31, 0),
        (3 | RV, 7, u64::MAX),
        (3, 7, 0),
    ] {
        let esr = esr::WFX | register << 5 | ti;
        let row = SyncRow::new("WFx", esr, EC | RT | RV | 3, EC | 3);
        rows.push(SyncRow {
            gpr: timeout,
            ..row
        });
    }

    // ICC_SGI1R_EL1 from X7 and from XZR: EC, IL, the register and Direction, not Rt.
    const SHOWN: u64 = 0xFE3F_FC1F;
    let register = 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
    let encoding = 3 << 20 | 7 << 17 | 7 << 14 | 15 << 10 | 15 << 1;
    for (rt, value) in [(7, u64::MAX), (31, 0)] {
        let esr = esr::SYSREG | register | rt << 5;
        let row = SyncRow::new("MSR", esr, EC | encoding | RT | 1, SHOWN);
        rows.push(SyncRow { gpr: value, ..row });
    }

    // Data Aborts: EC, SET, FnV, EA, DFSC.
    let data_abort = 0xFC00_1E3F;
    let not_mapped = esr::DATA_ABORT | esr::translation_fault(3);
    let protected = SyncRow::new("Data Abort", not_mapped, EC | STATUS, data_abort);
    rows.push(protected.at(ram));
    // Without ISV it is not emulatable. The Host does not see IL.
    let decisive = EC | STATUS | esr::ISV;
    let no_syndrome = SyncRow::new("Data Abort, no ISV", not_mapped, decisive, data_abort);
    rows.push(no_syndrome.at(device));

    // Emulatable: ISV, SAS, SF and WnR as well, the offset in the page, and what a write writes.
    let emulatable = data_abort | esr::ISV | 3 << 22 | esr::SF | esr::WNR;
    let decisive = decisive | 3 << 22 | 0x1F << 16 | esr::WNR;
    for (bytes, value) in [(1, 0xFF), (2, 0xFFFF), (4, 0xFFFF_FFFF), (8, u64::MAX)] {
        let access = not_mapped | esr::ISV | esr::sas(bytes) | 7 << 16;
        let load = SyncRow::new("load", access, decisive, emulatable);
        let load = SyncRow { far: 0xFFF, ..load };
        let store = SyncRow {
            what: "store",
            esr: access | esr::WNR,
            gpr: value,
            ..load
        };
        rows.extend([load.at(device), store.at(device)]);
    }

    // Instruction Abort: EC, SET, EA, IFSC.
    let not_mapped = esr::INSTRUCTION_ABORT | esr::translation_fault(3);
    let fetch = SyncRow::new("Instruction Abort", not_mapped, EC | STATUS, 0xFC00_1A3F);
    rows.push(fetch.at(ram));

    // External aborts, restartable: the Host sees no address.
    for (class, visible) in [
        (esr::DATA_ABORT, data_abort),
        (esr::INSTRUCTION_ABORT, 0xFC00_1A3F),
    ] {
        let esr = class | esr::EXTERNAL | SET;
        let decisive = EC | STATUS | SET;
        let external = SyncRow::new("external abort", esr, decisive, visible);
        rows.push(SyncRow {
            ipa: device,
            ..external
        });
    }
    rows
}

// Conformance: REC exits zero, emulatable_read, emulatable_write, non_emulatable_unprotected
// Conformance: REC exits non_emulatable_protected_ram, instruction_abort, wfi, wfe, wfit, wfet
// Conformance: REC exits gic_register
// Conformance: Bugs others fixed syndrome_masks, iss_rt, exit_state
#[test]
fn all_ones_at_synchronous_exceptions() {
    let host = Host::with_features(lpa2_features());
    let realm = host.realm().params(|p| p.flags = 1).ipa(52, -1, 1).create();
    let _rec = realm.rec(true);
    realm.data(0, &[]);
    realm.ram(PAGE, 2 * PAGE);
    realm.activate();
    // All bits of FIPA are one for the last page of the IPA space.
    let rows = sync_rows(PAGE, realm.end() - PAGE);
    let exceptions = rows.clone();
    realm.script(0, move |cpu| async move {
        for row in exceptions {
            set_all_ones(&cpu).await;
            let hpfar = row.ipa >> 8 | !FIPA;
            let _after = cpu.sync(row.syndrome(), u64::MAX, hpfar).await;
        }
    });
    for row in rows {
        println!("{}: ESR_EL2 {:#x}", row.what, row.syndrome());
        assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
            exit.esr = row.syndrome() & row.visible;
            exit.far = row.far;
            exit.hpfar = row.hpfar;
            exit.gprs[0] = row.gpr;
        });
    }
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: REC exits zero, irq, fiq, serror
// Conformance: Bugs others fixed syndrome_masks
#[test]
fn all_ones_at_interrupts_and_serrors() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    // AET 1, 2, 3 and 6 with IDS 0 and DFSC Asynchronous; all other bits are one.
    let aets = [1, 2, 3, 6];
    let decisive = EC | 1 << 24 | 7 << 10 | STATUS;
    let syndrome = move |aet: u64| esr::SERROR | aet << 10 | ASYNCHRONOUS | !decisive;
    realm.script(0, move |cpu| async move {
        set_all_ones(&cpu).await;
        cpu.irq().await;
        cpu.fiq().await;
        for aet in aets {
            cpu.serror(syndrome(aet)).await;
        }
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
    assert_record(&realm.enter(0), RecExitReason::Fiq, |_| ());
    for aet in aets {
        assert_record(&realm.enter(0), RecExitReason::SError, |exit| {
            // EC, IDS, AET, EA, DFSC.
            exit.esr = syndrome(aet) & 0xFD00_1E3F;
        });
    }
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// SMC with these arguments and all ones in every other register of the Realm. The upper half of X0
/// and the SVE hint (bit 16) are one, too.
async fn call_with_all_ones(cpu: &RealmCpu, args: &[u64]) {
    set_all_ones(cpu).await;
    let mut args = args.to_vec();
    args[0] |= u64::MAX << 32 | 1 << 16;
    cpu.smc_without_return(&args).await;
}

// Conformance: REC exits zero, host_call, ripas_change
#[test]
fn all_ones_at_host_calls_and_ripas_changes() {
    let host = Host::new();
    let realm = host.realm().create();
    let _rec = realm.rec(true);
    realm.data(0, &[]);
    realm.ram(PAGE, 2 * PAGE);
    realm.activate();
    realm.script(0, |cpu| async move {
        // imm, reserved bytes and registers of the structure, and memory around it.
        cpu.write_bytes(0, &[0xFF; 0x300]).await.expect("RAM");
        cpu.write_bytes(0x100, &[0x22; 2]).await.expect("RAM");
        cpu.write_bytes(0x108, &[0x22; 8 * 31]).await.expect("RAM");
        call_with_all_ones(&cpu, &[RSI_HOST_CALL, 0x100]).await;
        // The page of the structure is not mapped.
        call_with_all_ones(&cpu, &[RSI_HOST_CALL, PAGE | 0xF00]).await;
        // RIPAS in the lowest byte of X3, a flag in bit 0 of X4.
        let ripas = RAM | !0xFF;
        call_with_all_ones(&cpu, &[RSI_IPA_STATE_SET, PAGE, 4 * PAGE, ripas]).await;
    });
    realm.allow_unfinished_scripts();
    assert_record(&realm.enter(0), RecExitReason::HostCall, |exit| {
        exit.imm = 0x2222;
        exit.gprs = [0x2222_2222_2222_2222; 31];
    });
    assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
        exit.esr = esr::DATA_ABORT | esr::translation_fault(3);
        exit.hpfar = PAGE >> 8;
    });
    assert_record(&realm.enter(0), RecExitReason::RipasChange, |exit| {
        (exit.ripas_base, exit.ripas_top) = (PAGE, 4 * PAGE);
        exit.ripas_value = 1;
    });
}

// Conformance: REC exits zero, psci
#[test]
fn all_ones_at_psci_calls() {
    // Bits of an MPIDR that are not part of a REC index, and REC 1.
    let mpidr = !0xFF_00FF_FF0F | 1;
    let ones = u64::MAX;
    for (args, shown) in [
        // 32 bits of the power state, 64 bits of entry point and context.
        (
            [PSCI_CPU_SUSPEND, ones, ones, ones],
            [0xFFFF_FFFF, ones, ones],
        ),
        ([PSCI_CPU_OFF, ones, ones, ones], [0, 0, 0]),
        ([PSCI_SYSTEM_OFF, ones, ones, ones], [0, 0, 0]),
        ([PSCI_SYSTEM_RESET, ones, ones, ones], [0, 0, 0]),
        // 32 bits of the context.
        ([PSCI_CPU_ON, mpidr, 0x8000, ones], [1, 0x8000, 0xFFFF_FFFF]),
        // 32 bits of the lowest affinity level.
        ([PSCI_AFFINITY_INFO, mpidr, ones << 32, ones], [1, 0, 0]),
    ] {
        let host = Host::new();
        let realm = host.realm().active(2);
        realm.script(0, move |cpu| async move {
            call_with_all_ones(&cpu, &args).await;
        });
        realm.allow_unfinished_scripts();
        let [x1, x2, x3] = shown;
        assert_psci(&realm.enter(0), &[args[0], x1, x2, x3]);
    }
}

// Conformance: REC exits always
// Conformance: Bugs others fixed exit_state
#[test]
fn all_ones_in_gic_and_timers() {
    let host = Host::new();
    let realm = host.realm().with_page(1);
    realm.script(0, |cpu| async move {
        set_all_ones(&cpu).await;
        cpu.gic(|gic| gic.as_mut_bytes().fill(0xFF));
        for timer in [Timer::Virtual, Timer::Physical] {
            cpu.set_timer(timer, u64::MAX, u64::MAX).await;
        }
        cpu.irq().await;
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |exit| {
        // EOIcount, and the bits that the Host controls.
        exit.gicv3_hcr = 0xF800_0000 | 0x40FE;
        // The CPU has four list registers.
        exit.gicv3_lrs[..4].fill(u64::MAX);
        exit.gicv3_vmcr = u64::MAX;
        // ENABLE and IMASK; the condition is not met.
        (exit.cntv_ctl, exit.cntv_cval) = (3, u64::MAX);
        (exit.cntp_ctl, exit.cntp_cval) = (3, u64::MAX);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}
