// SPDX-License-Identifier: BSD-3-Clause
//! The parts of a signature and the whole, against published vectors, `p384` and other programs.

use super::curve::{AffinePoint, Point};
use super::nonce::Generator;
use super::sign::{Signature, is_nonce};
use super::table::MULTIPLES;
use super::*;
use p384::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p384::ecdsa::{self, SigningKey};
use p384::elliptic_curve::Field;
use p384::elliptic_curve::ops::Reduce;
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::{ProjectivePoint, Scalar};
use proptest::prelude::*;
use sha2::{Digest, Sha384};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Order of the group.
const ORDER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
                     581a0db248b0a77aecec196accc52973";

/// Secret and public key of RFC 6979, A.2.6.
const SECRET: &str = "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8\
                      96d5724e4c70a825f872c9ea60d2edf5";
const PUBLIC: [&str; 2] = [
    "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13",
    "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
];

/// Message, nonce and signature (r, s) of RFC 6979, A.2.6, for SHA-384; and the nonce that follows if
/// the first is rejected, which was computed with the Python package `ecdsa`.
const VECTORS: [(&str, &str, &str, &str, &str); 2] = [
    (
        "sample",
        "94ed910d1a099dad3254e9242ae85abde4ba15168eaf0ca87a555fd56d10fbca2907e3e83ba95368623b8c4686915cf9",
        "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
        "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
        "9d63ce4c96d070a67f7bee49e870b64838c0ac65bb7440cf46017dca69d35d236219aae5e00a9f01f13e7774be1339fc",
    ),
    (
        "test",
        "015ee46a5bf88773ed9123a5ab0807962d193719503c527b031b4c2d225092ada71f4a459bc0da98adb95837db8312ea",
        "8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023db",
        "ddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5",
        "9cc959b70dd7367bc45ead8352b899ea744e5e94f6524f0cd8c21a548ebc562fc7d5329e4d5f906a0cff9c2157105309",
    ),
];

/// Number of steps of a signature whose first nonce is good.
const STEPS: usize = 2 + 1 + 96 + 16 + 1 + 16 + 1;

fn bytes(hex: &str) -> Bytes {
    assert_eq!(hex.len(), 2 * SIZE);
    core::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
}

fn scalar(hex: &str) -> Scalar {
    decode(&bytes(hex)).unwrap()
}

fn digest(message: &str) -> Bytes {
    Sha384::digest(message).into()
}

/// A scalar of any value.
fn any_scalar() -> impl Strategy<Value = Scalar> {
    any::<[u8; SIZE]>().prop_map(|bytes| Scalar::reduce(&FieldBytes::from(bytes)))
}

/// Scalars at the ends of their range, and with bits in one row or column.
fn special_scalars() -> Vec<Scalar> {
    let one = Scalar::ONE;
    let powers = [0, 1, 95, 96, 191, 192, 287, 288, 383].map(|n| Scalar::from(2u64).pow([n]));
    [Scalar::ZERO, one, -one, -one - one, Scalar::from(15u64)]
        .into_iter()
        .chain(powers)
        .chain(powers.map(|power| -power))
        .collect()
}

/// x and y of a point that is not the identity, as `p384` encodes them.
fn coordinates(point: &ProjectivePoint) -> (Bytes, Bytes) {
    let encoded = point.to_affine().to_sec1_point(false);
    (
        (*encoded.x().unwrap()).into(),
        (*encoded.y().unwrap()).into(),
    )
}

/// A point of `p384`, with coordinates that are multiplied by `factor`.
fn point(from: &ProjectivePoint, factor: u64) -> Point {
    let factor = Coordinate::from(factor);
    if *from == ProjectivePoint::IDENTITY {
        return Point {
            y: factor,
            ..Point::IDENTITY
        };
    }
    let (x, y) = coordinates(from);
    Point {
        x: decode::<Coordinate>(&x).unwrap() * factor,
        y: decode::<Coordinate>(&y).unwrap() * factor,
        z: factor,
    }
}

fn affine(from: &ProjectivePoint) -> AffinePoint {
    let Point { x, y, .. } = point(from, 1);
    AffinePoint { x, y }
}

/// Asserts that a point is that of `p384`.
#[track_caller]
fn assert_point(point: &Point, expected: &ProjectivePoint) {
    if *expected == ProjectivePoint::IDENTITY {
        assert_eq!((point.x, point.z), (Coordinate::ZERO, Coordinate::ZERO));
        assert_ne!(point.y, Coordinate::ZERO);
        return;
    }
    let inverse = point.z.invert().unwrap();
    let found = (encode(&(point.x * inverse)), encode(&(point.y * inverse)));
    assert_eq!(found, coordinates(expected));
}

