// SPDX-License-Identifier: BSD-3-Clause
//! The second CPU: runs one job after the other, until it is switched off.

use crate::check::{Check, ensure, fail};
use crate::{arch, board, gic, rmi};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rmm_abi::psci::{AFFINITY_OFF, SUCCESS};
use spin::Mutex;

type Job = Box<dyn FnOnce() + Send>;

/// The next job.
static JOB: Mutex<Option<Job>> = Mutex::new(None);
/// Whether the SGI for it has been sent.
static CALLED: AtomicBool = AtomicBool::new(false);
/// [`OFF`], [`STARTING`], [`IDLE`], [`BUSY`] or [`LOST`].
static STATE: AtomicU32 = AtomicU32::new(OFF);
const OFF: u32 = 0;
const IDLE: u32 = 1;
const BUSY: u32 = 2;
/// It did not finish a job in time, and is not waited for again.
const LOST: u32 = 3;
/// EL3 has been asked to switch it on.
const STARTING: u32 = 4;

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

/// Switches the second CPU on if it is off. It boots while this CPU continues.
///
/// # Errors
///
/// If EL3 does not start it.
pub fn switch_on() -> Result<(), &'static str> {
    if STATE.load(Ordering::Acquire) == OFF {
        // Before the call: the CPU itself sets the next state.
        STATE.store(STARTING, Ordering::Release);
        if arch::start_second_cpu() != SUCCESS {
            STATE.store(OFF, Ordering::Release);
            return Err("PSCI_CPU_ON of the second CPU failed");
        }
    }
    Ok(())
}

/// Lets the second CPU switch itself off. It does so while this CPU continues.
///
/// # Errors
///
/// If it has not finished the last job.
pub fn switch_off() -> Result<(), &'static str> {
    start(|| {
        arch::switch_off();
    })
}

/// Waits until the second CPU is off after [`switch_off`].
///
/// # Errors
///
/// If EL3 refuses, or the CPU is not off after [`arch::PATIENCE`].
pub fn wait_off() -> Check {
    let refused = || STATE.load(Ordering::Acquire) == IDLE;
    let off = || arch::affinity_info(board::SECOND_CPU) == AFFINITY_OFF;
    ensure!(
        arch::wait_until(arch::PATIENCE, || off() || refused()),
        "the second CPU does not switch itself off"
    );
    if refused() {
        fail!("PSCI_CPU_OFF returned");
    }
    STATE.store(OFF, Ordering::Release);
    Ok(())
}

/// Starts a job on the second CPU, which is switched on first if it is off.
///
/// # Errors
///
/// If the CPU does not start, or has not finished the last job.
pub fn start(job: impl FnOnce() + Send + 'static) -> Result<(), &'static str> {
    switch_on()?;
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
