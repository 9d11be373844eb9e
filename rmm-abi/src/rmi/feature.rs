// SPDX-License-Identifier: BSD-3-Clause
//! `RmiFeatureRegister0` (specification B4.4.6).

/// `RmiFeatureRegister0`, the value of RMI_FEATURES for index 0.
///
/// Every field has a getter and a `with_` builder, which cuts its argument to the width of the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureRegister0(u64);

/// Getter and builder of a numeric field.
macro_rules! field {
    ($name:ident, $with:ident, $low:expr, $width:expr, $doc:expr) => {
        #[doc = $doc]
        #[must_use]
        pub const fn $name(self) -> u64 {
            self.0 >> $low & ((1 << $width) - 1)
        }

        #[doc = concat!("With another value of: ", $doc)]
        #[must_use]
        pub const fn $with(self, value: u64) -> Self {
            let mask: u64 = (1 << $width) - 1;
            Self(self.0 & !(mask << $low) | (value & mask) << $low)
        }
    };
}

/// Getter and builder of a one-bit field.
macro_rules! flag {
    ($name:ident, $with:ident, $bit:expr, $doc:expr) => {
        #[doc = $doc]
        #[must_use]
        pub const fn $name(self) -> bool {
            self.0 >> $bit & 1 != 0
        }

        #[doc = concat!("With another value of: ", $doc)]
        #[must_use]
        pub const fn $with(self, value: bool) -> Self {
            Self(self.0 & !(1 << $bit) | (value as u64) << $bit)
        }
    };
}

pub(crate) use {field, flag};

impl FeatureRegister0 {
    /// A register that is zero: no feature is supported.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Decodes a register value.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The register value.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    field!(s2sz, with_s2sz, 0, 8, "S2SZ: largest IPA width, in bits.");
    flag!(lpa2, with_lpa2, 8, "LPA2: 52-bit addresses are available.");
    flag!(sve_en, with_sve_en, 9, "SVE_EN: SVE is available.");
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
        "NUM_BPS: breakpoints minus one; 0 is reserved."
    );
    field!(
        num_wps,
        with_num_wps,
        20,
        6,
        "NUM_WPS: watchpoints minus one; 0 is reserved."
    );
    flag!(pmu_en, with_pmu_en, 26, "PMU_EN: a PMU is available.");
    field!(
        pmu_num_ctrs,
        with_pmu_num_ctrs,
        27,
        5,
        "PMU_NUM_CTRS: PMU event counters."
    );
    flag!(
        hash_sha_256,
        with_hash_sha_256,
        32,
        "HASH_SHA_256: SHA-256 is available."
    );
    flag!(
        hash_sha_512,
        with_hash_sha_512,
        33,
        "HASH_SHA_512: SHA-512 is available."
    );
    field!(
        gicv3_num_lrs,
        with_gicv3_num_lrs,
        34,
        4,
        "GICV3_NUM_LRS: GICv3 list registers minus one."
    );
    field!(
        max_recs_order,
        with_max_recs_order,
        38,
        4,
        "MAX_RECS_ORDER: a Realm has at most 2^order - 1 RECs."
    );
}
