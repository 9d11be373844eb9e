// SPDX-License-Identifier: BSD-3-Clause
//! The release of a secret over a carrier that the Host controls, who reads, changes, drops, repeats and
//! invents messages: the relying party releases it for a good token of this exchange alone, the guest
//! gets a secret that was encrypted for its own token, and files of configfs may say anything.
#![no_main]
#![allow(missing_docs, reason = "the modules of a test program")]

mod guest;
mod party;
mod report;
mod stream;

#[path = "../../../rmm-core/tests/support/attested.rs"]
mod attested;

use arbitrary::Arbitrary;
use cca_token::protocol::carrier::Side;
use cca_token::protocol::release::GuestKey;
use guest::Party;
use libfuzzer_sys::fuzz_target;
use party::Guests;
use report::Report;
use stream::received;

/// What is read.
#[derive(Arbitrary, Debug)]
enum Input {
    /// Messages to a relying party.
    Party(Guests),
    AlsoParty(Guests),
    /// Messages to a guest.
    Guest(Party),
    /// Files.
    Report(Report),
    /// Bytes of a stream.
    Bytes(bool, Vec<u8>),
    /// Bytes that may be a release.
    Release(Vec<u8>),
}

fuzz_target!(|input: Input| {
    match input {
        Input::Party(guests) | Input::AlsoParty(guests) => guests.check(),
        Input::Guest(party) => party.check(),
        Input::Report(report) => report.check(),
        Input::Bytes(guest, bytes) => {
            let side = if guest { Side::Guest } else { Side::Party };
            for message in received(side, bytes) {
                assert!(message.body.len() <= 64 << 10);
            }
        }
        Input::Release(bytes) => {
            let key = GuestKey::new().expect("randomness");
            assert!(
                key.open(&[0; 64], b"token", &bytes).is_err(),
                "nobody made it"
            );
        }
    }
});
