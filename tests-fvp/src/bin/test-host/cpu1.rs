// SPDX-License-Identifier: BSD-3-Clause
//! The second CPU: started once, then runs one job after the other.

use crate::{arch, board, gic, rmi};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use spin::Mutex;

type Job = Box<dyn FnOnce() + Send>;

/// The next job.
static JOB: Mutex<Option<Job>> = Mutex::new(None);
/// Whether the SGI for it has been sent.
static CALLED: AtomicBool = AtomicBool::new(false);
/// [`OFF`], [`IDLE`], [`BUSY`] or [`LOST`].
static STATE: AtomicU32 = AtomicU32::new(OFF);
const OFF: u32 = 0;
const IDLE: u32 = 1;
const BUSY: u32 = 2;
/// It did not finish a job in time, and is not waited for again.
const LOST: u32 = 3;

/// Where the second CPU begins.
pub extern "C" fn secondary_main() -> ! {
    gic::setup();
    STATE.store(IDLE, Ordering::Release);
    loop {
        let job = JOB.lock().take();
        if let Some(job) = job {
            // Otherwise the SGI for this job could interrupt a Realm that the job runs.
            while !CALLED.swap(false, Ordering::AcqRel) {
                core::hint::spin_loop();
            }
            gic::taken();
            job();
            STATE.store(IDLE, Ordering::Release);
        } else {
            // Until the SGI that comes with the next job.
            arch::wait_for_interrupt();
            gic::taken();
        }
    }
}

/// Waits as long as the second CPU makes calls. How long a job takes depends on the machine.
fn wait_idle() -> bool {
    let idle = || STATE.load(Ordering::Acquire) == IDLE;
    if STATE.load(Ordering::Acquire) == LOST {
        return false;
    }
    loop {
        let calls = rmi::calls();
        if arch::wait_until(arch::PATIENCE, idle) {
            return true;
        }
        if rmi::calls() == calls {
            STATE.store(LOST, Ordering::Release);
            return false;
        }
    }
}

/// Whether there is a second CPU.
pub fn exists() -> bool {
    gic::redistributor_of(board::SECOND_CPU).is_some()
}

/// Starts a job on the second CPU, which is switched on first if it is off.
///
/// # Errors
///
/// If the CPU does not start, or has not finished the last job.
pub fn start(job: impl FnOnce() + Send + 'static) -> Result<(), &'static str> {
    if STATE.load(Ordering::Acquire) == OFF && arch::start_second_cpu() != 0 {
        return Err("PSCI_CPU_ON of the second CPU failed");
    }
    if !wait_idle() {
        return Err("the second CPU is not ready");
    }
    STATE.store(BUSY, Ordering::Release);
    *JOB.lock() = Some(Box::new(job));
    gic::send_sgi(board::SECOND_CPU);
    CALLED.store(true, Ordering::Release);
    Ok(())
}

/// Waits until the second CPU has done its job.
///
/// # Errors
///
/// If it makes no call for [`arch::PATIENCE`].
pub fn finish() -> Result<(), &'static str> {
    if wait_idle() {
        Ok(())
    } else {
        Err("the second CPU does not come back")
    }
}
