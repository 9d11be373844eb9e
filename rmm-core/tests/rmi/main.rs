// SPDX-License-Identifier: BSD-3-Clause
//! The RMI commands, one file for each command or family of commands. The name of a test is a
//! failure condition of the specification (B4.3), or says what a success changes.
//!
//! At each call, [`Host`](rmm_core::fake::Host) checks that a failed command changes nothing, that
//! registers which are not outputs are zero, and that no lock, window or register is left behind.
//! The drop of a Realm and of the machine checks that every granule comes back wiped.

/// Tests of the failure conditions of an address: `_align`, `_bound` and `_state`; for Host memory
/// `_align`, `_bound` and `_pas`. All other arguments are right: with the right address, which is
/// tried last, the answer is the one given here.
macro_rules! addresses {
    ($(
        $name:ident: $wanted:ident => $answer:expr,
        |$host:ident, $samples:ident, $pa:ident| $call:expr;
    )*) => {$(
        #[test]
        fn $name() {
            let host = rmm_core::fake::Host::new();
            let samples = rmm_core::fake::Samples::new(&host);
            let call = |$pa: u64| {
                let ($host, $samples) = (&host, &samples);
                // Not every call uses both.
                let _ = ($host, $samples);
                $call
            };
            let wanted = rmm_granule::GranuleState::$wanted;
            let bad = if wanted == rmm_granule::GranuleState::Undelegated {
                samples.bad_ns(&[])
            } else {
                samples.bad(wanted)
            };
            for bad in bad {
                assert_eq!(call(bad.pa), rmm_core::fake::Status::Input, "{bad:x?}");
            }
            assert_eq!(call(samples.good(wanted)), $answer, "the right address");
        }
    )*};
}

mod calls;
mod data;
mod granule;
mod machines;
mod psci_complete;
mod realm;
mod realm_create;
mod rec;
mod rec_enter;
mod rtt;
mod rtt_fold;
mod rtt_init_ripas;
mod rtt_read_entry;
mod rtt_set_ripas;
mod rtt_unprotected;
mod version;

/// Levels that no Realm has.
const NO_LEVELS: [i64; 6] = [4, 5, -2, 0x100, i64::MAX, i64::MIN];

/// An address that is not in DRAM.
const DEVICE: u64 = 0x0900_0000;
