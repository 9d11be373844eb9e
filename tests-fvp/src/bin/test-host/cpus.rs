// SPDX-License-Identifier: BSD-3-Clause
//! The CPUs besides the first: each runs one job after the other, until it is switched off.

use crate::arch::{self, CPUS};
use crate::check::{Check, ensure, fail};
use crate::{board, gic, rmi};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rmm_abi::psci::{AFFINITY_OFF, SUCCESS};
use spin::Mutex;

type Job = Box<dyn FnOnce() + Send>;

const OFF: u32 = 0;
const IDLE: u32 = 1;
const BUSY: u32 = 2;
/// It did not finish a job in time, and is not waited for again.
const LOST: u32 = 3;
/// EL3 has been asked to switch it on.
const STARTING: u32 = 4;

/// A CPU besides the first.
pub struct Cpu {
    /// Its number: 1 is the second CPU.
    number: usize,
    /// The next job.
    job: Mutex<Option<Job>>,
    /// Whether the SGI for it has been sent.
    called: AtomicBool,
    /// [`OFF`], [`STARTING`], [`IDLE`], [`BUSY`] or [`LOST`].
    state: AtomicU32,
}

/// All that the Host can use, by number.
static OTHERS: [Cpu; CPUS - 1] = {
    let mut all = [const { Cpu::new() }; CPUS - 1];
    let mut n = 0;
    while n < all.len() {
        all[n].number = n + 1;
        n += 1;
    }
    all
};

/// The second CPU, which a machine may lack.
pub fn second() -> &'static Cpu {
    &OTHERS[0]
}

/// The CPUs that the machine has besides the first.
pub fn others() -> impl Iterator<Item = &'static Cpu> {
    OTHERS.iter().take_while(|cpu| cpu.exists())
}

/// How many CPUs the Host can use, the first included.
pub fn count() -> usize {
    1 + others().count()
}

/// Where every CPU but the first begins.
pub extern "C" fn secondary_main() -> ! {
    let number = gic::cpu();
    let Some(cpu) = OTHERS.iter().find(|cpu| cpu.number == number) else {
        crate::crash(format_args!("CPU {number} has not been asked for"));
    };
    gic::setup();
    cpu.work()
}

impl Cpu {
    const fn new() -> Self {
        Self {
            number: 0,
            job: Mutex::new(None),
            called: AtomicBool::new(false),
            state: AtomicU32::new(OFF),
        }
    }

    /// Does one job after the other, on this CPU.
    fn work(&self) -> ! {
        self.state.store(IDLE, Ordering::Release);
        loop {
            let job = self.job.lock().take();
            if let Some(job) = job {
                // Otherwise the SGI for this job could interrupt a Realm that the job runs.
                while !self.called.swap(false, Ordering::AcqRel) {
                    core::hint::spin_loop();
                }
                gic::taken();
                job();
                self.state.store(IDLE, Ordering::Release);
            } else {
                // Until the SGI that comes with the next job.
                arch::wait_for_interrupt();
                gic::taken();
            }
        }
    }

    /// Waits as long as the Host makes calls. How long a job takes depends on the machine.
    fn wait_idle(&self) -> bool {
        let idle = || self.state.load(Ordering::Acquire) == IDLE;
        if self.state.load(Ordering::Acquire) == LOST {
            return false;
        }
        loop {
            let calls = rmi::calls();
            if arch::wait_until(arch::PATIENCE, idle) {
                return true;
            }
            if rmi::calls() == calls {
                self.state.store(LOST, Ordering::Release);
                return false;
            }
        }
    }

    /// Its MPIDR, as PSCI wants it.
    pub fn mpidr(&self) -> u64 {
        board::mpidr(self.number)
    }

    /// Whether the machine has it.
    pub fn exists(&self) -> bool {
        gic::redistributor_of(self.mpidr()).is_some()
    }

    /// Switches it on if it is off. It boots while this CPU continues.
    ///
    /// # Errors
    ///
    /// If EL3 does not start it.
    pub fn switch_on(&self) -> Result<(), &'static str> {
        if self.state.load(Ordering::Acquire) == OFF {
            // Before the call: the CPU itself sets the next state.
            self.state.store(STARTING, Ordering::Release);
            if arch::start_cpu(self.number) != SUCCESS {
                self.state.store(OFF, Ordering::Release);
                return Err("PSCI_CPU_ON of another CPU failed");
            }
        }
        Ok(())
    }

    /// Lets it switch itself off. It does so while this CPU continues.
    ///
    /// # Errors
    ///
    /// If it has not finished the last job.
    pub fn switch_off(&self) -> Result<(), &'static str> {
        self.start(|| {
            arch::switch_off();
        })
    }

    /// Waits until it is off after [`Self::switch_off`].
    ///
    /// # Errors
    ///
    /// If EL3 refuses, or the CPU is not off after [`arch::PATIENCE`].
    pub fn wait_off(&self) -> Check {
        let refused = || self.state.load(Ordering::Acquire) == IDLE;
        let off = || arch::affinity_info(self.mpidr()) == AFFINITY_OFF;
        ensure!(
            arch::wait_until(arch::PATIENCE, || off() || refused()),
            "a CPU does not switch itself off"
        );
        if refused() {
            fail!("PSCI_CPU_OFF returned");
        }
        self.state.store(OFF, Ordering::Release);
        Ok(())
    }

    /// Starts a job on it. It is switched on first if it is off.
    ///
    /// # Errors
    ///
    /// If the CPU does not start, or has not finished the last job.
    pub fn start(&self, job: impl FnOnce() + Send + 'static) -> Result<(), &'static str> {
        self.switch_on()?;
        if !self.wait_idle() {
            return Err("another CPU is not ready");
        }
        self.state.store(BUSY, Ordering::Release);
        *self.job.lock() = Some(Box::new(job));
        gic::send_sgi(self.mpidr());
        self.called.store(true, Ordering::Release);
        Ok(())
    }

    /// Waits until it has done its job.
    ///
    /// # Errors
    ///
    /// If the Host makes no call for [`arch::PATIENCE`].
    pub fn finish(&self) -> Result<(), &'static str> {
        if self.wait_idle() {
            Ok(())
        } else {
            Err("another CPU does not come back")
        }
    }
}
