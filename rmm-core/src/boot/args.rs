// SPDX-License-Identifier: BSD-3-Clause
//! The registers with which EL3 enters the monitor.

use super::{BootError, El3Interface};
use rmm_abi::el3::Version;
use rmm_granule::Pa;

/// The largest number of CPUs that this monitor supports. Their memory must fit as well.
pub const MAX_CPUS: u64 = 1024;

/// The arguments of the cold boot, on the first CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdBoot {
    /// Interface of EL3.
    pub el3: El3Interface,
    /// Linear index of this CPU.
    pub cpu: usize,
    /// Number of CPUs of the platform.
    pub cpus: usize,
    /// The page shared with EL3; the manifest is at its start.
    pub shared_buffer: Pa,
    /// Activation token; zero at the first boot, or if EL3 does not keep tokens.
    pub token: u64,
}

impl ColdBoot {
    /// Checks X0 to X4.
    ///
    /// # Errors
    /// For the first of these that is wrong: version, number of CPUs, the CPU's index, shared buffer.
    pub fn new([x0, x1, x2, x3, x4]: [u64; 5]) -> Result<Self, BootError> {
        let el3 = Version::decode(x1)
            .and_then(El3Interface::new)
            .ok_or(BootError::Version)?;
        if !(1..=MAX_CPUS).contains(&x2) {
            return Err(BootError::Cpus);
        }
        if x0 >= x2 {
            return Err(BootError::CpuId);
        }
        let shared_buffer = Pa::granule(x3)
            .filter(|pa| pa.0 != 0)
            .ok_or(BootError::SharedBuffer)?;
        Ok(Self {
            el3,
            cpu: usize::try_from(x0).map_err(|_| BootError::CpuId)?,
            cpus: usize::try_from(x2).map_err(|_| BootError::Cpus)?,
            shared_buffer,
            token: if el3.has_activation_token() { x4 } else { 0 },
        })
    }
}

/// The arguments of a warm boot: another CPU, or the same again after CPU_ON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmBoot {
    /// Linear index of this CPU.
    pub cpu: usize,
    /// Activation token of this CPU: the one that it passed when it last completed a boot, or zero.
    pub token: u64,
}

impl WarmBoot {
    /// Checks X0 and X1, with interface and number of CPUs from the cold boot.
    ///
    /// # Errors
    /// The CPU's index is not below `cpus`.
    pub fn new([x0, x1]: [u64; 2], el3: El3Interface, cpus: usize) -> Result<Self, BootError> {
        let cpu = usize::try_from(x0).map_err(|_| BootError::CpuId)?;
        if cpu >= cpus {
            return Err(BootError::CpuId);
        }
        Ok(Self {
            cpu,
            token: if el3.has_activation_token() { x1 } else { 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 0x418F_F000;

    #[test]
    fn supported_versions() {
        for (version, supported) in [
            (0, false),
            (1, true),
            (2, true),
            (4, true),
            (6, true),
            (8, true),
            (0xFFFF, true),
            (0x1_0000, false),
            (0x1_0005, false),
            (0x2_0000, true),
            (0x2_0007, true),
            (0x3_0000, false),
            (0x8000_0001, false),
            (1 << 32 | 1, false),
        ] {
            let boot = ColdBoot::new([0, version, 1, PAGE, 0]);
            assert_eq!(boot.is_ok(), supported, "{version:#x}");
            if !supported {
                assert_eq!(boot, Err(BootError::Version));
            }
        }
    }

    #[test]
    fn first_wrong_argument_decides() {
        let status = |args| ColdBoot::new(args).map_or_else(BootError::status, |_| 0);
        assert_eq!(status([9, 0, 0, 1, 0]), -2);
        assert_eq!(status([9, 1, 0, 1, 0]), -3);
        assert_eq!(status([9, 1, MAX_CPUS + 1, 1, 0]), -3);
        assert_eq!(status([9, 1, u64::MAX, 1, 0]), -3);
        assert_eq!(status([9, 1, 9, 1, 0]), -4);
        assert_eq!(status([u64::MAX, 1, 9, 1, 0]), -4);
        assert_eq!(status([8, 1, 9, 1, 0]), -5);
        assert_eq!(status([8, 1, 9, 0, 0]), -5);
        assert_eq!(status([8, 1, 9, PAGE + 8, 0]), -5);
        assert_eq!(status([8, 1, 9, PAGE, 0]), 0);
    }

    #[test]
    fn token_counts_since_0_8() {
        for (version, token) in [(1, 0), (7, 0), (8, 77), (0x2_0000, 77)] {
            let boot = ColdBoot::new([3, version, 4, PAGE, 77]).unwrap();
            assert_eq!((boot.token, boot.cpu, boot.cpus), (token, 3, 4));
            assert_eq!(boot.shared_buffer, Pa(PAGE));
            let warm = WarmBoot::new([2, 77], boot.el3, boot.cpus).unwrap();
            assert_eq!(warm, WarmBoot { cpu: 2, token });
            assert_eq!(
                WarmBoot::new([4, 77], boot.el3, boot.cpus),
                Err(BootError::CpuId)
            );
        }
    }

    #[test]
    fn versions_of_the_interface() {
        let el3 = |bits| ColdBoot::new([0, bits, 1, PAGE, 0]).unwrap().el3;
        for (version, gic, pieces, features, reserve, token) in [
            (0x1, false, false, false, false, false),
            (0x2, false, false, false, false, false),
            (0x3, false, true, false, false, false),
            (0x4, false, true, true, false, false),
            (0x6, false, true, true, false, false),
            (0x7, false, true, true, true, false),
            (0x8, false, true, true, true, true),
            (0x2_0000, true, true, true, true, true),
        ] {
            let el3 = el3(version);
            assert_eq!(el3.shares_gic_registers(), gic);
            assert_eq!(el3.token_in_pieces(), pieces);
            assert_eq!(el3.has_features(), features);
            assert_eq!(el3.has_reserve_memory(), reserve);
            assert_eq!(el3.has_activation_token(), token);
            assert_eq!(el3.version().encode(), version);
        }
    }
}
