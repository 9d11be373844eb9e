// SPDX-License-Identifier: BSD-3-Clause
//! Multiplication of the base point by a secret scalar.
//!
//! The 384 bits of the scalar are read as four rows of 96. Each step doubles the sum, and adds the
//! multiple of the base point that a table has for the four bits of the next column, highest column
//! first (Lim, Lee: More flexible exponentiation with precomputation, 1994).

use super::curve::{AffinePoint, Point};
use super::table::MULTIPLES;
use super::{Bytes, Coordinate, SIZE, encode};
use p384::Scalar;
use p384::elliptic_curve::PrimeField;
use p384::elliptic_curve::subtle::{ConditionallySelectable, ConstantTimeEq};

/// Number of rows.
const ROWS: usize = 4;

/// Number of steps: one for each column.
pub(super) const STEPS: u8 = 96;

/// Step `step` of the multiplication by `scalar`. `sum` is the identity before the first one and the
/// product after the last one.
pub(super) fn step(sum: &Point, scalar: &Bytes, step: u8) -> Point {
    let digit = digit(scalar, usize::from(STEPS - 1 - step));
    let doubled = sum.double();
    let added = doubled.add(&multiple(digit));
    // The table has no entry for the identity.
    Point::conditional_select(&added, &doubled, digit.ct_eq(&0))
}

/// The four bits of a column, 0 to 95: bit n is that of row n.
fn digit(scalar: &Bytes, column: usize) -> u8 {
    let mut digit = 0;
    for row in 0..ROWS {
        let bit = column + usize::from(STEPS) * row;
        let byte = scalar[SIZE - 1 - bit / 8];
        digit |= (byte >> (bit % 8) & 1) << row;
    }
    digit
}

/// The table entry of a digit; any entry for 0. Every entry is read.
fn multiple(digit: u8) -> AffinePoint {
    let [first, rest @ ..] = &MULTIPLES;
    let mut multiple = *first;
    for (entry, n) in rest.iter().zip(2u8..) {
        multiple.conditional_assign(entry, digit.ct_eq(&n));
    }
    multiple
}

/// The public key of a secret key: x and y. All steps in one go. `None` for the scalar 0.
pub(crate) fn public_point(secret: &Scalar) -> Option<(Bytes, Bytes)> {
    let scalar = secret.to_repr().into();
    let product = (0..STEPS).fold(Point::IDENTITY, |sum, n| step(&sum, &scalar, n));
    let inverse: Coordinate = Option::from(product.z.invert())?;
    Some((
        encode(&(product.x * inverse)),
        encode(&(product.y * inverse)),
    ))
}
