// SPDX-License-Identifier: BSD-3-Clause
//! AArch64: every instruction that is not Rust's, every system register.
//!
//! * [`entry`], [`start`]: from EL3's entry to the loop that serves RMI calls.
//! * [`space`]: the monitor's address space and the values of its registers; [`paging`] fills it.
//! * [`percpu`]: the memory of a CPU.
//! * [`cpu`], [`machine`]: [`ArchCpu`](cpu::ArchCpu), this CPU as
//!   [`Memory`](rmm_granule::Memory) and as [`Machine`](crate::machine::Machine).
//! * [`realm`] and its neighbours: the world switch.
//! * [`ns`]: copies from and to Non-secure memory that survive a fault.
//! * [`el3`]: calls to EL3.
//! * [`exception`], [`console`]: exceptions of the monitor itself, and where it tells of them.
//! * [`fixup`]: where the monitor goes on after an exception that it expects.
//! * `registers`: the system registers by name; [`features`]: what the ID registers tell;
//!   [`optional`]: what EL3 leaves open of it.

mod cache;
pub mod console;
pub mod cpu;
pub mod el3;
pub mod entry;
pub mod exception;
pub mod features;
pub mod fixup;
pub mod machine;
mod mem;
pub mod ns;
pub mod optional;
pub mod paging;
pub mod percpu;
pub mod realm;
mod realm_debug;
mod realm_gic;
mod realm_pmu;
mod realm_timers;
mod registers;
mod simd;
pub mod space;
pub mod start;

/// Makes the image of a board: `entry!(BOARD)`, with a constant of type
/// [`Board`](crate::board::Board), in a crate without `main`.
#[macro_export]
macro_rules! entry {
    ($board:expr) => {
        // The entry code jumps here once MMU, caches and stack are there.
        #[unsafe(no_mangle)]
        extern "C" fn rmm_cold_boot(x0: u64, x1: u64, x2: u64, x3: u64, x4: u64, image: u64) -> ! {
            $crate::arch::start::cold(const { &$board }, [x0, x1, x2, x3, x4], image)
        }
    };
}
