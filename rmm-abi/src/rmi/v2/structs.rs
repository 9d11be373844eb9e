// SPDX-License-Identifier: BSD-3-Clause
//! Structures that Host and RMM exchange in memory (specification B4.6).
//!
//! Reserved bytes should be zero in structures that the Host writes, and are zero in structures that
//! the RMM writes.

use super::{RealmFlags0, RealmFlags1};
use crate::rmi::{REC_CREATE_NR_GPRS, REC_EXIT_NR_GPRS, RecCreateFlags};
use crate::{GRANULE_SIZE, assert_layout};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `RmiRmmConfig`, one Granule, of RMI_RMM_CONFIG_SET and RMI_RMM_CONFIG_GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RmmConfig {
    /// `RmiTrackingRegionSize`: with granules of 4 KiB, 0 is 1 GiB.
    pub tracking_region_size: u8,
    /// Reserved.
    pub _reserved0: [u8; 7],
    /// `RmiGranuleSize`: 0 is 4 KiB.
    pub rmi_granule_size: u8,
    /// Reserved.
    pub _reserved1: [u8; 0xFF7],
}

assert_layout!(RmmConfig, GRANULE_SIZE, {
    tracking_region_size: 0x0,
    rmi_granule_size: 0x8,
});

/// `RmiRealmParams`, one Granule, input of RMI_REALM_CREATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RealmParams {
    /// `RmiRealmFlags0`; see [`RealmParams::realm_flags0`].
    pub flags0: u64,
    /// IPA width in bits.
    pub s2sz: u8,
    /// Reserved.
    pub _reserved0: [u8; 7],
    /// SVE vector length in units of 128 bits minus one; meaningful with the SVE flag.
    pub sve_vl: u8,
    /// Reserved.
    pub _reserved1: [u8; 7],
    /// Breakpoints minus one.
    pub num_bps: u8,
    /// Reserved.
    pub _reserved2: [u8; 7],
    /// Watchpoints minus one.
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
    pub _reserved5: [u8; 7],
    /// Auxiliary planes.
    pub num_aux_planes: u32,
    /// Reserved.
    pub _reserved6: [u8; 0x3C4],
    /// Realm Personalization Value, opaque.
    pub rpv: [u8; 64],
    /// Plane that may use ATS.
    pub ats_plane: u64,
    /// Reserved.
    pub _reserved7: [u8; 0x3C0],
    /// Physical address of the first start level RTT.
    pub rtt_base: u64,
    /// RTT start level, signed.
    pub rtt_level_start: i64,
    /// Number of start level RTTs.
    pub rtt_num_start: u32,
    /// Reserved.
    pub _reserved8: u32,
    /// `RmiRealmFlags1`; see [`RealmParams::realm_flags1`].
    pub flags1: u64,
    /// Most virtual devices of the Realm.
    pub max_num_vdevs: u64,
    /// Reserved.
    pub _reserved9: [u8; 0x750],
    /// Physical addresses of the start level RTTs of auxiliary planes.
    pub aux_rtt_base: [u64; 3],
    /// Reserved.
    pub _reserved10: [u8; 0x68],
}

assert_layout!(RealmParams, GRANULE_SIZE, {
    flags0: 0x000,
    s2sz: 0x008,
    sve_vl: 0x010,
    num_bps: 0x018,
    num_wps: 0x020,
    pmu_num_ctrs: 0x028,
    hash_algo: 0x030,
    num_aux_planes: 0x038,
    rpv: 0x400,
    ats_plane: 0x440,
    rtt_base: 0x808,
    rtt_level_start: 0x810,
    rtt_num_start: 0x818,
    flags1: 0x820,
    max_num_vdevs: 0x828,
    aux_rtt_base: 0xF80,
});

impl RealmParams {
    /// The first flags, reserved bits retained.
    #[must_use]
    pub const fn realm_flags0(&self) -> RealmFlags0 {
        RealmFlags0::from_bits_retain(self.flags0)
    }

