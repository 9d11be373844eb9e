// SPDX-License-Identifier: BSD-3-Clause
//! The exit record of RMI_REC_ENTER of both interfaces: all that the Host sees of a REC exit (A4.3,
//! B4.4.16).
//!
//! The record is zero but for the fields that this file writes, and for the registers of a host call
//! or a PSCI call, which the Realm passes to the Host on purpose. The masks below are allow-lists.

use crate::gic;
use crate::machine::{GicState, Machine, RecContext, TimerState};
use crate::monitor::ThisCpu;
use crate::rec::RecHead;
use crate::run::Exit;
use core::mem::offset_of;
use core::ops::Range;
use rmm_abi::rmi::{
    GICV3_HCR_EOI_COUNT_MASK, GICV3_HCR_HOST_MASK, RecExit, RecExitReason as Reason, RecRun,
};
use rmm_granule::{Ipa, NsFault, NsGranule};
use rmm_rsi::Gprs;
use zerocopy::{Immutable, IntoBytes};

/// EC.
const ESR_CLASS: u64 = 0x3F << 26;
/// EC of an Instruction Abort from a lower Exception level.
const ESR_CLASS_FETCH: u64 = 0x20 << 26;
/// Of a trapped WFx: EC, TI.
const ESR_WFX: u64 = 0x3F << 26 | 3;
/// Of a trapped system register: EC, IL, Op0, Op2, Op1, CRn, CRm, Direction; not Rt, the number of a
/// register of the Realm.
const ESR_SYSTEM_REGISTER: u64 = 0xFE3F_FC1F;
/// Of any Data Abort: EC, SET, FnV, EA, DFSC. Specification A4.3.4.3 adds IL (bit 25) for a
/// Non-emulatable one at an Unprotected IPA; IL is always 1 there, so it says nothing, and Arm's
/// compliance suite wants 0.
const ESR_DATA_ABORT: u64 = 0xFC00_1E3F;
/// Of an Emulatable Data Abort: also ISV, SAS, SF, WnR.
const ESR_EMULATABLE: u64 = ESR_DATA_ABORT | 0x01C0_8040;
/// Of an Instruction Abort: EC, SET, EA, IFSC.
const ESR_INSTRUCTION_ABORT: u64 = 0xFC00_1A3F;
/// Of an SError: EC, IDS, AET, EA, DFSC.
const ESR_SERROR: u64 = 0x3F << 26 | 1 << 24 | 7 << 10 | 1 << 9 | 0x3F;
/// Of `FAR_EL2` of an Emulatable Data Abort: the offset in the Granule.
const FAR_OFFSET: u64 = 0xFFF;
/// Of `ICH_HCR_EL2`: EOIcount, and what the Host itself controls.
const GICV3_HCR: u64 = GICV3_HCR_EOI_COUNT_MASK | GICV3_HCR_HOST_MASK;

/// The exit record's bytes in `RmiRecRun`.
const RECORD: Range<usize> = offset_of!(RecRun, exit)..size_of::<RecRun>();

/// Offset of a field of the exit record in `RmiRecRun`.
macro_rules! at {
    ($field:ident) => {
        RECORD.start + offset_of!(RecExit, $field)
    };
}

/// `gicv3_misr` and `gicv3_vmcr`, as they lie in [`GicState`].
const GIC: Range<usize> = offset_of!(GicState, misr)..offset_of!(GicState, vmcr) + 8;
/// `cntp_ctl` to `cntv_cval`, as they lie in [`TimerState`].
const TIMERS: Range<usize> =
    offset_of!(TimerState, cntp_ctl)..offset_of!(TimerState, cntv_cval) + 8;

