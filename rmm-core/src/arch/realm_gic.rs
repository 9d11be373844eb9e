// SPDX-License-Identifier: BSD-3-Clause
//! The virtual GIC CPU interface in the world switch (specification A6.1).
//!
//! The Host saves and loads its own `ICH_*` around a call, and relies only on `ICH_HCR_EL2.En` = 0
//! afterwards. List registers keep the REC's values, which the exit record contains anyway. Active
//! priorities, which it does not contain, are cleared. `ICC_PMR_EL1` keeps the Host's value: a
//! physical interrupt that it masks does not end a Realm's run.
//!
//! A Host of RMI 2.0 has all `ICH_*` for itself: it loads and saves those of the Realm. The monitor then
//! changes nothing but `ICH_HCR_EL2.En`.

use super::registers::*;
use crate::encoding::features::last_priority_register;
use crate::machine::GicState;

/// `ICC_SRE_EL2`: system registers at EL2 and EL1, no bypass.
pub(super) const SRE_ON: u64 = set!(ICC_SRE_EL2: SRE | DFB | DIB | ENABLE);

/// The GIC CPU interface of this CPU.
#[repr(C)]
pub(super) struct GicInterface {
    /// Number of the last list register, 0 to 15.
    last_list: u64,
    /// Number of the last register in each group of active priorities: 0, 1 or 3.
    last_priority: u64,
    /// EL3 leaves `ICC_SRE_EL2`, `ICH_HCR_EL2` and `ICH_VMCR_EL2` as the Host has them: these are
    /// its values while a REC is entered.
    shared: bool,
    /// The REC that is entered has the Host's values in the virtual interface.
    host_owned: bool,
    sre: u64,
    hcr: u64,
    vmcr: u64,
}

/// `$with!(n)` for each list register up to `$last`.
macro_rules! for_list_registers {
    ($last:expr, $with:ident) => {
        for_up_to!(
            $last, $with, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        )
    };
}

/// `$with!(n)` for each register of a group of active priorities up to `$last`.
macro_rules! for_priority_registers {
    ($last:expr, $with:ident) => {
        for_up_to!($last, $with, 0, 1, 2, 3)
    };
}

impl GicInterface {
    /// Finds out what this CPU has, and closes the virtual interface unless it is the Host's. No REC
    /// is entered on this CPU.
    pub(super) fn init(&mut self, shared: bool) {
        self.shared = shared;
        let sre = ICC_SRE_EL2.get();
        ICC_SRE_EL2.set(SRE_ON);
        isb();
        let vtr = ICH_VTR_EL2.get();
        self.last_list = ICH_VTR_EL2::ListRegs.read(vtr);
        self.last_priority = last_priority_register(vtr);
        if shared {
            ICC_SRE_EL2.set(sre);
        } else {
            ICH_HCR_EL2.clear();
        }
    }

    /// The bits that are set in any list register, as the Host has left them.
    pub(super) fn list_registers(&self) -> u64 {
        let mut all = 0;
        macro_rules! add_list {
            ($n:literal) => {
                all |= ICH_LR_EL2::<$n>.get()
            };
        }
        let sre = turn_on();
        for_list_registers!(self.last_list, add_list);
        ICC_SRE_EL2.set(sre);
        all
    }

    /// Closes the virtual interface, which has the Host's registers.
    pub(super) fn close(&self) {
        let sre = turn_on();
        close();
        ICC_SRE_EL2.set(sre);
    }

    /// Loads the REC's registers, unless the virtual interface has those of the Host. `gic.hcr` has only
    /// bits that are harmless to the Host.
    #[inline]
    pub(super) fn enter(&mut self, gic: &GicState, host_owned: bool) {
        macro_rules! load_list {
            ($n:literal) => {
                ICH_LR_EL2::<$n>.set(gic.lrs[$n])
            };
        }
        macro_rules! load_priorities {
            ($n:literal) => {{
                ICH_AP0R_EL2::<$n>.set(gic.ap0r[$n]);
                ICH_AP1R_EL2::<$n>.set(gic.ap1r[$n]);
            }};
        }
        self.host_owned = host_owned;
        if self.shared {
            self.sre = turn_on();
            if host_owned {
                return;
            }
            self.hcr = ICH_HCR_EL2.get();
            self.vmcr = ICH_VMCR_EL2.get();
        }
        ICH_VMCR_EL2.set(gic.vmcr);
        for_list_registers!(self.last_list, load_list);
        for_priority_registers!(self.last_priority, load_priorities);
        ICH_HCR_EL2.set(gic.hcr);
    }

    /// Whether a list register holds an interrupt that is pending, active or not.
    pub(super) fn lists_pending(&self) -> bool {
        const PENDING: u64 = 1 << 62;
        let mut all = 0;
        macro_rules! add {
            ($n:literal) => {
                all |= ICH_LR_EL2::<$n>.get()
            };
        }
        for_list_registers!(self.last_list, add);
        all & PENDING != 0
    }

    /// Saves the REC's registers and closes the interface.
    #[inline]
    pub(super) fn leave(&mut self, gic: &mut GicState) {
        macro_rules! save_list {
            ($n:literal) => {
                gic.lrs[$n] = ICH_LR_EL2::<$n>.get()
            };
        }
        macro_rules! save_priorities {
            ($n:literal) => {{
                gic.ap0r[$n] = ICH_AP0R_EL2::<$n>.get();
                gic.ap1r[$n] = ICH_AP1R_EL2::<$n>.get();
                ICH_AP0R_EL2::<$n>.clear();
                ICH_AP1R_EL2::<$n>.clear();
            }};
        }
        if self.host_owned {
            close();
            ICC_SRE_EL2.set(self.sre);
            return;
        }
        gic.hcr = ICH_HCR_EL2.get();
        gic.vmcr = ICH_VMCR_EL2.get();
        gic.misr = ICH_MISR_EL2.get();
        for_list_registers!(self.last_list, save_list);
        for_priority_registers!(self.last_priority, save_priorities);
        if self.shared {
            ICH_HCR_EL2.set(self.hcr & !set!(ICH_HCR_EL2: En));
            ICH_VMCR_EL2.set(self.vmcr);
            ICC_SRE_EL2.set(self.sre);
        } else {
            ICH_HCR_EL2.clear();
        }
    }
}

/// Closes the virtual interface, and changes nothing else of it.
#[inline]
fn close() {
    ICH_HCR_EL2.set(ICH_HCR_EL2.get() & !set!(ICH_HCR_EL2: En));
}

/// Makes the system registers of the interface accessible, and returns the old `ICC_SRE_EL2`.
#[inline]
fn turn_on() -> u64 {
    let sre = ICC_SRE_EL2.get();
    if sre & SRE_ON != SRE_ON {
        ICC_SRE_EL2.set(SRE_ON);
        // Only from here on do the other registers exist.
        isb();
    }
    sre
}
