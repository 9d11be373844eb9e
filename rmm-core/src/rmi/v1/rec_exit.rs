// SPDX-License-Identifier: BSD-3-Clause
//! The exit record of RMI_REC_ENTER: all that the Host sees of a REC exit (A4.3, B4.4.16).
//!
//! The record is zero but for the fields that this file sets, and for the registers of a host call
//! or a PSCI call, which the Realm passes to the Host on purpose. The masks below are allow-lists.

use crate::gic;
use crate::machine::{CpuFeatures, RecContext};
use crate::rec::RecHead;
use crate::run::Exit;
use rmm_abi::rmi::{
    GICV3_HCR_EOI_COUNT_MASK, GICV3_HCR_HOST_MASK, RecExit, RecExitReason as Reason,
};
use rmm_granule::Ipa;

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

/// Fills the record of this exit of the REC. The record is zero, except that `gprs` already has the
/// registers of a host call or a PSCI call.
pub fn fill(
    record: &mut RecExit,
    exit: &Exit,
    head: &RecHead,
    context: &RecContext,
    features: &CpuFeatures,
) {
    record.exit_reason = fill_reason(record, exit) as u8;

    // Valid at every exit (A6.1, A6.2, A8.1).
    record.gicv3_hcr = context.gic.hcr & GICV3_HCR;
    let lrs = record.gicv3_lrs.iter_mut().zip(&context.gic.lrs);
    for (to, from) in lrs.take(gic::num_lrs(features)) {
        *to = *from;
    }
    record.gicv3_misr = context.gic.misr;
    record.gicv3_vmcr = context.gic.vmcr;
    record.cntp_ctl = context.timers.cntp_ctl;
    record.cntp_cval = context.timers.cntp_cval;
    record.cntv_ctl = context.timers.cntv_ctl;
    record.cntv_cval = context.timers.cntv_cval;
    if head.resources.pmu_counters().is_some() {
        record.pmu_ovf_status = u8::from(context.pmu.asserts_interrupt());
    }
}

/// Fills the fields that depend on the exit reason, and returns the reason.
fn fill_reason(record: &mut RecExit, exit: &Exit) -> Reason {
    match *exit {
        Exit::Wait { esr, timeout } => {
            record.esr = esr & ESR_WFX;
            record.gprs[0] = timeout;
            Reason::Sync
        }
        Exit::SystemRegister { esr, value } => {
            record.esr = esr & ESR_SYSTEM_REGISTER;
            record.gprs[0] = value;
            Reason::Sync
        }
        Exit::DataAbort { esr, ipa } => {
            record.esr = esr & ESR_DATA_ABORT;
            record.hpfar = ipa.to_hpfar();
            Reason::Sync
        }
        Exit::EmulatableAbort {
            esr,
            far,
            ipa,
            written,
        } => {
            record.esr = esr & ESR_EMULATABLE;
            record.far = far & FAR_OFFSET;
            record.hpfar = ipa.to_hpfar();
            record.gprs[0] = written;
            Reason::Sync
        }
        Exit::InstructionAbort { esr, ipa } => {
            record.esr = esr & ESR_INSTRUCTION_ABORT;
            record.hpfar = ipa.to_hpfar();
            Reason::Sync
        }
        Exit::ExternalAbort { esr } => {
            record.esr = esr & ESR_DATA_ABORT;
            Reason::Sync
        }
        Exit::RsiAbort(abort) => {
            record.esr = emulated_abort(abort.level);
            record.hpfar = Ipa(abort.ipa).to_hpfar();
            Reason::Sync
        }
        Exit::Irq => Reason::Irq,
        Exit::Fiq => Reason::Fiq,
        Exit::SError { esr } => {
            record.esr = esr & ESR_SERROR;
            Reason::SError
        }
        Exit::HostCall { imm } => {
            record.imm = imm;
            Reason::HostCall
        }
        Exit::RipasChange { base, top, ripas } => {
            record.ripas_base = base;
            record.ripas_top = top;
            record.ripas_value = ripas as u8;
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
    use zerocopy::FromZeros;

    #[test]
    fn an_emulated_abort_shows_page_and_level() {
        for (level, esr) in [
            (-1, 0x9000_002B),
            (0, 0x9000_0004),
            (1, 0x9000_0005),
            (2, 0x9000_0006),
            (3, 0x9000_0007),
        ] {
            let mut record = RecExit::new_zeroed();
            let ipa = 0x12_3456_7F00;
            let exit = Exit::RsiAbort(Abort { ipa, level });
            assert_eq!(fill_reason(&mut record, &exit), Reason::Sync);
            // FIPA is at bits 43:4; the low bits are zero.
            assert_eq!((record.esr, record.hpfar), (esr, 0x1234_5670));
        }
    }
}
