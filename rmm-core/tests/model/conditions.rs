// SPDX-License-Identifier: BSD-3-Clause
//! Failure conditions of one command and the order between them (specification B1.6).

use rmm_core::fake::Status;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// How often a set of conditions of a command held. The empty set is a success.
pub type Coverage = BTreeMap<(&'static str, Vec<&'static str>), u64>;

thread_local! {
    static COVERAGE: RefCell<Coverage> = RefCell::default();
}

/// What this thread has judged since this function was called last.
pub fn take_coverage() -> Coverage {
    COVERAGE.take()
}

/// Conditions that precede others: while one of the first holds, the status is not that of another.
pub type Order = (&'static [&'static str], &'static [&'static str]);

/// Counts something that is not judged by conditions.
pub fn cover(what: &'static str, label: &'static str) {
    COVERAGE.with_borrow_mut(|all| *all.entry((what, vec![label])).or_default() += 1);
}

/// The failure conditions of one call that hold.
pub struct Conditions {
    command: &'static str,
    failed: Vec<(&'static str, Status)>,
    open: Vec<Status>,
}

impl Conditions {
    /// No condition yet.
    pub fn of(command: &'static str) -> Self {
        Self {
            command,
            failed: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Adds a condition with this label and status, if it holds.
    pub fn when(&mut self, label: &'static str, holds: bool, status: Status) {
        if holds {
            self.failed.push((label, status));
        }
    }

    /// Adds a condition with the status RMI_ERROR_INPUT, if it holds.
    pub fn input(&mut self, label: &'static str, holds: bool) {
        self.when(label, holds, Status::Input);
    }

    /// Adds a condition for which the specification permits RMI_ERROR_INPUT and success.
    pub fn may_be_input(&mut self, holds: bool) {
        if holds {
            self.open.push(Status::Input);
        }
    }

    /// Whether no condition holds, so that the command must succeed.
    pub fn none(&self) -> bool {
        self.failed.is_empty()
    }

    /// Asserts that the conditions permit this status. Returns whether the command has succeeded.
    pub fn judge(&self, status: Status, order: &[Order]) -> bool {
        let mut labels: Vec<&str> = self.failed.iter().map(|(label, _)| *label).collect();
        labels.dedup();
        COVERAGE.with_borrow_mut(|all| *all.entry((self.command, labels)).or_default() += 1);
        let holds = |label: &&str| self.failed.iter().any(|(held, _)| held == label);
        let preceded = |label: &str| {
            let mut before = order.iter().filter(|(_, then)| then.contains(&label));
            before.any(|(first, _)| first.iter().any(&holds))
        };
        let seen = self.failed.iter().filter(|(label, _)| !preceded(label));
        let mut permitted: Vec<Status> = seen.map(|(_, status)| *status).collect();
        permitted.extend(&self.open);
        if self.failed.is_empty() {
            permitted.push(Status::Success);
        }
        assert!(
            permitted.contains(&status),
            "{}: {status:?}, but only {permitted:?} are permitted, because {:?} hold",
            self.command,
            self.failed
        );
        status == Status::Success
    }
}
