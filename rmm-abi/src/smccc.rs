// SPDX-License-Identifier: BSD-3-Clause
//! The part of the SMC Calling Convention (Arm DEN0028) that a monitor needs.

/// Function identifier of `SMCCC_VERSION`.
pub const SMCCC_VERSION: u64 = 0x8000_0000;
/// Function identifier of `SMCCC_ARCH_FEATURE_AVAILABILITY`, SMC64 form.
pub const SMCCC_ARCH_FEATURE_AVAILABILITY: u64 = 0xC000_0003;

/// X0 of a call to an unknown function: -1, in 64 bits.
pub const NOT_SUPPORTED: u64 = u64::MAX;

/// Bit 16 of a function identifier: the caller has no live SVE state (SMCCC 1.3).
pub const SVE_HINT: u64 = 1 << 16;

/// Whether a function identifier has the SVE hint: the caller keeps no state in P0 to P15, FFR and the bits of
/// Z0 to Z31 beyond the 128 of Q0 to Q31. They are zero or unchanged on return.
#[must_use]
pub const fn has_sve_hint(fid: u64) -> bool {
    fid & SVE_HINT != 0
}

/// Version 1.2 as `SMCCC_VERSION` returns it.
pub const VERSION_1_2: u64 = 0x1_0002;
/// Version 1.3, the minimum for a platform with FEAT_SVE.
pub const VERSION_1_3: u64 = 0x1_0003;
/// Version 1.4, the minimum for a platform with FEAT_SME.
pub const VERSION_1_4: u64 = 0x1_0004;

/// The function identifier without the SVE hint.
#[must_use]
pub const fn without_sve_hint(fid: u64) -> u64 {
    fid & !SVE_HINT
}
