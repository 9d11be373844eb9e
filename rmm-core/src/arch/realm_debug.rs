// SPDX-License-Identifier: BSD-3-Clause
//! Breakpoints and watchpoints in the world switch (specification A3.1.4).
//!
//! They are lent to a Realm when it first accesses one of their registers after an entry, or at the
//! entry if `MDSCR_EL1.MDE` is 1 and they act. The Realm can reach all that the CPU has, so all are
//! switched. The OS lock, which EL3 does not bank either, is unlocked meanwhile: otherwise they would
//! not act.

use super::registers::*;
use crate::machine::DebugState;
use zerocopy::FromZeros;

/// The Host's debug registers of this CPU while they are lent to a Realm.
#[repr(C)]
pub(super) struct HostDebug {
    state: DebugState,
    locked: bool,
    /// Number of the last breakpoint.
    last_breakpoint: u64,
    /// Number of the last watchpoint.
    last_watchpoint: u64,
}

/// `$with!(n)` for each breakpoint or watchpoint up to `$last`.
macro_rules! for_points {
    ($last:expr, $with:ident) => {
        for_up_to!(
            $last, $with, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        )
    };
}

impl HostDebug {
    /// Finds out what this CPU has.
    pub(super) fn init(&mut self) {
        self.state = DebugState::new_zeroed();
        let dfr0 = ID_AA64DFR0_EL1.get();
        self.last_breakpoint = ID_AA64DFR0_EL1::BRPs.read(dfr0);
        self.last_watchpoint = ID_AA64DFR0_EL1::WRPs.read(dfr0);
    }

    fn save(&self, to: &mut DebugState) {
        macro_rules! breakpoint {
            ($n:literal) => {{
                to.bvr[$n] = DBGBVR_EL1::<$n>.get();
                to.bcr[$n] = DBGBCR_EL1::<$n>.get();
            }};
        }
        macro_rules! watchpoint {
            ($n:literal) => {{
                to.wvr[$n] = DBGWVR_EL1::<$n>.get();
                to.wcr[$n] = DBGWCR_EL1::<$n>.get();
            }};
        }
        for_points!(self.last_breakpoint, breakpoint);
        for_points!(self.last_watchpoint, watchpoint);
    }

    /// Loads the values of the world that runs next. They act below EL2 alone: with
    /// `MDCR_EL2.TDE` = 0 EL2 takes no debug exceptions.
    fn load(&self, from: &DebugState) {
        macro_rules! breakpoint {
            ($n:literal) => {{
                DBGBVR_EL1::<$n>.set(from.bvr[$n]);
                DBGBCR_EL1::<$n>.set(from.bcr[$n]);
            }};
        }
        macro_rules! watchpoint {
            ($n:literal) => {{
                DBGWVR_EL1::<$n>.set(from.wvr[$n]);
                DBGWCR_EL1::<$n>.set(from.wcr[$n]);
            }};
        }
        for_points!(self.last_breakpoint, breakpoint);
        for_points!(self.last_watchpoint, watchpoint);
    }

    /// Saves the Host's registers, loads the REC's and ends the trap. A REC is entered on this CPU.
    pub(super) fn lend(&mut self, rec: &DebugState) {
        let mut host = DebugState::new_zeroed();
        self.save(&mut host);
        self.state = host;
        self.locked = OSLSR_EL1.is_set(OSLSR_EL1::OSLK);
        self.load(rec);
        if self.locked {
            OSLAR_EL1.write(OSLAR_EL1::OSLK::Unlocked);
        }
        MDCR_EL2.modify(MDCR_EL2::TDA::CLEAR);
        isb();
    }

    /// Saves the REC's registers after [`HostDebug::lend`], loads the Host's and traps again.
    pub(super) fn reclaim(&mut self, rec: &mut DebugState) {
        self.save(rec);
        self.load(&self.state);
        if self.locked {
            OSLAR_EL1.write(OSLAR_EL1::OSLK::Locked);
        }
        MDCR_EL2.modify(MDCR_EL2::TDA::SET);
        isb();
    }
}