    /// The second flags, reserved bits retained.
    #[must_use]
    pub const fn realm_flags1(&self) -> RealmFlags1 {
        RealmFlags1::from_bits_retain(self.flags1)
    }
}

/// `RmiRecParams`, one Granule, input of RMI_REC_CREATE.
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
    pub _reserved3: [u8; 0xCC0],
}

assert_layout!(RecParams, GRANULE_SIZE, {
    flags: 0x000,
    mpidr: 0x100,
    pc: 0x200,
    gprs: 0x300,
});

impl RecParams {
    /// The flags, reserved bits retained.
    #[must_use]
    pub const fn rec_flags(&self) -> RecCreateFlags {
        RecCreateFlags::from_bits_retain(self.flags)
    }
}

/// `RmiRecEnter`, the half of [`RecRun`] that the Host writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecEnter {
    /// [`RecEnterFlags`](crate::rmi::RecEnterFlags); further bits answer exits that do not occur
    /// without planes and devices.
    pub flags: u64,
    /// Reserved.
    pub _reserved0: [u8; 0x1F8],
    /// Results of an emulated access or of a host call.
    pub gprs: [u64; REC_EXIT_NR_GPRS],
    /// Reserved.
    pub _reserved1: [u8; 0x508],
}

assert_layout!(RecEnter, 0x800, { flags: 0x000, gprs: 0x200 });

/// `RmiRecExit`, the half of [`RecRun`] that the RMM writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecExit {
    /// `RmiRecExitReason`; 0 to 6 are those of 1.0.
    pub exit_reason: u8,
    /// Reserved.
    pub _reserved0: [u8; 0xFF],
    /// Filtered ESR_EL2.
    pub esr: u64,
    /// Filtered FAR_EL2.
    pub far: u64,
    /// HPFAR_EL2.
    pub hpfar: u64,
    /// Index of the RTT tree of a fault.
    pub rtt_tree: u64,
    /// Reserved.
    pub _reserved1: [u8; 0xE0],
    /// Registers, according to the exit reason.
    pub gprs: [u64; REC_EXIT_NR_GPRS],
    /// Reserved.
    pub _reserved2: [u8; 0x108],
    /// CNTP_CTL_EL0.
    pub cntp_ctl: u64,
    /// CNTP_CVAL_EL0, for a physical offset of zero.
    pub cntp_cval: u64,
    /// CNTV_CTL_EL0.
    pub cntv_ctl: u64,
    /// CNTV_CVAL_EL0, for a virtual offset of zero.
    pub cntv_cval: u64,
    /// Reserved.
    pub _reserved3: [u8; 0xE0],
    /// Base IPA of the pending RIPAS change.
    pub ripas_base: u64,
    /// Top IPA of the pending RIPAS change.
    pub ripas_top: u64,
    /// `RmiRipas` requested.
    pub ripas_value: u8,
    /// Reserved: among others the fields of exits that do not occur without planes and devices.
    pub _reserved4: [u8; 0xEF],
    /// Immediate of a host call.
    pub imm: u16,
    /// Reserved.
    pub _reserved5: [u8; 6],
    /// Index of the plane.
    pub plane: u64,
    /// Reserved.
    pub _reserved6: [u8; 0xF0],
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
    rtt_tree: 0x118,
    gprs: 0x200,
    cntp_ctl: 0x400,
    cntp_cval: 0x408,
    cntv_ctl: 0x410,
    cntv_cval: 0x418,
    ripas_base: 0x500,
    ripas_top: 0x508,
    ripas_value: 0x510,
    imm: 0x600,
    plane: 0x608,
    pmu_ovf_status: 0x700,
});

/// `RmiRecRun`, one Granule, shared by Host and RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecRun {
    /// Entry information, from the Host.
    pub enter: RecEnter,
    /// Exit information, from the RMM.
    pub exit: RecExit,
}

assert_layout!(RecRun, GRANULE_SIZE, { enter: 0, exit: 0x800 });