/// What is copied as a whole lies in the same order here and there.
const _: () = {
    assert!(at!(gicv3_vmcr) - at!(gicv3_misr) == offset_of!(GicState, vmcr) - GIC.start);
    assert!(at!(cntp_cval) - at!(cntp_ctl) == offset_of!(TimerState, cntp_cval) - TIMERS.start);
    assert!(at!(cntv_ctl) - at!(cntp_ctl) == offset_of!(TimerState, cntv_ctl) - TIMERS.start);
    assert!(at!(cntv_cval) - at!(cntp_ctl) == offset_of!(TimerState, cntv_cval) - TIMERS.start);
    assert!(at!(far) - at!(esr) == offset_of!(Syndrome, far));
    assert!(at!(hpfar) - at!(esr) == offset_of!(Syndrome, hpfar));
    assert!(at!(ripas_top) - at!(ripas_base) == offset_of!(RipasRequest, top));
    assert!(at!(ripas_value) - at!(ripas_base) == offset_of!(RipasRequest, ripas));
};

/// `RMI_PMU_OVERFLOW_ACTIVE`.
const PMU_OVERFLOW: u64 = 1;

/// `esr` to `hpfar`, as they lie in the exit record.
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct Syndrome {
    esr: u64,
    far: u64,
    hpfar: u64,
}

/// `ripas_base` to `ripas_value`, as they lie in the exit record.
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct RipasRequest {
    base: u64,
    top: u64,
    ripas: u64,
}

/// The fields that depend on the exit reason. Zero means that the field has no meaning.
#[derive(Default)]
struct Fields {
    syndrome: Syndrome,
    /// The first of `gprs`, unless the Realm passes all of them.
    x0: u64,
    ripas: RipasRequest,
    imm: u64,
}

/// Writes the record of this exit of the REC, zero bytes included, to the page that the Host named.
/// `gprs` are the registers of a host call or a PSCI call.
///
/// # Errors
/// The page is not accessible through the Non-secure PAS.
pub fn write<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    page: &NsGranule,
    exit: &Exit,
    gprs: Option<&Gprs>,
    head: &RecHead,
    context: &RecContext,
) -> Result<(), NsFault> {
    let mut fields = Fields::default();
    let reason = fill(&mut fields, exit);
    let gprs: &[u8] = match (reason, gprs) {
        (Reason::HostCall | Reason::Psci, Some(gprs)) => gprs.as_bytes(),
        (Reason::Sync, _) => fields.x0.as_bytes(),
        _ => &[],
    };
    // A Host of RMI 2.0 reads the registers themselves: its record has no such fields.
    let (hcr, lrs, rest): (_, &[u64], &[u8]) = if head.is_v2() {
        fields.syndrome.esr |= wait_register_valid(exit);
        (0, &[], &[])
    } else {
        (
            context.gic.hcr & GICV3_HCR,
            &context.gic.lrs[..gic::num_lrs(cpu.features())],
            &context.gic.as_bytes()[GIC],
        )
    };
    // Only of a Realm with a PMU.
    let pmu_overflow = head.resources.pmu_counters().is_some() && context.pmu.asserts_interrupt();
    page.write(
        cpu.machine,
        RECORD,
        [
            (at!(exit_reason), (reason as u64).as_bytes()),
            (at!(gprs), gprs),
            // Valid at every exit (A6.1, A6.2, A8.1).
            (at!(gicv3_hcr), hcr.as_bytes()),
            (at!(gicv3_lrs), lrs.as_bytes()),
            (at!(gicv3_misr), rest),
            (at!(cntp_ctl), &context.timers.as_bytes()[TIMERS]),
            only(pmu_overflow, at!(pmu_ovf_status), PMU_OVERFLOW.as_bytes()),
            only(
                reason == Reason::Sync || reason == Reason::SError,
                at!(esr),
                fields.syndrome.as_bytes(),
            ),
            only(
                reason == Reason::RipasChange,
                at!(ripas_base),
                fields.ripas.as_bytes(),
            ),
            only(reason == Reason::HostCall, at!(imm), fields.imm.as_bytes()),
        ],
    )
}

/// A part of the record that has a meaning only on a condition.
fn only(condition: bool, offset: usize, bytes: &[u8]) -> (usize, &[u8]) {
    (offset, if condition { bytes } else { &[] })
}

/// RV of a trapped WFIT or WFET, which says that there is a register; the record has its value, and RN is
/// 0. RMI 2.0-bet3 shows it.
fn wait_register_valid(exit: &Exit) -> u64 {
    match *exit {
        // RV is reserved for WFI and WFE, which have no timeout.
        Exit::Wait { esr, .. } => esr & (esr & 2) << 1,
        _ => 0,
    }
}

