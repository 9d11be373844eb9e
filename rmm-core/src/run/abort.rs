// SPDX-License-Identifier: BSD-3-Clause
//! Data Aborts and Instruction Aborts of a Realm (A4.3.4.2, A4.3.4.3, A5.2, A5.3.1).

use super::inject;
use super::mmio::EmulatedAccess;
use super::rsi::read_realm;
use super::stage1::{self, Overflow};
use super::{Exit, Next, PSTATE_AARCH32, Running};
use crate::machine::Machine;
use crate::rec::LastExit;
use rmm_abi::rmi::Ripas;
use rmm_granule::{Ipa, bug};
use rmm_rtt::RttEntry;

/// ISV: the instruction syndrome is valid.
const ESR_ISV: u64 = 1 << 24;
/// S1PTW: the abort met the walk of stage 1.
const ESR_S1PTW: u64 = 1 << 7;

/// What a stage 2 abort is about.
struct Fault {
    ipa: Ipa,
    entry: RttEntry,
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
            (RttEntry::Unassigned { ripas } | RttEntry::Assigned { ripas, .. }, _) => {
                self.protected_abort(&fault, ripas, esr, far)
            }
            (RttEntry::UnassignedNs, _) | (RttEntry::AssignedNs { .. }, Kind::Permission) => {
                self.unprotected_abort(fault.ipa, esr, far)
            }
            // The Host has mapped an address that the CPU does not have. It sees the abort, and
            // cannot emulate the access.
            (RttEntry::AssignedNs { .. }, Kind::AddressSize) => {
                self.unprotected_abort(fault.ipa, esr & !ESR_ISV, far)
            }
            // The Host has mapped the IPA meanwhile: the access is tried again.
            (RttEntry::AssignedNs { .. } | RttEntry::Table { .. }, _) => Next::Resume,
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
            (RttEntry::Unassigned { ripas } | RttEntry::Assigned { ripas, .. }, _) => {
                self.protected_abort(&fault, ripas, esr, far)
            }
            (RttEntry::Table { .. }, _) => Next::Resume,
            // Nothing is ever executed from the Unprotected half.
            (RttEntry::UnassignedNs | RttEntry::AssignedNs { .. }, _) => {
                self.external_abort_injected(esr, far)
            }
        }
    }

    /// The IPA and RTT entry of a stage 2 abort. `Err` if it is no such abort, which has been handled
    /// then.
    fn fault(&mut self, esr: u64, far: u64, hpfar: u64) -> Result<Fault, Next> {
        let status = esr & 0x3F;
        let kind = match status {
            // Synchronous external abort, on the access or on a table walk; the same as a parity or ECC
            // error, of CPUs that keep them apart.
            0x10 | 0x12..=0x18 | 0x1A..=0x1F => return Err(self.external_abort(esr, far)),
            0x00..=0x03 | 0x29 => Kind::AddressSize,
            0x04..=0x0B | 0x2B => Kind::Translation,
            0x0C..=0x0F => Kind::Permission,
            // Alignment, unsupported update of a table by hardware, unsupported exclusive or atomic
            // access: stage 2 made the memory Device or Non-cacheable, and the Realm's access does not
            // suit it.
            0x21 | 0x31 | 0x35 => return Err(self.fault_injected(esr, far, status)),
            // Granule protection fault, on a walk of stage 1 (0x23 to 0x27: level -1 to 3) or on the
            // access (0x28): the Realm handles it (A5.2.6). CPUs give it to EL1 themselves, but QEMU
            // only that on the access. Stage 2 tables cannot be met: they are Realm memory as long as a
            // REC runs.
            0x23..=0x28 => return Err(self.fault_injected(esr, far, status)),
            // TLB conflict: the translations that contradict each other go, and the access is tried
            // again.
            0x30 => {
                let stage2 = &self.head.stage2;
                let size = 1 << stage2.ipa_width;
                self.cpu
                    .machine
                    .invalidate_stage2(stage2.vmid, Ipa(0), size, 3);
                return Err(Next::Resume);
            }
            // Tag check (0x11), 128-bit tables (0x22, 0x2A, 0x2C), lockdown (0x34) and what no
            // architecture has defined yet: nothing that a Realm has or stage 2 can cause.
            _ => {
                self.end_realm();
                return Err(Next::Leave(Exit::ExternalAbort { esr }));
            }
        };
        // HPFAR_EL2 is not valid for a permission fault, unless it met the walk of stage 1.
        let ipa = if is_permission_fault(esr) {
            // `None` if stage 1 has changed meanwhile: the access is tried again.
            match self.entered.resolve_ipa(far) {
                Some(ipa) => ipa.granule_base(),
                None => return Err(Next::Resume),
            }
        } else {
            Ipa::from_hpfar(hpfar)
        };
        let stage2 = &self.head.stage2;
        let Some(start) = rmm_rtt::start_rtt(stage2, self.cpu.granules(), ipa) else {
            return Err(self.beyond_ipa_space(esr, far));
        };
        let (_, entry) = rmm_rtt::find_entry(start, self.cpu.machine);
        Ok(Fault { ipa, entry, kind })
    }

    /// An abort at a Protected IPA.
    fn protected_abort(&mut self, fault: &Fault, ripas: Ripas, esr: u64, far: u64) -> Next {
        let ipa = fault.ipa;
        match (fault.entry, ripas) {
            // The Host has changed the mapping meanwhile: the access is tried again.
            (RttEntry::Assigned { .. }, Ripas::Ram) => Next::Resume,
            (_, Ripas::Empty) => self.external_abort_injected(esr, far),
            _ if is_instruction_abort(esr) => Next::Leave(Exit::InstructionAbort { esr, ipa }),
            _ => Next::Leave(Exit::DataAbort { esr, ipa }),
        }
    }

    /// A Data Abort at an Unprotected IPA: Emulatable if the syndrome describes the access.
    fn unprotected_abort(&mut self, ipa: Ipa, esr: u64, far: u64) -> Next {
        // A Realm has no AArch32, so the monitor emulates no access from there.
        let is_aarch64 = self.entered.pstate & PSTATE_AARCH32 == 0;
        if esr & ESR_ISV == 0 || !is_aarch64 {
            self.attributes
                .record_exit(LastExit::UnprotectedAbort, esr, far);
            return Next::Leave(Exit::DataAbort { esr, ipa });
        }
        self.attributes
            .record_exit(LastExit::EmulatableAbort, esr, far);
        let written = EmulatedAccess::new(esr).written(&self.entered);
        Next::Leave(Exit::EmulatableAbort {
            esr,
            far,
            ipa,
            written,
        })
    }

    /// The Realm takes the same fault at EL1 and goes on.
    fn fault_injected(&mut self, esr: u64, far: u64, status: u64) -> Next {
        let id = &self.cpu.features().id;
        self.entered
            .with_el1(|context| inject::stage_1_fault(context, id, esr, far, status));
        Next::Resume
    }

    /// The Realm takes a Synchronous External Abort and goes on.
    fn external_abort_injected(&mut self, esr: u64, far: u64) -> Next {
        let id = &self.cpu.features().id;
        self.entered
            .with_el1(|context| inject::sea(context, id, esr, far));
        Next::Resume
    }

    /// The hardware reports an external abort: the Host sees it, and the Realm takes it if the
    /// program cannot go on without.
    fn external_abort(&mut self, esr: u64, far: u64) -> Next {
        match esr >> 11 & 3 {
            // Recoverable.
            0 => {
                self.external_abort_injected(esr, far);
            }
            // Restartable.
            3 => {}
            // Uncontainable, and a value that is reserved.
            _ => bug!("uncontained external abort"),
        }
        Next::Leave(Exit::ExternalAbort { esr })
    }

    /// An access beyond the IPA space: the Realm takes a stage 1 Address Size Fault (A5.2.8).
    fn beyond_ipa_space(&mut self, esr: u64, far: u64) -> Next {
        let (cpu, head) = (self.cpu, self.head);
        self.entered.with_el1(|context| {
            let width = head.stage2.ipa_width;
            let found = stage1::overflow_level(&context.el1, far, width, |ipa| {
                let mut entry = [0; 8];
                read_realm(cpu, head, Ipa(ipa), &mut [&mut entry]).ok()?;
                Some(u64::from_le_bytes(entry))
            });
            let level = match found {
                Overflow::At(level) => level,
                // The Realm has changed its tables meanwhile, and tries again.
                Overflow::Nowhere => return,
                // Tables outside the Realm's own memory: the monitor does not read them.
                Overflow::Unknown => 3,
            };
            inject::address_size_fault(context, &cpu.features().id, esr, far, level);
        });
        Next::Resume
    }
}

/// An Instruction Abort rather than a Data Abort.
const fn is_instruction_abort(esr: u64) -> bool {
    inject::class(esr) == inject::ec::INSTRUCTION_ABORT_LOWER
}

/// A permission fault of stage 2 that the access itself met, not the walk of stage 1.
const fn is_permission_fault(esr: u64) -> bool {
    matches!(esr & 0x3F, 0x0C..=0x0F) && esr & ESR_S1PTW == 0
}
