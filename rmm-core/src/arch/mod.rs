// SPDX-License-Identifier: BSD-3-Clause
//! AArch64: every instruction that is not Rust's, every access to a system register. The values they
//! hold are in `encoding`.
//!
//! * `entry`, [`start`]: from EL3's entry to the loop that serves RMI calls.
//! * `percpu`: the memory of a CPU.
//! * `paging`: fills the monitor's address space.
//! * `cpu`, `machine`: `ArchCpu`, this CPU as `Memory` and as `Machine`.
//! * `realm` and its neighbours: the world switch.
//! * `sha`: SHA-256 and SHA-512 by the CPU's instructions.
//! * `random`: random numbers by the CPU's generator.
//! * `ns`: copies from and to Non-secure memory that survive a fault.
//! * `el3`: calls to EL3.
//! * `exception`, `console`: exceptions of the monitor itself, and where it reports them.
//! * `fixup`: where the monitor goes on after an exception that it expects.
//! * `registers`: the system registers by name; `features`: reads the ID registers;
//!   `optional`: which features EL3 leaves open; `remedies`: what is done about errata.

mod cache;
mod console;
mod cpu;
mod el3;
mod entry;
mod exception;
mod features;
mod fixup;
mod machine;
mod mem;
mod ns;
mod optional;
mod paging;
mod percpu;
mod random;
mod realm;
mod realm_debug;
mod realm_gic;
mod realm_pmu;
mod realm_timers;
mod registers;
mod remedies;
mod sha;
mod simd;
pub mod start;

/// Makes the image of a board: `entry!(BOARD)`, with a constant of type
/// [`Board`](crate::board::Board), in a crate without `main`.
#[macro_export]
macro_rules! entry {
    ($board:expr) => {
        // The entry code jumps here once MMU, caches and stack work.
        #[unsafe(no_mangle)]
        extern "C" fn rmm_cold_boot(x0: u64, x1: u64, x2: u64, x3: u64, x4: u64, image: u64) -> ! {
            $crate::arch::start::cold(const { &$board }, [x0, x1, x2, x3, x4], image)
        }
    };
}
