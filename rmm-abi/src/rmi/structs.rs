// SPDX-License-Identifier: BSD-3-Clause
//! Structures that Host and RMM exchange in memory (specification B4.4).
//!
//! Reserved bytes should be zero in structures that the Host writes, and are zero in structures that
//! the RMM writes.

use super::{
    MAX_GIC_LRS, MAX_REC_AUX, REC_CREATE_NR_GPRS, REC_EXIT_NR_GPRS, RealmFlags, RecCreateFlags,
};
use crate::{GRANULE_SIZE, assert_layout};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `RmiRealmParams` (specification B4.4.12), one Granule, input of RMI_REALM_CREATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RealmParams {
    /// `RmiRealmFlags`; see [`RealmParams::realm_flags`].
    pub flags: u64,
    /// IPA width in bits.
    pub s2sz: u8,
    /// Reserved.
    pub _reserved0: [u8; 7],
    /// SVE vector length in units of 128 bits minus one; meaningful with the SVE flag.
    pub sve_vl: u8,
    /// Reserved.
    pub _reserved1: [u8; 7],
    /// Breakpoints minus one; 0 is reserved.
    pub num_bps: u8,
    /// Reserved.
    pub _reserved2: [u8; 7],
    /// Watchpoints minus one; 0 is reserved.
    pub num_wps: u8,
    /// Reserved.
    pub _reserved3: [u8; 7],
    /// PMU event counters; meaningful with the PMU flag.
    pub pmu_num_ctrs: u8,
    /// Reserved.
    pub _reserved4: [u8; 7],
    /// `RmiHashAlgorithm`.
    pub hash_algo: u8,
    /// Reserved.
    pub _reserved5: [u8; 0x3CF],
    /// Realm Personalization Value, opaque.
    pub rpv: [u8; 64],
    /// Reserved.
    pub _reserved6: [u8; 0x3C0],
    /// Virtual Machine Identifier.
    pub vmid: u16,
    /// Reserved.
    pub _reserved7: [u8; 6],
    /// Physical address of the first start level RTT.
    pub rtt_base: u64,
    /// RTT start level, signed.
    pub rtt_level_start: i64,
    /// Number of start level RTTs.
    pub rtt_num_start: u32,
    /// Reserved.
    pub _reserved8: [u8; 0x7E4],
}

assert_layout!(RealmParams, GRANULE_SIZE, {
    flags: 0x000,
    s2sz: 0x008,
    sve_vl: 0x010,
    num_bps: 0x018,
    num_wps: 0x020,
    pmu_num_ctrs: 0x028,
    hash_algo: 0x030,
    rpv: 0x400,
    vmid: 0x800,
    rtt_base: 0x808,
    rtt_level_start: 0x810,
    rtt_num_start: 0x818,
});

impl RealmParams {
    /// The flags, reserved bits retained.
    #[must_use]
    pub const fn realm_flags(&self) -> RealmFlags {
        RealmFlags::from_bits_retain(self.flags)
    }
}

/// `RmiRecParams` (specification B4.4.19), one Granule, input of RMI_REC_CREATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecParams {
    /// `RmiRecCreateFlags`; see [`RecParams::rec_flags`].
    pub flags: u64,
    /// Reserved.
    pub _reserved0: [u8; 0xF8],
    /// `RmiRecMpidr`.
    pub mpidr: u64,
    /// Reserved.
    pub _reserved1: [u8; 0xF8],
    /// Program counter at the first entry.
    pub pc: u64,
    /// Reserved.
    pub _reserved2: [u8; 0xF8],
    /// X0 to X7 at the first entry.
    pub gprs: [u64; REC_CREATE_NR_GPRS],
    /// Reserved.
    pub _reserved3: [u8; 0x4C0],
    /// Number of auxiliary Granules.
    pub num_aux: u64,
    /// Physical addresses of the auxiliary Granules.
    pub aux: [u64; MAX_REC_AUX],
    /// Reserved.
    pub _reserved4: [u8; 0x778],
}

assert_layout!(RecParams, GRANULE_SIZE, {
    flags: 0x000,
    mpidr: 0x100,
    pc: 0x200,
    gprs: 0x300,
    num_aux: 0x800,
    aux: 0x808,
});

