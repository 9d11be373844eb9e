// SPDX-License-Identifier: BSD-3-Clause
//! The Host's half of an entry: what it gives, whether that is valid, and what is done about it
//! before the Realm runs (A4.2).

use super::gic::{self, GicEntry};
use super::mmio::Access;
use super::rsi::RsiContext;
use super::{Running, inject};
use crate::machine::{CpuFeatures, EntryControls, Machine};
use crate::rec::{LastExit, Rec};
use crate::rmi::{Error, Result};
use core::mem::offset_of;
use rmm_abi::rmi::{REC_EXIT_NR_GPRS, RecEnter, RecEnterFlags, RecExitReason, RecRun, Ripas};
use rmm_granule::{Memory, NsFault, NsGranule};
use zerocopy::{FromBytes, FromZeros, IntoBytes, KnownLayout};

/// The fields of `RmiRecEnter`, copied once out of the Host's reach.
#[derive(FromZeros)]
pub struct Entry {
    /// [`RecEnterFlags`].
    flags: u64,
    body: Body,
}

/// From `gprs` to the end of `gicv3_lrs`, as they lie in `RmiRecEnter`.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
struct Body {
    gprs: [u64; REC_EXIT_NR_GPRS],
    _reserved: u64,
    gic: GicEntry,
}

const BODY: usize = offset_of!(RecRun, enter) + offset_of!(RecEnter, gprs);
const _: () = {
    let gprs = offset_of!(RecEnter, gprs);
    let gic = offset_of!(Body, gic) + gprs;
    assert!(gic + offset_of!(GicEntry, hcr) == offset_of!(RecEnter, gicv3_hcr));
    assert!(gic + offset_of!(GicEntry, lrs) == offset_of!(RecEnter, gicv3_lrs));
};

impl Entry {
    /// Copies the entry.
    ///
    /// # Errors
    /// The page is not accessible through the Non-secure PAS.
    pub fn read<M: Memory>(
        &mut self,
        run: &NsGranule,
        machine: &M,
    ) -> core::result::Result<(), NsFault> {
        const FLAGS: usize = offset_of!(RecRun, enter) + offset_of!(RecEnter, flags);
        run.read(machine, FLAGS, self.flags.as_mut_bytes())?;
        run.read(machine, BODY, self.body.as_mut_bytes())
    }

    fn has(&self, flag: RecEnterFlags) -> bool {
        RecEnterFlags::from_bits_retain(self.flags).contains(flag)
    }

    /// `rec_runnable`, `rec_psci`, `rec_gicv3`, `rec_mmio`.
    pub fn check(&self, rec: &Rec, features: &CpuFeatures) -> Result {
        let emulated = self.has(RecEnterFlags::EMUL_MMIO);
        if !rec.is_runnable()
            || rec.is_psci_pending()
            || !gic::is_valid(&self.body.gic, features)
            || emulated && rec.last_exit() != LastExit::EmulatableAbort
        {
            return Err(Error::Rec);
        }
        Ok(())
    }
}

impl<M: Machine> Running<'_, M> {
    /// Finishes what the last exit left open. None: the REC exits again without running.
    pub fn resume(&mut self, entry: &Entry) -> Option<EntryControls> {
        let features = self.cx.features();
        gic::accept(&entry.body.gic, features, &mut self.rec.context.gic);
        if entry.has(RecEnterFlags::INJECT_SEA) && self.rec.last_exit() != LastExit::Other {
            let (esr, far) = (self.rec.last_esr, self.rec.last_far);
            inject::sea(&mut self.rec.context, &features.id, esr, far);
        } else if entry.has(RecEnterFlags::EMUL_MMIO) {
            let access = Access::new(self.rec.last_esr);
            access.complete(&mut self.rec.context, entry.body.gprs[0]);
        }
        self.remember(LastExit::Other, 0, 0);

        let ripas = self.rec.ripas;
        if ripas.pending != 0 {
            let change = rmm_rsi::RipasChange {
                addr: ripas.addr,
                top: ripas.top,
                ripas: Ripas::try_from(ripas.value).unwrap_or(Ripas::Empty),
            };
            let rejected = entry.has(RecEnterFlags::RIPAS_RESPONSE);
            rmm_rsi::complete_ripas_change(&mut self.rec.context.gprs, &change, rejected);
            self.rec.clear_ripas();
        }
        if self.rec.is_host_call_pending() {
            let Rec {
                context, attest, ..
            } = &mut *self.rec;
            let mut realm = RsiContext::new(self.cx, self.head, attest);
            let gprs = &mut context.gprs;
            match rmm_rsi::complete_host_call(&mut realm, gprs, &entry.body.gprs) {
                Ok(()) => self.rec.set_host_call_pending(false),
                Err(abort) => {
                    self.exit.hpfar = abort.hpfar();
                    self.exit.esr = abort.esr();
                    self.exit.exit_reason = RecExitReason::Sync as u8;
                    return None;
                }
            }
        }
        Some(EntryControls {
            trap_wfi: entry.has(RecEnterFlags::TRAP_WFI),
            trap_wfe: entry.has(RecEnterFlags::TRAP_WFE),
        })
    }
}
