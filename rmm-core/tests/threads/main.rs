// SPDX-License-Identifier: BSD-3-Clause
//! Several CPUs at once: races for one thing, and random commands with the same few granules.
//!
//! A watchdog ends a test that deadlocks.
#![allow(clippy::cast_possible_truncation, reason = "64-bit build machine")]

#[path = "../support/attested.rs"]
mod attested;

mod hammer;
mod races;
mod rounds;
mod tokens;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Calls `work`. If it takes longer than a minute, aborts the process.
fn watched(work: impl FnOnce()) {
    let (done, wait) = mpsc::channel::<()>();
    let limit = Duration::from_secs(if cfg!(miri) { 3600 } else { 60 });
    let watchdog = std::thread::spawn(move || {
        if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("the CPUs are in a deadlock");
            std::process::abort();
        }
    });
    work();
    drop(done);
    watchdog.join().expect("a watchdog without panic");
}