impl RecParams {
    /// The flags, reserved bits retained.
    #[must_use]
    pub const fn rec_flags(&self) -> RecCreateFlags {
        RecCreateFlags::from_bits_retain(self.flags)
    }
}

/// `RmiRecEnter` (specification B4.4.14), the half of [`RecRun`] that the Host writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecEnter {
    /// [`RecEnterFlags`](super::RecEnterFlags).
    pub flags: u64,
    /// Reserved.
    pub _reserved0: [u8; 0x1F8],
    /// Results of an emulated access or of a host call.
    pub gprs: [u64; REC_EXIT_NR_GPRS],
    /// Reserved.
    pub _reserved1: [u8; 8],
    /// Host-controlled bits of ICH_HCR_EL2.
    pub gicv3_hcr: u64,
    /// `ICH_LR<n>_EL2`.
    pub gicv3_lrs: [u64; MAX_GIC_LRS],
    /// Reserved.
    pub _reserved2: [u8; 0x478],
}

assert_layout!(RecEnter, 0x800, {
    flags: 0x000,
    gprs: 0x200,
    gicv3_hcr: 0x300,
    gicv3_lrs: 0x308,
});

/// `RmiRecExit` (specification B4.4.16), the half of [`RecRun`] that the RMM writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecExit {
    /// `RmiRecExitReason`.
    pub exit_reason: u8,
    /// Reserved.
    pub _reserved0: [u8; 0xFF],
    /// Filtered ESR_EL2.
    pub esr: u64,
    /// Filtered FAR_EL2.
    pub far: u64,
    /// HPFAR_EL2.
    pub hpfar: u64,
    /// Reserved.
    pub _reserved1: [u8; 0xE8],
    /// Registers, according to the exit reason.
    pub gprs: [u64; REC_EXIT_NR_GPRS],
    /// Reserved.
    pub _reserved2: [u8; 8],
    /// EOIcount and the Host-controlled bits of ICH_HCR_EL2.
    pub gicv3_hcr: u64,
    /// `ICH_LR<n>_EL2`.
    pub gicv3_lrs: [u64; MAX_GIC_LRS],
    /// ICH_MISR_EL2.
    pub gicv3_misr: u64,
    /// ICH_VMCR_EL2.
    pub gicv3_vmcr: u64,
    /// Reserved.
    pub _reserved3: [u8; 0x68],
    /// CNTP_CTL_EL0.
    pub cntp_ctl: u64,
    /// CNTP_CVAL_EL0, for a physical offset of zero.
    pub cntp_cval: u64,
    /// CNTV_CTL_EL0.
    pub cntv_ctl: u64,
    /// CNTV_CVAL_EL0, for a virtual offset of zero.
    pub cntv_cval: u64,
    /// Reserved.
    pub _reserved4: [u8; 0xE0],
    /// Base IPA of the pending RIPAS change.
    pub ripas_base: u64,
    /// Top IPA of the pending RIPAS change.
    pub ripas_top: u64,
    /// `RmiRipas` requested.
    pub ripas_value: u8,
    /// Reserved.
    pub _reserved5: [u8; 0xEF],
    /// Immediate of a host call.
    pub imm: u16,
    /// Reserved.
    pub _reserved6: [u8; 0xFE],
    /// `RmiPmuOverflowStatus`: 1 is active.
    pub pmu_ovf_status: u8,
    /// Reserved.
    pub _reserved7: [u8; 0xFF],
}

assert_layout!(RecExit, 0x800, {
    exit_reason: 0x000,
    esr: 0x100,
    far: 0x108,
    hpfar: 0x110,
    gprs: 0x200,
    gicv3_hcr: 0x300,
    gicv3_lrs: 0x308,
    gicv3_misr: 0x388,
    gicv3_vmcr: 0x390,
    cntp_ctl: 0x400,
    cntp_cval: 0x408,
    cntv_ctl: 0x410,
    cntv_cval: 0x418,
    ripas_base: 0x500,
    ripas_top: 0x508,
    ripas_value: 0x510,
    imm: 0x600,
    pmu_ovf_status: 0x700,
});

/// `RmiRecRun` (specification B4.4.20), one Granule, shared by Host and RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecRun {
    /// Entry information, from the Host.
    pub enter: RecEnter,
    /// Exit information, from the RMM.
    pub exit: RecExit,
}

assert_layout!(RecRun, GRANULE_SIZE, { enter: 0, exit: 0x800 });