#[test]
fn group_law_holds_for_special_points() {
    let base = ProjectivePoint::GENERATOR;
    let points = [ProjectivePoint::IDENTITY, base, -base, base + base];
    for a in points {
        assert_point(&point(&a, 7).double(), &(a + a));
        for b in &points[1..] {
            assert_point(&point(&a, 5).add(&affine(b)), &(a + b));
        }
    }
}

#[test]
fn table_has_the_multiples() {
    let row = |n: u64| ProjectivePoint::GENERATOR * Scalar::from(2u64).pow([96 * n]);
    for (n, entry) in (1u64..).zip(MULTIPLES) {
        let multiple = (0..4).filter(|bit| n >> bit & 1 == 1).map(row).sum();
        assert_eq!(
            (encode(&entry.x), encode(&entry.y)),
            coordinates(&multiple),
            "entry {n}"
        );
    }
}

#[test]
fn product_of_special_scalars() {
    for scalar in special_scalars() {
        let expected = ProjectivePoint::GENERATOR * scalar;
        let product = (0..multiply::STEPS).fold(Point::IDENTITY, |sum, step| {
            multiply::step(&sum, &encode(&scalar), step)
        });
        assert_point(&product, &expected);
        let public = (scalar != Scalar::ZERO).then(|| coordinates(&expected));
        assert_eq!(public_point(&scalar), public);
    }
}

fn inverse<F: PrimeField<Repr = FieldBytes>>(element: &F) -> F {
    (0..invert::STEPS).fold(F::ONE, |power, step| invert::step(power, element, step))
}

#[test]
fn inverse_of_special_elements() {
    for scalar in special_scalars() {
        assert_eq!(
            inverse(&scalar),
            Option::from(scalar.invert()).unwrap_or(Scalar::ZERO)
        );
    }
    for element in [0u64, 1, 2, u64::MAX].map(Coordinate::from) {
        for element in [element, -element] {
            assert_eq!(
                inverse(&element),
                Option::from(element.invert()).unwrap_or(Coordinate::ZERO)
            );
        }
    }
}

#[test]
fn nonces_are_those_of_rfc_6979() {
    let secret = scalar(SECRET);
    for (message, first, _, _, second) in VECTORS {
        let mut generator = Generator::new();
        generator.seed(0, &secret, &digest(message));
        generator.seed(1, &secret, &digest(message));
        assert_eq!(generator.candidate(), bytes(first));
        generator.reject();
        assert_eq!(generator.candidate(), bytes(second));
    }
}

#[test]
fn nonce_is_between_zero_and_the_order() {
    let order = bytes(ORDER);
    let (mut below, mut above) = (order, order);
    below[SIZE - 1] -= 1;
    above[SIZE - 1] += 1;
    let mut one = [0; SIZE];
    one[SIZE - 1] = 1;
    assert!(is_nonce(&one));
    assert!(is_nonce(&below));
    for bad in [[0; SIZE], order, above, [0xFF; SIZE]] {
        assert!(!is_nonce(&bad));
    }
}

/// A state of a signature that has begun.
fn begun(digest: &Bytes) -> Signing {
    let mut signing = Signing::new_zeroed();
    signing.begin(digest);
    signing
}

/// Does all steps; between two of them the state moves to other memory. Returns their number too.
fn finish(mut signing: Signing, secret: &Scalar) -> (Signature, usize) {
    for steps in 1..=2 * STEPS {
        match signing.step(secret) {
            Step::Working => {}
            Step::Signed(signature) => {
                assert!(signing.as_bytes().iter().all(|byte| *byte == 0), "wiped");
                return (signature, steps);
            }
            Step::Failed => panic!("failed in step {steps}"),
        }
        signing = Signing::read_from_bytes(signing.as_bytes()).unwrap();
    }
    panic!("no end");
}

#[test]
fn signatures_are_those_of_rfc_6979() {
    let secret = scalar(SECRET);
    assert_eq!(
        public_point(&secret),
        Some((bytes(PUBLIC[0]), bytes(PUBLIC[1])))
    );
    for (message, _, r, s, _) in VECTORS {
        let signature = [bytes(r), bytes(s)].concat();
        let (found, steps) = finish(begun(&digest(message)), &secret);
        assert_eq!(found[..], signature);
        assert_eq!(steps, STEPS);
    }
}

