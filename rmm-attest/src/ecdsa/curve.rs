// SPDX-License-Identifier: BSD-3-Clause
//! The group of the curve y² = x³ - 3x + b.
//!
//! The formulas are complete: they hold for all points, equal, opposite and the identity included
//! (Renes, Costello, Batina: Complete addition formulas for prime order elliptic curves, 2015). So
//! there is no special case, and no branch.

use super::{Bytes, Coordinate, decode, encode};
use p384::elliptic_curve::subtle::{Choice, ConditionallySelectable};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Coefficient b of the curve.
const B: Coordinate = Coordinate::from_hex_vartime(
    "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
);

/// A point that is not the identity, by its coordinates.
#[derive(Clone, Copy)]
pub(super) struct AffinePoint {
    pub x: Coordinate,
    pub y: Coordinate,
}

impl ConditionallySelectable for AffinePoint {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self {
            x: Coordinate::conditional_select(&a.x, &b.x, choice),
            y: Coordinate::conditional_select(&a.y, &b.y, choice),
        }
    }
}

/// A point in homogeneous projective coordinates: (x / z, y / z), or the identity if z is zero.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub x: Coordinate,
    pub y: Coordinate,
    pub z: Coordinate,
}

/// The encoding of a [`Point`].
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PointBytes {
    pub x: Bytes,
    pub y: Bytes,
    pub z: Bytes,
}

impl Point {
    /// The identity of the group.
    pub const IDENTITY: Self = Self {
        x: Coordinate::ZERO,
        y: Coordinate::ONE,
        z: Coordinate::ZERO,
    };

    /// The point that `bytes` encode; `None` if a coordinate is not below the modulus.
    pub fn decode(bytes: &PointBytes) -> Option<Self> {
        Some(Self {
            x: decode(&bytes.x)?,
            y: decode(&bytes.y)?,
            z: decode(&bytes.z)?,
        })
    }

    /// The encoding of the point.
    pub fn encode(&self) -> PointBytes {
        PointBytes {
            x: encode(&self.x),
            y: encode(&self.y),
            z: encode(&self.z),
        }
    }

    /// Twice the point.
    pub fn double(&self) -> Self {
        let (xy, yz, xz) = (self.x * self.y, self.y * self.z, self.x * self.z);
        Products {
            xx: self.x.square(),
            yy: self.y.square(),
            zz: self.z.square(),
            xy: xy.double(),
            yz: yz.double(),
            xz: xz.double(),
        }
        .sum()
    }

    /// The sum of two points.
    pub fn add(&self, other: &AffinePoint) -> Self {
        let (xx, yy) = (self.x * other.x, self.y * other.y);
        Products {
            xx,
            yy,
            zz: self.z,
            xy: (self.x + self.y) * (other.x + other.y) - xx - yy,
            yz: other.y * self.z + self.y,
            xz: other.x * self.z + self.x,
        }
        .sum()
    }
}

impl ConditionallySelectable for Point {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self {
            x: Coordinate::conditional_select(&a.x, &b.x, choice),
            y: Coordinate::conditional_select(&a.y, &b.y, choice),
            z: Coordinate::conditional_select(&a.z, &b.z, choice),
        }
    }
}

/// Products of the coordinates of two points, 1 and 2: xx is x1·x2, xy is x1·y2 + x2·y1, and so on.
struct Products {
    xx: Coordinate,
    yy: Coordinate,
    zz: Coordinate,
    xy: Coordinate,
    yz: Coordinate,
    xz: Coordinate,
}

impl Products {
    /// The sum of the two points.
    fn sum(self) -> Point {
        let Self {
            xx,
            yy,
            zz,
            xy,
            yz,
            xz,
        } = self;
        let u = triple(xz - B * zz);
        let v = triple(B * xz - triple(zz) - xx);
        let w = triple(xx - zz);
        Point {
            x: xy * (yy + u) - yz * v,
            y: (yy + u) * (yy - u) + w * v,
            z: yz * (yy - u) + xy * w,
        }
    }
}

/// Three times the element.
fn triple(element: Coordinate) -> Coordinate {
    element.double() + element
}
