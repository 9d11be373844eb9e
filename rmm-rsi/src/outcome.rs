// SPDX-License-Identifier: BSD-3-Clause
//! The result of a call for the REC.

use rmm_abi::rmi::Ripas;

/// How the monitor has to continue after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The results are in the registers of the REC. The Realm continues after the SMC.
    Return,
    /// The REC exits to the Host. The next entry continues after the SMC.
    Exit(Exit),
    /// Realm memory that the call needs is not mapped: the REC exits to the Host with an emulated
    /// abort. The next entry executes the SMC again.
    Abort(Abort),
}

/// A REC exit caused by a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// REC exit due to Host call. The call is pending until
    /// [`complete_host_call`](crate::complete_host_call) succeeds.
    HostCall {
        /// `exit.imm`.
        imm: u16,
    },
    /// REC exit due to RIPAS change. The change is pending until
    /// [`complete_ripas_change`](crate::complete_ripas_change).
    RipasChange {
        /// First IPA, a Granule boundary: `exit.ripas_base`, and `ripas_addr` of the REC.
        base: u64,
        /// First IPA beyond the range: `exit.ripas_top`, and `ripas_top` of the REC.
        top: u64,
        /// Requested RIPAS, EMPTY or RAM: `exit.ripas_value`.
        ripas: Ripas,
        /// Whether an IPA whose RIPAS is DESTROYED may change too.
        change_destroyed: bool,
    },
    /// REC exit due to PSCI.
    Psci {
        /// The Host has to call RMI_PSCI_COMPLETE before the REC can be entered. The request stays
        /// in the registers of the REC for [`psci::complete`](crate::psci::complete).
        pending: bool,
        /// Effect of the call on the REC or its Realm.
        effect: PsciEffect,
    },
    /// REC exit due to IRQ: a pending physical interrupt has stopped a long operation. The results
    /// are in the registers of the REC.
    Irq,
}

/// Effect of a PSCI call on the calling REC or its Realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciEffect {
    /// Nothing.
    None,
    /// The REC is no longer runnable.
    CpuOff,
    /// The Realm goes to state SYSTEM_OFF.
    SystemOff,
}

/// An emulated abort: the Host sees a Non-emulatable Data Abort at a Protected IPA, as if the Realm
/// itself had accessed the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// IPA of the access.
    pub ipa: u64,
    /// RTT level at which the walk ended, -1 to 3.
    pub level: i8,
}
