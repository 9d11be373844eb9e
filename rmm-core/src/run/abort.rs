// SPDX-License-Identifier: BSD-3-Clause
//! Data Aborts and Instruction Aborts of a Realm (A4.3.4.2, A4.3.4.3, A5.2, A5.3.1).

use super::inject;
use super::mmio::Access;
use super::rsi::read_realm;
use super::stage1::{self, Overflow};
use super::{Next, PSTATE_AARCH32, Running};
use crate::machine::Machine;
use crate::rec::LastExit;
use rmm_abi::rmi::Ripas;
use rmm_granule::Ipa;
use rmm_rtt::Entry;

/// ISV: the instruction syndrome is valid.
const ESR_ISV: u64 = 1 << 24;
/// S1PTW: the abort met the walk of stage 1.
const ESR_S1PTW: u64 = 1 << 7;
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

/// What a stage 2 abort is about.
struct Fault {
    ipa: Ipa,
    entry: Entry,
    kind: Kind,
}

/// Fault status codes of stage 2, by what they say of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It was not valid, or not yet accessed.
    Translation,
    /// It does not permit the access.
    Permission,
    /// Its output address is wider than the CPU's.
    AddressSize,
}

impl<M: Machine> Running<'_, M> {
    /// A Data Abort from the Realm.
    pub fn data_abort(&mut self, esr: u64, far: u64, hpfar: u64) -> Next {
        let fault = match self.fault(esr, far, hpfar) {
            Ok(fault) => fault,
            Err(next) => return next,
        };
        match (fault.entry, fault.kind) {
            (Entry::Unassigned { ripas } | Entry::Assigned { ripas, .. }, _) => {
                self.protected_abort(&fault, ripas, esr, far, ESR_DATA_ABORT)
            }
            (Entry::UnassignedNs, _) | (Entry::AssignedNs { .. }, Kind::Permission) => {
                self.unprotected_abort(fault.ipa, esr, far)
            }
            // The Host has mapped what is no address: it is told, and cannot emulate.
            (Entry::AssignedNs { .. }, Kind::AddressSize) => {
                self.unprotected_abort(fault.ipa, esr & !ESR_ISV, far)
            }
            // The entry is there by now: the access is tried again.
            (Entry::AssignedNs { .. } | Entry::Table { .. }, _) => Next::Resume,
        }
    }

    /// An Instruction Abort from the Realm.
    pub fn instruction_abort(&mut self, esr: u64, far: u64, hpfar: u64) -> Next {
        if is_permission_fault(esr) {
            // Protected memory is executable; nothing is ever executed from the Unprotected half.
            return self.external_abort_injected(esr, far);
        }
        let fault = match self.fault(esr, far, hpfar) {
            Ok(fault) => fault,
            Err(next) => return next,
        };
        match (fault.entry, fault.kind) {
            (Entry::Unassigned { ripas } | Entry::Assigned { ripas, .. }, _) => {
                self.protected_abort(&fault, ripas, esr, far, ESR_INSTRUCTION_ABORT)
            }
            (Entry::Table { .. }, _) => Next::Resume,
            // Nothing is ever executed from the Unprotected half.
            (Entry::UnassignedNs | Entry::AssignedNs { .. }, _) => {
                self.external_abort_injected(esr, far)
            }
        }
    }

    /// Finds out what a stage 2 abort is about, or deals with an abort that is none.
    fn fault(&mut self, esr: u64, far: u64, hpfar: u64) -> Result<Fault, Next> {
        let status = esr & 0x3F;
        let kind = match status {
            // Synchronous external abort, on the access or on a table walk.
            0x10 | 0x13..=0x17 => return Err(self.external_abort(esr, far)),
            0x00..=0x03 | 0x29 => Kind::AddressSize,
            0x04..=0x0B | 0x2B => Kind::Translation,
            0x0C..=0x0F => Kind::Permission,
            // Alignment, unsupported exclusive or atomic access: stage 2 made the memory what it
            // is, but the access is the Realm's.
            0x21 | 0x35 => return Err(self.fault_injected(esr, far, status)),
            // TLB conflict: without the translations that contradict each other the access is tried
            // again.
            0x30 => {
                let stage2 = &self.head.stage2;
                let size = 1 << stage2.ipa_width;
                self.cx
                    .machine
                    .invalidate_stage2(stage2.vmid, Ipa(0), size, 3);
                return Err(Next::Resume);
            }
            _ => return Err(self.external_abort_injected(esr, far)),
        };
        // HPFAR_EL2 is not valid for a permission fault, unless it met the walk of stage 1.
        let ipa = if is_permission_fault(esr) {
            // None: stage 1 has changed meanwhile.
            // SAFETY: the REC is entered.
            match unsafe { self.cx.machine.resolve_ipa(far) } {
                Some(ipa) => ipa.granule_base(),
                None => return Err(Next::Resume),
            }
        } else {
            ipa(hpfar)
        };
        let stage2 = &self.head.stage2;
        let Some(root) = rmm_rtt::root(stage2, self.cx.granules(), ipa) else {
            return Err(self.beyond_ipa_space(esr, far));
        };
        let (_, entry) = rmm_rtt::classify(root, self.cx.machine);
        Ok(Fault { ipa, entry, kind })
    }

    /// An abort at a Protected IPA, of which the Host sees `mask`.
    fn protected_abort(
        &mut self,
        fault: &Fault,
        ripas: Ripas,
        esr: u64,
        far: u64,
        mask: u64,
    ) -> Next {
        match (fault.entry, ripas) {
            // The Host has mended the mapping meanwhile: the access is tried again.
            (Entry::Assigned { .. }, Ripas::Ram) => Next::Resume,
            (_, Ripas::Empty) => self.external_abort_injected(esr, far),
            (_, Ripas::Ram | Ripas::Destroyed) => {
                self.exit.hpfar = hpfar(fault.ipa);
                self.leave_sync(esr & mask)
            }
        }
    }

    /// A Data Abort at an Unprotected IPA: Emulatable if the syndrome tells what the access was.
    fn unprotected_abort(&mut self, ipa: Ipa, esr: u64, far: u64) -> Next {
        self.exit.hpfar = hpfar(ipa);
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

    /// The Realm takes the same fault at EL1 and goes on.
    fn fault_injected(&mut self, esr: u64, far: u64, status: u64) -> Next {
        self.save_el1();
        let id = &self.cx.features().id;
        inject::stage_1_fault(&mut self.rec.context, id, esr, far, status);
        self.load_el1();
        Next::Resume
    }

    /// The Realm takes a Synchronous External Abort and goes on.
    fn external_abort_injected(&mut self, esr: u64, far: u64) -> Next {
        self.save_el1();
        inject::sea(&mut self.rec.context, &self.cx.features().id, esr, far);
        self.load_el1();
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
        self.save_el1();
        let width = self.head.stage2.ipa_width;
        let found = stage1::overflow_level(&self.rec.context.el1, far, width, |ipa| {
            let mut entry = [0; 8];
            read_realm(self.cx, self.head, Ipa(ipa), &mut [&mut entry]).ok()?;
            Some(u64::from_le_bytes(entry))
        });
        let level = match found {
            Overflow::At(level) => level,
            // The Realm has changed its tables meanwhile, and tries again.
            Overflow::Nowhere => return Next::Resume,
            // Tables outside the Realm's own memory: the monitor does not read them.
            Overflow::Unknown => 3,
        };
        let id = &self.cx.features().id;
        inject::address_size_fault(&mut self.rec.context, id, esr, far, level);
        self.load_el1();
        Next::Resume
    }
}

/// A permission fault of stage 2 that the access itself met, not the walk of stage 1.
const fn is_permission_fault(esr: u64) -> bool {
    matches!(esr & 0x3F, 0x0C..=0x0F) && esr & ESR_S1PTW == 0
}

/// Page of the IPA that `HPFAR_EL2` names.
fn ipa(hpfar: u64) -> Ipa {
    Ipa((hpfar & HPFAR_FIPA) << 8)
}

/// `HPFAR_EL2` of the page of an IPA.
const fn hpfar(ipa: Ipa) -> u64 {
    ipa.as_u64() >> 12 << 4
}