/// Fills the fields that depend on the exit reason, and returns the reason.
fn fill(fields: &mut Fields, exit: &Exit) -> Reason {
    let Fields {
        syndrome,
        x0,
        ripas,
        imm,
    } = fields;
    match *exit {
        Exit::Wait { esr, timeout } => {
            syndrome.esr = esr & ESR_WFX;
            *x0 = timeout;
            Reason::Sync
        }
        Exit::SystemRegister { esr, value } => {
            syndrome.esr = esr & ESR_SYSTEM_REGISTER;
            *x0 = value;
            Reason::Sync
        }
        Exit::DataAbort { esr, ipa } => {
            syndrome.esr = esr & ESR_DATA_ABORT;
            syndrome.hpfar = ipa.to_hpfar();
            Reason::Sync
        }
        Exit::EmulatableAbort {
            esr,
            far,
            ipa,
            written,
        } => {
            syndrome.esr = esr & ESR_EMULATABLE;
            syndrome.far = far & FAR_OFFSET;
            syndrome.hpfar = ipa.to_hpfar();
            *x0 = written;
            Reason::Sync
        }
        Exit::InstructionAbort { esr, ipa } => {
            syndrome.esr = esr & ESR_INSTRUCTION_ABORT;
            syndrome.hpfar = ipa.to_hpfar();
            Reason::Sync
        }
        Exit::ExternalAbort { esr } => {
            let visible = match esr & ESR_CLASS {
                ESR_CLASS_FETCH => ESR_INSTRUCTION_ABORT,
                _ => ESR_DATA_ABORT,
            };
            syndrome.esr = esr & visible;
            Reason::Sync
        }
        Exit::RsiAbort(abort) => {
            syndrome.esr = emulated_abort(abort.level);
            syndrome.hpfar = Ipa(abort.ipa).to_hpfar();
            Reason::Sync
        }
        Exit::Irq => Reason::Irq,
        Exit::Fiq => Reason::Fiq,
        Exit::SError { esr } => {
            syndrome.esr = esr & ESR_SERROR;
            Reason::SError
        }
        Exit::HostCall { imm: immediate } => {
            *imm = immediate.into();
            Reason::HostCall
        }
        Exit::RipasChange {
            base,
            top,
            ripas: requested,
        } => {
            *ripas = RipasRequest {
                base,
                top,
                ripas: requested as u64,
            };
            Reason::RipasChange
        }
        Exit::Psci => Reason::Psci,
    }
}

/// `exit.esr` of an emulated abort: a Data Abort from a lower Exception level, translation fault at
/// the level, -1 to 3. All other fields are zero.
fn emulated_abort(level: i8) -> u64 {
    const EC_DATA_ABORT_LOWER: u64 = 0x24 << 26;
    const TRANSLATION_FAULT_LEVEL_0: u64 = 0x04;
    const TRANSLATION_FAULT_LEVEL_MINUS_1: u64 = 0x2B;
    EC_DATA_ABORT_LOWER
        | match u64::try_from(level) {
            Ok(level) => TRANSLATION_FAULT_LEVEL_0 | (level & 3),
            Err(_) => TRANSLATION_FAULT_LEVEL_MINUS_1,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmm_rsi::Abort;

    #[test]
    fn an_emulated_abort_shows_page_and_level() {
        for (level, esr) in [
            (-1, 0x9000_002B),
            (0, 0x9000_0004),
            (1, 0x9000_0005),
            (2, 0x9000_0006),
            (3, 0x9000_0007),
        ] {
            let mut fields = Fields::default();
            let ipa = 0x12_3456_7F00;
            let exit = Exit::RsiAbort(Abort { ipa, level });
            assert_eq!(fill(&mut fields, &exit), Reason::Sync);
            // FIPA is at bits 43:4; the low bits are zero.
            let Syndrome {
                esr: found, hpfar, ..
            } = fields.syndrome;
            assert_eq!((found, hpfar), (esr, 0x1234_5670));
        }
    }
}
