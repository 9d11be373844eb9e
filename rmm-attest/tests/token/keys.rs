// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Attestation Key.

use super::{SECRET, bytes, key, vectors};
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::elliptic_curve::zeroize::ZeroizeOnDrop;
use rmm_attest::{InvalidKey, RealmAttestationKey, RealmPublicKey, SoftHash};

/// Order of the group.
const ORDER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
                     581a0db248b0a77aecec196accc52973";

/// The public key that EL3 has in its samples for the FVP: x, y.
const SAMPLE: [&str; 2] = [
    "76f988091be585ed41801aecfab858548c63057e16b0e676120bbd0d2f9c29e056c5d41a0130eb9c21517899dc23146b",
    "28e1b062bd3ea4b315fd219f1cbb528cb6e74ca49be16773734f61a1ca61031b2bbf3d918f2f94ffc4228e50919544ae",
];

fn new(secret: &[u8]) -> Result<RealmAttestationKey, InvalidKey> {
    RealmAttestationKey::new(secret.try_into().unwrap())
}

/// The order with another last byte.
fn near_order(last: u8) -> Vec<u8> {
    let mut bytes = bytes(ORDER);
    bytes[47] = last;
    bytes
}

#[test]
fn private_key_is_between_zero_and_the_order() {
    let mut one = [0; 48];
    one[47] = 1;
    assert!(new(&one).is_ok());
    assert!(new(&near_order(0x72)).is_ok());
    for bad in [
        [0; 48].to_vec(),
        near_order(0x73),
        near_order(0x74),
        vec![0xFF; 48],
    ] {
        assert!(new(&bad).is_err());
    }
}

#[test]
fn public_key_is_derived() {
    let secret = p384::SecretKey::from_slice(&bytes(SECRET)).unwrap();
    let point = secret.public_key().to_sec1_point(false);
    let public = RealmPublicKey::new(point.as_bytes().try_into().unwrap()).unwrap();
    assert_eq!(*key().public(), public);
    assert_eq!(key().public().hash(&SoftHash)[..], bytes(vectors::KEY_HASH));
}

#[test]
fn hash_binds_the_sample_platform_token() {
    let point = [vec![4], bytes(SAMPLE[0]), bytes(SAMPLE[1])].concat();
    let public = RealmPublicKey::new(&point.try_into().unwrap()).unwrap();
    assert_eq!(public.cose_key().len(), 107);
    // The challenge of the platform token of these samples.
    assert_eq!(
        public.hash(&SoftHash)[..],
        bytes("0d22e08a98469058486318283489bdb36f09dbefeb1864df433fa6e54ea2d711")
    );
}

#[test]
fn public_key_is_a_point_of_the_curve() {
    let good = [vec![4], bytes(SAMPLE[0]), bytes(SAMPLE[1])].concat();
    let change = |offset: usize, byte: u8| {
        let mut point: [u8; 97] = good.clone().try_into().unwrap();
        point[offset] = byte;
        RealmPublicKey::new(&point)
    };
    assert!(change(0, 4).is_ok());
    for head in [0, 1, 2, 3, 5, 6, 7, 0xFF] {
        assert_eq!(change(0, head), Err(InvalidKey), "head {head}");
    }
    assert_eq!(change(48, 0x6A), Err(InvalidKey));
    assert_eq!(change(96, 0xAF), Err(InvalidKey));
    assert_eq!(RealmPublicKey::new(&[0; 97]), Err(InvalidKey));
    let mut not_reduced = [0xFF; 97];
    not_reduced[0] = 4;
    assert_eq!(RealmPublicKey::new(&not_reduced), Err(InvalidKey));
}

#[test]
fn private_key_is_wiped_when_dropped() {
    fn is_wiped<T: ZeroizeOnDrop>() -> bool {
        core::mem::needs_drop::<T>()
    }
    assert!(is_wiped::<RealmAttestationKey>());
}
