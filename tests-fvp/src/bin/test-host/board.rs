// SPDX-License-Identifier: BSD-3-Clause
//! Addresses of the board the Host is built for.

use crate::params;

/// An address range, in bytes.
pub type Range = core::ops::Range<u64>;

#[cfg(not(any(feature = "fvp", feature = "sbsa")))]
mod constants {
    use super::Range;

    pub const UART: u64 = 0x0900_0000;
    pub const UART_INTID: u32 = 33;
    pub const GICD: u64 = 0x0800_0000;
    pub const GICR: u64 = 0x080A_0000;
    pub const CPUS_OF_CLUSTER: u64 = 16;
    pub const CPU_SHIFT: u32 = 0;
    pub const DRAM: &[Range] = &[BANK];
    pub const BANK: Range = 0x4000_0000..0x1_0000_0000;
    pub const WHOLE_BANK: bool = true;
    pub const MONITOR: Range = 0x4010_0000..0x4190_0000;
    pub const SECURE: u64 = 0x0E20_0000;
    pub const ROOT: u64 = 0x0E00_2000;
    pub const POOL: Range = 0x6400_0000..0x6C00_0000;
    pub const PARAMETERS: Option<u64> = Some(0x5FF0_0000);
}

#[cfg(feature = "sbsa")]
mod constants {
    use super::Range;

    pub const UART: u64 = 0x6000_0000;
    pub const UART_INTID: u32 = 33;
    pub const GICD: u64 = 0x4006_0000;
    pub const GICR: u64 = 0x4008_0000;
    pub const CPUS_OF_CLUSTER: u64 = 8;
    pub const CPU_SHIFT: u32 = 0;
    pub const DRAM: &[Range] = &[BANK];
    pub const BANK: Range = 0x100_0000_0000..0x180_0000_0000;
    pub const WHOLE_BANK: bool = false;
    pub const MONITOR: Range = 0x100_0000_0000..0x100_4300_0000;
    pub const SECURE: u64 = 0x2010_0000;
    pub const ROOT: u64 = 0x3FFF_F000;
    pub const POOL: Range = 0x100_6400_0000..0x100_6C00_0000;
    pub const PARAMETERS: Option<u64> = Some(0x100_5FF0_0000);
}

#[cfg(feature = "fvp")]
mod constants {
    use super::Range;

    pub const UART: u64 = 0x1C09_0000;
    pub const UART_INTID: u32 = 37;
    pub const GICD: u64 = 0x2F00_0000;
    pub const GICR: u64 = 0x2F10_0000;
    pub const CPUS_OF_CLUSTER: u64 = 4;
    pub const CPU_SHIFT: u32 = 8;
    pub const DRAM: &[Range] = &[0x8000_0000..0x1_0000_0000, 0x8_8000_0000..0x9_0000_0000];
    pub const BANK: Range = 0x8000_0000..0xFC00_0000;
    pub const WHOLE_BANK: bool = true;
    pub const MONITOR: Range = 0xFDC0_0000..0xFFC0_0000;
    pub const SECURE: u64 = 0xFC00_0000;
    pub const ROOT: u64 = 0xFFF0_0000;
    pub const POOL: Range = 0xA000_0000..0xA800_0000;
    pub const PARAMETERS: Option<u64> = None;
}

/// The PL011 that the Host writes to; on QEMU the monitor and EL3 write to it too.
pub const UART: u64 = constants::UART;
/// Its INTID.
pub const UART_INTID: u32 = constants::UART_INTID;
/// GIC distributor.
pub const GICD: u64 = constants::GICD;
/// First GIC redistributor.
pub const GICR: u64 = constants::GICR;
/// CPUs of a cluster, as MPIDR numbers them.
const CPUS_OF_CLUSTER: u64 = constants::CPUS_OF_CLUSTER;
/// Bit where MPIDR has the number in the cluster. That of the cluster is 8 bits higher.
const CPU_SHIFT: u32 = constants::CPU_SHIFT;
/// MPIDR of the second CPU, as PSCI wants it.
pub const SECOND_CPU: u64 = mpidr(1);
/// The first DRAM bank, as large as it can be.
pub const BANK: Range = constants::BANK;
/// The monitor's memory.
pub const MONITOR: Range = constants::MONITOR;
/// An address in Secure PAS.
pub const SECURE: u64 = constants::SECURE;
/// An address in Root PAS.
pub const ROOT: u64 = constants::ROOT;
/// Memory that the Host delegates granules of.
pub const POOL: Range = constants::POOL;
/// Where the runner leaves parameters, if it can.
pub const PARAMETERS: Option<u64> = constants::PARAMETERS;

/// The first DRAM bank as EL3 reports it to the monitor: all of it, or what the machine has.
pub fn bank() -> Range {
    if constants::WHOLE_BANK {
        BANK
    } else {
        BANK.start..BANK.start + params::get().memory
    }
}

/// MPIDR of the CPU of a number, as PSCI wants it.
pub const fn mpidr(number: usize) -> u64 {
    let number = number as u64;
    ((number % CPUS_OF_CLUSTER) | ((number / CPUS_OF_CLUSTER) << 8)) << CPU_SHIFT
}

/// The number of the CPU of an MPIDR.
pub const fn number(mpidr: u64) -> usize {
    let affinity = mpidr >> CPU_SHIFT;
    ((affinity & 0xFF) + (affinity >> 8 & 0xFF) * CPUS_OF_CLUSTER) as usize
}

/// Whether an address is in DRAM.
pub const fn is_dram(address: u64) -> bool {
    let mut n = 0;
    while n < constants::DRAM.len() {
        if constants::DRAM[n].start <= address && address < constants::DRAM[n].end {
            return true;
        }
        n += 1;
    }
    false
}
