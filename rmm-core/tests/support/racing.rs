// SPDX-License-Identifier: BSD-3-Clause
//! Several CPUs that do something at the same time, again and again.

use crate::watched::watched;
use rmm_core::fake::Host;
use std::sync::Barrier;
use std::thread;

pub const CPUS: usize = 4;
pub const ROUNDS: usize = if cfg!(miri) { 2 } else { 200 };

/// In each round all CPUs call `work` at the same time, and then one of them calls `check`.
pub fn in_rounds(host: &Host, work: impl Fn(&Host, usize) + Sync, check: impl Fn(&Host) + Sync) {
    let (start, end) = (Barrier::new(CPUS), Barrier::new(CPUS));
    let board = host.board();
    let run = |cpu: usize, host: &Host| {
        for _ in 0..ROUNDS {
            start.wait();
            work(host, cpu);
            if end.wait().is_leader() {
                check(host);
            }
        }
    };
    // A CPU whose assertion fails leaves the others at a barrier.
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                for cpu in 1..CPUS {
                    let run = &run;
                    scope.spawn(move || run(cpu, &Host::of_board(board, cpu)));
                }
                run(0, host);
            });
        });
    });
}
