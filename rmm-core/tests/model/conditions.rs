// SPDX-License-Identifier: BSD-3-Clause
//! Failure conditions of one command and the order between them (specification B1.6).

use rmm_core::fake::Status;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// How often which conditions of a command held alone or together; none is a success.
pub type Coverage = BTreeMap<(&'static str, Vec<&'static str>), u64>;

thread_local! {
    static COVERAGE: RefCell<Coverage> = RefCell::default();
}

/// What this thread has judged since the last time.
pub fn take_coverage() -> Coverage {
    COVERAGE.take()
}

/// Conditions that precede others: while one of the first holds, none of the others is seen.
pub type Order = (&'static [&'static str], &'static [&'static str]);

/// Takes note of something that was not judged by conditions.
pub fn cover(what: &'static str, label: &'static str) {
    COVERAGE.with_borrow_mut(|all| *all.entry((what, vec![label])).or_default() += 1);
}

/// The failure conditions that hold for one call.
pub struct Conditions {
    command: &'static str,
    failed: Vec<(&'static str, Status)>,
    open: Vec<Status>,
}

impl Conditions {
    /// None yet.
    pub fn of(command: &'static str) -> Self {
        Self {
            command,
            failed: Vec::new(),
            open: Vec::new(),
        }
    }

    /// A condition of this label and status, which holds if `fails`.
    pub fn when(&mut self, label: &'static str, fails: bool, status: Status) {
        if fails {
            self.failed.push((label, status));
        }
    }

    /// A condition whose status is RMI_ERROR_INPUT.
    pub fn input(&mut self, label: &'static str, fails: bool) {
        self.when(label, fails, Status::Input);
    }

    /// The specification leaves open whether this is a failure.
    pub fn may_be_input(&mut self, holds: bool) {
        if holds {
            self.open.push(Status::Input);
        }
    }

    /// No condition holds: the command must succeed.
    pub fn none(&self) -> bool {
        self.failed.is_empty()
    }

    /// Holds a status against the conditions; whether the command has succeeded.
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
            "{}: {status:?}, but permitted are {permitted:?}, for {:?} hold",
            self.command,
            self.failed
        );
        status == Status::Success
    }
}
