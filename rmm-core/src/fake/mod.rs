// SPDX-License-Identifier: BSD-3-Clause
//! The fake machine: the whole monitor as a program on the build machine.
//!
//! * [`Board`]: what all CPUs share: DRAM with a physical address space a Granule, EL3, the clock,
//!   and the monitor itself.
//! * [`FakeCpu`]: one CPU, the [`Machine`](crate::machine::Machine) that the monitor's code runs
//!   on; its registers are the Host's or, while a REC is entered, the Realm's.
//! * [`RealmCpu`]: the same CPU as a Realm sees it. A Realm is a script: an `async` function whose
//!   every `await` is an instruction that may leave the Realm.
//! * [`Host`]: a Host at Normal EL2: memory, RMI calls, and [`TestRealm`]s with all they need.
//!
//! What would be a fault in the monitor on the machine is a panic here: a Granule touched in the
//! wrong physical address space, a window left open, a lock kept, a translation that outlives its
//! mapping, a register read where only the CPU has its value, a Host's register not brought back.
//! Of a Host, every RMI call is also held against the calling convention, and one that fails
//! against the state of the machine before it ([`Snapshot`]).

mod access;
mod attestation;
mod board;
mod check;
mod command;
mod cpu;
mod el3;
mod guest;
mod host;
mod realm;
mod registers;
mod script;
mod zoo;

pub use access::Access;
pub use attestation::{El3Attestation, SignDigest};
pub use board::{Board, Config, features, id_registers};
pub use check::{Counts, Snapshot, audit, sweep};
pub use command::{EntryReport, Status};
pub use cpu::FakeCpu;
pub use guest::{After, RealmCpu, Taken, Timer};
pub use host::{Host, PAGE, Reply};
pub use realm::{RealmBuilder, TestRealm, TestRec};
pub use zoo::{BadGranule, Zoo};
