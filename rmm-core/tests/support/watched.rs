// SPDX-License-Identifier: BSD-3-Clause
//! A limit for tests whose CPUs may wait for each other.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Calls `work`. If it takes longer than a minute, aborts the process.
pub fn watched(work: impl FnOnce()) {
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
