// SPDX-License-Identifier: BSD-3-Clause
//! Key and platform token of an EL3 that does as it is told.

use super::*;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU8, Ordering};
use rmm_abi::el3::Version;
use rmm_granule::Pa;
use rmm_granule::fake::keep;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

/// A platform token as small as possible.
const TOKEN: &[u8] = &[0xD2, 0x84, 0x40, 0xA0, 0x40, 0x40];

/// Status, X1, X2, and what EL3 writes to the page.
type Answer = (i64, u64, u64, Vec<u8>);

/// EL3: `script` answers each call, by its number among the calls of the same function.
struct El3<F> {
    script: F,
    page: &'static [AtomicU8; GRANULE_SIZE],
    calls: RefCell<Vec<(u64, [u64; 4])>>,
    /// How often each function was called.
    counts: RefCell<BTreeMap<u64, usize>>,
    /// What the page began with at each call for the platform token.
    challenges: RefCell<Vec<[u8; 32]>>,
}

const PAGE: u64 = 0x8_7654_3000;

impl<F: Fn(u64, [u64; 4], usize) -> Answer> El3<F> {
    fn new(script: F) -> Self {
        Self {
            script,
            page: keep(Box::new([const { AtomicU8::new(0xEE) }; GRANULE_SIZE])),
            calls: RefCell::default(),
            counts: RefCell::default(),
            challenges: RefCell::default(),
        }
    }

    fn content(&self) -> Vec<u8> {
        let bytes = self.page.iter();
        bytes.map(|byte| byte.load(Ordering::Relaxed)).collect()
    }

    /// Fetches with interface 0.`minor`: why not, or the memory of the platform token.
    fn fetch(&self, minor: u16) -> Result<Vec<u8>, Unavailable> {
        let interface = El3Interface::new(Version::new(0, minor)).expect("known");
        let mut page = SharedPage::new(Pa(PAGE), self.page);
        let mut memory = [0x55; MAX_PLATFORM_TOKEN];
        fetch(self, interface, &mut page, &mut memory)?;
        Ok(memory.to_vec())
    }
}

const KEY_FID: u64 = fid::RMM_ATTEST_GET_REALM_KEY;
const TOKEN_FID: u64 = fid::RMM_ATTEST_GET_PLAT_TOKEN;

impl<F: Fn(u64, [u64; 4], usize) -> Answer> CallEl3 for El3<F> {
    fn call_el3(&self, fid: u64, args: [u64; 4]) -> [u64; 4] {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(fid).or_default();
        let (status, x1, x2, bytes) = (self.script)(fid, args, *count);
        *count += 1;
        self.calls.borrow_mut().push((fid, args));
        if fid == TOKEN_FID {
            let challenge = core::array::from_fn(|n| self.page[n].load(Ordering::Relaxed));
            self.challenges.borrow_mut().push(challenge);
        }
        for (to, from) in self.page.iter().zip(bytes) {
            to.store(from, Ordering::Relaxed);
        }
        [status.cast_unsigned(), x1, x2, 0]
    }
}

fn ok(bytes: &[u8], remaining: u64) -> Answer {
    (error::OK, bytes.len() as u64, remaining, bytes.to_vec())
}

fn refused(status: i64) -> Answer {
    (status, 48, 0, Vec::new())
}

/// Answers for the key; `None` for the platform token.
fn key(fid: u64) -> Option<Answer> {
    match fid {
        KEY_FID => Some(ok(&[1; 48], 0)),
        TOKEN_FID => None,
        _ => Some(refused(error::UNK)),
    }
}

fn padded(size: usize) -> Vec<u8> {
    let [d2, array, protected, headers, ..] = TOKEN else {
        panic!("a token");
    };
    // A payload of `size` bytes less the rest.
    let payload = u16::try_from(size - 8).expect("16 bits");
    let mut token = [*d2, *array, *protected, *headers, 0x59].to_vec();
    token.extend(payload.to_be_bytes());
    token.resize(size, 0x40);
    token
}

// Conformance: Realm attestation key call
// Conformance: Platform token from EL3 challenge
#[test]
fn calls_have_the_arguments_of_the_interface() {
    let el3 = El3::new(|fid, _, _| key(fid).unwrap_or(ok(TOKEN, 0)));
    let memory = el3.fetch(4).expect("all is well");
    assert_eq!(memory[..TOKEN.len()], *TOKEN);
    assert_eq!(
        memory[TOKEN.len()..],
        [0x55; MAX_PLATFORM_TOKEN][TOKEN.len()..]
    );
    let page = [PAGE, GRANULE_SIZE as u64];
    let expected = [
        (fid::RMM_EL3_FEATURES, [0, 0, 0, 0]),
        (KEY_FID, [page[0], page[1], el3::CURVE_P384, 0]),
        (TOKEN_FID, [page[0], page[1], 32, 0]),
    ];
    assert_eq!(*el3.calls.borrow(), expected);
    let public = RealmAttestationKey::new(&[1; 48]).expect("a key");
    let challenge = public.public().hash(&SoftHash);
    assert_eq!(*el3.challenges.borrow(), [challenge]);
    // Before that the page was wiped.
    assert_eq!(el3.content()[32..], [0; GRANULE_SIZE - 32]);
}

