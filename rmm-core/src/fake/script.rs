// SPDX-License-Identifier: BSD-3-Clause
//! Scripts: the programs of RECs.
//!
//! A script is a future that is polled once for each run of its REC. While it is polled, it has the
//! REC's registers. To leave the Realm, it records an exception and returns `Pending`.

use super::running::{RecSlot, RunningRec};
use super::sync::lock;
use crate::machine::Exception;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// The program of a REC.
pub(super) struct Script {
    slot: RecSlot,
    /// `None` once it has ended.
    program: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Script {
    /// A script that finds its REC in `slot`.
    pub(super) fn new(slot: RecSlot, program: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            slot,
            program: Some(Box::pin(program)),
        }
    }

    /// A script that has ended: an IRQ ends each run of the REC.
    fn ended() -> Self {
        Self {
            slot: RecSlot::default(),
            program: None,
        }
    }

    /// Runs until the next exception.
    pub(super) fn resume(&mut self, rec: RunningRec) -> (RunningRec, Exception) {
        let Some(program) = &mut self.program else {
            return (rec, Exception::Irq);
        };
        *lock(&self.slot) = Some(rec);
        let mut context = Context::from_waker(Waker::noop());
        let poll = program.as_mut().poll(&mut context);
        let rec = lock(&self.slot).take();
        let mut rec = rec.expect("a script leaves its REC in the slot");
        let exception = match (poll, rec.exception.take()) {
            (Poll::Pending, Some(exception)) => exception,
            (Poll::Pending, None) => panic!("a script awaits something that is no instruction"),
            (Poll::Ready(()), _) => {
                self.program = None;
                Exception::Irq
            }
        };
        (rec, exception)
    }
}

/// The REC that a script belongs to: VMID and `VMPIDR_EL2`.
pub(super) type RecName = (u16, u64);

/// The scripts of all RECs of a machine; `None` while the REC is entered.
#[derive(Default)]
pub(super) struct Scripts(Mutex<HashMap<RecName, Option<Script>>>);

impl Scripts {
    /// Sets the script that runs in a REC from its next instruction on.
    pub(super) fn set(&self, rec: RecName, script: Script) {
        let old = lock(&self.0).insert(rec, Some(script));
        let is_entered = matches!(old, Some(None));
        assert!(!is_entered, "a new script for a REC that is entered");
    }

    /// Removes the script of a REC that is entered. Without a script, the REC only takes IRQs.
    pub(super) fn enter(&self, rec: RecName) -> Script {
        let mut scripts = lock(&self.0);
        let script = scripts.entry(rec).or_insert_with(|| Some(Script::ended()));
        script.take().expect("a REC is entered on two CPUs")
    }

    /// Keeps the script of a REC that leaves.
    pub(super) fn leave(&self, rec: RecName, script: Script) {
        lock(&self.0).insert(rec, Some(script));
    }

    /// Removes the scripts of a Realm that is destroyed; returns the `VMPIDR_EL2` of each REC whose
    /// script has not ended.
    pub(super) fn remove_realm(&self, vmid: u16) -> Vec<u64> {
        let mut unfinished = Vec::new();
        lock(&self.0).retain(|rec, script| {
            if rec.0 != vmid {
                return true;
            }
            let has_ended = script
                .as_ref()
                .is_some_and(|script| script.program.is_none());
            if !has_ended {
                unfinished.push(rec.1);
            }
            false
        });
        unfinished
    }
}
