// SPDX-License-Identifier: BSD-3-Clause
//! Scripts: what runs in a REC.
//!
//! A script is a future that is polled once for each run of the REC. While it is polled it has the
//! CPU's registers; to leave the Realm it notes an exception and is pending.

use super::board::Board;
use super::guest::RealmCpu;
use super::registers::Registers;
use crate::machine::{EntryControls, Exception, RecContext, TimerLines};
use rmm_granule::fake::Stage2Regs;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// `HCR_EL2.VSE`: a virtual SError is pending.
pub(super) const HCR_VSE: u64 = 1 << 8;

/// What a REC was given since its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// FP/SIMD and, with a vector length, SVE.
    pub(super) simd: Option<Option<u8>>,
    /// Breakpoints and watchpoints.
    pub(super) debug: bool,
    /// A PMU with so many counters.
    pub(super) pmu: Option<u8>,
}

impl Given {
    pub(super) fn give_simd(&mut self, vl: Option<u8>) {
        assert_eq!(self.simd, None, "FP/SIMD given twice");
        self.simd = Some(vl);
    }

    pub(super) fn take_simd(&mut self, vl: Option<u8>) {
        assert_eq!(self.simd.take(), Some(vl), "FP/SIMD never given");
    }
}

/// Where an access of the Realm met a stage 2 fault.
#[derive(Clone, Copy)]
pub(super) struct FaultAddress {
    pub(super) va: u64,
    pub(super) ipa: u64,
    /// Stage 1 still says so.
    pub(super) resolves: bool,
}

/// A CPU as it runs a REC.
pub(super) struct Core {
    /// General registers, PC, PSTATE and what is not in `registers`.
    pub(super) context: RecContext,
    pub(super) registers: Registers,
    pub(super) given: Given,
    pub(super) controls: EntryControls,
    pub(super) stage2: Stage2Regs,
    /// Timers whose signals are masked.
    pub(super) masked: TimerLines,
    pub(super) board: Arc<Board>,
    pub(super) cpu: usize,
    /// The stage 2 fault that the script stopped for.
    pub(super) fault: Option<FaultAddress>,
    /// Why the script stopped.
    pub(super) exception: Option<Exception>,
}

/// Where a script finds the CPU; empty while the REC does not run.
pub(super) type Seat = Arc<Mutex<Option<Core>>>;

/// The program of a REC.
pub(super) struct Script {
    seat: Seat,
    /// None once it has come to its end.
    program: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Script {
    pub(super) fn new<F>(program: impl FnOnce(RealmCpu) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seat = Seat::default();
        let program = program(RealmCpu::new(seat.clone()));
        Self {
            seat,
            program: Some(Box::pin(program)),
        }
    }

    /// A script that has come to its end: each run ends by an interrupt for the Host.
    pub(super) fn idle() -> Self {
        Self {
            seat: Seat::default(),
            program: None,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.program.is_none()
    }

    /// Runs until the next exception.
    pub(super) fn resume(&mut self, core: Core) -> (Core, Exception) {
        let Some(program) = &mut self.program else {
            return (core, Exception::Irq);
        };
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(core);
        let done = program
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        let core = self
            .seat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut core = core.expect("the CPU stays in its seat");
        let exception = core.exception.take();
        match done {
            Poll::Pending => (
                core,
                exception.expect("a script waits for what is no instruction"),
            ),
            Poll::Ready(()) => {
                self.program = None;
                (core, Exception::Irq)
            }
        }
    }
}
