// SPDX-License-Identifier: BSD-3-Clause
//! Several CPUs at once: who wins a race for one thing, and what is left when four of them do
//! whatever they like with the same Granules.
//!
//! A deadlock ends the test by a watchdog.

mod hammer;
mod races;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Does `work`, which must not take longer than a minute.
fn watched(work: impl FnOnce()) {
    let (done, wait) = mpsc::channel::<()>();
    let limit = Duration::from_secs(if cfg!(miri) { 3600 } else { 60 });
    let watchdog = std::thread::spawn(move || {
        if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("the CPUs wait for each other");
            std::process::abort();
        }
    });
    work();
    drop(done);
    watchdog.join().expect("nothing to panic at");
}