// Conformance: Platform token from EL3 pieces, again, challenge
#[test]
fn pieces_are_put_together() {
    let token = padded(MAX_PLATFORM_TOKEN);
    // The challenge is written again each time that the first piece is asked for.
    let el3 = El3::new(|fid, [_, _, challenge, _], n| {
        let piece = n / 3;
        key(fid).unwrap_or_else(|| match (n % 3, piece) {
            (2, _) => {
                assert_eq!(challenge, if piece == 0 { 32 } else { 0 });
                let (_, rest) = token.split_at(piece * GRANULE_SIZE);
                let (piece, rest) = rest.split_at(GRANULE_SIZE);
                ok(piece, rest.len() as u64)
            }
            _ => (error::AGAIN, 0, 0, [0xAA; 64].to_vec()),
        })
    });
    assert_eq!(el3.fetch(3), Ok(token.clone()));
    let challenges = el3.challenges.borrow();
    assert_eq!(challenges.len(), 12);
    assert!(challenges[..3].iter().all(|c| *c == challenges[0]));

    let small = El3::new(|fid, _, n| {
        key(fid).unwrap_or_else(|| {
            let (_, rest) = TOKEN.split_at(n);
            let (byte, rest) = rest.split_at(1);
            ok(byte, rest.len() as u64)
        })
    });
    assert_eq!(small.fetch(4).expect("a token")[..TOKEN.len()], *TOKEN);
}

// Conformance: Platform token from EL3 length
#[test]
fn the_longest_token_has_16_kib() {
    let token = padded(MAX_PLATFORM_TOKEN + 1);
    let el3 = El3::new(|fid, _, n| {
        key(fid).unwrap_or_else(|| {
            let (_, rest) = token.split_at(n * GRANULE_SIZE);
            let (piece, rest) = rest.split_at(rest.len().min(GRANULE_SIZE));
            ok(piece, rest.len() as u64)
        })
    });
    assert_eq!(el3.fetch(4), Err(Unavailable::LongToken));
    // A token without end.
    let el3 = El3::new(|fid, _, _| key(fid).unwrap_or(ok(&[0xD2; GRANULE_SIZE], u64::MAX)));
    assert_eq!(el3.fetch(4), Err(Unavailable::LongToken));
}

// Conformance: Platform token from EL3 malformed
#[test]
fn sizes_that_cannot_be() {
    for size in [0, GRANULE_SIZE as u64 + 1, 1 << 32, u64::MAX] {
        let el3 = El3::new(|fid, _, _| key(fid).unwrap_or((error::OK, size, 0, TOKEN.to_vec())));
        assert_eq!(el3.fetch(4), Err(Unavailable::BadToken), "{size:#x}");
        // The second piece.
        let el3 = El3::new(|fid, _, n| {
            key(fid).unwrap_or(match n {
                0 => ok(&[0xD2, 0x84], 4),
                _ => (error::OK, size, 0, TOKEN.to_vec()),
            })
        });
        assert_eq!(el3.fetch(4), Err(Unavailable::BadToken), "{size:#x}");
        let el3 = El3::new(|fid, _, _| match fid {
            KEY_FID => (error::OK, size, 0, [1; 48].to_vec()),
            _ => refused(error::UNK),
        });
        assert_eq!(el3.fetch(4), Err(Unavailable::BadKey), "{size:#x}");
        assert_eq!(el3.content(), [0; GRANULE_SIZE], "wiped");
    }
}

