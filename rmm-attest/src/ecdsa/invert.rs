// SPDX-License-Identifier: BSD-3-Clause
//! Inversion in a prime field: the power to m - 2, where m is the modulus (Fermat).
//!
//! The exponent is public. Each step reads three bytes of it, highest first.

use super::{Bytes, encode};
use p384::FieldBytes;
use p384::elliptic_curve::PrimeField;

/// Bytes of the exponent that a step reads.
const BYTES: usize = 3;

/// Number of steps.
pub(super) const STEPS: u8 = 16;

/// Step `step` of the inversion of `base`. `power` is one before the first one and the inverse after
/// the last one; that of zero is zero.
pub(super) fn step<F: PrimeField<Repr = FieldBytes>>(power: F, base: &F, step: u8) -> F {
    // m - 2 is the least number that is -2 in the field.
    let exponent: Bytes = encode(&-F::from(2));
    let bytes = exponent.iter().skip(usize::from(step) * BYTES).take(BYTES);
    bytes.fold(power, |power, byte| {
        (0..8).rev().fold(power, |power, bit| {
            let square = power.square();
            if byte >> bit & 1 == 1 {
                square * base
            } else {
                square
            }
        })
    })
}
