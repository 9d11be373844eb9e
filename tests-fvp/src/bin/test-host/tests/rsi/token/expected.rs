// SPDX-License-Identifier: BSD-3-Clause
//! Tokens for the runner, which judges them as a relying party does (`tools/src/test/token.rs`).

use crate::check::{Check, ensure_eq};
use crate::console::line;
use crate::realm::Config;
use crate::rec::Rec;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use rmm_abi::rsi::{RSI_SUCCESS, fid};
use tests_fvp::protocol::pattern;

/// Bytes of a token in a line.
const BYTES: usize = 128;

/// What a Realm says of itself by other calls than those for tokens.
#[derive(Clone)]
pub struct Expected {
    challenge: [u64; 8],
    rpv: [u8; 64],
    /// Bytes of a measurement.
    size: usize,
    /// RIM, REM 0 to 3.
    measurements: [Vec<u8>; 5],
}

impl Expected {
    /// Of the Realm of this REC, for a challenge made of `seed`.
    pub fn of(rec: &Rec, config: &Config, seed: u64) -> Check<Self> {
        let size = if config.hash == 0 { 32 } else { 64 };
        let mut measurements = [const { Vec::new() }; 5];
        for (index, bytes) in (0..).zip(&mut measurements) {
            let values = rec.call(&[fid::RSI_MEASUREMENT_READ, index])?;
            ensure_eq!(values[0], RSI_SUCCESS, "RSI_MEASUREMENT_READ {index}");
            let words = values[1..9].iter();
            bytes.extend(words.flat_map(|word| word.to_le_bytes()).take(size));
        }
        Ok(Self {
            challenge: core::array::from_fn(|n| pattern(seed, n as u64)),
            rpv: config.rpv,
            size,
            measurements,
        })
    }

    /// RSI_ATTESTATION_TOKEN_INIT with the challenge: the size of the token.
    pub fn init(&self, rec: &Rec) -> Check<u64> {
        let mut arguments = [fid::RSI_ATTESTATION_TOKEN_INIT; 9];
        arguments[1..].copy_from_slice(&self.challenge);
        let values = rec.call(&arguments)?;
        ensure_eq!(values[0], RSI_SUCCESS, "RSI_ATTESTATION_TOKEN_INIT");
        ensure_eq!(values[2], 0, "X2 of RSI_ATTESTATION_TOKEN_INIT");
        ensure_eq!(values[3], 0, "X3 of RSI_ATTESTATION_TOKEN_INIT");
        Ok(values[1])
    }

    /// Has the runner judge a token: if it is refused, the test fails.
    pub fn judge(&self, token: &[u8]) {
        let challenge: Vec<u8> = self
            .challenge
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        line!("token begin");
        line!("token challenge {}", hex(&challenge));
        line!("token rpv {}", hex(&self.rpv));
        let mut name = "rim";
        for measurement in &self.measurements {
            line!("token {name} {}", hex(&measurement[..self.size]));
            name = "rem";
        }
        for bytes in token.chunks(BYTES) {
            line!("token bytes {}", hex(bytes));
        }
        line!("token end");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