/// RFC 6979 takes a digest beyond the order modulo the order, for the nonce, too.
#[test]
fn digests_beyond_the_order() {
    let secret = scalar(SECRET);
    let key = SigningKey::from_slice(&bytes(SECRET)).unwrap();
    for digest in [bytes(ORDER), [0xFF; SIZE]] {
        let expected: ecdsa::Signature = key.sign_prehash(&digest).unwrap();
        let (found, _) = finish(begun(&digest), &secret);
        assert_eq!(found[..], expected.to_bytes()[..]);
    }
}

#[test]
fn begin_forgets_an_unfinished_signature() {
    let secret = scalar(SECRET);
    let (message, _, r, ..) = VECTORS[0];
    for done in 0..STEPS {
        let mut signing = begun(&digest("other"));
        for _ in 0..done {
            assert!(matches!(signing.step(&secret), Step::Working));
        }
        signing.begin(&digest(message));
        assert_eq!(signing.as_bytes(), begun(&digest(message)).as_bytes());
    }
    let (found, _) = finish(begun(&digest(message)), &secret);
    assert_eq!(found[..SIZE], bytes(r));
}

#[test]
fn r_or_s_of_zero_takes_the_next_nonce() {
    let secret = scalar(SECRET);
    let (message, _, _, _, second) = VECTORS[0];
    // s is zero if the digest is -r·key.
    let zero_s: fn(&mut Signing, &Scalar) = |signing, secret| {
        let r: Scalar = decode(&signing.r).unwrap();
        signing.digest = encode(&-(r * secret));
    };
    let zero_r: fn(&mut Signing, &Scalar) = |signing, _| signing.r = [0; SIZE];
    for spoil in [zero_s, zero_r] {
        let mut signing = begun(&digest(message));
        for _ in 1..STEPS {
            assert!(matches!(signing.step(&secret), Step::Working));
        }
        spoil(&mut signing, &secret);
        assert!(matches!(signing.step(&secret), Step::Working));
        assert!(matches!(signing.step(&secret), Step::Working));
        assert_eq!(signing.nonce, bytes(second));
        signing.digest = digest(message);
        let (signature, _) = finish(signing, &secret);
        let key = SigningKey::from_slice(&bytes(SECRET)).unwrap();
        let signature = ecdsa::Signature::from_slice(&signature).unwrap();
        key.verifying_key()
            .verify_prehash(&digest(message), &signature)
            .unwrap();
    }
}

#[test]
fn memory_that_is_no_state_fails() {
    let mut signing = Signing::new_zeroed();
    signing.as_mut_bytes().fill(0xFF);
    assert!(matches!(signing.step(&scalar(SECRET)), Step::Failed));
    for phase in 2..=6 {
        signing.phase = phase;
        signing.count = 1;
        assert!(matches!(signing.step(&scalar(SECRET)), Step::Failed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn group_law_is_that_of_p384(a in any_scalar(), b in any_scalar(), factor in 1..u64::MAX) {
        let (a, b) = (ProjectivePoint::GENERATOR * a, ProjectivePoint::GENERATOR * b);
        assert_point(&point(&a, factor).double(), &(a + a));
        assert_point(&point(&a, factor).add(&affine(&b)), &(a + b));
    }

    #[test]
    fn product_is_that_of_p384(scalar in any_scalar()) {
        prop_assert_eq!(public_point(&scalar), Some(coordinates(&(ProjectivePoint::GENERATOR * scalar))));
    }

    #[test]
    fn inverse_is_that_of_p384(scalar in any_scalar()) {
        prop_assert_eq!(inverse(&scalar), scalar.invert().unwrap());
        let element = point(&(ProjectivePoint::GENERATOR * scalar), 1).x;
        prop_assert_eq!(inverse(&element), element.invert().unwrap());
    }

    #[test]
    fn signature_is_that_of_p384(secret in any_scalar(), digest in any::<[u8; SIZE]>()) {
        let key = SigningKey::from_slice(&encode(&secret)).unwrap();
        let expected: ecdsa::Signature = key.sign_prehash(&digest).unwrap();
        let (found, steps) = finish(begun(&digest), &secret);
        prop_assert_eq!(steps, STEPS);
        prop_assert_eq!(&found[..], &expected.to_bytes()[..]);
    }
}
