// SPDX-License-Identifier: BSD-3-Clause
//! Data Aborts and Instruction Aborts of a Realm (A4.3.4.2, A4.3.4.3, A5.2, A5.3.1).

use super::inject;
use super::mmio::Access;
use super::rsi::read_realm;
use super::{Next, PSTATE_AARCH32, Running, stage1};
use crate::machine::Machine;
use crate::rec::LastExit;
use rmm_abi::rmi::Ripas;
use rmm_granule::Ipa;
use rmm_rtt::Entry;

/// ISV: the instruction syndrome is valid.
const ESR_ISV: u64 = 1 << 24;
/// EC, SET, FnV, EA, DFSC: what the Host sees of any Data Abort. Specification A4.3.4.3 adds IL (bit
/// 25) for a Non-emulatable one at an Unprotected IPA; it is always 1 there, tells the Host nothing,
/// and Arm's compliance suite wants 0.
const ESR_DATA_ABORT: u64 = 0xFC00_1E3F;
/// What the Host also sees of an Emulatable Data Abort: ISV, SAS, SF, WnR.
const ESR_EMULATABLE: u64 = ESR_DATA_ABORT | 0x01C0_8040;
/// EC, SET, EA, IFSC: what the Host sees of an Instruction Abort.
const ESR_INSTRUCTION_ABORT: u64 = 0xFC00_1A3F;
/// The part of `FAR_EL2` that the Host sees of an Emulatable Data Abort: the offset in the Granule.
const FAR_OFFSET: u64 = 0xFFF;
/// FIPA, bits of `HPFAR_EL2`; NS (bit 63) is not the Host's.
const HPFAR_FIPA: u64 = 0xFFF_FFFF_FFF0;

impl<M: Machine> Running<'_, M> {
    /// A Data Abort from the Realm.
    pub fn data_abort(&mut self, esr: u64, far: u64, hpfar: u64) -> Next {
        if is_external(esr) {
            return self.external_abort(esr, far);
        }
        let ipa = ipa(hpfar);
        if !self.head.stage2.in_range(ipa) {
            return self.beyond_ipa_space(esr, far);
        }
        let entry = self.state_of(ipa);
        self.exit.hpfar = hpfar & HPFAR_FIPA;
        if self.head.stage2.is_protected(ipa) {
            return match entry {
                // Also ASSIGNED with RIPAS RAM, if the Host has mended the mapping meanwhile: an
                // exit too many does no harm.
                Some(Ripas::Ram | Ripas::Destroyed) => self.leave_sync(esr & ESR_DATA_ABORT),
                Some(Ripas::Empty) | None => self.external_abort_injected(esr, far),
            };
        }
        // AArch32 has no place in a Realm, nor in the completion of an emulated access.
        let is_aarch64 = self.rec.context.pstate & PSTATE_AARCH32 == 0;
        if esr & ESR_ISV == 0 || !is_aarch64 {
            self.remember(LastExit::UnprotectedAbort, esr, far);
            return self.leave_sync(esr & ESR_DATA_ABORT);
        }
        self.remember(LastExit::EmulatableAbort, esr, far);
        self.exit.far = far & FAR_OFFSET;
        let access = Access::new(esr);
        if access.is_write() {
            self.exit.gprs[0] = access.written(&self.rec.context);
        }
        self.leave_sync(esr & ESR_EMULATABLE)
    }

    /// An Instruction Abort from the Realm.
    pub fn instruction_abort(&mut self, esr: u64, far: u64, hpfar: u64) -> Next {
        if is_external(esr) {
            return self.external_abort(esr, far);
        }
        let ipa = ipa(hpfar);
        if !self.head.stage2.in_range(ipa) {
            return self.beyond_ipa_space(esr, far);
        }
        match self.state_of(ipa) {
            Some(Ripas::Ram | Ripas::Destroyed) => {
                self.exit.hpfar = hpfar & HPFAR_FIPA;
                self.leave_sync(esr & ESR_INSTRUCTION_ABORT)
            }
            // Nothing is ever executed from the Unprotected half.
            Some(Ripas::Empty) | None => self.external_abort_injected(esr, far),
        }
    }

    /// RIPAS at a Protected IPA, as it is now; none at an Unprotected one.
    fn state_of(&self, ipa: Ipa) -> Option<Ripas> {
        let stage2 = &self.head.stage2;
        let root = rmm_rtt::root(stage2, self.cx.granules(), ipa)?;
        match rmm_rtt::classify(root, self.cx.machine).1 {
            Entry::Unassigned { ripas } | Entry::Assigned { ripas, .. } => Some(ripas),
            Entry::UnassignedNs | Entry::AssignedNs { .. } | Entry::Table { .. } => None,
        }
    }

    /// The Realm takes a Synchronous External Abort and goes on.
    fn external_abort_injected(&mut self, esr: u64, far: u64) -> Next {
        self.exit.hpfar = 0;
        self.cx.machine.save_el1(&mut self.rec.context);
        inject::sea(&mut self.rec.context, &self.cx.features().id, esr, far);
        self.cx.machine.load_el1(&self.rec.context);
        Next::Resume
    }

    /// The hardware reports an external abort: the Host is told, and the Realm if its state is not
    /// what the program expects.
    fn external_abort(&mut self, esr: u64, far: u64) -> Next {
        match esr >> 11 & 3 {
            // Recoverable.
            0 => {
                self.external_abort_injected(esr, far);
            }
            // Restartable.
            3 => {}
            _ => self.cx.machine.fatal("uncontained external abort"),
        }
        let _exit = self.leave_sync(esr & ESR_DATA_ABORT);
        Next::Exit
    }

    /// An access beyond the IPA space: the Realm takes a stage 1 Address Size Fault (A5.2.8).
    fn beyond_ipa_space(&mut self, esr: u64, far: u64) -> Next {
        self.cx.machine.save_el1(&mut self.rec.context);
        let width = self.head.stage2.ipa_width;
        let level = stage1::overflow_level(&self.rec.context.el1, far, width, |ipa| {
            let mut entry = [0; 8];
            read_realm(self.cx, self.head, Ipa(ipa), &mut [&mut entry]).ok()?;
            Some(u64::from_le_bytes(entry))
        });
        // None: the Realm changes its tables under its own feet, and may try again.
        if let Some(level) = level {
            let id = &self.cx.features().id;
            inject::address_size_fault(&mut self.rec.context, id, esr, far, level);
            self.cx.machine.load_el1(&self.rec.context);
        }
        Next::Resume
    }
}

/// Page of the IPA that `HPFAR_EL2` names.
fn ipa(hpfar: u64) -> Ipa {
    Ipa((hpfar & HPFAR_FIPA) << 8)
}

/// A synchronous external abort, on the access or on a table walk.
fn is_external(esr: u64) -> bool {
    matches!(esr & 0x3F, 0x10 | 0x13..=0x17)
}
