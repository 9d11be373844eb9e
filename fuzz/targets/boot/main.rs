// SPDX-License-Identifier: BSD-3-Clause
//! What EL3 hands over at boot. It is trusted, but a mistake in it must end in the error that the
//! interface names; and whatever memory it lists, no Host may delegate what is not for Hosts.
#![no_main]
#![allow(missing_docs, reason = "the modules of a test program")]
#![allow(dead_code, reason = "what only unit tests need")]

mod devices;
mod handed;
mod machine;

#[path = "../../../rmm-core/src/boot/tests/boards.rs"]
mod boards;
#[path = "../../../rmm-core/src/boot/tests/case.rs"]
mod case;
#[path = "../../../rmm-core/src/boot/tests/maker.rs"]
mod maker;

use arbitrary::Arbitrary;
use devices::Devices;
use handed::Handed;
use libfuzzer_sys::fuzz_target;
use machine::Machine;
// For the modules of the unit tests.
use maker::{Maker, PA};
use rmm_core::board::Board;
use rmm_core::boot::{BootError, ColdBoot, Extent, Manifest, Plan, Reservation};
use rmm_granule::{Bank, Pa};

/// A boot.
#[derive(Arbitrary, Debug)]
enum Boot {
    /// Registers and a page of any content.
    Any(Handed),
    /// A machine whose manifest says what there is, and mostly keeps to the rules.
    Machine(Machine),
    /// A manifest with devices.
    Devices(Devices),
}

fuzz_target!(|boot: Boot| {
    match boot {
        Boot::Any(handed) => handed.check(),
        Boot::Machine(machine) => machine.check(),
        Boot::Devices(devices) => devices.check(),
    }
});
