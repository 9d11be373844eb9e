// SPDX-License-Identifier: BSD-3-Clause
//! The signature, step by step.

use super::curve::{Point, PointBytes};
use super::nonce::Generator;
use super::{Bytes, Coordinate, SIZE, decode, encode, invert, multiply};
use p384::elliptic_curve::PrimeField;
use p384::elliptic_curve::ops::Reduce;
use p384::elliptic_curve::zeroize::Zeroize;
use p384::{FieldBytes, Scalar};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A signature: r, then s, big-endian.
pub(crate) type Signature = [u8; 2 * SIZE];

/// Values of [`Signing::phase`].
mod phase {
    /// The nonce generator is seeded, in two rounds.
    pub const SEED: u8 = 0;
    /// A candidate for the nonce is drawn.
    pub const CANDIDATE: u8 = 1;
    /// The base point is multiplied by the nonce.
    pub const MULTIPLY: u8 = 2;
    /// z of the product is inverted.
    pub const INVERT_Z: u8 = 3;
    /// r is computed: x / z.
    pub const COMPUTE_R: u8 = 4;
    /// The nonce is inverted.
    pub const INVERT_NONCE: u8 = 5;
    /// s is computed: (digest + r·key) / nonce.
    pub const COMPUTE_S: u8 = 6;
}

/// A signature being computed. Secret: the nonce and all that depends on it reveal the key.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Signing {
    /// What the next step does, see [`phase`].
    pub(super) phase: u8,
    /// Steps done in this phase.
    pub(super) count: u8,
    /// Digest to be signed.
    pub(super) digest: Bytes,
    generator: Generator,
    pub(super) nonce: Bytes,
    /// Sum of the multiplication.
    sum: PointBytes,
    /// Power of the inversion.
    power: Bytes,
    pub(super) r: Bytes,
}

/// Result of a step.
pub(crate) enum Step {
    /// More steps follow.
    Working,
    /// The signature is complete, and the state wiped.
    Signed(Signature),
    /// The state is not one that a step has left.
    Failed,
}

impl Signing {
    /// Begins the signature of a digest, whatever the state was.
    pub fn begin(&mut self, digest: &Bytes) {
        self.wipe();
        self.digest = *digest;
        self.generator = Generator::new();
    }

    /// Forgets everything.
    pub fn wipe(&mut self) {
        self.as_mut_bytes().zeroize();
    }

    /// Digest to be signed.
    pub fn digest(&self) -> &Bytes {
        &self.digest
    }

    /// Does the next step of the signature with this key.
    pub fn step(&mut self, secret: &Scalar) -> Step {
        match self.advance(secret) {
            Some(step) => step,
            None => Step::Failed,
        }
    }

    /// [`Signing::step`]; `None` if the state is not one that a step has left.
    fn advance(&mut self, secret: &Scalar) -> Option<Step> {
        match self.phase {
            phase::SEED => {
                self.generator.seed(self.count, secret, &self.digest);
                self.count_to(2, phase::CANDIDATE);
            }
            phase::CANDIDATE => {
                self.nonce = self.generator.candidate();
                if is_nonce(&self.nonce) {
                    self.sum = Point::IDENTITY.encode();
                    self.enter(phase::MULTIPLY);
                } else {
                    self.reject();
                }
            }
            phase::MULTIPLY => {
                let sum = Point::decode(&self.sum)?;
                self.sum = multiply::step(&sum, &self.nonce, self.count).encode();
                self.count_to(multiply::STEPS, phase::INVERT_Z);
            }
            phase::INVERT_Z => {
                let z: Coordinate = decode(&self.sum.z)?;
                self.invert(&z)?;
                self.count_to(invert::STEPS, phase::COMPUTE_R);
            }
            phase::COMPUTE_R => {
                let x: Coordinate = decode(&self.sum.x)?;
                let x = x * decode::<Coordinate>(&self.power)?;
                self.r = encode(&Scalar::reduce(&x.to_repr()));
                self.enter(phase::INVERT_NONCE);
            }
            phase::INVERT_NONCE => {
                let nonce: Scalar = decode(&self.nonce)?;
                self.invert(&nonce)?;
                self.count_to(invert::STEPS, phase::COMPUTE_S);
            }
            phase::COMPUTE_S => return self.compute_s(secret),
            _ => return None,
        }
        Some(Step::Working)
    }

    /// One step of an inversion, with the result in `power`.
    fn invert<F: PrimeField<Repr = FieldBytes>>(&mut self, base: &F) -> Option<()> {
        let power = match self.count {
            0 => F::ONE,
            _ => decode(&self.power)?,
        };
        self.power = encode(&invert::step(power, base, self.count));
        Some(())
    }

    /// The last step. r and s must not be zero.
    fn compute_s(&mut self, secret: &Scalar) -> Option<Step> {
        let digest = Scalar::reduce(&FieldBytes::from(self.digest));
        let inverse: Scalar = decode(&self.power)?;
        let r: Scalar = decode(&self.r)?;
        let s = inverse * (digest + r * secret);
        if bool::from(r.is_zero() | s.is_zero()) {
            self.reject();
            return Some(Step::Working);
        }
        let mut signature = [0; 2 * SIZE];
        let (first, second) = signature.split_at_mut(SIZE);
        first.copy_from_slice(&self.r);
        second.copy_from_slice(&encode(&s));
        self.wipe();
        Some(Step::Signed(signature))
    }

    /// Goes back for another nonce.
    fn reject(&mut self) {
        self.generator.reject();
        self.enter(phase::CANDIDATE);
    }

    /// Ends a step of a phase that has `steps` of them, and goes to the next phase after the last.
    fn count_to(&mut self, steps: u8, next: u8) {
        self.count = self.count.saturating_add(1);
        if self.count >= steps {
            self.enter(next);
        }
    }

    fn enter(&mut self, phase: u8) {
        self.phase = phase;
        self.count = 0;
    }
}

/// Whether a candidate is a nonce: at least 1, and below the order of the group.
pub(super) fn is_nonce(candidate: &Bytes) -> bool {
    decode(candidate).is_some_and(|nonce: Scalar| !bool::from(nonce.is_zero()))
}
