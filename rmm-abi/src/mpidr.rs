// SPDX-License-Identifier: BSD-3-Clause
//! REC index and the two forms of MPIDR that name a REC.
//!
//! Index bits `[3:0]` are Aff0, `[11:4]` Aff1, `[19:12]` Aff2 and `[27:20]` Aff3 (specification
//! A2.3.3). `RmiRecMpidr` has Aff3 at `[31:24]`, the register MPIDR_EL1 has it at `[39:32]`.

/// RES1 bit of MPIDR_EL1.
const MPIDR_EL1_RES1: u64 = 1 << 31;

/// The bits of MPIDR_EL1 that name a REC.
pub const MPIDR_EL1_MASK: u64 = 0xFF_00FF_FF0F;

/// REC index named by an `RmiRecMpidr`; reserved bits are ignored.
#[must_use]
pub const fn mpidr_to_index(mpidr: u64) -> u64 {
    (mpidr & 0xF) | ((mpidr >> 8 & 0xFF_FFFF) << 4)
}

/// `RmiRecMpidr` of a REC index; bits above 27 are ignored.
#[must_use]
pub const fn index_to_mpidr(index: u64) -> u64 {
    (index & 0xF) | ((index >> 4 & 0xFF_FFFF) << 8)
}

/// REC index named by the affinity fields of MPIDR_EL1; other bits are ignored.
#[must_use]
pub const fn mpidr_el1_to_index(mpidr: u64) -> u64 {
    (mpidr & 0xF) | ((mpidr >> 8 & 0xFFFF) << 4) | ((mpidr >> 32 & 0xFF) << 20)
}

/// MPIDR_EL1 (as VMPIDR_EL2 presents it) of a REC index; bits above 27 are ignored.
#[must_use]
pub const fn index_to_mpidr_el1(index: u64) -> u64 {
    MPIDR_EL1_RES1 | (index & 0xF) | ((index >> 4 & 0xFFFF) << 8) | ((index >> 20 & 0xFF) << 32)
}