// Conformance: Realm attestation key refused
// Conformance: Platform token from EL3 refused, again
#[test]
fn refusals_are_told_apart() {
    for status in [error::UNK, error::INVAL, error::BAD_ADDR, -100, i64::MIN, 1] {
        let el3 = El3::new(|fid, _, _| match fid {
            // What EL3 may have left in the page before it failed.
            KEY_FID => (status, 48, 0, [1; 48].to_vec()),
            _ => refused(error::UNK),
        });
        assert_eq!(el3.fetch(4), Err(Unavailable::NoKey(status)));
        assert_eq!(el3.content(), [0; GRANULE_SIZE], "wiped");
        let el3 = El3::new(|fid, _, _| key(fid).unwrap_or(refused(status)));
        assert_eq!(el3.fetch(4), Err(Unavailable::NoToken(status)));
        let el3 = El3::new(|fid, _, n| {
            key(fid).unwrap_or(match n {
                0 => ok(TOKEN, 4),
                _ => refused(status),
            })
        });
        assert_eq!(el3.fetch(4), Err(Unavailable::NoMorePieces(status)));
    }
    let el3 = El3::new(|fid, _, _| key(fid).unwrap_or(refused(error::AGAIN)));
    assert_eq!(el3.fetch(4), Err(Unavailable::NoToken(error::AGAIN)));
    let calls = el3.calls.borrow().len();
    assert!((100_000..10_000_000).contains(&calls), "{calls} calls");
}

// Conformance: Platform token from EL3 version
#[test]
fn before_0_3_there_is_one_piece() {
    for remaining in [0, 4, u64::MAX] {
        let el3 = El3::new(|fid, _, n| {
            assert!(n == 0 && fid != fid::RMM_EL3_FEATURES);
            key(fid).unwrap_or(ok(TOKEN, remaining))
        });
        assert_eq!(el3.fetch(2).expect("a token")[..TOKEN.len()], *TOKEN);
    }
}

// Conformance: Signatures by EL3 public_key
#[test]
fn el3_that_signs_keeps_the_key() {
    let public = |size: u64, first: u8| {
        move |fid, args: [u64; 4]| match fid {
            fid::RMM_EL3_FEATURES => (error::OK, el3::FEATURE_TOKEN_SIGN | 0xF0, 0, Vec::new()),
            fid::RMM_EL3_TOKEN_SIGN => {
                let get = el3::TOKEN_SIGN_GET_PUBLIC_KEY;
                assert_eq!(args, [get, PAGE, GRANULE_SIZE as u64, el3::CURVE_P384]);
                let mut point = POINT.to_vec();
                point[0] = first;
                (error::OK, size, 0, point)
            }
            TOKEN_FID => ok(TOKEN, 0),
            _ => panic!("call of {fid:#x}"),
        }
    };
    let fetch = |size, first| {
        let script = public(size, first);
        let script = move |fid, args, _| script(fid, args);
        El3::new(script).fetch(4).map(|_| ())
    };
    assert_eq!(fetch(97, 4), Ok(()));
    for size in [0, 48, 96, 98, u64::MAX] {
        assert_eq!(fetch(size, 4), Err(Unavailable::BadKey), "{size}");
    }
    assert_eq!(fetch(97, 2), Err(Unavailable::BadKey));
    // Features that cannot be asked for, or are not there, mean that the monitor signs.
    for features in [(error::UNK, 1), (error::OK, 0), (error::OK, 2)] {
        let el3 = El3::new(|fid, _, _| match fid {
            fid::RMM_EL3_FEATURES => (features.0, features.1, 0, Vec::new()),
            _ => key(fid).unwrap_or(ok(TOKEN, 0)),
        });
        assert!(el3.fetch(4).is_ok());
    }
}

/// The base point of P-384.
const POINT: [u8; 97] = [
    0x04, 0xAA, 0x87, 0xCA, 0x22, 0xBE, 0x8B, 0x05, 0x37, 0x8E, 0xB1, 0xC7, 0x1E, 0xF3, 0x20, 0xAD,
    0x74, 0x6E, 0x1D, 0x3B, 0x62, 0x8B, 0xA7, 0x9B, 0x98, 0x59, 0xF7, 0x41, 0xE0, 0x82, 0x54, 0x2A,
    0x38, 0x55, 0x02, 0xF2, 0x5D, 0xBF, 0x55, 0x29, 0x6C, 0x3A, 0x54, 0x5E, 0x38, 0x72, 0x76, 0x0A,
    0xB7, 0x36, 0x17, 0xDE, 0x4A, 0x96, 0x26, 0x2C, 0x6F, 0x5D, 0x9E, 0x98, 0xBF, 0x92, 0x92, 0xDC,
    0x29, 0xF8, 0xF4, 0x1D, 0xBD, 0x28, 0x9A, 0x14, 0x7C, 0xE9, 0xDA, 0x31, 0x13, 0xB5, 0xF0, 0xB8,
    0xC0, 0x0A, 0x60, 0xB1, 0xCE, 0x1D, 0x7E, 0x81, 0x9D, 0x7A, 0x43, 0x1D, 0x7C, 0x90, 0xEA, 0x0E,
    0x5F,
];
