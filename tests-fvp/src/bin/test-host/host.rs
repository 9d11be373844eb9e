// SPDX-License-Identifier: BSD-3-Clause
//! What the Host does from start to power-off.

use crate::console::{self, line};
use crate::{arch, bench, demo, gic, isolation, params, tests, vmm};
use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, Ordering};

/// Where the first CPU begins.
pub extern "C" fn host_main() -> ! {
    let parameters = params::get();
    line!("host: started");
    gic::setup();
    match parameters.mode {
        params::Mode::Test => tests::run_all(parameters),
        params::Mode::Run => demo::run(),
        params::Mode::Isolation => isolation::run(),
        params::Mode::Guest => vmm::run(parameters),
        params::Mode::Bench => bench::run(parameters),
        params::Mode::BenchEl3 => bench::run_el3(),
    }
    arch::power_off()
}

/// Reports that the Host itself cannot go on, and ends the run.
pub fn crash(why: Arguments<'_>) -> ! {
    static CRASHED: AtomicBool = AtomicBool::new(false);
    if !CRASHED.swap(true, Ordering::Relaxed) {
        console::print_failing(format_args!("host: crashed: {why}"));
    }
    arch::power_off()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crash(format_args!("{info}"))
}
