// SPDX-License-Identifier: BSD-3-Clause
//! ECDSA with P-384 and SHA-384 (FIPS 186-5), in short steps.
//!
//! `p384` supplies the arithmetic of its two fields, but its scalar multiplication and its inversions
//! run to their end, which is too long with interrupts masked. They are therefore done here, by
//! [`multiply`] and [`invert`], with a state of plain bytes that a step begins and ends with.
//!
//! No branch and no index depends on a secret, with one kind of exception: whether a value is an
//! element of its field and not zero, which fails with a probability below 2^-190.

mod curve;
mod invert;
mod multiply;
mod nonce;
mod sign;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use multiply::public_point;
pub(crate) use sign::{Signing, Step};

use p384::elliptic_curve::PrimeField;
use p384::elliptic_curve::hazmat::FieldArithmetic;
use p384::{FieldBytes, NistP384};

/// Size of a scalar, of a coordinate and of a SHA-384 digest, in bytes.
pub(crate) const SIZE: usize = 48;

/// A scalar or a coordinate, big-endian.
pub(crate) type Bytes = [u8; SIZE];

/// An element of the field of coordinates.
type Coordinate = <NistP384 as FieldArithmetic>::FieldElement;

/// The element that `bytes` encode; `None` if they are not below the modulus.
fn decode<F: PrimeField<Repr = FieldBytes>>(bytes: &Bytes) -> Option<F> {
    F::from_repr((*bytes).into()).into()
}

/// The encoding of an element.
fn encode<F: PrimeField<Repr = FieldBytes>>(element: &F) -> Bytes {
    element.to_repr().into()
}
