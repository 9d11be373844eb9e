// SPDX-License-Identifier: BSD-3-Clause
//! The feature registers of 2.0 that are not zero (specification A3, B4.6).

use crate::rmi::feature::{field, flag};

/// `RmiFeatureRegister0`, the value of RMI_FEATURES for index 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureRegister0(u64);

impl FeatureRegister0 {
    /// A register that is zero: no feature is supported.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// The register value.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The register with a value that RMI_FEATURES has returned.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    field!(s2sz, with_s2sz, 0, 8, "S2SZ: largest IPA width, in bits.");
    flag!(lpa2, with_lpa2, 8, "LPA2: 52-bit addresses are available.");
    flag!(sve, with_sve, 9, "SVE: SVE is available.");
    field!(
        sve_vl,
        with_sve_vl,
        10,
        4,
        "SVE_VL: longest vector, in units of 128 bits minus one."
    );
    field!(
        num_bps,
        with_num_bps,
        14,
        6,
        "NUM_BPS: breakpoints minus one."
    );
    field!(
        num_wps,
        with_num_wps,
        20,
        6,
        "NUM_WPS: watchpoints minus one."
    );
    flag!(pmu, with_pmu, 26, "PMU: a PMU is available.");
    field!(
        pmu_num_ctrs,
        with_pmu_num_ctrs,
        27,
        5,
        "PMU_NUM_CTRS: PMU event counters."
    );
}

/// `RmiFeatureRegister1`, the value of RMI_FEATURES for index 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureRegister1(u64);

impl FeatureRegister1 {
    /// A register that is zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// The register value.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The register with a value that RMI_FEATURES has returned.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    flag!(
        granule_4kb,
        with_granule_4kb,
        0,
        "RMI granules of 4 KiB are available."
    );
    flag!(
        hash_sha_256,
        with_hash_sha_256,
        3,
        "HASH_SHA_256: SHA-256 is available."
    );
    flag!(
        hash_sha_384,
        with_hash_sha_384,
        4,
        "HASH_SHA_384: SHA-384 is available."
    );
    flag!(
        hash_sha_512,
        with_hash_sha_512,
        5,
        "HASH_SHA_512: SHA-512 is available."
    );
    field!(
        max_recs_order,
        with_max_recs_order,
        6,
        4,
        "MAX_RECS_ORDER: a Realm has at most 2^order - 1 RECs."
    );
    field!(
        l0gptsz,
        with_l0gptsz,
        10,
        4,
        "L0GPTSZ: log2 of the bytes that an entry of the level 0 GPT protects, minus 30."
    );
    field!(
        pps,
        with_pps,
        14,
        3,
        "PPS: size of the protected physical address space, as in GPCCR_EL3."
    );
}
