// SPDX-License-Identifier: BSD-3-Clause
//! What EL3 passes at boot, and what follows from it.
//!
//! 1. [`ColdBoot`]: the boot arguments of the first CPU, among them the version of EL3's interface
//!    ([`El3Interface`]).
//! 2. [`Manifest`]: DRAM, console and devices of the machine, in the buffer shared with EL3.
//! 3. [`Plan`]: which DRAM a Host may delegate, and how much memory the monitor needs; [`Layout`]:
//!    where that memory is.
//! 4. [`WarmBoot`]: the boot arguments of every later CPU.

mod args;
mod banks;
mod el3;
mod manifest;
mod plan;
#[cfg(test)]
mod tests;

pub use args::{ColdBoot, MAX_CPUS, WarmBoot};
pub use banks::{Banks, Extent, Full};
pub use el3::El3Interface;
pub use manifest::{ConsoleInfo, Manifest};
pub use plan::{Layout, Plan, Reservation};

use core::fmt;
use rmm_abi::el3::boot;

/// Why the monitor does not boot. EL3 goes on without Realms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The monitor does not support EL3's version of the RMM-EL3 interface.
    Version,
    /// No CPUs, or more than [`MAX_CPUS`].
    Cpus,
    /// The CPU's index is not below the number of CPUs.
    CpuId,
    /// The buffer shared with EL3 is at address zero or not at a page.
    SharedBuffer,
    /// The manifest's version is unknown, or 0.1, which lists no memory.
    ManifestVersion,
    /// The manifest breaks the rule that the text names.
    Manifest(&'static str),
    /// The reason that the text gives.
    Other(&'static str),
}

impl BootError {
    /// The status for RMM_BOOT_COMPLETE.
    #[must_use]
    pub const fn status(self) -> i64 {
        match self {
            Self::Version => boot::VERSION_MISMATCH,
            Self::Cpus => boot::CPUS_OUT_OF_RANGE,
            Self::CpuId => boot::CPU_ID_OUT_OF_RANGE,
            Self::SharedBuffer => boot::INVALID_SHARED_BUFFER,
            Self::ManifestVersion => boot::MANIFEST_VERSION_NOT_SUPPORTED,
            Self::Manifest(_) => boot::MANIFEST_DATA_ERROR,
            Self::Other(_) => boot::UNKNOWN,
        }
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "unsupported version of the RMM-EL3 interface",
            Self::Cpus => "unsupported number of CPUs",
            Self::CpuId => "CPU index out of range",
            Self::SharedBuffer => "address of the shared buffer is not valid",
            Self::ManifestVersion => "unsupported manifest version",
            Self::Manifest(rule) => return write!(f, "manifest: {rule}"),
            Self::Other(what) => what,
        })
    }
}
