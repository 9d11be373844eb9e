// SPDX-License-Identifier: BSD-3-Clause
//! The RMI commands, one file a family. Each test bears the name of a failure condition of the
//! specification (B4.3) or says what a success changes.
//!
//! That a failed command changes nothing, that outputs are zero where they are not declared and
//! that no lock, window or register is left behind is checked by [`Host`](rmm_core::fake::Host) at
//! each call, and by the drop of its Realms and its machine that everything comes back wiped.

/// Tests of addresses that do not designate what a command wants: `_align`, `_bound` and `_state`
/// at once; for a page of the Host's `_align`, `_bound` and `_pas`. All else is right: with the
/// right address, tried last, the answer is the one given, which is not INPUT.
macro_rules! addresses {
    ($(
        $name:ident: $wanted:ident => $answer:expr,
        |$host:ident, $zoo:ident, $pa:ident| $call:expr;
    )*) => {$(
        #[test]
        fn $name() {
            let host = rmm_core::fake::Host::new();
            let zoo = rmm_core::fake::Zoo::new(&host);
            let call = |$pa: u64| {
                let ($host, $zoo) = (&host, &zoo);
                $call
            };
            let wanted = rmm_granule::GranuleState::$wanted;
            for bad in crate::bad(&zoo, wanted) {
                assert_eq!(call(bad.pa), rmm_core::fake::Status::Input, "{bad:x?}");
            }
            assert_eq!(call(zoo.good(wanted)), $answer, "the right address");
        }
    )*};
}

mod any;
mod data;
mod fold;
mod granule;
mod read_entry;
mod realm;
mod rec;
mod ripas;
mod rtt;
mod unprotected;
mod version;

use rmm_core::fake::{BadGranule, Zoo};
use rmm_granule::GranuleState;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const EMPTY: u64 = 0;
const RAM: u64 = 1;
const DESTROYED: u64 = 2;

/// Levels that are no level of any Realm.
const NO_LEVELS: [i64; 6] = [4, 5, -2, 0x100, i64::MAX, i64::MIN];

fn bad(zoo: &Zoo<'_>, wanted: GranuleState) -> Vec<BadGranule> {
    if wanted == GranuleState::Undelegated {
        zoo.bad_ns(&[])
    } else {
        zoo.bad(wanted)
    }
}
