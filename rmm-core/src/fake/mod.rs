// SPDX-License-Identifier: BSD-3-Clause
//! The fake machine: the whole monitor as a program on the build machine.
//!
//! | module | holds |
//! |---|---|
//! | `registers`, `word` | register file of a CPU, word of a granule |
//! | `attestation`, `el3` | EL3 with its GPT, keys and tokens |
//! | `running`, `script` | a REC while it runs, and the program that runs in it |
//! | `config`, `board` | [`Board`]: memory, EL3, clock and monitor, which all CPUs share |
//! | `cpu` | one CPU: the [`Machine`](crate::machine::Machine) that the monitor runs on |
//! | `realm_cpu`, `access` | [`RealmCpu`]: the same CPU as a Realm sees it |
//! | `snapshot`, `host`, `command` | [`Host`]: Host memory and RMI calls, each of them checked |
//! | `teardown`, `audit` | destroying Realms; looking for granules without exactly one role |
//! | `realm`, `samples` | [`TestRealm`]: a Realm with its granules; [`Samples`]: addresses to try |
//! | [`v2`] | the same for RMI 2.0: commands, Realms |
//! | `constants`, `esr`, `reply`, `exit_record`, `random` | values that tests compare with |
//!
//! A module uses only modules of its own line and of the lines above it, and those of the last
//! line.
//!
//! A Realm is a script: an `async` function, of which every `await` is an instruction that may
//! leave the Realm.
//!
//! Errors of the monitor that would be faults or silent corruption on hardware are panics here: a
//! granule accessed in the wrong physical address space, a window left open, a lock kept, a
//! translation that outlives its mapping, a register read while only the CPU has its value, a Host
//! register that is not restored. The Host checks each RMI call against the calling convention; if
//! the call fails, it also checks that the state of the machine has not changed.

mod access;
mod attestation;
mod audit;
mod board;
mod command;
mod config;
mod constants;
mod cpu;
mod el3;
pub mod esr;
mod exit_record;
mod host;
mod random;
mod realm;
mod realm_cpu;
mod registers;
mod reply;
mod running;
mod samples;
mod script;
mod snapshot;
mod sync;
mod teardown;
pub mod v2;
mod word;

pub use crate::machine::{Timer, TimerRegister};
pub use access::{LINEAR_MAP, RealmAccess};
pub use attestation::{El3Attestation, SignDigest};
pub use audit::audit;
pub use board::Board;
pub use config::{Config, features, full_features, lpa2_features};
pub use constants::{DESTROYED, EMPTY, GIB, MIB, NS_ATTRIBUTES, PAGE, RAM};
pub use exit_record::{assert_psci, assert_reason, assert_record, describe_record};
pub use host::Host;
pub use random::{Random, environment_number, environment_seed};
pub use realm::{RealmBuilder, TestRealm, entry_flags};
pub use realm_cpu::{After, RealmCpu, Taken};
pub use reply::{EntryReport, Reply, Status, command_name};
pub use samples::{BadAddress, Samples};
pub use snapshot::Snapshot;
pub use teardown::sweep;
pub use word::GranuleWord;
