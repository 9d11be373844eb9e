// SPDX-License-Identifier: BSD-3-Clause
//! Which dialect the Host speaks.
//!
//! Both interfaces use the same function identifiers for different things, and a Host says which one
//! it means only by the version that it asks for, or by a command that the other interface does not
//! have. So the machine has a [`Mode`]. It stays as it is while any Granule is delegated: there is never
//! a Realm that the other dialect has made.

use crate::boot::El3Interface;
use crate::machine::{Machine, is_any_delegated};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU8, Ordering, fence};

/// The dialect of the Host, and the state of the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// RMI 1.0, where the RMM is always active.
    V1,
    /// Not known yet.
    Undecided,
    /// RMI 2.0, the RMM in state INIT.
    V2Init,
    /// RMI 2.0, the RMM in state ACTIVE.
    V2Active,
}

const V1: u8 = 0;
const UNDECIDED: u8 = 1;
const V2_INIT: u8 = 2;
const V2_ACTIVE: u8 = 3;
/// A CPU is about to change the mode.
const CHANGING: u8 = 4;

impl Mode {
    const fn code(self) -> u8 {
        match self {
            Self::V1 => V1,
            Self::Undecided => UNDECIDED,
            Self::V2Init => V2_INIT,
            Self::V2Active => V2_ACTIVE,
        }
    }

    /// `None` if a CPU is about to change the mode.
    const fn of(code: u8) -> Option<Self> {
        match code {
            V1 => Some(Self::V1),
            UNDECIDED => Some(Self::Undecided),
            V2_INIT => Some(Self::V2Init),
            V2_ACTIVE => Some(Self::V2Active),
            _ => None,
        }
    }

    /// Whether this is RMI 2.0.
    #[must_use]
    pub const fn is_v2(self) -> bool {
        matches!(self, Self::V2Init | Self::V2Active)
    }
}

/// The [`Mode`] of the machine.
///
/// # Changes
/// Whoever changes the mode announces it, looks whether a Granule is delegated, and then sets the mode
/// or the old one again; another change waits meanwhile. A call is served in the mode in which it began,
/// and may still wait for a lock when the mode is another one:
/// - REALM_CREATE looks at the mode again ([`Modes::confirm`]) when it has locked the Granules of the
///   Realm, which are DELEGATED. Either it sees the announcement, or the other CPU sees that these
///   Granules are delegated.
/// - A command that does to a Realm of one interface what only the other one does (REALM_TERMINATE,
///   REC_CREATE, REC_ENTER, RTT_INIT_RIPAS, PSCI_COMPLETE without a target) compares the Realm, once
///   locked, with the interface of the call. The specifications have no such condition; it fails with an
///   error of an input.
/// - The others do the same to a Realm of either interface.
pub struct Modes {
    code: AtomicU8,
    offers_v2: bool,
}

impl Modes {
    /// The mode at boot under EL3 with this interface: undecided if EL3 can carry RMI 2.0, else 1.0 for
    /// ever.
    #[must_use]
    pub const fn new(el3: El3Interface) -> Self {
        let offers_v2 = el3.carries_rmi_2();
        Self {
            code: AtomicU8::new(if offers_v2 { UNDECIDED } else { V1 }),
            offers_v2,
        }
    }

    /// Whether the mode can be RMI 2.0.
    #[must_use]
    pub const fn offers_v2(&self) -> bool {
        self.offers_v2
    }

    /// Whether the mode is RMI 1.0 at this moment; one load.
    #[inline]
    pub fn is_v1(&self) -> bool {
        self.code.load(Ordering::Relaxed) == V1
    }

    /// The mode. Waits while another CPU is about to change it.
    #[must_use]
    pub fn get(&self) -> Mode {
        loop {
            if let Some(mode) = Mode::of(self.code.load(Ordering::Acquire)) {
                return mode;
            }
            spin_loop();
        }
    }

    /// Whether the mode still is `mode`, for a CPU that has locked DELEGATED Granules to make a Realm
    /// of them. If it is, it stays so as long as the Granules are locked or the Realm lives.
    #[must_use]
    pub fn confirm(&self, mode: Mode) -> bool {
        // With the fence in `change`: whoever changes the mode later sees these Granules delegated.
        fence(Ordering::SeqCst);
        self.get() == mode
    }

    /// Changes the mode from `from` to `to`, where no Granule can be delegated or it does not matter
    /// whether one is. Whether the mode was `from`.
    pub fn step(&self, from: Mode, to: Mode) -> bool {
        self.replace(from, to.code())
    }

    /// Changes the mode from `from` to `to` if no Granule is delegated. Whether it has; `None` if the mode
    /// was not `from`.
    pub fn change<M: Machine>(&self, machine: &M, from: Mode, to: Mode) -> Option<bool> {
        if !self.replace(from, CHANGING) {
            return None;
        }
        // The announcement comes before the counters are read.
        fence(Ordering::SeqCst);
        let changes = !is_any_delegated(machine);
        self.code
            .store(if changes { to } else { from }.code(), Ordering::Release);
        Some(changes)
    }

    /// Replaces the mode `from` by `code`, once no other CPU is about to change the mode. Whether the mode was
    /// `from`.
    fn replace(&self, from: Mode, code: u8) -> bool {
        while self.get() == from {
            let replaced =
                self.code
                    .compare_exchange(from.code(), code, Ordering::AcqRel, Ordering::Relaxed);
            if replaced.is_ok() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    /// A CPU that is about to change the mode may leave it as it is: then the change of another one, which
    /// came meanwhile, has to succeed.
    #[test]
    fn a_change_waits_for_another_one() {
        let modes = Modes {
            code: AtomicU8::new(CHANGING),
            offers_v2: true,
        };
        thread::scope(|scope| {
            let step = scope.spawn(|| modes.step(Mode::V2Init, Mode::V2Active));
            thread::sleep(Duration::from_millis(20));
            assert!(!step.is_finished());
            modes.code.store(V2_INIT, Ordering::Release);
            assert!(step.join().expect("no panic"));
        });
        assert_eq!(modes.get(), Mode::V2Active);
        assert!(!modes.step(Mode::V2Init, Mode::V2Active));
    }
}
