// SPDX-License-Identifier: BSD-3-Clause
//! Breakpoints and watchpoints in the world switch (specification A3.1.4).
//!
//! A Realm gets them when it first touches one of their registers after an entry, or at the entry
//! if `MDSCR_EL1.MDE` says that they act. It can reach all that the CPU has, so all are switched.
//! The OS lock, which EL3 does not bank either, is open while they are the Realm's: a locked one
//! would keep them from acting.

use super::realm_regs::{field, for_some, isb, mrs, msr};
use crate::machine::DebugState;
use zerocopy::FromZeros;

/// `MDCR_EL2.TDA`: debug registers trap.
const MDCR_TDA: u64 = 1 << 9;
/// `OSLSR_EL1.OSLK`: the OS lock is locked.
const OSLSR_OSLK: u64 = 1 << 1;

/// The Host's debug registers of this CPU while they are a Realm's.
#[repr(C)]
pub(super) struct HostDebug {
    state: DebugState,
    locked: bool,
    breakpoints: usize,
    watchpoints: usize,
}

/// `$with!(n, DBGBVR<n>_EL1, DBGBCR<n>_EL1)` for those that there are.
macro_rules! for_breakpoints {
    ($count:expr, $with:ident) => {
        for_some!($count, $with,
            0 "S2_0_C0_C0_4" "S2_0_C0_C0_5", 1 "S2_0_C0_C1_4" "S2_0_C0_C1_5",
            2 "S2_0_C0_C2_4" "S2_0_C0_C2_5", 3 "S2_0_C0_C3_4" "S2_0_C0_C3_5",
            4 "S2_0_C0_C4_4" "S2_0_C0_C4_5", 5 "S2_0_C0_C5_4" "S2_0_C0_C5_5",
            6 "S2_0_C0_C6_4" "S2_0_C0_C6_5", 7 "S2_0_C0_C7_4" "S2_0_C0_C7_5",
            8 "S2_0_C0_C8_4" "S2_0_C0_C8_5", 9 "S2_0_C0_C9_4" "S2_0_C0_C9_5",
            10 "S2_0_C0_C10_4" "S2_0_C0_C10_5", 11 "S2_0_C0_C11_4" "S2_0_C0_C11_5",
            12 "S2_0_C0_C12_4" "S2_0_C0_C12_5", 13 "S2_0_C0_C13_4" "S2_0_C0_C13_5",
            14 "S2_0_C0_C14_4" "S2_0_C0_C14_5", 15 "S2_0_C0_C15_4" "S2_0_C0_C15_5")
    };
}

/// `$with!(n, DBGWVR<n>_EL1, DBGWCR<n>_EL1)` for those that there are.
macro_rules! for_watchpoints {
    ($count:expr, $with:ident) => {
        for_some!($count, $with,
            0 "S2_0_C0_C0_6" "S2_0_C0_C0_7", 1 "S2_0_C0_C1_6" "S2_0_C0_C1_7",
            2 "S2_0_C0_C2_6" "S2_0_C0_C2_7", 3 "S2_0_C0_C3_6" "S2_0_C0_C3_7",
            4 "S2_0_C0_C4_6" "S2_0_C0_C4_7", 5 "S2_0_C0_C5_6" "S2_0_C0_C5_7",
            6 "S2_0_C0_C6_6" "S2_0_C0_C6_7", 7 "S2_0_C0_C7_6" "S2_0_C0_C7_7",
            8 "S2_0_C0_C8_6" "S2_0_C0_C8_7", 9 "S2_0_C0_C9_6" "S2_0_C0_C9_7",
            10 "S2_0_C0_C10_6" "S2_0_C0_C10_7", 11 "S2_0_C0_C11_6" "S2_0_C0_C11_7",
            12 "S2_0_C0_C12_6" "S2_0_C0_C12_7", 13 "S2_0_C0_C13_6" "S2_0_C0_C13_7",
            14 "S2_0_C0_C14_6" "S2_0_C0_C14_7", 15 "S2_0_C0_C15_6" "S2_0_C0_C15_7")
    };
}

impl HostDebug {
    /// Finds out what this CPU has.
    pub(super) fn init(&mut self) {
        let dfr0 = mrs!(ID_AA64DFR0_EL1);
        self.state = DebugState::new_zeroed();
        self.breakpoints = (field(dfr0, 12) & 0xF) as usize + 1;
        self.watchpoints = (field(dfr0, 20) & 0xF) as usize + 1;
    }

    fn save(&self, to: &mut DebugState) {
        macro_rules! breakpoint {
            ($n:literal, $value:literal, $control:literal) => {{
                to.bvr[$n] = mrs!($value);
                to.bcr[$n] = mrs!($control);
            }};
        }
        macro_rules! watchpoint {
            ($n:literal, $value:literal, $control:literal) => {{
                to.wvr[$n] = mrs!($value);
                to.wcr[$n] = mrs!($control);
            }};
        }
        for_breakpoints!(self.breakpoints, breakpoint);
        for_watchpoints!(self.watchpoints, watchpoint);
    }

    /// # Safety
    /// The values are of the world that runs next below EL2.
    unsafe fn load(&self, from: &DebugState) {
        macro_rules! breakpoint {
            ($n:literal, $value:literal, $control:literal) => {
                // SAFETY: the registers exist. Debug exceptions are not taken at EL2, where
                // `MDCR_EL2.TDE` is 0.
                unsafe {
                    msr!($value, from.bvr[$n]);
                    msr!($control, from.bcr[$n]);
                }
            };
        }
        macro_rules! watchpoint {
            ($n:literal, $value:literal, $control:literal) => {
                // SAFETY: likewise.
                unsafe {
                    msr!($value, from.wvr[$n]);
                    msr!($control, from.wcr[$n]);
                }
            };
        }
        for_breakpoints!(self.breakpoints, breakpoint);
        for_watchpoints!(self.watchpoints, watchpoint);
    }

    /// Saves the Host's registers, loads the REC's and lets the Realm use them.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the registers are the Host's.
    pub(super) unsafe fn give(&mut self, rec: &DebugState) {
        let mut host = DebugState::new_zeroed();
        self.save(&mut host);
        self.state = host;
        self.locked = mrs!(OSLSR_EL1) & OSLSR_OSLK != 0;
        // SAFETY: the REC runs next.
        unsafe {
            self.load(rec);
            if self.locked {
                msr!(OSLAR_EL1, 0);
            }
            msr!(MDCR_EL2, mrs!(MDCR_EL2) & !MDCR_TDA);
        }
        isb();
    }

    /// Saves the REC's registers, loads the Host's and traps them again.
    ///
    /// # Safety
    /// A REC is entered on this CPU and the registers are its, by [`HostDebug::give`].
    pub(super) unsafe fn take(&mut self, rec: &mut DebugState) {
        self.save(rec);
        // SAFETY: the Host runs next below EL2.
        unsafe {
            self.load(&self.state);
            if self.locked {
                msr!(OSLAR_EL1, 1);
            }
            msr!(MDCR_EL2, mrs!(MDCR_EL2) | MDCR_TDA);
        }
        isb();
    }
}
